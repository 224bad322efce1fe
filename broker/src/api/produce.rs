//! Produce.
//!
//! Everything is appended before the handler first waits, so that the batches of a connection keep their order;
//! then all partitions wait for the disk together.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future;
use uuid::Uuid;

use crate::api::error_map;
use crate::api::node::Node;
use crate::error::Error;
use crate::ids::ProducerIdentity;
use crate::ids::{TopicId, TopicPartition};
use crate::log::access::{AppendOrigin, Appended};
use crate::metadata::image::{MetadataImage, is_internal};
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::produce::{
    BatchIndexAndErrorMessage, PartitionProduceData, PartitionProduceResponse, ProduceRequest,
    ProduceResponse, TopicProduceData, TopicProduceResponse,
};
use crate::record::batch::BatchHeader;
use crate::record::compression::Compression;
use crate::txn::coordinator::TxnVersion;

const LEADER_ACK: i16 = 1;
const ALL_ACKS: i16 = -1;
pub(crate) const NO_ACK: i16 = 0;

/// The version from which on zstd is known (KIP-110).
const FIRST_WITH_ZSTD: i16 = 7;
const FIRST_TO_ABORT: i16 = 11;
const FIRST_OF_TXN_V2: i16 = 12;

/// Refusal of a partition's records.
#[derive(Debug)]
struct AppendRefusal {
    code: ErrorCode,
    message: Option<String>,
    /// The records that are to blame, by index.
    records: Vec<i32>,
}

impl AppendRefusal {
    fn code(code: ErrorCode) -> Self {
        Self { code, message: None, records: Vec::new() }
    }
}

impl From<Error> for AppendRefusal {
    fn from(error: Error) -> Self {
        let records = error.bad_records().to_vec();
        Self { code: error_map::code(&error), message: Some(error.to_string()), records }
    }
}

/// One partition of the request on its way.
struct Entry {
    /// Shared by the partitions of a topic.
    topic: Arc<str>,
    index: i32,
    records: Bytes,
    outcome: Result<(), AppendRefusal>,
}

pub(crate) async fn handle(node: &Node, version: i16, request: ProduceRequest) -> ProduceResponse {
    let timeout = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0).max(1));
    let shape: Vec<(String, Uuid, usize)> = request
        .topic_data
        .iter()
        .map(|topic| (topic.name.clone(), topic.topic_id, topic.partition_data.len()))
        .collect();
    let acks = request.acks;
    let appended = append_all(node, version, request);
    let wait_one = |(index, outcome): (i32, Result<Appended, AppendRefusal>)| async move {
        let outcome = match outcome {
            Ok(appended) if acks != NO_ACK => match appended.flush.wait().await {
                Ok(()) => Ok(appended),
                Err(error) => Err(error.into()),
            },
            outcome => outcome,
        };
        (index, outcome)
    };
    let indexes: Vec<i32> = appended.iter().map(|(index, _)| *index).collect();
    let all = future::join_all(appended.into_iter().map(wait_one));
    let outcomes = match tokio::time::timeout(timeout, all).await {
        Ok(outcomes) => outcomes,
        Err(_) => indexes
            .into_iter()
            .map(|index| (index, Err(AppendRefusal::code(ErrorCode::RequestTimedOut))))
            .collect(),
    };
    let mut outcomes = outcomes.into_iter().map(|(index, outcome)| partition_response(index, outcome));
    let topic = |(name, topic_id, count): (String, Uuid, usize)| TopicProduceResponse {
        name,
        topic_id,
        partition_responses: outcomes.by_ref().take(count).collect(),
    };
    ProduceResponse { responses: shape.into_iter().map(topic).collect(), ..ProduceResponse::default() }
}

/// Whether any of the records were refused.
pub(crate) fn has_failed(response: &ProduceResponse) -> bool {
    let mut partitions = response.responses.iter().flat_map(|topic| &topic.partition_responses);
    partitions.any(|partition| partition.error_code != ErrorCode::None)
}

fn partition_response(index: i32, outcome: Result<Appended, AppendRefusal>) -> PartitionProduceResponse {
    match outcome {
        Ok(appended) => PartitionProduceResponse {
            index,
            base_offset: appended.base_offset,
            log_append_time_ms: appended.log_append_time.unwrap_or(-1),
            log_start_offset: appended.log_start_offset,
            ..PartitionProduceResponse::default()
        },
        Err(refusal) => PartitionProduceResponse {
            index,
            error_code: refusal.code,
            base_offset: -1,
            // The message of the partition goes for each of them.
            record_errors: refusal.records.into_iter().map(record_error).collect(),
            error_message: refusal.message,
            ..PartitionProduceResponse::default()
        },
    }
}

fn record_error(batch_index: i32) -> BatchIndexAndErrorMessage {
    BatchIndexAndErrorMessage { batch_index, batch_index_error_message: None }
}

/// Appends every partition's records; does not wait for anything but the page cache.
fn append_all(
    node: &Node,
    version: i16,
    request: ProduceRequest,
) -> Vec<(i32, Result<Appended, AppendRefusal>)> {
    let image = node.metadata().image();
    let valid_acks = matches!(request.acks, LEADER_ACK | ALL_ACKS | NO_ACK);
    let mut entries: Vec<Entry> =
        request.topic_data.into_iter().flat_map(|topic| entries_of(&image, version, topic)).collect();
    if !valid_acks {
        for entry in &mut entries {
            entry.outcome = Err(AppendRefusal::code(ErrorCode::InvalidRequiredAcks));
        }
    }
    // Held until the last append: the transaction cannot end in between.
    let _permit = match request.transactional_id.as_deref() {
        None => {
            refuse_transactional(&mut entries);
            None
        }
        Some(id) => permit(node, version, id, &mut entries),
    };
    entries.into_iter().map(|entry| (entry.index, append(node, entry))).collect()
}

fn entries_of(image: &MetadataImage, version: i16, topic: TopicProduceData) -> Vec<Entry> {
    let by_id = version >= 13;
    let found = if by_id { image.topic_by_id(TopicId(topic.topic_id)) } else { image.topic(&topic.name) };
    let name: Arc<str> = found.map_or_else(|| topic.name.as_str().into(), |found| found.name.clone());
    let entry = |data: PartitionProduceData| {
        let outcome = match found {
            None if by_id => Err(AppendRefusal::code(ErrorCode::UnknownTopicId)),
            None => Err(AppendRefusal::code(ErrorCode::UnknownTopicOrPartition)),
            Some(_) if is_internal(&name) => Err(AppendRefusal {
                code: ErrorCode::InvalidTopicException,
                message: Some("the broker's own topics cannot be written to".to_owned()),
                records: Vec::new(),
            }),
            Some(_) if version < FIRST_WITH_ZSTD && is_zstd(data.records.as_deref()) => {
                Err(AppendRefusal::code(ErrorCode::UnsupportedCompressionType))
            }
            Some(_) => Ok(()),
        };
        Entry { topic: name.clone(), index: data.index, records: data.records.unwrap_or_default(), outcome }
    };
    topic.partition_data.into_iter().map(entry).collect()
}

fn is_zstd(records: Option<&[u8]>) -> bool {
    let header = records.and_then(|records| BatchHeader::parse(records).ok());
    header.is_some_and(|header| header.compression().is_ok_and(|codec| codec == Compression::Zstd))
}

/// Records of a transaction need a transactional id in the request.
fn refuse_transactional(entries: &mut [Entry]) {
    for entry in entries {
        if BatchHeader::parse(&entry.records).is_ok_and(|header| header.is_transactional()) {
            entry.outcome = Err(AppendRefusal::code(ErrorCode::InvalidTxnState));
        }
    }
}

/// Asks the transaction coordinator on behalf of all partitions with transactional records.
fn permit<'a>(
    node: &'a Node,
    version: i16,
    transactional_id: &str,
    entries: &mut [Entry],
) -> Option<crate::txn::service::AppendPermit<'a>> {
    let txn_version = if version >= FIRST_OF_TXN_V2 { TxnVersion::V2 } else { TxnVersion::V1 };
    let identity = |entry: &Entry| {
        let header = BatchHeader::parse(&entry.records).ok()?;
        let (producer_id, producer_epoch) = (header.producer_id.0, header.producer_epoch.0);
        header.is_transactional().then_some(ProducerIdentity { producer_id, producer_epoch })
    };
    let mut members: Vec<usize> = Vec::new();
    let mut by = None;
    for (at, entry) in entries.iter_mut().enumerate().filter(|(_, entry)| entry.outcome.is_ok()) {
        match identity(entry) {
            None => {}
            Some(own) if *by.get_or_insert(own) == own => members.push(at),
            Some(_) => entry.outcome = Err(AppendRefusal::code(ErrorCode::InvalidRecord)),
        }
    }
    let by = by?;
    let wanted: Vec<(&str, i32)> =
        members.iter().map(|at| (&*entries[*at].topic, entries[*at].index)).collect();
    // Only partitions that exist may join: the end of the transaction writes to all of them.
    let missing =
        |(topic, index): &(&str, i32)| node.replicas().require(&TopicPartition::new(*topic, *index)).err();
    let outcome = match wanted.iter().find_map(missing) {
        Some(error) if txn_version == TxnVersion::V2 => Err(error_map::code(&error)),
        _ => node.txns().begin_append(transactional_id, by, txn_version, &wanted),
    };
    match outcome {
        Ok((permit, verdicts)) => {
            for (at, verdict) in members.into_iter().zip(verdicts) {
                if let Err(code) = verdict {
                    entries[at].outcome = Err(AppendRefusal::code(produce_code(version, code)));
                }
            }
            Some(permit)
        }
        Err(code) => {
            for at in members {
                entries[at].outcome = Err(AppendRefusal::code(produce_code(version, code)));
            }
            None
        }
    }
}

/// Producers know a fenced one by its epoch only. From version 11 on they may abort a transaction that a partition is not
/// part of, and go on; earlier ones take the code for it as their end (KIP-890).
fn produce_code(version: i16, code: ErrorCode) -> ErrorCode {
    match code {
        ErrorCode::ProducerFenced => ErrorCode::InvalidProducerEpoch,
        ErrorCode::InvalidTxnState if version >= FIRST_TO_ABORT => ErrorCode::TransactionAbortable,
        code => code,
    }
}

fn append(node: &Node, entry: Entry) -> Result<Appended, AppendRefusal> {
    entry.outcome?;
    let name = TopicPartition::new(entry.topic, entry.index);
    let partition = node.replicas().require(&name)?;
    node.metrics().bytes_in.add(entry.records.len() as u64);
    Ok(partition.append(entry.records, AppendOrigin::Client)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::builder::{BatchOptions, RecordBatchBuilder};

    #[test]
    fn zstd_is_told_by_the_header() {
        for (compression, expected) in [(Compression::Zstd, true), (Compression::Gzip, false)] {
            let mut builder =
                RecordBatchBuilder::new(BatchOptions { compression, ..BatchOptions::default() });
            builder.append(1, None, Some(b"v"), &[]);
            let batch = builder.build().expect("builds");
            assert_eq!(is_zstd(Some(&batch)), expected, "{compression:?}");
        }
        assert!(!is_zstd(None) && !is_zstd(Some(b"")));
    }

    #[test]
    fn codes_fit_what_producers_of_a_version_do_with_them() {
        let code = |version| produce_code(version, ErrorCode::InvalidTxnState);
        assert_eq!(code(10), ErrorCode::InvalidTxnState);
        assert_eq!(code(11), ErrorCode::TransactionAbortable);
        for version in [3, 13] {
            assert_eq!(produce_code(version, ErrorCode::ProducerFenced), ErrorCode::InvalidProducerEpoch);
            let busy = ErrorCode::ConcurrentTransactions;
            assert_eq!(produce_code(version, busy), busy);
        }
    }
}
