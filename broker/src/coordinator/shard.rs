//! One partition of a coordinator's topic: the state machine and its log, while this broker coordinates it.
//!
//! A step changes the state and appends its records under one lock, so the log has the order of the steps. When an
//! append fails there are two orders to choose from: the step stands and its records are owed to the log
//! ([`LoadedShard::append_step`]), or the step is undone ([`LoadedShard::append_or_undo`]).

use std::fmt::Debug;

use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};

use super::codec::{CoordinatorRecord, RecordError};
use super::log::{Durable, ReplayItem};
use super::retry_log::RetryLog;
use crate::error::Result;

/// The state machine of one partition, which its log rebuilds.
pub trait CoordinatorShard: Debug {
    /// Locks and signals that requests use outside of the lock of the state.
    type Gates: Debug + Default;

    /// Applies a record or marker of the log.
    fn replay(&mut self, item: ReplayItem, now_ms: i64) -> Result<(), RecordError>;

    /// The whole log has been replayed.
    fn loaded(&mut self, now_ms: i64);

    /// Sets by how much the wall clock, which is what is stored, is ahead of the time that steps are given.
    fn set_wall_ahead(&mut self, wall_ahead_ms: i64);

    /// The earliest moment at which the passing of time changes the state.
    fn next_deadline(&self) -> Option<i64>;
}

/// A partition of the topic, loaded or not.
#[derive(Debug)]
pub struct Shard<S: CoordinatorShard> {
    gates: S::Gates,
    loaded: Mutex<Option<LoadedShard<S>>>,
}

/// The state of a loaded partition and the log of its records.
#[derive(Debug)]
pub struct LoadedShard<S> {
    pub state: S,
    pub log: RetryLog,
}

/// The lock of a loaded partition.
pub type ShardGuard<'a, S> = MappedMutexGuard<'a, LoadedShard<S>>;

impl<S: CoordinatorShard> Shard<S> {
    /// A partition that is not loaded.
    pub(super) fn new() -> Self {
        Self { gates: S::Gates::default(), loaded: Mutex::new(None) }
    }

    #[must_use]
    pub fn gates(&self) -> &S::Gates {
        &self.gates
    }

    pub(super) fn set(&self, loaded: Option<LoadedShard<S>>) {
        *self.loaded.lock() = loaded;
    }

    /// `None` if the partition is not loaded.
    pub(super) fn lock(&self) -> Option<ShardGuard<'_, S>> {
        MutexGuard::try_map(self.loaded.lock(), Option::as_mut).ok()
    }
}

impl<S> LoadedShard<S> {
    /// Appends the records of a step that stands: those that find no room are owed to the log. Durable together
    /// with all steps before it, also without records: its answer may depend on theirs.
    pub fn append_step(&mut self, records: &[CoordinatorRecord]) -> Result<Durable> {
        match records.is_empty() {
            true => Ok(self.log.appended()),
            false => self.log.append_or_retry(records),
        }
    }

    /// Appends the record of a step. If that fails, `undo` takes the step back.
    pub fn append_or_undo(
        &mut self,
        record: &CoordinatorRecord,
        undo: impl FnOnce(&mut S),
    ) -> Result<Durable> {
        let appended = self.log.append(std::slice::from_ref(record), None);
        if appended.is_err() {
            undo(&mut self.state);
        }
        appended
    }
}
