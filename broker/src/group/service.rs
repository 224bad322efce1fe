//! The group coordinators at work: shards of groups over the partitions of `__consumer_offsets`.
//!
//! A step is taken and its records are appended under the shard's lock, so the log has the order of the steps.
//! Answers are sent once the records are durable. A request that waits for a rebalance holds no thread: its ticket
//! is in the state machine and the way back to it in `waiters`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::any_group::AnyGroup;
use super::consumer::heartbeat::{HeartbeatRefusal, HeartbeatReply, HeartbeatRequest};
use super::coordinator::{CoordinatorLimits, GroupCoordinator, OffsetToCommit, Step};
use super::message::{JoinReply, JoinRequest, Reply, SyncReply, SyncRequest};
use super::offsets::CommittedOffset;
use super::state::Ticket;
use super::sync::Committer;
use crate::coordinator::codec::CoordinatorRecord;
use crate::coordinator::log::{CoordinatorLog, Durable};
use crate::coordinator::runtime::CoordinatorRuntime;
use crate::coordinator::shard::{LoadedShard, Shard, ShardGuard};
use crate::env::clock::Clock;
use crate::env::log_limit::LogLimit;
use crate::env::spawn;
use crate::error::{Error, Result};
use crate::ids::{ProducerIdentity, TopicPartition};
use crate::metadata::image::{MetadataImage, OFFSETS_TOPIC};
use crate::protocol::error_code::ErrorCode;
use crate::record::control::MarkerKind;

/// Clients ask again several times a second while the disk is full.
static NOT_WRITTEN: LogLimit = LogLimit::new(Duration::from_secs(10));
/// Offsets forgotten in one batch of records.
const FORGOTTEN_PER_BATCH: usize = 1_000;

/// All consumer groups of this broker.
#[derive(Debug, Clone)]
pub struct GroupService {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Nobody's session ends because the wall clock was set.
    runtime: CoordinatorRuntime<GroupCoordinator>,
    ticket_next: AtomicU64,
    waiters: Mutex<HashMap<Ticket, oneshot::Sender<Reply>>>,
}

/// Which committed offsets are asked for.
#[derive(Debug, Clone)]
pub struct OffsetQuery {
    pub topic: String,
    pub partitions: Vec<i32>,
    /// Refuse offsets that an open transaction is about to replace (KIP-447).
    pub require_stable: bool,
}

/// The outcome of an append, once it is known.
type Stored = oneshot::Receiver<Result<(), ErrorCode>>;

/// A committed offset, or why there is none to give.
pub type OffsetResult = Result<CommittedOffset, ErrorCode>;

impl GroupService {
    /// Reads the logs, one for each partition of the topic in order, and is then ready.
    pub fn start(
        logs: Vec<CoordinatorLog>,
        limits: &CoordinatorLimits,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let runtime = CoordinatorRuntime::new(logs.len(), clock);
        for (shard, log) in runtime.shards().iter().zip(logs) {
            runtime.load(shard, GroupCoordinator::new(limits.clone()), log)?;
        }
        let waiters = Mutex::new(HashMap::new());
        let inner = Inner { runtime, ticket_next: AtomicU64::new(0), waiters };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The partition of `__consumer_offsets` that stores the group.
    #[must_use]
    pub fn partition_of(&self, group_id: &str) -> i32 {
        self.inner.runtime.partition_of(group_id)
    }

    fn shard(&self, group_id: &str) -> &Shard<GroupCoordinator> {
        self.inner.runtime.shard(group_id)
    }

    fn now(&self) -> i64 {
        self.inner.runtime.now_ms()
    }

    /// The groups of the partition that stores this one.
    fn lock(&self, group_id: &str) -> Result<ShardGuard<'_, GroupCoordinator>, ErrorCode> {
        self.inner.runtime.lock(self.shard(group_id))
    }

    fn register(&self) -> (Ticket, oneshot::Receiver<Reply>) {
        let ticket = Ticket(self.inner.ticket_next.fetch_add(1, Ordering::Relaxed));
        let (sender, receiver) = oneshot::channel();
        self.inner.waiters.lock().insert(ticket, sender);
        (ticket, receiver)
    }

    /// JoinGroup; waits as long as the rebalance takes.
    pub async fn join(&self, group_id: &str, request: JoinRequest) -> JoinReply {
        let member_id = request.member_id.clone();
        let (ticket, receiver) = self.register();
        let mut waiting = Waiting { service: self, group_id, ticket, done: false };
        let now = self.now();
        let stepped = self.step(self.shard(group_id), |state| state.join(group_id, ticket, request, now));
        if let Err(error) = stepped.map(drop) {
            return JoinReply::refused(error, &member_id);
        }
        let reply = receiver.await;
        waiting.done = true;
        match reply {
            Ok(Reply::Join(reply)) => reply,
            Ok(Reply::Sync(_)) | Err(_) => JoinReply::refused(ErrorCode::CoordinatorNotAvailable, &member_id),
        }
    }

    /// SyncGroup; waits for the leader's assignment.
    pub async fn sync(&self, group_id: &str, request: SyncRequest) -> SyncReply {
        let (ticket, receiver) = self.register();
        let mut waiting = Waiting { service: self, group_id, ticket, done: false };
        let now = self.now();
        let stepped = self.step(self.shard(group_id), |state| state.sync(group_id, ticket, request, now));
        if let Err(error) = stepped.map(drop) {
            return SyncReply::refused(error);
        }
        let reply = receiver.await;
        waiting.done = true;
        match reply {
            Ok(Reply::Sync(reply)) => reply,
            Ok(Reply::Join(_)) | Err(_) => SyncReply::refused(ErrorCode::CoordinatorNotAvailable),
        }
    }

    /// Takes a step and appends its records. Its answers are sent when these are durable, and those of
    /// the steps before it: an answer without records of its own may tell of theirs. Gives the outcome
    /// of the append; None: all of it is durable already.
    fn step(
        &self,
        shard: &Shard<GroupCoordinator>,
        act: impl FnOnce(&mut GroupCoordinator) -> Step,
    ) -> Result<Option<Stored>, ErrorCode> {
        let mut locked = self.inner.runtime.lock(shard)?;
        let step = act(&mut locked.state);
        let appended = locked.append_step(&step.records);
        drop(locked);
        if appended.as_ref().is_ok_and(Durable::is_done) {
            self.deliver(step.replies);
            return Ok(None);
        }
        let service = self.clone();
        let (stored, outcome) = oneshot::channel();
        // On its own, because the request that caused the step may go away while others wait for their answers.
        spawn::task("group-reply", async move {
            let appended = match appended {
                Ok(durable) => durable.wait().await,
                Err(error) => Err(error),
            };
            let appended = appended.map_err(|error| storage_code(&error));
            match appended {
                Ok(()) => service.deliver(step.replies),
                Err(_) => service.deliver(step.replies.into_iter().map(fail).collect()),
            }
            // Only LeaveGroup waits for it.
            let _ = stored.send(appended);
        });
        Ok(Some(outcome))
    }

    fn deliver(&self, replies: Vec<(Ticket, Reply)>) {
        if replies.is_empty() {
            return;
        }
        let mut waiters = self.inner.waiters.lock();
        for (ticket, reply) in replies {
            if let Some(waiter) = waiters.remove(&ticket) {
                // A waiter that has gone needs no answer.
                drop(waiter.send(reply));
            }
        }
    }

    /// Heartbeat.
    #[must_use]
    pub fn heartbeat(
        &self,
        group_id: &str,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> ErrorCode {
        let now = self.now();
        match self.lock(group_id) {
            Ok(mut locked) => locked.state.heartbeat(group_id, member_id, instance_id, generation, now),
            Err(error) => error,
        }
    }

    /// ConsumerGroupHeartbeat; answered when what it changed is durable.
    pub async fn consumer_heartbeat(
        &self,
        group_id: &str,
        request: &HeartbeatRequest,
        image: &Arc<MetadataImage>,
    ) -> Result<HeartbeatReply, HeartbeatRefusal> {
        let unavailable =
            |error: &Error| HeartbeatRefusal::new(storage_code(error), "the group could not be stored");
        let now = self.now();
        let (reply, durable) = {
            let not_here = |error| HeartbeatRefusal::new(error, "the group is coordinated elsewhere");
            let mut locked = self.lock(group_id).map_err(not_here)?;
            let (reply, records) = locked.state.consumer_heartbeat(group_id, request, image, now)?;
            (reply, locked.append_step(&records).map_err(|error| unavailable(&error))?)
        };
        durable.wait().await.map_err(|error| unavailable(&error))?;
        Ok(reply)
    }

    /// May this member, if one is named, read the group's offsets?
    pub fn check_fetch(
        &self,
        group_id: &str,
        member_id: Option<&str>,
        member_epoch: i32,
    ) -> Result<(), ErrorCode> {
        self.lock(group_id)?.state.check_fetch(group_id, member_id, member_epoch)
    }

    /// LeaveGroup: a code for each member, in order, once what it changed is durable.
    pub async fn leave(
        &self,
        group_id: &str,
        members: &[(String, Option<String>)],
    ) -> Result<Vec<ErrorCode>, ErrorCode> {
        let now = self.now();
        let mut outcome = Ok(Vec::new());
        let stored = self.step(self.shard(group_id), |state| match state.leave(group_id, members, now) {
            Ok((errors, step)) => {
                outcome = Ok(errors);
                step
            }
            Err(error) => {
                outcome = Err(error);
                Step::default()
            }
        })?;
        if let Some(stored) = stored {
            stored.await.unwrap_or(Err(ErrorCode::CoordinatorNotAvailable))?;
        }
        outcome
    }

    /// OffsetCommit: a code for each offset, in order, once the offsets are durable.
    pub async fn commit(
        &self,
        group_id: &str,
        by: Committer<'_>,
        offsets: Vec<OffsetToCommit>,
    ) -> Result<Vec<ErrorCode>, ErrorCode> {
        let appended = self.append_commit(group_id, by, None, offsets);
        match appended {
            Ok((errors, None)) => Ok(errors),
            Ok((errors, Some(durable))) => {
                durable.wait().await.map(|()| errors).map_err(|error| storage_code(&error))
            }
            Err(error) => Err(error),
        }
    }

    /// TxnOffsetCommit, as far as the append: the offsets stay pending until the producer's transaction ends.
    pub(crate) fn append_txn_commit(
        &self,
        group_id: &str,
        by: Committer<'_>,
        producer: ProducerIdentity,
        offsets: Vec<OffsetToCommit>,
    ) -> Result<(Vec<ErrorCode>, Option<Durable>), ErrorCode> {
        self.append_commit(group_id, by, Some(producer), offsets)
    }

    fn append_commit(
        &self,
        group_id: &str,
        by: Committer<'_>,
        producer: Option<ProducerIdentity>,
        offsets: Vec<OffsetToCommit>,
    ) -> Result<(Vec<ErrorCode>, Option<Durable>), ErrorCode> {
        let now = self.now();
        let mut locked = self.lock(group_id)?;
        let step = locked.state.commit_offsets(group_id, by, producer, offsets, now)?;
        if step.records.is_empty() {
            return Ok((step.errors, None));
        }
        let appended = match producer {
            None => locked.append_step(&step.records),
            Some(_) => locked.log.append(&step.records, producer),
        };
        Ok((step.errors, Some(appended.map_err(|error| storage_code(&error))?)))
    }

    /// Writes the end of a producer's transaction into a partition of `__consumer_offsets`.
    pub(crate) fn append_marker(
        &self,
        partition: i32,
        producer: ProducerIdentity,
        kind: MarkerKind,
        coordinator_epoch: i32,
    ) -> Result<Option<Durable>> {
        let Some(shard) = self.inner.runtime.partition(partition) else { return Ok(None) };
        let closed = |_| Error::PartitionClosed(TopicPartition::new(OFFSETS_TOPIC, partition));
        let mut locked = self.inner.runtime.lock(shard).map_err(closed)?;
        let durable = locked.log.append_marker(producer, kind, coordinator_epoch)?;
        locked.state.end_transaction(producer.producer_id, kind);
        Ok(Some(durable))
    }

    /// Committed offsets of one topic, in the order of the query.
    pub async fn offsets(
        &self,
        group_id: &str,
        query: &OffsetQuery,
    ) -> Result<Vec<Result<Option<CommittedOffset>, ErrorCode>>, ErrorCode> {
        let locked = self.lock(group_id)?;
        let store = locked.state.offsets();
        let group = store.group(group_id);
        let find = |partition: &i32| {
            if query.require_stable && store.is_unstable(group_id, &query.topic, *partition) {
                return Err(ErrorCode::UnstableOffsetCommit);
            }
            let key = (query.topic.clone(), *partition);
            Ok(group.and_then(|offsets| offsets.get(&key)).cloned())
        };
        Ok(query.partitions.iter().map(find).collect())
    }

    /// All committed offsets of a group.
    pub async fn all_offsets(
        &self,
        group_id: &str,
        require_stable: bool,
    ) -> Result<BTreeMap<(String, i32), OffsetResult>, ErrorCode> {
        let locked = self.lock(group_id)?;
        let store = locked.state.offsets();
        let answer = |(key, offset): (&(String, i32), &CommittedOffset)| {
            let unstable = require_stable && store.is_unstable(group_id, &key.0, key.1);
            let result = if unstable { Err(ErrorCode::UnstableOffsetCommit) } else { Ok(offset.clone()) };
            (key.clone(), result)
        };
        Ok(store.group(group_id).into_iter().flatten().map(answer).collect())
    }

    /// OffsetDelete of one partition.
    pub async fn delete_offset(&self, group_id: &str, topic: &str, partition: i32) -> ErrorCode {
        let act = |state: &mut GroupCoordinator| state.delete_offset(group_id, topic, partition);
        wait(self.append_records(group_id, act)).await
    }

    /// DeleteGroups, one group.
    pub async fn delete(&self, group_id: &str) -> ErrorCode {
        wait(self.append_records(group_id, |state| state.delete_group(group_id))).await
    }

    fn append_records(
        &self,
        group_id: &str,
        act: impl FnOnce(&mut GroupCoordinator) -> Result<Vec<CoordinatorRecord>, ErrorCode>,
    ) -> Result<Durable, ErrorCode> {
        let mut locked = self.lock(group_id)?;
        let records = act(&mut locked.state)?;
        locked.append_step(&records).map_err(|error| storage_code(&error))
    }

    /// Forgets all positions in deleted topics.
    pub async fn forget_topics(&self, topics: &[String]) -> Result<()> {
        let topics: HashSet<&str> = topics.iter().map(String::as_str).collect();
        for shard in self.inner.runtime.shards() {
            let appended = match self.inner.runtime.lock(shard) {
                Ok(mut locked) => append_forgotten(&mut locked, &topics)?,
                Err(_) => None,
            };
            if let Some(durable) = appended {
                durable.wait().await?;
            }
        }
        Ok(())
    }

    /// A view of every group.
    pub fn list<T>(&self, view: impl Fn(&AnyGroup) -> T) -> Vec<T> {
        let mut all = Vec::new();
        for locked in self.inner.runtime.loaded() {
            all.extend(locked.state.groups().map(&view));
        }
        all
    }

    /// Looks at one group.
    pub fn with_group<T>(&self, group_id: &str, view: impl FnOnce(&AnyGroup) -> T) -> Option<T> {
        self.lock(group_id).ok()?.state.group(group_id).map(view)
    }

    /// Visits every committed offset, for metrics. Notes without a position are left out.
    pub fn visit_offsets(&self, mut visit: impl FnMut(&str, &str, i32, i64)) {
        for locked in self.inner.runtime.loaded() {
            let store = locked.state.offsets();
            for group_id in store.group_ids() {
                let offsets = store.group(group_id).into_iter().flatten();
                for ((topic, partition), committed) in offsets.filter(|(_, committed)| committed.offset >= 0)
                {
                    visit(group_id, topic, *partition, committed.offset);
                }
            }
        }
    }

    /// Lets time pass: ends sessions and overdue rebalances, and writes what the logs lack since the disk was full.
    pub fn expire(&self) {
        let now = self.now();
        for shard in self.inner.runtime.due(now) {
            // No request waits for this append.
            drop(self.step(shard, |state| state.expire(now)));
        }
    }

    /// Forgets old offsets and empty groups.
    pub fn expire_offsets(&self) -> Result<()> {
        let now = self.now();
        for mut locked in self.inner.runtime.loaded() {
            let records = locked.state.expire_offsets(now);
            if !records.is_empty() {
                // No request waits for these: if they are lost, the offsets expire again.
                drop(locked.log.append_or_retry(&records)?);
            }
        }
        Ok(())
    }

    /// Answers all waiting requests: the broker stops.
    pub fn shut_down(&self) {
        self.inner.waiters.lock().clear();
    }
}

/// Tells the state machine when a waiting request is dropped because its connection has ended.
struct Waiting<'a> {
    service: &'a GroupService,
    group_id: &'a str,
    ticket: Ticket,
    done: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.service.inner.waiters.lock().remove(&self.ticket);
            let now = self.service.now();
            if let Ok(mut locked) = self.service.lock(self.group_id) {
                locked.state.abandon(self.group_id, self.ticket, now);
            }
        }
    }
}

/// Appends the tombstones of all positions in deleted topics.
fn append_forgotten(
    locked: &mut LoadedShard<GroupCoordinator>,
    topics: &HashSet<&str>,
) -> Result<Option<Durable>> {
    let records = locked.state.forget_topics(topics);
    let mut appended = None;
    for batch in records.chunks(FORGOTTEN_PER_BATCH) {
        match locked.log.append_or_retry(batch) {
            Ok(durable) => appended = Some(durable),
            // Owed to the log: topics can be deleted when the disk is full.
            Err(Error::Io { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(appended)
}

async fn wait(appended: Result<Durable, ErrorCode>) -> ErrorCode {
    match appended {
        Err(error) => error,
        Ok(durable) => durable.wait().await.map_or_else(|error| storage_code(&error), |()| ErrorCode::None),
    }
}

fn fail((ticket, reply): (Ticket, Reply)) -> (Ticket, Reply) {
    let reply = match reply {
        Reply::Join(reply) => {
            Reply::Join(JoinReply::refused(ErrorCode::CoordinatorNotAvailable, &reply.member_id))
        }
        Reply::Sync(_) => Reply::Sync(SyncReply::refused(ErrorCode::CoordinatorNotAvailable)),
    };
    (ticket, reply)
}

/// Error code for clients while the coordinator's log cannot be written.
fn storage_code(error: &Error) -> ErrorCode {
    match error {
        Error::BatchTooLarge { .. } => ErrorCode::InvalidCommitOffsetSize,
        Error::InvalidProducerEpoch { .. } => ErrorCode::InvalidProducerEpoch,
        _ => {
            if let Some(suppressed) = NOT_WRITTEN.pass() {
                tracing::error!(%error, suppressed, "coordinator log not written");
            }
            ErrorCode::CoordinatorNotAvailable
        }
    }
}
