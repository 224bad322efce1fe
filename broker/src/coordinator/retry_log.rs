//! A coordinator's log that catches up: what could not be appended is owed to it, and goes before anything later.
//!
//! The state of group coordinators changes before its records are appended. On a full disk clients are told to ask
//! again, but the state stays as it is: so its records must reach the log when there is room, or a restart would find
//! another state, such as a group that was deleted.

use std::collections::HashMap;

use bytes::Bytes;

use super::codec::CoordinatorRecord;
use super::log::{CoordinatorLog, Durable};
use crate::error::{Error, Result};
use crate::ids::ProducerIdentity;
use crate::record::control::MarkerKind;

/// Owed records go in batches of about this size.
const BATCH_BYTES: usize = 64 << 10;
/// How long after a failed attempt the next is made unasked. Units: ms.
const PAUSE_MS: i64 = 200;

/// A log and the records it lacks. Used under the lock of the state whose records these are.
#[derive(Debug)]
pub struct RetryLog {
    log: CoordinatorLog,
    owed: Owed,
}

/// Bounded by the number of different keys, as the state is.
#[derive(Debug, Default)]
struct Owed {
    /// The newest value of each key, and when it came.
    by_key: HashMap<Bytes, (u64, Option<Bytes>)>,
    sequence: u64,
    /// Units: ms since epoch.
    retry_from_ms: i64,
}

impl Owed {
    fn add(&mut self, records: &[CoordinatorRecord]) {
        for record in records {
            self.sequence += 1;
            self.by_key.insert(record.key.clone(), (self.sequence, record.value.clone()));
        }
    }

    /// Everything in the order in which it came.
    fn in_order(&self) -> Vec<CoordinatorRecord> {
        let mut all: Vec<_> = self.by_key.iter().collect();
        all.sort_unstable_by_key(|(_, (sequence, _))| *sequence);
        let record = |(key, (_, value)): (&Bytes, &(u64, Option<Bytes>))| CoordinatorRecord {
            key: key.clone(),
            value: value.clone(),
        };
        all.into_iter().map(record).collect()
    }
}

impl RetryLog {
    #[must_use]
    pub fn new(log: CoordinatorLog) -> Self {
        Self { log, owed: Owed::default() }
    }

    /// As [`CoordinatorLog::append`], after what is owed.
    pub fn append(
        &mut self,
        records: &[CoordinatorRecord],
        producer: Option<ProducerIdentity>,
    ) -> Result<Durable> {
        self.settle()?;
        self.log.append(records, producer)
    }

    /// As [`Self::append`], outside of transactions. Records that find no room are owed.
    pub fn append_or_retry(&mut self, records: &[CoordinatorRecord]) -> Result<Durable> {
        let appended = self.append(records, None);
        if let Err(Error::Io { .. }) = &appended {
            self.owed.add(records);
        }
        appended
    }

    /// As [`CoordinatorLog::appended`].
    pub fn appended(&self) -> Durable {
        self.log.appended()
    }

    /// As [`CoordinatorLog::append_marker`].
    pub fn append_marker(
        &mut self,
        producer: ProducerIdentity,
        kind: MarkerKind,
        coordinator_epoch: i32,
    ) -> Result<Durable> {
        self.settle()?;
        self.log.append_marker(producer, kind, coordinator_epoch)
    }

    /// Appends what is owed, if anything is and the last attempt is not too recent.
    pub fn catch_up(&mut self, now: i64) {
        if self.owed.by_key.is_empty() || now < self.owed.retry_from_ms {
            return;
        }
        let count = self.owed.by_key.len();
        match self.settle() {
            Ok(()) => tracing::info!(count, "coordinator records written after all"),
            Err(_) => self.owed.retry_from_ms = now + PAUSE_MS,
        }
    }

    fn settle(&mut self) -> Result<()> {
        if self.owed.by_key.is_empty() {
            return Ok(());
        }
        let mut rest = self.owed.in_order();
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = rest.iter().take_while(|record| {
                let before = bytes;
                bytes += record.key.len() + record.value.as_ref().map_or(0, Bytes::len);
                before < BATCH_BYTES
            });
            let later = rest.split_off(fits.count());
            // No request waits for these: their clients got a retriable error.
            drop(self.log.append(&rest, None)?);
            for record in &rest {
                self.owed.by_key.remove(&record.key);
            }
            rest = later;
        }
        Ok(())
    }
}
