//! Batches sent one at a time, so that a record that the broker refuses for good costs itself only.

use bytes::Bytes;

use super::pipeline::PartitionBatches;
use crate::client::error::Result;
use crate::ids::TopicPartition;
use crate::protocol::error_code::ErrorCode;
use crate::record::batch::{BatchIter, RecordBatch};
use crate::record::builder::{BatchOptions, RecordBatchBuilder};
use crate::record::compression::DecompressBuf;
use crate::record::reader::Header;

/// Bytes of a key that are kept for a report.
const KEY_BYTES_MAX: usize = 256;

/// Whether a batch is refused with this code for what is in it: sent again, it is refused again.
#[must_use]
pub fn is_about_records(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::MessageTooLarge
            | ErrorCode::RecordListTooLarge
            | ErrorCode::InvalidTimestamp
            | ErrorCode::InvalidRecord
    )
}

/// Why a batch was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub code: ErrorCode,
    pub message: Option<String>,
}

/// A record that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRecord {
    pub partition: TopicPartition,
    /// The first bytes of its key.
    pub key: Option<Bytes>,
    /// Units: ms since epoch.
    pub timestamp: i64,
    pub refusal: Refusal,
}

/// Batches of one partition that are still to be sent, the next one last.
#[derive(Debug)]
pub(crate) struct Remaining(Vec<Bytes>);

impl Remaining {
    pub(crate) fn new(mut batches: Vec<Bytes>) -> Self {
        batches.reverse();
        Self(batches)
    }

    pub(crate) fn next(&mut self) -> Option<Bytes> {
        self.0.pop()
    }

    /// Takes a batch that was refused: it is sent in halves, unless it is a single record, which is returned.
    pub(crate) fn split(
        &mut self,
        partition: &TopicPartition,
        batch: Bytes,
        refusal: Refusal,
    ) -> Result<Vec<RefusedRecord>> {
        let mut refused = Vec::new();
        for batch in BatchIter::new(batch) {
            let batch = batch?;
            let count = usize::try_from(batch.header().records_count).unwrap_or(0);
            match count {
                0 | 1 => refused.extend(alone(partition, &batch, &refusal)?),
                count => {
                    let (first, second) = halves(&batch, count / 2)?;
                    self.0.extend([second, first]);
                }
            }
        }
        Ok(refused)
    }
}

fn alone(
    partition: &TopicPartition,
    batch: &RecordBatch,
    refusal: &Refusal,
) -> Result<Option<RefusedRecord>> {
    let mut scratch = DecompressBuf::default();
    let record = batch.records(&mut scratch)?.next().transpose()?;
    Ok(record.map(|record| RefusedRecord {
        partition: partition.clone(),
        key: record.key.map(|key| Bytes::copy_from_slice(&key[..key.len().min(KEY_BYTES_MAX)])),
        timestamp: record.timestamp,
        refusal: refusal.clone(),
    }))
}

fn halves(batch: &RecordBatch, first: usize) -> Result<(Bytes, Bytes)> {
    let compression = batch.header().compression()?;
    let builder = || RecordBatchBuilder::new(BatchOptions { compression, ..BatchOptions::default() });
    let (mut left, mut right) = (builder(), builder());
    let mut scratch = DecompressBuf::default();
    for (at, record) in batch.records(&mut scratch)?.enumerate() {
        let record = record?;
        let headers: Vec<Header<'_>> = record.headers.iter().collect();
        let half = if at < first { &mut left } else { &mut right };
        half.append(record.timestamp, record.key, record.value, &headers);
    }
    Ok((left.build()?, right.build()?))
}

/// Batches by partition, each to be sent alone.
pub(crate) fn one_by_one(batches: PartitionBatches) -> impl Iterator<Item = (TopicPartition, Remaining)> {
    batches.into_iter().map(|(partition, batches)| (partition, Remaining::new(batches)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_batch_is_sent_in_halves_down_to_its_records() {
        let mut builder = RecordBatchBuilder::new(BatchOptions::default());
        for key in 0..5_u8 {
            builder.append(i64::from(key), Some(&[key]), Some(b"v"), &[]);
        }
        let partition = TopicPartition::new("t", 0);
        let refusal = Refusal { code: ErrorCode::InvalidTimestamp, message: None };
        let mut remaining = Remaining::new(vec![builder.build().expect("builds")]);
        let (mut sent, mut refused) = (Vec::new(), Vec::new());
        while let Some(batch) = remaining.next() {
            let mut scratch = DecompressBuf::default();
            let parsed = BatchIter::new(batch.clone()).next().expect("one").expect("valid");
            let keys: Vec<u8> = parsed
                .records(&mut scratch)
                .expect("plain")
                .map(|r| r.expect("valid").key.expect("a key")[0])
                .collect();
            if keys.contains(&3) {
                refused.extend(remaining.split(&partition, batch, refusal.clone()).expect("splits"));
            } else {
                sent.extend(keys);
            }
        }
        assert_eq!(sent, [0, 1, 2, 4], "in order");
        assert_eq!(refused.len(), 1);
        assert_eq!((refused[0].key.as_deref(), refused[0].timestamp), (Some(&[3][..]), 3));
    }
}
