//! Carrying decided transactions out: markers, completion, time-outs, and what a restart finds undecided.
//!
//! A full disk is waited for: a decision that is on disk is carried out as soon as there is room, whoever still waits
//! for it. Until then the transaction stays decided, so nothing of a later one can come before its markers.

use std::time::Duration;

use futures::future::join_all;
use tokio::time::{Instant, timeout, timeout_at};

use super::{COORDINATOR_EPOCH, TxnService, storage_code};
use crate::coordinator::log::{CoordinatorLog, Durable};
use crate::coordinator::shard::Shard;
use crate::env::log_limit::LogLimit;
use crate::env::spawn;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::ids::ProducerIdentity;
use crate::ids::TopicPartition;
use crate::metadata::image::OFFSETS_TOPIC;
use crate::protocol::error_code::ErrorCode;
use crate::record::control::MarkerKind;
use crate::txn::coordinator::{EndPlan, TxnCoordinator};
use crate::txn::state::TxnPartition;

/// How long a request waits for the end of a transaction before its client is to ask again. Clients wait for 30 s.
pub(super) const END_WAIT_MAX: Duration = Duration::from_secs(5);
/// How long a start waits for what it has to finish; a full disk must not keep a node from starting.
const RECOVERY_WAIT_MAX: Duration = Duration::from_secs(5);
const RETRY_WAIT_MIN: Duration = Duration::from_millis(20);
const RETRY_WAIT_MAX: Duration = Duration::from_millis(500);
/// How long after a failure overdue transactions are left alone. Units: ms.
const EXPIRY_PAUSE_MS: i64 = 500;
static NOT_ABORTED: LogLimit = LogLimit::new(Duration::from_secs(10));

/// Waits between attempts to write.
struct WriteRetry<'a> {
    what: &'static str,
    of: &'a str,
    wait: Option<Duration>,
}

impl<'a> WriteRetry<'a> {
    fn new(what: &'static str, of: &'a str) -> Self {
        WriteRetry { what, of, wait: None }
    }

    /// Waits before another attempt, if there may be one.
    async fn wait(&mut self, error: Error) -> Result<()> {
        // A full disk. After any other failure of a write the directory is offline, and the process ends.
        if !matches!(error, Error::Io { .. }) {
            return Err(error);
        }
        if self.wait.is_none() {
            let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            tracing::warn!(%error, source, of = self.of, "{} cannot be written yet", self.what);
        }
        let wait = self.wait.map_or(RETRY_WAIT_MIN, |last| (last * 2).min(RETRY_WAIT_MAX));
        self.wait = Some(wait);
        tokio::time::sleep(wait).await;
        Ok(())
    }

    fn succeeded(&self) {
        if self.wait.is_some() {
            tracing::info!(of = self.of, "{} could be written after all", self.what);
        }
    }
}

impl TxnService {
    /// Brings transactions and logs together after a restart: decided transactions are finished, open ones that
    /// are still somebody's go on, and the rest is aborted.
    pub async fn recover(&self) -> Result<()> {
        let now = self.now();
        let mut work = Vec::new();
        for (index, shard) in self.inner.runtime.shards().iter().enumerate() {
            let plans = self.lock(shard).map(|locked| locked.state.unfinished()).unwrap_or_default();
            for plan in plans {
                tracing::info!(transactional_id = plan.transactional_id, "finishing a decided transaction");
                let service = self.clone();
                let finish = async move {
                    let shard = &service.inner.runtime.shards()[index];
                    service.finish(shard, &plan).await
                };
                work.push(spawn::task("txn-end", finish));
            }
        }
        self.await_recovery(&mut work).await?;
        for partition in self.inner.replicas.partitions() {
            let open = partition.producers().into_iter().filter(|one| one.current_txn_start_offset.is_some());
            for open in open {
                let name = partition.topic_partition();
                let producer =
                    ProducerIdentity { producer_id: open.producer_id.0, producer_epoch: open.producer_epoch };
                let member: TxnPartition = (name.topic.to_string(), name.partition);
                let adopted = self.inner.runtime.loaded().any(|mut locked| {
                    // It may have ended since, if the disk was full before.
                    partition.ongoing_txn(open.producer_id).is_none()
                        || locked.state.adopt(producer, member.clone(), now)
                });
                if !adopted {
                    tracing::info!(partition = %name, producer_id = producer.producer_id, "aborting an orphan transaction");
                    let service = self.clone();
                    let abort = async move { service.abort_orphan(member, producer).await };
                    work.push(spawn::task("txn-orphan", abort));
                }
            }
        }
        self.await_recovery(&mut work).await
    }

    /// Waits for the work of a start. What waits for room goes on beside the start.
    async fn await_recovery(&self, work: &mut Vec<tokio::task::JoinHandle<Result<()>>>) -> Result<()> {
        let done = timeout(RECOVERY_WAIT_MAX, join_all(work.iter_mut())).await;
        let Ok(done) = done else {
            let count = work.iter().filter(|one| !one.is_finished()).count();
            tracing::warn!(count, "starting with transactions that cannot be finished yet");
            work.clear();
            return Ok(());
        };
        work.clear();
        done.into_iter().try_for_each(|outcome| {
            outcome.unwrap_or(Err(Error::Interrupted { action: "finish a transaction" }))
        })
    }

    async fn abort_orphan(&self, member: TxnPartition, producer: ProducerIdentity) -> Result<()> {
        let mut retry = WriteRetry::new("the end of an orphan transaction", &member.0);
        let durable = loop {
            match self.append_marker(&member, producer, MarkerKind::Abort) {
                Ok(durable) => break durable,
                Err(error) => retry.wait(error).await?,
            }
        };
        retry.succeeded();
        match durable {
            Some(durable) => durable.wait().await,
            None => Ok(()),
        }
    }

    /// A decided transaction is finished even if the client that waits for it goes away.
    ///
    /// Errors: `CoordinatorNotAvailable` if that takes longer than a client should wait; it is finished all the same,
    /// and the client is told when it asks again.
    pub(super) async fn carry_out_apart(&self, plan: EndPlan, decided: Durable) -> Result<(), ErrorCode> {
        let work = spawn::task("txn-end", self.clone().carry_out(plan, decided));
        match timeout(END_WAIT_MAX, work).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(ErrorCode::UnknownServerError),
            Err(_) => Err(ErrorCode::CoordinatorNotAvailable),
        }
    }

    /// Waits for the decision to be durable, then writes the markers.
    async fn carry_out(self, plan: EndPlan, decided: Durable) -> Result<(), ErrorCode> {
        decided.wait().await.map_err(|error| storage_code(&error))?;
        failpoint!("txn.end.decided").map_err(|error| storage_code(&error))?;
        let shard = self.shard(&plan.transactional_id);
        self.finish(shard, &plan).await.map_err(|error| storage_code(&error))
    }

    /// Writes all markers of a decided transaction, waits for them together, and completes it.
    async fn finish(&self, shard: &Shard<TxnCoordinator>, plan: &EndPlan) -> Result<()> {
        let mut missing: Vec<&TxnPartition> = plan.partitions.iter().collect();
        let mut waits = Vec::with_capacity(missing.len());
        let mut retry = WriteRetry::new("the end of a transaction", &plan.transactional_id);
        while let Err(error) = self.append_markers(shard, plan, &mut missing, &mut waits) {
            retry.wait(error).await?;
        }
        failpoint!("txn.markers.appended")?;
        for durable in waits {
            durable.wait().await?;
        }
        failpoint!("txn.markers.durable")?;
        // The record of completion is not waited for, but it has its place in the log before the next transaction
        // begins: a restart that writes the markers again must not end that one.
        while let Err(error) = self.complete(shard, plan) {
            retry.wait(error).await?;
        }
        retry.succeeded();
        failpoint!("txn.completed")?;
        shard.gates().completed.notify_waiters();
        Ok(())
    }

    /// Writes the markers that are missing; those that are written are not any more, also after an error.
    fn append_markers(
        &self,
        shard: &Shard<TxnCoordinator>,
        plan: &EndPlan,
        missing: &mut Vec<&TxnPartition>,
        waits: &mut Vec<Durable>,
    ) -> Result<()> {
        let producer = ProducerIdentity { producer_id: plan.producer_id, producer_epoch: plan.marker_epoch };
        let _alone = shard.gates().append_gate.write();
        while let Some(partition) = missing.last() {
            waits.extend(self.append_marker(partition, producer, plan.end)?);
            missing.pop();
        }
        Ok(())
    }

    /// All markers are durable.
    fn complete(&self, shard: &Shard<TxnCoordinator>, plan: &EndPlan) -> Result<()> {
        let id = &plan.transactional_id;
        // Once the partition is unloaded, its next load finishes the transaction.
        let Ok(mut locked) = self.lock(shard) else { return Ok(()) };
        let before = locked.state.transaction(id).cloned();
        let Some(record) = locked.state.complete(id, self.now()) else { return Ok(()) };
        drop(locked.append_or_undo(&record, |state| state.restore(id, before))?);
        Ok(())
    }

    /// Writes one marker. A partition that has been deleted since needs none.
    fn append_marker(
        &self,
        partition: &TxnPartition,
        producer: ProducerIdentity,
        kind: MarkerKind,
    ) -> Result<Option<Durable>> {
        if partition.0 == OFFSETS_TOPIC {
            return self.inner.groups.append_marker(partition.1, producer, kind, COORDINATOR_EPOCH);
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
        match log.append_marker(producer, kind, COORDINATOR_EPOCH) {
            Ok(durable) => Ok(Some(durable)),
            // Deleted, unless the broker is closing its logs: then the next start writes the marker.
            Err(Error::PartitionClosed(_)) if self.inner.replicas.partition(&name).is_none() => Ok(None),
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
        for shard in self.inner.runtime.due(now) {
            if now < *shard.gates().expiry_from_ms.lock() {
                continue;
            }
            let overdue = self.lock(shard).map(|locked| locked.state.overdue(now)).unwrap_or_default();
            for id in overdue {
                let time_out = self.take(shard, &id, |state| {
                    let timed_out = state.time_out(&id, now);
                    Ok(timed_out.map_or((None, None), |(plan, record)| (Some(plan), Some(record))))
                });
                match time_out {
                    Ok((Some(plan), Some(durable))) => self.abort_timed_out(plan, durable),
                    Ok(_) => {}
                    // The decision is taken again.
                    Err(code) => {
                        if let Some(suppressed) = NOT_ABORTED.pass() {
                            tracing::error!(%code, transactional_id = id, suppressed, "timed out transaction not aborted yet");
                        }
                        *shard.gates().expiry_from_ms.lock() = now + EXPIRY_PAUSE_MS;
                        break;
                    }
                }
            }
        }
    }

    fn abort_timed_out(&self, plan: EndPlan, durable: Durable) {
        tracing::info!(transactional_id = plan.transactional_id, "transaction timed out");
        let service = self.clone();
        spawn::task("txn-timeout", async move {
            if let Err(code) = service.carry_out(plan, durable).await {
                tracing::error!(%code, "timed out transaction not aborted");
            }
        });
    }
}

/// Waits until a transaction of the shard has ended.
///
/// Errors: `or` when it is `deadline`.
pub(super) async fn ended(
    completed: tokio::sync::futures::Notified<'_>,
    deadline: Instant,
    or: ErrorCode,
) -> Result<(), ErrorCode> {
    timeout_at(deadline, completed).await.map_err(|_| or)
}
