//! The transaction coordinators at work: shards of transactional ids over the partitions of `__transaction_state`.
//!
//! The end of a transaction takes two rounds on the disk: the decision, then all markers together. The record of
//! completion is not waited for: without it, a restart writes the markers again, which changes nothing.

use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard, RwLock, RwLockReadGuard};
use tokio::sync::Notify;

use super::coordinator::{
    AddStep, EndPlan, EndStep, InitStep, ProducerIdentity, TxnCoordinator, TxnLimits, TxnVersion,
};
use super::producer_ids::ProducerIds;
use super::record::in_wall_time;
use super::state::{Transaction, TxnPartition};
use crate::coordinator::codec::CoordinatorRecord;
use crate::coordinator::log::{CoordinatorLog, Durable, ReplayItem, partition_for};
use crate::env::clock::{Clock, SteadyTime};
use crate::env::spawn;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::group::coordinator::{OffsetProducer, OffsetToCommit, TransactionEnd};
use crate::group::service::GroupService;
use crate::group::sync::Committer;
use crate::ids::TopicPartition;
use crate::metadata::image::OFFSETS_TOPIC;
use crate::protocol::error_code::ErrorCode;
use crate::record::control::MarkerKind;
use crate::replication::manager::ReplicaManager;

/// The epoch of a coordinator that has never moved to another broker.
const COORDINATOR_EPOCH: i32 = 0;

/// One partition of `__transaction_state`.
#[derive(Debug)]
struct Shard {
    state: Mutex<TxnCoordinator>,
    log: CoordinatorLog,
    /// Told whenever a transaction completes.
    completed: Notify,
    /// Held (shared) from the check that a transaction is open until the records are appended, and taken alone
    /// between the decision to end it and its markers: no record of a transaction comes after its marker.
    append_gate: RwLock<()>,
}

/// All transactions coordinated by this broker.
#[derive(Debug, Clone)]
pub struct TxnService {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shards: Vec<Shard>,
    groups: GroupService,
    replicas: Arc<ReplicaManager>,
    producer_ids: ProducerIds,
    clock: Arc<dyn Clock>,
    /// No transaction times out because the wall clock was set.
    time: SteadyTime,
}

/// Permission to append records of an open transaction; the transaction does not end while it is held.
#[derive(Debug)]
pub(crate) struct AppendPermit<'a> {
    _gate: RwLockReadGuard<'a, ()>,
}

impl TxnService {
    /// Reads the logs, one for each partition of the topic in order.
    pub fn start(
        logs: Vec<CoordinatorLog>,
        limits: &TxnLimits,
        groups: GroupService,
        replicas: Arc<ReplicaManager>,
        producer_ids: ProducerIds,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        assert!(!logs.is_empty(), "the transactions topic has at least one partition");
        let mut shards = Vec::with_capacity(logs.len());
        for log in logs {
            let mut state = TxnCoordinator::new(limits.clone());
            log.replay(|item| match item {
                ReplayItem::Record { key, value, .. } => {
                    state.replay(key, value).map_err(|error| log.corrupt(&error))
                }
                ReplayItem::Marker { .. } => Ok(()),
            })?;
            let state = Mutex::new(state);
            shards.push(Shard { state, log, completed: Notify::new(), append_gate: RwLock::new(()) });
        }
        let time = SteadyTime::new(clock.clone());
        Ok(Self { inner: Arc::new(Inner { shards, groups, replicas, producer_ids, clock, time }) })
    }

    /// Brings transactions and logs together after a restart: decided transactions are finished, open ones that
    /// are still somebody's go on, and the rest is aborted.
    pub async fn recover(&self) -> Result<()> {
        let now = self.now();
        for shard in &self.inner.shards {
            let plans = shard.state.lock().unfinished();
            for plan in plans {
                tracing::info!(transactional_id = plan.transactional_id, "finishing a decided transaction");
                self.finish(shard, &plan).await?;
            }
        }
        let mut waits = Vec::new();
        for partition in self.inner.replicas.partitions() {
            let open = partition.producers().into_iter().filter(|one| one.current_txn_start_offset.is_some());
            for open in open {
                let name = partition.topic_partition();
                let producer =
                    ProducerIdentity { producer_id: open.producer_id.0, producer_epoch: open.producer_epoch };
                let member: TxnPartition = (name.topic.to_string(), name.partition);
                let adopted = self
                    .inner
                    .shards
                    .iter()
                    .any(|shard| shard.state.lock().adopt(producer, member.clone(), now));
                if !adopted {
                    tracing::info!(partition = %name, producer_id = producer.producer_id, "aborting an orphan transaction");
                    waits.extend(self.append_marker(&member, producer, MarkerKind::Abort)?);
                }
            }
        }
        for durable in waits {
            durable.wait().await?;
        }
        Ok(())
    }

    fn shard(&self, transactional_id: &str) -> &Shard {
        &self.inner.shards[partition_for(transactional_id, self.inner.shards.len())]
    }

    fn now(&self) -> i64 {
        self.inner.time.now_ms()
    }

    /// The transactions of a shard, told what the wall clock says.
    fn lock<'a>(&self, shard: &'a Shard) -> MutexGuard<'a, TxnCoordinator> {
        let mut state = shard.state.lock();
        state.set_wall_ahead(self.inner.time.wall_ahead_ms());
        state
    }

    /// Reserves an id before a step that may need one, outside of any lock.
    async fn allocate(&self) -> Result<i64, ErrorCode> {
        let inner = self.inner.clone();
        let allocated = tokio::task::spawn_blocking(move || inner.producer_ids.allocate()).await;
        match allocated {
            Ok(Ok(id)) => Ok(id),
            Ok(Err(error)) => Err(storage_code(&error)),
            Err(_) => Err(ErrorCode::UnknownServerError),
        }
    }

    /// InitProducerId of a producer that is idempotent only.
    pub async fn init_idempotent(&self) -> Result<ProducerIdentity, ErrorCode> {
        Ok(ProducerIdentity { producer_id: self.allocate().await?, producer_epoch: 0 })
    }

    /// InitProducerId of a transactional producer; ends what its former incarnation left open.
    pub async fn init(
        &self,
        transactional_id: &str,
        timeout_ms: i32,
        expected: Option<ProducerIdentity>,
    ) -> Result<ProducerIdentity, ErrorCode> {
        let shard = self.shard(transactional_id);
        let id = self.allocate().await?;
        let mut expected = expected;
        loop {
            let completed = shard.completed.notified();
            match self.take_init(shard, transactional_id, timeout_ms, expected, id)? {
                (InitStep::Ready { identity, .. }, Some(durable)) => {
                    durable.wait().await.map_err(|error| storage_code(&error))?;
                    return Ok(identity);
                }
                (InitStep::EndFirst { plan, .. }, Some(durable)) => {
                    self.carry_out_apart(plan, durable).await?;
                    // Its own fencing has just raised the epoch.
                    expected = None;
                }
                (InitStep::Ready { .. } | InitStep::EndFirst { .. } | InitStep::Busy, _) => completed.await,
            }
        }
    }

    fn take_init(
        &self,
        shard: &Shard,
        transactional_id: &str,
        timeout_ms: i32,
        expected: Option<ProducerIdentity>,
        id: i64,
    ) -> Result<(InitStep, Option<Durable>), ErrorCode> {
        let mut state = self.lock(shard);
        let step = state.init(transactional_id, timeout_ms, expected, || id, self.now())?;
        let durable = match &step {
            InitStep::Ready { record, .. } | InitStep::EndFirst { record, .. } => {
                Some(append(shard, record)?)
            }
            InitStep::Busy => None,
        };
        Ok((step, durable))
    }

    /// Adds partitions to the open transaction, or opens one. Waits while the previous one is being finished.
    ///
    /// Durable when it returns: partition logs tell of a transaction only once they have records of it, and a client
    /// that was told yes before a restart does not ask again after it.
    pub async fn add_partitions(
        &self,
        transactional_id: &str,
        by: ProducerIdentity,
        partitions: Vec<TxnPartition>,
    ) -> Result<(), ErrorCode> {
        let shard = self.shard(transactional_id);
        loop {
            let completed = shard.completed.notified();
            match self.take_add(shard, transactional_id, by, &partitions)? {
                (AddStep::Added { .. }, None) => return Ok(()),
                (AddStep::Added { .. }, Some(durable)) => {
                    return durable.wait().await.map_err(|error| storage_code(&error));
                }
                (AddStep::Busy, _) => completed.await,
            }
        }
    }

    fn take_add(
        &self,
        shard: &Shard,
        transactional_id: &str,
        by: ProducerIdentity,
        partitions: &[TxnPartition],
    ) -> Result<(AddStep, Option<Durable>), ErrorCode> {
        let mut state = self.lock(shard);
        let step = state.add_partitions(transactional_id, by, partitions.iter().cloned(), self.now())?;
        let durable = match &step {
            AddStep::Added { record: Some(record) } => Some(append(shard, record)?),
            AddStep::Added { record: None } | AddStep::Busy => None,
        };
        Ok((step, durable))
    }

    /// AddOffsetsToTxn: the group's partition of `__consumer_offsets` joins the transaction.
    pub async fn add_offsets(
        &self,
        transactional_id: &str,
        by: ProducerIdentity,
        group_id: &str,
    ) -> Result<(), ErrorCode> {
        let partition = (OFFSETS_TOPIC.to_owned(), self.inner.groups.partition_of(group_id));
        self.add_partitions(transactional_id, by, vec![partition]).await
    }

    /// Checks that all partitions are in the transaction, for brokers and tools that verify only.
    pub fn verify(
        &self,
        transactional_id: &str,
        by: ProducerIdentity,
        topic: &str,
        partition: i32,
    ) -> Result<(), ErrorCode> {
        self.shard(transactional_id).state.lock().verify(transactional_id, by, topic, partition)
    }

    /// Asks to append records of a transaction to partitions: a code for each, and the permit to hold meanwhile.
    /// With version 2 the partitions join the transaction.
    ///
    /// Errors: `ConcurrentTransactions` while the previous transaction is being finished.
    pub(crate) fn begin_append<'a>(
        &'a self,
        transactional_id: &str,
        by: ProducerIdentity,
        version: TxnVersion,
        partitions: &[(&str, i32)],
    ) -> Result<(AppendPermit<'a>, Vec<Result<(), ErrorCode>>), ErrorCode> {
        let shard = self.shard(transactional_id);
        let permit = AppendPermit { _gate: shard.append_gate.read() };
        let mut state = self.lock(shard);
        if version == TxnVersion::V2 {
            let names = partitions.iter().map(|(topic, partition)| ((*topic).to_owned(), *partition));
            return match state.add_partitions(transactional_id, by, names, self.now())? {
                AddStep::Added { .. } => Ok((permit, vec![Ok(()); partitions.len()])),
                AddStep::Busy => Err(ErrorCode::ConcurrentTransactions),
            };
        }
        let verify = |(topic, partition): &(&str, i32)| state.verify(transactional_id, by, topic, *partition);
        let verdicts = partitions.iter().map(verify).collect();
        Ok((permit, verdicts))
    }

    /// TxnOffsetCommit.
    pub async fn commit_offsets(
        &self,
        transactional_id: &str,
        by: ProducerIdentity,
        version: TxnVersion,
        group_id: &str,
        committer: Committer<'_>,
        offsets: Vec<OffsetToCommit>,
    ) -> Result<Vec<ErrorCode>, ErrorCode> {
        let appended = {
            let partition = self.inner.groups.partition_of(group_id);
            let wanted = [(OFFSETS_TOPIC, partition)];
            let (_permit, verdicts) = self.begin_append(transactional_id, by, version, &wanted)?;
            verdicts.into_iter().collect::<Result<(), ErrorCode>>()?;
            let producer = OffsetProducer { producer_id: by.producer_id, producer_epoch: by.producer_epoch };
            self.inner.groups.append_txn_commit(group_id, committer, producer, offsets)?
        };
        match appended {
            (errors, None) => Ok(errors),
            (errors, Some(durable)) => {
                durable.wait().await.map(|()| errors).map_err(|error| storage_code(&error))
            }
        }
    }

    /// EndTxn: answers when the outcome and all markers are durable.
    pub async fn end(
        &self,
        transactional_id: &str,
        by: ProducerIdentity,
        end: TransactionEnd,
        version: TxnVersion,
    ) -> Result<ProducerIdentity, ErrorCode> {
        let shard = self.shard(transactional_id);
        // A new id is needed once in 32 thousand transactions.
        let id = if by.producer_epoch >= i16::MAX - 2 { self.allocate().await? } else { -1 };
        loop {
            let completed = shard.completed.notified();
            match self.take_end(shard, transactional_id, by, end, version, id)? {
                (EndStep::Prepare { plan, identity, .. }, Some(durable)) => {
                    self.carry_out_apart(plan, durable).await?;
                    return Ok(identity);
                }
                (EndStep::Done { identity, .. }, durable) => {
                    if let Some(durable) = durable {
                        durable.wait().await.map_err(|error| storage_code(&error))?;
                    }
                    return Ok(identity);
                }
                (EndStep::Prepare { .. } | EndStep::Busy, _) => completed.await,
            }
        }
    }

    fn take_end(
        &self,
        shard: &Shard,
        transactional_id: &str,
        by: ProducerIdentity,
        end: TransactionEnd,
        version: TxnVersion,
        id: i64,
    ) -> Result<(EndStep, Option<Durable>), ErrorCode> {
        let mut state = self.lock(shard);
        let step = state.end(transactional_id, by, end, version, || id, self.now())?;
        let durable = match &step {
            EndStep::Prepare { record, .. } | EndStep::Done { record: Some(record), .. } => {
                Some(append(shard, record)?)
            }
            EndStep::Done { record: None, .. } | EndStep::Busy => None,
        };
        Ok((step, durable))
    }

    /// A decided transaction is finished even if the client that waits for it goes away.
    async fn carry_out_apart(&self, plan: EndPlan, decided: Durable) -> Result<(), ErrorCode> {
        let work = spawn::task("txn-end", self.clone().carry_out(plan, decided));
        work.await.map_err(|_| ErrorCode::UnknownServerError)?
    }

    /// Waits for the decision to be durable, then writes the markers.
    async fn carry_out(self, plan: EndPlan, decided: Durable) -> Result<(), ErrorCode> {
        decided.wait().await.map_err(|error| storage_code(&error))?;
        failpoint!("txn.end.decided").map_err(|error| storage_code(&error))?;
        let shard = self.shard(&plan.transactional_id);
        self.finish(shard, &plan).await.map_err(|error| storage_code(&error))
    }

    /// Writes all markers of a decided transaction, waits for them together, and completes it.
    async fn finish(&self, shard: &Shard, plan: &EndPlan) -> Result<()> {
        let kind = match plan.end {
            TransactionEnd::Commit => MarkerKind::Commit,
            TransactionEnd::Abort => MarkerKind::Abort,
        };
        let producer = ProducerIdentity { producer_id: plan.producer_id, producer_epoch: plan.marker_epoch };
        let mut waits = Vec::with_capacity(plan.partitions.len());
        {
            let _alone = shard.append_gate.write();
            for partition in &plan.partitions {
                waits.extend(self.append_marker(partition, producer, kind)?);
            }
        }
        failpoint!("txn.markers.appended")?;
        for durable in waits {
            durable.wait().await?;
        }
        failpoint!("txn.markers.durable")?;
        {
            let mut state = self.lock(shard);
            if let Some(record) = state.complete(&plan.transactional_id, self.now()) {
                drop(shard.log.append(&[record], None)?);
            }
        }
        failpoint!("txn.completed")?;
        shard.completed.notify_waiters();
        Ok(())
    }

    /// Writes one marker. A partition that has been deleted since needs none.
    fn append_marker(
        &self,
        partition: &TxnPartition,
        producer: ProducerIdentity,
        kind: MarkerKind,
    ) -> Result<Option<Durable>> {
        let offset_producer =
            OffsetProducer { producer_id: producer.producer_id, producer_epoch: producer.producer_epoch };
        if partition.0 == OFFSETS_TOPIC {
            return self.inner.groups.append_marker(partition.1, offset_producer, kind, COORDINATOR_EPOCH);
        }
        let name = TopicPartition::new(partition.0.as_str(), partition.1);
        let Some(found) = self.inner.replicas.partition(&name) else {
            if self.inner.replicas.find_offline(&name).is_some() {
                let producer_id = producer.producer_id;
                tracing::warn!(topic = %name.topic, partition = name.partition, producer_id, "partition is offline: its transaction stays open");
            }
            return Ok(None);
        };
        let log = CoordinatorLog::new(found, self.inner.clock.clone());
        match log.append_marker(offset_producer, kind, COORDINATOR_EPOCH) {
            Ok(durable) => Ok(Some(durable)),
            Err(Error::PartitionClosed(_)) => Ok(None),
            // Only after the end of the coordinator's log was lost: the partition knows a later transaction, so this one ended.
            Err(error @ Error::InvalidProducerEpoch { .. }) => {
                tracing::error!(%error, "the transaction log is older than the partition: no marker written");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Lets time pass: aborts overdue transactions.
    pub fn expire(&self) {
        let now = self.now();
        for shard in &self.inner.shards {
            let mut state = self.lock(shard);
            if state.next_deadline().is_none_or(|deadline| deadline > now) {
                continue;
            }
            for (plan, record) in state.expire(now) {
                tracing::info!(transactional_id = plan.transactional_id, "transaction timed out");
                match append(shard, &record) {
                    Ok(durable) => {
                        let service = self.clone();
                        spawn::task("txn-timeout", async move {
                            if let Err(code) = service.carry_out(plan, durable).await {
                                tracing::error!(%code, "timed out transaction not aborted");
                            }
                        });
                    }
                    Err(code) => tracing::error!(%code, "timed out transaction not aborted"),
                }
            }
        }
    }

    /// Forgets transactional ids that have not been used for long.
    pub fn expire_ids(&self) -> Result<()> {
        let now = self.now();
        for shard in &self.inner.shards {
            let mut state = self.lock(shard);
            let records = state.expire_ids(now);
            if !records.is_empty() {
                drop(shard.log.append(&records, None)?);
            }
        }
        Ok(())
    }

    /// A view of every transactional id, and the time by which the times in it are to be judged.
    pub fn list<T>(&self, view: impl Fn(&Transaction, i64) -> T) -> Vec<T> {
        let (mut all, now) = (Vec::new(), self.now());
        for shard in &self.inner.shards {
            all.extend(shard.state.lock().transactions().map(|transaction| view(transaction, now)));
        }
        all
    }

    /// When a moment of a transaction was by the wall clock.
    pub fn in_wall_time(&self, ms: i64) -> i64 {
        in_wall_time(ms, self.inner.time.wall_ahead_ms())
    }

    /// Looks at one transactional id.
    pub fn with_transaction<T>(
        &self,
        transactional_id: &str,
        view: impl FnOnce(&Transaction) -> T,
    ) -> Option<T> {
        self.shard(transactional_id).state.lock().transaction(transactional_id).map(view)
    }
}

fn append(shard: &Shard, record: &CoordinatorRecord) -> Result<Durable, ErrorCode> {
    shard.log.append(std::slice::from_ref(record), None).map_err(|error| storage_code(&error))
}

fn storage_code(error: &Error) -> ErrorCode {
    tracing::error!(%error, "transaction log not written");
    ErrorCode::CoordinatorNotAvailable
}
