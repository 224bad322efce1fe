//! Store updates as records of changelog topics.
//!
//! The record key is the store key and the record value the store value, byte for byte; a null value deletes. Keys without
//! a value are removed by compaction like any tombstone.

use std::fmt;

use crate::error::Result;
use crate::state::backend::StoreId;

/// One update of a store on its way to the changelog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangelogRecord<'a> {
    pub store: StoreId,
    pub key: &'a [u8],
    pub value: Option<&'a [u8]>,
}

/// Takes the updates of a commit, store by store and sorted by key within a store, as part of the commit's transaction.
pub trait ChangelogSink: fmt::Debug {
    fn append(&mut self, record: ChangelogRecord<'_>) -> Result<Logged>;
}

/// Whether an update is in the changelog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logged {
    Yes,
    /// The topic cannot take it: the store must not take it either.
    Refused,
}

/// For stores that are not logged.
#[derive(Clone, Copy, Debug)]
pub struct NoChangelog;

impl ChangelogSink for NoChangelog {
    fn append(&mut self, _record: ChangelogRecord<'_>) -> Result<Logged> {
        Ok(Logged::Yes)
    }
}
