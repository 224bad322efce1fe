//! Fetch: a long poll over many partitions.
//!
//! Sessions (KIP-227) are answered with session id 0, which tells clients to name all partitions every time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::api::error_map;
use crate::api::node::Node;
use crate::ids::{TopicId, TopicPartition};
use crate::log::access::{FetchData, Isolation, ReadRequest};
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::fetch::{
    AbortedTransaction, FetchPartition, FetchRequest, FetchResponse, FetchTopic, FetchableTopicResponse,
    PartitionData,
};
use crate::replication::partition::Partition;

const FINAL_EPOCH: i32 = -1;
const INITIAL_EPOCH: i32 = 0;
const READ_COMMITTED: i8 = 1;

/// One partition asked for.
struct Wanted {
    request: FetchPartition,
    /// The partition, or why it cannot be read.
    found: Result<Arc<Partition>, ErrorCode>,
}

/// A topic asked for.
struct WantedTopic {
    name: String,
    id: uuid::Uuid,
    partitions: Vec<Wanted>,
}

/// What all partitions of a request have in common.
struct Limits {
    isolation: Isolation,
    bytes_max: usize,
    bytes_min: usize,
}

/// One pass over all partitions.
struct Pass {
    topics: Vec<FetchableTopicResponse>,
    bytes: usize,
    failed: bool,
}

pub(crate) async fn handle(node: &Node, version: i16, request: FetchRequest) -> FetchResponse {
    if request.session_id != 0 && !matches!(request.session_epoch, FINAL_EPOCH | INITIAL_EPOCH) {
        return FetchResponse { error_code: ErrorCode::FetchSessionIdNotFound, ..FetchResponse::default() };
    }
    let committed = request.isolation_level == READ_COMMITTED;
    let limits = Limits {
        isolation: if committed { Isolation::ReadCommitted } else { Isolation::ReadUncommitted },
        bytes_max: usize::try_from(request.max_bytes).unwrap_or(0).min(node.config().fetch_bytes_max),
        bytes_min: usize::try_from(request.min_bytes).unwrap_or(0),
    };
    let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
    let topics = find_all(node, version, request.topics);
    let pass = poll(&topics, &limits, wait, node.closing()).await;
    node.metrics().bytes_out.add(pass.bytes as u64);
    FetchResponse { responses: pass.topics, ..FetchResponse::default() }
}

/// Reads until there is enough, something is wrong, or time is up.
async fn poll(topics: &[WantedTopic], limits: &Limits, wait: Duration, closing: &CancellationToken) -> Pass {
    let pass = read_all(topics, limits);
    if pass.failed || pass.bytes >= limits.bytes_min || wait.is_zero() || topics.is_empty() {
        return pass;
    }
    let deadline = Instant::now() + wait;
    loop {
        let before = visible_bytes(topics);
        let pass = read_all(topics, limits);
        if pass.failed || pass.bytes >= limits.bytes_min {
            return pass;
        }
        // What was read is not read again before there may be enough. A small marker decides about much that is there.
        let missing = match limits.isolation {
            Isolation::ReadCommitted => 1,
            Isolation::ReadUncommitted | Isolation::LogEnd => (limits.bytes_min - pass.bytes) as u64,
        };
        let enough = |now: u64| before.is_none_or(|before| now.saturating_sub(before) >= missing);
        tokio::select! {
            () = until_visible(topics, enough) => {}
            () = tokio::time::sleep_until(deadline) => {
                return if visible_bytes(topics) == before { pass } else { read_all(topics, limits) };
            }
            () = closing.cancelled() => return pass,
        }
    }
}

/// Waits until `enough` holds for the bytes that have become visible, or one of the logs is closed.
async fn until_visible(topics: &[WantedTopic], enough: impl Fn(u64) -> bool) {
    loop {
        // Anew each time: those of logs in which nothing happened are forgotten by them.
        let notify = Arc::new(Notify::new());
        // What becomes visible after the registration is told, what did before is seen.
        for partition in partitions(topics) {
            partition.register_waiter(&notify);
        }
        if visible_bytes(topics).is_none_or(&enough) {
            return;
        }
        notify.notified().await;
    }
}

/// Bytes that have become visible in all partitions asked for. `None` if one is closed.
fn visible_bytes(topics: &[WantedTopic]) -> Option<u64> {
    partitions(topics).map(|partition| partition.visible_bytes()).sum()
}

fn partitions(topics: &[WantedTopic]) -> impl Iterator<Item = &Arc<Partition>> {
    topics.iter().flat_map(|topic| topic.partitions.iter().filter_map(|wanted| wanted.found.as_ref().ok()))
}

fn find_all(node: &Node, version: i16, topics: Vec<FetchTopic>) -> Vec<WantedTopic> {
    let image = node.metadata().image();
    let by_id = version >= 13;
    let find = |topic: FetchTopic| {
        let known =
            if by_id { image.topic_by_id(TopicId(topic.topic_id)) } else { image.topic(&topic.topic) };
        let partition = |request: FetchPartition| {
            let found = match known {
                None if by_id => Err(ErrorCode::UnknownTopicId),
                None => Err(ErrorCode::UnknownTopicOrPartition),
                Some(known) => node
                    .replicas()
                    .require(&TopicPartition::new(known.name.clone(), request.partition))
                    .map_err(|error| error_map::code(&error))
                    .and_then(|found| check_epoch(&found, request.current_leader_epoch).map(|()| found)),
            };
            Wanted { request, found }
        };
        let partitions = topic.partitions.into_iter().map(partition).collect();
        WantedTopic { name: topic.topic, id: topic.topic_id, partitions }
    };
    topics.into_iter().map(find).collect()
}

/// Is the client's idea of who leads the partition up to date (KIP-320)?
pub(crate) fn check_epoch(partition: &Partition, epoch: i32) -> Result<(), ErrorCode> {
    partition.check_leader_epoch(epoch).map_err(|error| error_map::code(&error))
}

fn read_all(topics: &[WantedTopic], limits: &Limits) -> Pass {
    let mut pass = Pass { topics: Vec::with_capacity(topics.len()), bytes: 0, failed: false };
    for topic in topics {
        let mut responses = Vec::with_capacity(topic.partitions.len());
        for wanted in &topic.partitions {
            let data = read_one(wanted, limits, pass.bytes);
            pass.bytes += data.records.as_ref().map_or(0, Bytes::len);
            pass.failed |= data.error_code != ErrorCode::None;
            responses.push(data);
        }
        pass.topics.push(FetchableTopicResponse {
            topic: topic.name.clone(),
            topic_id: topic.id,
            partitions: responses,
        });
    }
    pass
}

/// Reads one partition within what `taken` bytes of other partitions have left.
fn read_one(wanted: &Wanted, limits: &Limits, taken: usize) -> PartitionData {
    let request = &wanted.request;
    let failure = |error_code| PartitionData {
        partition_index: request.partition,
        error_code,
        high_watermark: -1,
        records: Some(Bytes::new()),
        ..PartitionData::default()
    };
    let partition = match &wanted.found {
        Ok(partition) => partition,
        Err(code) => return failure(*code),
    };
    let own_max = usize::try_from(request.partition_max_bytes).unwrap_or(0);
    let read = ReadRequest {
        offset: request.fetch_offset,
        bytes_max: own_max.min(limits.bytes_max.saturating_sub(taken)),
        isolation: limits.isolation,
        // The first partition with records gives at least one batch, however large (KIP-74).
        at_least_one_batch: taken == 0,
    };
    match partition.read(&read) {
        Ok(data) => success(request.partition, data, limits.isolation),
        Err(error) => failure(error_map::code(&error)),
    }
}

fn success(partition_index: i32, data: FetchData, isolation: Isolation) -> PartitionData {
    let aborted = |txn: crate::log::access::AbortedTxn| AbortedTransaction {
        producer_id: txn.producer_id.0,
        first_offset: txn.first_offset,
    };
    let committed = isolation == Isolation::ReadCommitted;
    PartitionData {
        partition_index,
        error_code: ErrorCode::None,
        high_watermark: data.high_watermark,
        last_stable_offset: data.last_stable_offset,
        log_start_offset: data.log_start_offset,
        aborted_transactions: committed.then(|| data.aborted.into_iter().map(aborted).collect()),
        records: Some(data.bytes),
        ..PartitionData::default()
    }
}
