//! Checks what is to be appended, before the log is locked.

use std::cell::RefCell;

use bytes::Bytes;

use crate::error::{BatchDefect, Error, Result};
use crate::ids::TopicPartition;
use crate::log::access::AppendOrigin;
use crate::log::config::{LogConfig, TopicCompression};
use crate::log::producer_state::require_marker;
use crate::record::batch::{NO_TIMESTAMP, RecordBatch, TimestampType};
use crate::record::compression::DecompressBuf;
use crate::record::control::EndTxnMarker;

/// Batches which may be appended.
#[derive(Debug)]
pub(crate) struct ValidatedBatches {
    /// Never empty.
    pub(crate) batches: Vec<RecordBatch>,
    pub(crate) log_append_time: Option<i64>,
    /// Set if the origin is [`AppendOrigin::Marker`]: there is one batch then.
    pub(crate) marker: Option<EndTxnMarker>,
}

thread_local! {
    /// Records of compressed batches are checked here.
    static SCRATCH: RefCell<DecompressBuf> = RefCell::default();
}

/// Checks `bytes`, one or more whole batches, and gives them the timestamps and the codec the topic wants.
///
/// # Errors
/// [`Error::CorruptBatch`], [`Error::InvalidRecord`], [`Error::BatchTooLarge`], [`Error::InvalidTimestamp`] and those of
/// decompression.
pub(crate) fn validate(
    tp: &TopicPartition,
    mut bytes: Bytes,
    origin: AppendOrigin,
    config: &LogConfig,
    now_ms: i64,
) -> Result<ValidatedBatches> {
    let mut batches = Vec::with_capacity(1);
    while !bytes.is_empty() {
        let (batch, rest) = RecordBatch::parse(bytes)?;
        bytes = rest;
        batches.push(match origin {
            AppendOrigin::Client => validate_client_batch(tp, batch, config, now_ms)?,
            AppendOrigin::Coordinator | AppendOrigin::Marker => batch,
        });
    }
    let invalid = |reason| Err(Error::InvalidRecord { reason });
    let Some(first) = batches.first() else { return invalid(BatchDefect::Empty) };
    let marker = match origin {
        AppendOrigin::Marker => Some(require_marker(first)?),
        AppendOrigin::Client | AppendOrigin::Coordinator => None,
    };
    if batches.len() > 1 && marker.is_some() {
        return invalid(BatchDefect::NotAMarker);
    }
    // Sequences are checked against the state before the append, so there is at most one batch of a producer.
    if batches.len() > 1 && batches.iter().any(|batch| !batch.producer_id().is_none()) {
        return invalid(BatchDefect::SeveralIdempotentBatches);
    }
    let stamped =
        origin == AppendOrigin::Client && config.message_timestamp_type == TimestampType::LogAppendTime;
    Ok(ValidatedBatches { batches, log_append_time: stamped.then_some(now_ms), marker })
}

fn validate_client_batch(
    tp: &TopicPartition,
    batch: RecordBatch,
    config: &LogConfig,
    now_ms: i64,
) -> Result<RecordBatch> {
    let batch = batch.without_broker_bits();
    let header = *batch.header();
    let invalid = |reason| Error::InvalidRecord { reason };
    check_size(tp, &batch, config)?;
    if header.is_control() {
        return Err(invalid(BatchDefect::ControlFromClient));
    }
    let (delta, count) = (header.last_offset_delta, header.records_count);
    if count == 0 || delta != count - 1 {
        return Err(invalid(BatchDefect::CountMismatch { delta, count }));
    }
    let transactional_only = header.is_transactional() && header.producer_id.is_none();
    let half = !header.producer_id.is_none() && (header.producer_epoch.is_none() || header.base_sequence < 0);
    if transactional_only || half {
        return Err(invalid(BatchDefect::ProducerFields));
    }
    SCRATCH.with_borrow_mut(|scratch| {
        let max_timestamp = check_records(tp, &batch, scratch, config, now_ms)?;
        let batch = match config.message_timestamp_type {
            TimestampType::LogAppendTime => batch.with_max_timestamp(now_ms, TimestampType::LogAppendTime),
            TimestampType::CreateTime if max_timestamp != header.max_timestamp => {
                batch.with_max_timestamp(max_timestamp, TimestampType::CreateTime)
            }
            TimestampType::CreateTime => batch,
        };
        match config.compression_type {
            TopicCompression::Producer => Ok(batch),
            TopicCompression::Fixed(codec) => {
                let batch = batch.recompress(codec, config.compression_level(codec), scratch)?;
                check_size(tp, &batch, config).map(|()| batch)
            }
        }
    })
}

fn check_size(tp: &TopicPartition, batch: &RecordBatch, config: &LogConfig) -> Result<()> {
    let (actual, limit) = (batch.header().size_bytes(), config.max_message_bytes);
    if actual > limit {
        return Err(Error::BatchTooLarge { partition: tp.clone(), actual, limit });
    }
    Ok(())
}

/// Checks every record of a batch; returns the highest timestamp.
fn check_records(
    tp: &TopicPartition,
    batch: &RecordBatch,
    scratch: &mut DecompressBuf,
    config: &LogConfig,
    now_ms: i64,
) -> Result<i64> {
    let invalid = |reason| Error::InvalidRecord { reason };
    let earliest = now_ms.saturating_sub(config.message_timestamp_before_max_ms);
    let latest = now_ms.saturating_add(config.message_timestamp_after_max_ms);
    let producer_stamps = config.message_timestamp_type == TimestampType::CreateTime;
    let mut max_timestamp = NO_TIMESTAMP;
    // All bad records are named, not the first alone: the producer drops them and may send the others again.
    let (mut without_key, mut out_of_range, mut first_out_of_range) = (Vec::new(), Vec::new(), NO_TIMESTAMP);
    for (index, record) in (0..).zip(batch.records(scratch)?) {
        let record = record.map_err(|error| match error {
            Error::CorruptBatch { reason } => invalid(reason),
            other => other,
        })?;
        let actual = (record.offset - batch.base_offset()) as i32;
        if actual != index {
            return Err(invalid(BatchDefect::OffsetDelta { index, expected: index, actual }));
        }
        if config.cleanup_policy.compact && record.key.is_none() {
            without_key.push(index);
        }
        let timestamp = record.timestamp;
        if producer_stamps && timestamp != NO_TIMESTAMP && !(earliest..=latest).contains(&timestamp) {
            if out_of_range.is_empty() {
                first_out_of_range = timestamp;
            }
            out_of_range.push(index);
        }
        max_timestamp = max_timestamp.max(timestamp);
    }
    if !without_key.is_empty() {
        return Err(invalid(BatchDefect::MissingKey { records: without_key.into() }));
    }
    if !out_of_range.is_empty() {
        let (partition, timestamp, records) = (tp.clone(), first_out_of_range, out_of_range.into());
        return Err(Error::InvalidTimestamp { partition, timestamp, earliest, latest, records });
    }
    Ok(max_timestamp)
}
