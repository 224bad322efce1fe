//! The records that a task is processing, so that reports can name them.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use crate::batch::RowBatch;

/// Records of one partition, by offset. Most reports are about one record; an expression that fails does not know which row
/// of its batch it is about, and names all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordOrigin {
    pub topic: Arc<str>,
    pub partition: i32,
    pub first_offset: i64,
    pub last_offset: i64,
}

impl fmt::Display for RecordOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "topic \"{}\", partition {}, ", self.topic, self.partition)?;
        match self.first_offset == self.last_offset {
            true => write!(f, "offset {}", self.first_offset),
            false => write!(f, "offsets {} to {}", self.first_offset, self.last_offset),
        }
    }
}

thread_local! {
    /// A task is processed by one thread at a time, run by run.
    static CURRENT: RefCell<Option<RecordOrigin>> = const { RefCell::new(None) };
}

/// Names the rows that are being processed until it is dropped.
#[derive(Debug)]
pub(crate) struct Processing(());

impl Processing {
    /// Rows of internal topics have no origin that would mean anything to users.
    pub(crate) fn rows(topic: &str, batch: &RowBatch) -> Processing {
        let origin = batch.origin.as_ref().and_then(|origin| {
            Some(RecordOrigin {
                topic: topic.into(),
                partition: *origin.partition.first()?,
                first_offset: *origin.offset.first()?,
                last_offset: *origin.offset.last()?,
            })
        });
        CURRENT.set(origin);
        Processing(())
    }
}

impl Drop for Processing {
    fn drop(&mut self) {
        CURRENT.set(None);
    }
}

/// Names some of the rows that are being processed, until it is dropped.
#[derive(Debug)]
pub(crate) struct Narrowed(Option<RecordOrigin>);

impl Narrowed {
    /// Rows that are no longer rows of a source stay as they are named.
    pub(crate) fn to(rows: &RowBatch) -> Narrowed {
        let before = current();
        let last = rows.len().saturating_sub(1);
        if let (Some(first), Some(last)) = (of_row(rows, 0), of_row(rows, last)) {
            let (partition, first_offset, last_offset) =
                (first.partition, first.first_offset, last.last_offset);
            CURRENT.set(Some(RecordOrigin { partition, first_offset, last_offset, ..first }));
        }
        Narrowed(before)
    }
}

impl Drop for Narrowed {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

/// The rows that the thread is processing.
pub(crate) fn current() -> Option<RecordOrigin> {
    CURRENT.with_borrow(Clone::clone)
}

/// The record of one row of a batch; if the batch does not know, the rows that the thread is processing.
pub(crate) fn of_row(batch: &RowBatch, row: usize) -> Option<RecordOrigin> {
    let current = current()?;
    let exact = batch.origin.as_ref().and_then(|o| Some((*o.partition.get(row)?, *o.offset.get(row)?)));
    Some(match exact {
        Some((partition, offset)) => {
            RecordOrigin { partition, first_offset: offset, last_offset: offset, ..current }
        }
        None => current,
    })
}
