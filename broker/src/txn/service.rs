//! The transaction coordinators at work: shards of transactional ids over the partitions of `__transaction_state`.
//!
//! The end of a transaction takes two rounds on the disk: the decision, then all markers together. The record of
//! completion is not waited for: without it, a restart writes the markers again, which changes nothing.
//!
//! A step whose record cannot be appended has not been taken: the client is told to ask again, and finds things as
//! they were.

mod completion;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLockReadGuard;
use tokio::time::Instant;

use self::completion::{END_WAIT_MAX, ended};
use super::coordinator::{AddStep, EndStep, InitStep, TxnCoordinator, TxnLimits, TxnVersion};
use super::producer_ids::ProducerIds;
use super::record::{self, in_wall_time};
use super::state::{Transaction, TxnPartition};
use crate::coordinator::codec::CoordinatorRecord;
use crate::coordinator::log::{CoordinatorLog, Durable};
use crate::coordinator::runtime::CoordinatorRuntime;
use crate::coordinator::shard::{Shard, ShardGuard};
use crate::env::clock::Clock;
use crate::env::log_limit::LogLimit;
use crate::error::{Error, Result};
use crate::group::coordinator::OffsetToCommit;
use crate::group::service::GroupService;
use crate::group::sync::Committer;
use crate::ids::ProducerIdentity;
use crate::metadata::image::OFFSETS_TOPIC;
use crate::protocol::error_code::ErrorCode;
use crate::record::control::MarkerKind;
use crate::replication::manager::ReplicaManager;

/// Clients ask again several times a second while the disk is full.
static NOT_WRITTEN: LogLimit = LogLimit::new(Duration::from_secs(10));
/// The epoch of a coordinator that has never moved to another broker.
const COORDINATOR_EPOCH: i32 = 0;

/// All transactions coordinated by this broker.
#[derive(Debug, Clone)]
pub struct TxnService {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// No transaction times out because the wall clock was set.
    runtime: CoordinatorRuntime<TxnCoordinator>,
    groups: GroupService,
    replicas: Arc<ReplicaManager>,
    producer_ids: ProducerIds,
    clock: Arc<dyn Clock>,
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
        let runtime = CoordinatorRuntime::new(logs.len(), clock.clone());
        for (shard, log) in runtime.shards().iter().zip(logs) {
            runtime.load(shard, TxnCoordinator::new(limits.clone()), log)?;
        }
        Ok(Self { inner: Arc::new(Inner { runtime, groups, replicas, producer_ids, clock }) })
    }

    fn shard(&self, transactional_id: &str) -> &Shard<TxnCoordinator> {
        self.inner.runtime.shard(transactional_id)
    }

    fn now(&self) -> i64 {
        self.inner.runtime.now_ms()
    }

    fn lock<'a>(
        &self,
        shard: &'a Shard<TxnCoordinator>,
    ) -> Result<ShardGuard<'a, TxnCoordinator>, ErrorCode> {
        self.inner.runtime.lock(shard)
    }

    /// Takes a step of one transactional id and appends its record, if it has one.
    ///
    /// Errors: those of the step; if the record cannot be appended, everything is as before.
    fn take<S>(
        &self,
        shard: &Shard<TxnCoordinator>,
        transactional_id: &str,
        act: impl FnOnce(&mut TxnCoordinator) -> Result<(S, Option<CoordinatorRecord>), ErrorCode>,
    ) -> Result<(S, Option<Durable>), ErrorCode> {
        let mut locked = self.lock(shard)?;
        let before = locked.state.transaction(transactional_id).cloned();
        let (step, record) = act(&mut locked.state)?;
        let Some(record) = record else { return Ok((step, None)) };
        let durable = locked
            .append_or_undo(&record, |state| state.restore(transactional_id, before))
            .map_err(|error| storage_code(&error))?;
        Ok((step, Some(durable)))
    }

    /// Everything appended to the log of the partition so far.
    fn appended(&self, shard: &Shard<TxnCoordinator>) -> Result<Durable, ErrorCode> {
        Ok(self.lock(shard)?.log.appended())
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
        let deadline = Instant::now() + END_WAIT_MAX;
        loop {
            let completed = shard.gates().completed.notified();
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
                (InitStep::Ready { .. } | InitStep::EndFirst { .. } | InitStep::Busy, _) => {
                    ended(completed, deadline, ErrorCode::ConcurrentTransactions).await?;
                }
            }
        }
    }

    fn take_init(
        &self,
        shard: &Shard<TxnCoordinator>,
        transactional_id: &str,
        timeout_ms: i32,
        expected: Option<ProducerIdentity>,
        id: i64,
    ) -> Result<(InitStep, Option<Durable>), ErrorCode> {
        self.take(shard, transactional_id, |state| {
            let step = state.init(transactional_id, timeout_ms, expected, || id, self.now())?;
            let record = match &step {
                InitStep::Ready { record, .. } | InitStep::EndFirst { record, .. } => Some(record.clone()),
                InitStep::Busy => None,
            };
            Ok((step, record))
        })
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
        let deadline = Instant::now() + END_WAIT_MAX;
        loop {
            let completed = shard.gates().completed.notified();
            match self.take_add(shard, transactional_id, by, &partitions)? {
                (AddStep::Added { .. }, durable) => {
                    // Without a record they joined before: what tells so may not be durable yet.
                    let durable = durable.map_or_else(|| self.appended(shard), Ok)?;
                    return durable.wait().await.map_err(|error| storage_code(&error));
                }
                (AddStep::Busy, _) => {
                    ended(completed, deadline, ErrorCode::ConcurrentTransactions).await?;
                }
            }
        }
    }

    fn take_add(
        &self,
        shard: &Shard<TxnCoordinator>,
        transactional_id: &str,
        by: ProducerIdentity,
        partitions: &[TxnPartition],
    ) -> Result<(AddStep, Option<Durable>), ErrorCode> {
        self.take(shard, transactional_id, |state| {
            let step = state.add_partitions(transactional_id, by, partitions.iter().cloned(), self.now())?;
            let record = match &step {
                AddStep::Added { record } => record.clone(),
                AddStep::Busy => None,
            };
            Ok((step, record))
        })
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
        self.lock(self.shard(transactional_id))?.state.verify(transactional_id, by, topic, partition)
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
        let permit = AppendPermit { _gate: shard.gates().append_gate.read() };
        let mut locked = self.lock(shard)?;
        let state = &mut locked.state;
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
            self.inner.groups.append_txn_commit(group_id, committer, by, offsets)?
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
        end: MarkerKind,
        version: TxnVersion,
    ) -> Result<ProducerIdentity, ErrorCode> {
        let shard = self.shard(transactional_id);
        // A new id is needed once in 32 thousand transactions.
        let id = if by.producer_epoch >= i16::MAX - 2 { self.allocate().await? } else { -1 };
        let deadline = Instant::now() + END_WAIT_MAX;
        loop {
            let completed = shard.gates().completed.notified();
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
                (EndStep::Prepare { .. } | EndStep::Busy, _) => {
                    ended(completed, deadline, ErrorCode::CoordinatorNotAvailable).await?;
                }
            }
        }
    }

    fn take_end(
        &self,
        shard: &Shard<TxnCoordinator>,
        transactional_id: &str,
        by: ProducerIdentity,
        end: MarkerKind,
        version: TxnVersion,
        id: i64,
    ) -> Result<(EndStep, Option<Durable>), ErrorCode> {
        self.take(shard, transactional_id, |state| {
            let step = state.end(transactional_id, by, end, version, || id, self.now())?;
            let record = match &step {
                EndStep::Prepare { record, .. } => Some(record.clone()),
                EndStep::Done { record, .. } => record.clone(),
                EndStep::Busy => None,
            };
            Ok((step, record))
        })
    }

    /// Forgets transactional ids that have not been used for long.
    pub fn expire_ids(&self) -> Result<()> {
        let now = self.now();
        for mut shard in self.inner.runtime.loaded() {
            let ids = shard.state.idle_ids(now);
            let records: Vec<_> = ids.iter().map(|id| record::transaction_tombstone(id)).collect();
            if !records.is_empty() {
                drop(shard.log.append(&records, None)?);
            }
            ids.iter().for_each(|id| shard.state.forget(id));
        }
        Ok(())
    }

    /// A view of every transactional id, and the time by which the times in it are to be judged.
    pub fn list<T>(&self, view: impl Fn(&Transaction, i64) -> T) -> Vec<T> {
        let (mut all, now) = (Vec::new(), self.now());
        for shard in self.inner.runtime.loaded() {
            all.extend(shard.state.transactions().map(|transaction| view(transaction, now)));
        }
        all
    }

    /// When a moment of a transaction was by the wall clock.
    pub fn in_wall_time(&self, ms: i64) -> i64 {
        in_wall_time(ms, self.inner.runtime.wall_ahead_ms())
    }

    /// Looks at one transactional id.
    pub fn with_transaction<T>(
        &self,
        transactional_id: &str,
        view: impl FnOnce(&Transaction) -> T,
    ) -> Option<T> {
        self.lock(self.shard(transactional_id)).ok()?.state.transaction(transactional_id).map(view)
    }
}

fn storage_code(error: &Error) -> ErrorCode {
    if let Some(suppressed) = NOT_WRITTEN.pass() {
        tracing::error!(%error, suppressed, "transaction log not written");
    }
    ErrorCode::CoordinatorNotAvailable
}
