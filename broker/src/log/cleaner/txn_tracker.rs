//! Follows transactions through a log, batch by batch, to know which were aborted and which have lost all records.

use hashbrown::{HashMap, HashSet};

use crate::error::Result;
use crate::ids::ProducerId;
use crate::log::access::AbortedTxn;
use crate::record::batch::RecordBatch;
use crate::record::control::{EndTxnMarker, MarkerKind};

/// The kind of a batch, by the transaction that it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disposition {
    /// Data that counts: outside transactions or of a committed one.
    Data,
    /// Data of an aborted transaction.
    Aborted,
    /// A marker whose transaction still has batches in the log, or another control batch.
    Control,
    /// A marker of a transaction of which nothing is left.
    EmptyMarker,
}

/// The transactions of a log at the batch observed last.
#[derive(Debug)]
pub(crate) struct TxnTracker {
    /// Aborted transactions not reached yet, the first one last.
    ahead: Vec<AbortedTxn>,
    /// Aborted transactions in progress, and whether a batch of theirs was seen.
    aborted: HashMap<ProducerId, bool>,
    /// Producers with a batch of a committed transaction before its marker.
    committed: HashSet<ProducerId>,
}

impl TxnTracker {
    /// Begins before all of `aborted`, which are sorted by first offset.
    pub(crate) fn new(mut aborted: Vec<AbortedTxn>) -> Self {
        aborted.reverse();
        TxnTracker { ahead: aborted, aborted: HashMap::new(), committed: HashSet::new() }
    }

    /// Takes note of the next batch.
    ///
    /// # Errors
    /// As [`EndTxnMarker::parse`].
    pub(crate) fn observe(&mut self, batch: &RecordBatch) -> Result<Disposition> {
        let header = batch.header();
        while let Some(txn) = self.ahead.pop_if(|txn| txn.first_offset <= header.last_offset()) {
            self.aborted.insert(txn.producer_id, false);
        }
        let producer_id = header.producer_id;
        if header.is_control() {
            return Ok(match EndTxnMarker::parse(batch)?.map(|marker| marker.kind) {
                None => Disposition::Control,
                Some(MarkerKind::Abort) if self.aborted.remove(&producer_id) == Some(true) => {
                    Disposition::Control
                }
                Some(MarkerKind::Commit) if self.committed.remove(&producer_id) => Disposition::Control,
                Some(MarkerKind::Abort | MarkerKind::Commit) => Disposition::EmptyMarker,
            });
        }
        if !header.is_transactional() {
            return Ok(Disposition::Data);
        }
        if let Some(seen) = self.aborted.get_mut(&producer_id) {
            *seen = true;
            return Ok(Disposition::Aborted);
        }
        self.committed.insert(producer_id);
        Ok(Disposition::Data)
    }
}
