//! Fetch: a long poll over many partitions, in sessions (KIP-227) or without.
//!
//! | session id | epoch | the request                                                                      |
//! |------------|-------|----------------------------------------------------------------------------------|
//! | any        | -1    | names all partitions; ends the session                                           |
//! | any        | 0     | names all partitions; ends the session and asks for a new one                    |
//! | not 0      | 1 …   | names changed partitions; the answer has partitions with news                    |

pub(crate) mod session;
pub(crate) mod sessions;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::api::access::Access;
use crate::api::error_map;
use crate::api::fetch::sessions::{Incremental, SharedSession};
use crate::api::node::Node;
use crate::auth::acl::Operation;
use crate::ids::{TopicId, TopicPartition};
use crate::log::access::{FetchData, Isolation, ReadRequest};
use crate::net::handler::RequestContext;
use crate::protocol::api_key::ApiKey;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::fetch::{
    AbortedTransaction, FetchPartition, FetchRequest, FetchResponse, FetchTopic, FetchableTopicResponse,
    PartitionData,
};
use crate::replication::partition::Partition;

const NO_SESSION: i32 = 0;
const FINAL_EPOCH: i32 = -1;
const INITIAL_EPOCH: i32 = 0;
/// The first version in which topics are named by their ids.
const TOPIC_ID_VERSION_FIRST: i16 = 13;
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

/// Limits that all partitions of a request share.
struct Limits {
    isolation: Isolation,
    bytes_max: usize,
    bytes_min: usize,
}

/// Records that a request wants.
struct WantedRecords {
    topics: Vec<WantedTopic>,
    limits: Limits,
}

impl WantedRecords {
    /// About how many bytes a pass would read.
    fn bytes_there(&self) -> u64 {
        let of = |wanted: &Wanted| {
            let partition = wanted.found.as_ref().ok()?;
            let request = &wanted.request;
            let own_max = u64::try_from(request.partition_max_bytes).unwrap_or(0);
            Some(partition.bytes_after(request.fetch_offset).min(own_max))
        };
        self.topics.iter().flat_map(|topic| topic.partitions.iter().filter_map(of)).sum()
    }
}

/// One pass over all partitions.
struct Pass {
    topics: Vec<FetchableTopicResponse>,
    bytes: usize,
    failed: bool,
}

/// A request with all its partitions, and the session whose they are.
struct Plan {
    topics: Vec<FetchTopic>,
    session: Option<(i32, SharedSession)>,
    /// True if the answer leaves unchanged partitions out.
    is_incremental: bool,
}

pub(crate) async fn handle(
    node: &Node,
    context: &RequestContext,
    mut request: FetchRequest,
) -> FetchResponse {
    let committed = request.isolation_level == READ_COMMITTED;
    let limits = Limits {
        isolation: if committed { Isolation::ReadCommitted } else { Isolation::ReadUncommitted },
        bytes_max: usize::try_from(request.max_bytes).unwrap_or(0).min(node.config().fetch_bytes_max),
        bytes_min: usize::try_from(request.min_bytes).unwrap_or(0),
    };
    let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
    let replica_id = request.replica_id.max(request.replica_state.replica_id);
    let plan = match plan(node, context, &mut request) {
        Ok(plan) => plan,
        Err(error_code) => return FetchResponse { error_code, ..FetchResponse::default() },
    };
    let by_id = context.api_version >= TOPIC_ID_VERSION_FIRST;
    let access = Access::of(node, &context.session, ApiKey::Fetch);
    let topics = Finder { node, access: &access, by_id, replica_id }.find_all(plan.topics);
    drop(access);
    let mut pass = poll(Arc::new(WantedRecords { topics, limits }), wait, node.closing()).await;
    node.metrics().bytes_out.add(pass.bytes as u64);
    let mut session_id = NO_SESSION;
    if let Some((id, session)) = plan.session {
        session_id = id;
        session.lock().tell(&mut pass.topics, plan.is_incremental);
    }
    FetchResponse { session_id, responses: pass.topics, ..FetchResponse::default() }
}

/// Resolves the partitions of a request, by itself or by its session.
///
/// Errors: the code for a client whose session id or epoch is wrong.
fn plan(node: &Node, context: &RequestContext, request: &mut FetchRequest) -> Result<Plan, ErrorCode> {
    let (id, epoch) = (request.session_id, request.session_epoch);
    let topics = std::mem::take(&mut request.topics);
    let alone = |topics| Plan { topics, session: None, is_incremental: false };
    if id == NO_SESSION && epoch == FINAL_EPOCH {
        return Ok(alone(topics));
    }
    let (sessions, now) = (node.fetch_sessions(), node.clock().monotonic());
    let principal = context.session.principal();
    let by_id = context.api_version >= TOPIC_ID_VERSION_FIRST;
    if matches!(epoch, INITIAL_EPOCH | FINAL_EPOCH) {
        if id != NO_SESSION {
            sessions.close(id, &principal);
        }
        if epoch == FINAL_EPOCH {
            return Ok(alone(topics));
        }
        let session = sessions.open(principal, by_id, &topics, now, node.rng());
        return Ok(Plan { topics, session, is_incremental: false });
    }
    let forgotten = &request.forgotten_topics_data;
    let incremental = Incremental { principal: &principal, epoch, by_id, topics: &topics, forgotten };
    let Some(session) = sessions.advance(id, incremental, now)? else { return Ok(alone(Vec::new())) };
    let topics = session.lock().topics();
    Ok(Plan { topics, session: Some((id, session)), is_incremental: true })
}

/// Reads until there is enough, something is wrong, or time is up.
async fn poll(wanted: Arc<WantedRecords>, wait: Duration, closing: &CancellationToken) -> Pass {
    let (topics, limits) = (&wanted.topics, &wanted.limits);
    let deadline = Instant::now() + wait;
    loop {
        let before = visible_bytes(topics);
        let pass = read(&wanted).await;
        if pass.failed || pass.bytes >= limits.bytes_min || wait.is_zero() || topics.is_empty() {
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
                return if visible_bytes(topics) == before { pass } else { read(&wanted).await };
            }
            () = closing.cancelled() => return pass,
        }
    }
}

/// So many bytes are read without leaving the calling task: well below a millisecond.
const INLINE_BYTES_MAX: u64 = 64 << 10;

/// Reads all partitions once, on a thread that may block if there is much to read: it may be on disk only.
async fn read(wanted: &Arc<WantedRecords>) -> Pass {
    if wanted.bytes_there() <= INLINE_BYTES_MAX {
        return read_all(&wanted.topics, &wanted.limits);
    }
    let shared = Arc::clone(wanted);
    match tokio::task::spawn_blocking(move || read_all(&shared.topics, &shared.limits)).await {
        Ok(pass) => pass,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is being shut down.
            Err(_) => read_all(&wanted.topics, &wanted.limits),
        },
    }
}

/// Waits until `enough` holds for the bytes that have become visible, or one of the logs is closed.
async fn until_visible(topics: &[WantedTopic], enough: impl Fn(u64) -> bool) {
    loop {
        // Anew each time: those of logs in which nothing happened are forgotten by them.
        let notify = Arc::new(Notify::new());
        // Records that become visible after the registration wake this task, earlier ones are found by the read.
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

/// Looks partitions up for a client.
struct Finder<'a> {
    node: &'a Node,
    access: &'a Access,
    by_id: bool,
    /// The broker that the client says it is; negative for consumers.
    replica_id: i32,
}

impl Finder<'_> {
    fn find_all(&self, topics: Vec<FetchTopic>) -> Vec<WantedTopic> {
        let image = self.node.metadata().image();
        let find = |topic: FetchTopic| {
            let known = if self.by_id {
                image.topic_by_id(TopicId(topic.topic_id))
            } else {
                image.topic(&topic.topic)
            };
            let known = match known {
                _ if !self.may_read(known.map_or(&topic.topic, |known| &known.name)) => {
                    Err(ErrorCode::TopicAuthorizationFailed)
                }
                Some(known) => Ok(known),
                None if self.by_id => Err(ErrorCode::UnknownTopicId),
                None => Err(ErrorCode::UnknownTopicOrPartition),
            };
            let partition = |request: FetchPartition| {
                let found = known.and_then(|known| {
                    let found = self
                        .node
                        .replicas()
                        .require(&TopicPartition::new(known.name.clone(), request.partition))
                        .map_err(|error| error_map::code(&error))?;
                    check_epoch(&found, request.current_leader_epoch).map(|()| found)
                });
                Wanted { request, found }
            };
            let partitions = topic.partitions.into_iter().map(partition).collect();
            WantedTopic { name: topic.topic, id: topic.topic_id, partitions }
        };
        topics.into_iter().map(find).collect()
    }

    /// True if the client may read this topic. A consumer cannot skip ACLs by sending a replica id (CVE-2018-1288). A topic
    /// whose id is not known has no name.
    fn may_read(&self, name: &str) -> bool {
        if self.access.is_unrestricted() {
            return true;
        }
        if self.replica_id >= 0 {
            return self.access.cluster(Operation::ClusterAction);
        }
        (self.by_id && name.is_empty()) || self.access.topic(Operation::Read, name)
    }
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

#[cfg(test)]
mod tests;
