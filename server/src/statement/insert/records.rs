//! Rows of one source as record batches: encoded together, one batch per partition, one sync per batch.

use std::collections::BTreeMap;

use arrow::array::ArrayRef;
use bytes::Bytes;
use weir_broker::client::error::ClientError;
use weir_broker::client::producer::partitioner::partition_for_key;
use weir_broker::ids::TopicPartition;
use weir_broker::protocol::error_code::ErrorCode;
use weir_broker::record::builder::{BatchOptions, RecordBatchBuilder};
use weir_engine::serde::error::SerdeError;
use weir_engine::serde::insert::{InsertRecords, encode_rows};
use weir_sql::metastore::source::Source;

use crate::context::Context;
use crate::error::ApiError;

/// Bytes after which a batch is closed; a larger row has a batch of its own.
const BATCH_BYTES_MAX: usize = 512 << 10;

/// The effect of a row that fails on the rows after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowFailure {
    /// They are written: `/inserts-stream`.
    CostsTheRow,
    /// They are not: statements run in order, and the first that fails ends the request.
    EndsTheRest,
}

/// Rows of a source. Shape: columns, `timestamps` and `outcomes` have one entry per row.
pub(super) struct Rows<'a> {
    pub(super) source: &'a Source,
    pub(super) key: Vec<ArrayRef>,
    pub(super) value: Vec<ArrayRef>,
    /// ms; None: the time of the insert.
    pub(super) timestamps: Vec<Option<i64>>,
    /// Rows that are refused already are not written.
    pub(super) outcomes: Vec<Result<(), ApiError>>,
}

/// Encoded rows with their times.
struct Encoded {
    records: InsertRecords,
    timestamps: Vec<i64>,
}

/// Writes the rows; gives one outcome per row. A row without an error is durable.
pub(super) async fn write(
    context: &Context,
    mut rows: Rows<'_>,
    on_failure: RowFailure,
) -> Vec<Result<(), ApiError>> {
    let count = rows.outcomes.len();
    let encoded = match encode(context, &mut rows) {
        Ok(encoded) => encoded,
        Err(error) => return refuse_all(count, &failed(rows.source, &error.to_string())),
    };
    if on_failure == RowFailure::EndsTheRest {
        end_after_failure(&mut rows.outcomes);
    }
    let partitions = match partition_count(context, &rows.source.topic) {
        Ok(partitions) => partitions,
        Err(error) => return refuse_all(count, &error),
    };
    for (partition, members) in by_partition(context, &rows, &encoded, partitions) {
        let partition = TopicPartition::new(rows.source.topic.as_str(), partition);
        write_partition(context, &partition, members, &encoded, &mut rows, on_failure).await;
    }
    rows.outcomes
}

fn partition_count(context: &Context, topic: &str) -> Result<i32, ApiError> {
    match context.broker().topic(topic) {
        Some(info) => Ok(i32::try_from(info.partitions).unwrap_or(i32::MAX)),
        None => Err(ApiError::bad_request(format!("topic \"{topic}\" does not exist"))),
    }
}

fn refuse_all(count: usize, error: &ApiError) -> Vec<Result<(), ApiError>> {
    (0..count).map(|_| Err(error.clone())).collect()
}

fn failed(source: &Source, cause: &str) -> ApiError {
    ApiError::bad_request(format!("Failed to insert values into '{}'. {cause}", source.name))
}

fn encode(context: &Context, rows: &mut Rows<'_>) -> Result<Encoded, SerdeError> {
    let source = rows.source;
    let mut records = encode_rows(source, &rows.key, &rows.value, rows.outcomes.len())?;
    for error in records.errors.drain(..) {
        let outcome = &mut rows.outcomes[error.row];
        if outcome.is_ok() {
            *outcome = Err(failed(source, &error.to_string()));
        }
    }
    let now = context.now_ms();
    let timestamps = rows.timestamps.iter().map(|t| t.unwrap_or(now)).collect();
    Ok(Encoded { records, timestamps })
}

/// Refuses the rows after the first that failed, as statements after it do not run.
fn end_after_failure(outcomes: &mut [Result<(), ApiError>]) {
    if let Some(first) = outcomes.iter().position(Result::is_err) {
        let error = outcomes[first].clone();
        outcomes[first..].fill(error);
    }
}

/// The rows to write by partition, in their order.
fn by_partition(
    context: &Context,
    rows: &Rows<'_>,
    encoded: &Encoded,
    partitions: i32,
) -> BTreeMap<i32, Vec<usize>> {
    let mut members: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
    for row in (0..rows.outcomes.len()).filter(|row| rows.outcomes[*row].is_ok()) {
        let partition = match encoded.records.key(row) {
            Some(key) => partition_for_key(key, partitions),
            None => context.inserts().next_keyless_partition(partitions),
        };
        members.entry(partition).or_default().push(row);
    }
    members
}

/// Writes rows of one partition in batches. A batch that is refused for one of its records is split until that record is
/// alone.
async fn write_partition(
    context: &Context,
    partition: &TopicPartition,
    members: Vec<usize>,
    encoded: &Encoded,
    rows: &mut Rows<'_>,
    on_failure: RowFailure,
) {
    let mut open: Vec<Vec<usize>> = batches(members, encoded);
    open.reverse();
    while let Some(mut members) = open.pop() {
        let outcome = match build(&members, encoded) {
            Ok(batch) => context.inserts().produce(partition.clone(), batch).await,
            Err(error) => Err(ClientError::Batch(error)),
        };
        let Err(error) = outcome else { continue };
        if members.len() > 1 && names_a_record(&error) {
            let second = members.split_off(members.len() / 2);
            open.push(second);
            open.push(members);
            continue;
        }
        let error = refusal(rows.source, &error);
        for row in members {
            rows.outcomes[row] = Err(error.clone());
        }
        if on_failure == RowFailure::EndsTheRest {
            open.drain(..).flatten().for_each(|row| rows.outcomes[row] = Err(error.clone()));
            return;
        }
    }
}

/// Cuts the rows into batches of about [`BATCH_BYTES_MAX`].
fn batches(members: Vec<usize>, encoded: &Encoded) -> Vec<Vec<usize>> {
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut bytes = BATCH_BYTES_MAX;
    for row in members {
        let key = encoded.records.key(row).map_or(0, <[u8]>::len);
        let row_bytes = key + encoded.records.value(row).map_or(0, <[u8]>::len);
        if bytes + row_bytes > BATCH_BYTES_MAX {
            batches.push(Vec::new());
            bytes = 0;
        }
        bytes += row_bytes;
        if let Some(batch) = batches.last_mut() {
            batch.push(row);
        }
    }
    batches
}

fn build(members: &[usize], encoded: &Encoded) -> weir_broker::error::Result<Bytes> {
    let mut builder = RecordBatchBuilder::new(BatchOptions::default());
    for row in members {
        let key = encoded.records.key(*row);
        builder.append(encoded.timestamps[*row], key, encoded.records.value(*row), &[]);
    }
    builder.build()
}

/// True if the broker refused the batch for what one of its records is, and stored nothing of it.
fn names_a_record(error: &ClientError) -> bool {
    matches!(
        error,
        ClientError::Refused {
            code: ErrorCode::MessageTooLarge
                | ErrorCode::RecordListTooLarge
                | ErrorCode::InvalidTimestamp
                | ErrorCode::InvalidRecord,
            ..
        }
    )
}

fn refusal(source: &Source, error: &ClientError) -> ApiError {
    if names_a_record(error) {
        failed(source, &error.to_string())
    } else {
        ApiError::server(format!("the row could not be written: {error}"))
    }
}
