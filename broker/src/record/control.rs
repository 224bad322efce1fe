//! Control records: the markers which end a transaction in a partition.
//!
//! A marker is a control batch of one record. Key: version (i16), kind (i16: 0 abort, 1 commit). Value of an
//! end-of-transaction marker: version (i16), coordinator epoch (i32).

use bytes::Bytes;

use crate::error::{BatchDefect, Error, Result};
use crate::ids::{NO_SEQUENCE, ProducerEpoch, ProducerId};
use crate::record::batch::RecordBatch;
use crate::record::builder::{BatchOptions, RecordBatchBuilder};
use crate::record::compression::DecompressBuf;

const VERSION: i16 = 0;

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MarkerKind {
    Abort,
    Commit,
}

impl MarkerKind {
    fn id(self) -> i16 {
        match self {
            MarkerKind::Abort => 0,
            MarkerKind::Commit => 1,
        }
    }
}

/// The contents of an end-of-transaction marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndTxnMarker {
    pub kind: MarkerKind,
    pub coordinator_epoch: i32,
}

impl EndTxnMarker {
    /// The marker as a batch, ready to append.
    pub fn to_batch(self, timestamp: i64, producer_id: ProducerId, producer_epoch: ProducerEpoch) -> Bytes {
        let mut key = [0; 4];
        key[..2].copy_from_slice(&VERSION.to_be_bytes());
        key[2..].copy_from_slice(&self.kind.id().to_be_bytes());
        let mut value = [0; 6];
        value[..2].copy_from_slice(&VERSION.to_be_bytes());
        value[2..].copy_from_slice(&self.coordinator_epoch.to_be_bytes());
        let mut builder = RecordBatchBuilder::new(BatchOptions {
            producer_id,
            producer_epoch,
            base_sequence: NO_SEQUENCE,
            transactional: true,
            control: true,
            ..BatchOptions::default()
        });
        builder.append(timestamp, Some(&key), Some(&value), &[]);
        builder.build().expect("uncompressed batches always build")
    }

    /// Reads a control batch. `None` for control batches which do not end a transaction (leader changes and other
    /// kinds), and for those whose record was compacted away.
    ///
    /// # Errors
    /// [`Error::InvalidRecord`] if the record is malformed.
    pub fn parse(batch: &RecordBatch) -> Result<Option<Self>> {
        let malformed = || Error::InvalidRecord { reason: BatchDefect::NotAMarker };
        let mut scratch = DecompressBuf::default();
        let Some(record) = batch.records(&mut scratch)?.next() else { return Ok(None) };
        let record = record?;
        let key = record.key.and_then(<[u8]>::first_chunk::<4>).ok_or_else(malformed)?;
        let kind = match i16::from_be_bytes([key[2], key[3]]) {
            0 => MarkerKind::Abort,
            1 => MarkerKind::Commit,
            _ => return Ok(None),
        };
        let value = record.value.and_then(<[u8]>::first_chunk::<6>).ok_or_else(malformed)?;
        let coordinator_epoch = i32::from_be_bytes([value[2], value[3], value[4], value[5]]);
        Ok(Some(EndTxnMarker { kind, coordinator_epoch }))
    }
}
