//! The transaction coordinator of one `__transaction_state` partition.
//!
//! Free of IO: a step gives the record to append and, when a transaction ends, the plan of markers to write.
//! The order the caller must keep for an end: append the `Prepare*` record and wait until it is durable, append the
//! markers and wait until they are durable, then append the `Complete*` record ([`TxnCoordinator::complete`]).
//!
//! A partition that joins by a write (version 2) does so without a record of its own: the partition logs themselves
//! tell at start which transactions are open ([`TxnCoordinator::adopt`]), and the `Prepare*` record names every
//! partition. One that is added by request is recorded before the client is told, as it asks only once.

use std::collections::HashMap;

use bytes::Bytes;

use super::gates::TxnGates;
use super::record;
use super::state::{Transaction, TxnPartition, TxnState};
use crate::coordinator::codec::{CoordinatorRecord, RecordError};
use crate::coordinator::log::ReplayItem;
use crate::coordinator::shard::CoordinatorShard;
use crate::ids::ProducerIdentity;
use crate::protocol::error_code::ErrorCode;
use crate::record::control::MarkerKind;

/// Limits of the coordinator.
#[derive(Debug, Clone)]
pub struct TxnLimits {
    /// `transaction.max.timeout.ms`.
    pub timeout_max_ms: i32,
    /// `transactional.id.expiration.ms`.
    pub id_expiration_ms: i64,
}

impl Default for TxnLimits {
    fn default() -> Self {
        Self { timeout_max_ms: 900_000, id_expiration_ms: 7 * 24 * 3_600 * 1_000 }
    }
}

/// How transactions of the client's protocol generation behave (KIP-890).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TxnVersion {
    /// Partitions are added by request; the epoch stays for all transactions.
    V1,
    /// Partitions are added by writing to them; every end raises the epoch, which fences late writes.
    V2,
}

/// Markers to write for a decided transaction.
#[derive(Debug, Clone, PartialEq)]
pub struct EndPlan {
    pub transactional_id: String,
    pub end: MarkerKind,
    pub producer_id: i64,
    /// The epoch the markers carry; at least that of the transaction's records.
    pub marker_epoch: i16,
    pub partitions: Vec<TxnPartition>,
}

/// Next step of an InitProducerId request.
#[derive(Debug, Clone, PartialEq)]
pub enum InitStep {
    /// Append the record, wait until it is durable, answer with the identity.
    Ready { identity: ProducerIdentity, record: CoordinatorRecord },
    /// A transaction of the former producer is open: end it as planned, then ask again.
    EndFirst { plan: EndPlan, record: CoordinatorRecord },
    /// A decided transaction is being finished: wait for that, then ask again.
    Busy,
}

/// Next step of an EndTxn request.
#[derive(Debug, Clone, PartialEq)]
pub enum EndStep {
    /// Append the record, wait until it is durable, carry out the plan, answer with the identity.
    Prepare { plan: EndPlan, record: CoordinatorRecord, identity: ProducerIdentity },
    /// Nothing to end; append the record if there is one, and answer with the identity.
    Done { identity: ProducerIdentity, record: Option<CoordinatorRecord> },
    /// The same end is being carried out: wait for that, then ask again.
    Busy,
}

/// Next step of a request that adds partitions.
#[derive(Debug, Clone, PartialEq)]
pub enum AddStep {
    /// The partitions belong to the transaction. The record, if any, must be durable before a client that asked is
    /// told; who writes to the partitions at once need not write it.
    Added { record: Option<CoordinatorRecord> },
    /// The previous transaction is being finished: wait for that, then ask again.
    Busy,
}

/// All transactional ids of one shard.
#[derive(Debug, Default)]
pub struct TxnCoordinator {
    limits: TxnLimits,
    transactions: HashMap<String, Transaction>,
    /// Difference between stored times and the times in here.
    wall_ahead_ms: i64,
}

impl TxnCoordinator {
    #[must_use]
    pub fn new(limits: TxnLimits) -> Self {
        Self { limits, transactions: HashMap::new(), wall_ahead_ms: 0 }
    }

    #[must_use]
    pub fn transaction(&self, transactional_id: &str) -> Option<&Transaction> {
        self.transactions.get(transactional_id)
    }

    pub fn transactions(&self) -> impl Iterator<Item = &Transaction> {
        self.transactions.values()
    }

    /// InitProducerId: a new incarnation of the producer fences all earlier ones.
    ///
    /// `expected` is the identity a client wants to replace (KIP-360). `allocate` gives an unused producer id.
    pub fn init(
        &mut self,
        transactional_id: &str,
        timeout_ms: i32,
        expected: Option<ProducerIdentity>,
        allocate: impl FnOnce() -> i64,
        now: i64,
    ) -> Result<InitStep, ErrorCode> {
        if transactional_id.is_empty() {
            return Err(ErrorCode::InvalidRequest);
        }
        if timeout_ms <= 0 || timeout_ms > self.limits.timeout_max_ms {
            return Err(ErrorCode::InvalidTransactionTimeout);
        }
        let ahead = self.wall_ahead_ms;
        let Some(transaction) = self.transactions.get_mut(transactional_id) else {
            let transaction = Transaction::new(transactional_id, allocate(), timeout_ms, now);
            let transaction = self.transactions.entry(transactional_id.to_owned()).or_insert(transaction);
            transaction.producer_epoch = 0;
            return Ok(ready(transaction, ahead));
        };
        if let Some(expected) = expected {
            let asked = (expected.producer_id, expected.producer_epoch);
            let current = (transaction.producer_id, transaction.producer_epoch);
            let idle =
                !matches!(transaction.state, TxnState::Ongoing) && transaction.state.prepared().is_none();
            if asked != current && transaction.previous == Some(asked) && idle {
                return Ok(ready(transaction, ahead));
            }
            if asked != current && transaction.previous != Some(asked) {
                return Err(ErrorCode::ProducerFenced);
            }
        }
        match transaction.state {
            TxnState::PrepareCommit | TxnState::PrepareAbort => Ok(InitStep::Busy),
            TxnState::Ongoing | TxnState::PrepareEpochFence => {
                bump_for_fence(transaction);
                let (plan, record) = prepare(transaction, MarkerKind::Abort, ahead, now);
                Ok(InitStep::EndFirst { plan, record })
            }
            TxnState::Empty | TxnState::CompleteCommit | TxnState::CompleteAbort | TxnState::Dead => {
                bump(transaction, allocate);
                if expected.is_none() {
                    // A new incarnation: the former one may not get in by asking for the answer to a request of its own.
                    transaction.previous = None;
                }
                transaction.timeout_ms = timeout_ms;
                transaction.state = TxnState::Empty;
                transaction.start_ms = -1;
                transaction.update_ms = now;
                Ok(ready(transaction, ahead))
            }
        }
    }

    /// AddPartitionsToTxn, AddOffsetsToTxn, and writes of version 2 producers.
    pub fn add_partitions(
        &mut self,
        transactional_id: &str,
        by: ProducerIdentity,
        partitions: impl IntoIterator<Item = TxnPartition>,
        now: i64,
    ) -> Result<AddStep, ErrorCode> {
        let ahead = self.wall_ahead_ms;
        let transaction = self.of_producer(transactional_id, by)?;
        match transaction.state {
            TxnState::PrepareCommit | TxnState::PrepareAbort => return Ok(AddStep::Busy),
            TxnState::PrepareEpochFence | TxnState::Dead => return Err(ErrorCode::ProducerFenced),
            TxnState::Ongoing => {}
            TxnState::Empty | TxnState::CompleteCommit | TxnState::CompleteAbort => {
                transaction.state = TxnState::Ongoing;
                transaction.partitions.clear();
                transaction.start_ms = now;
                transaction.update_ms = now;
                // The former owner of the identity has no part in this transaction.
                transaction.previous = None;
            }
        }
        let before = transaction.partitions.len();
        transaction.partitions.extend(partitions);
        let changed = transaction.partitions.len() != before;
        if changed {
            transaction.update_ms = now;
        }
        Ok(AddStep::Added { record: changed.then(|| record::transaction_record(transaction, ahead)) })
    }

    /// May this producer write to the partition as part of its open transaction?
    ///
    /// Errors: `InvalidTxnState` when the partition was not added.
    pub fn verify(
        &mut self,
        transactional_id: &str,
        by: ProducerIdentity,
        topic: &str,
        partition: i32,
    ) -> Result<(), ErrorCode> {
        let transaction = self.of_producer(transactional_id, by)?;
        let added = transaction.partitions.iter().any(|(name, number)| *number == partition && name == topic);
        if transaction.state == TxnState::Ongoing && added { Ok(()) } else { Err(ErrorCode::InvalidTxnState) }
    }

    fn of_producer(
        &mut self,
        transactional_id: &str,
        by: ProducerIdentity,
    ) -> Result<&mut Transaction, ErrorCode> {
        let transaction =
            self.transactions.get_mut(transactional_id).ok_or(ErrorCode::InvalidProducerIdMapping)?;
        if transaction.producer_id != by.producer_id {
            return Err(ErrorCode::InvalidProducerIdMapping);
        }
        if transaction.producer_epoch != by.producer_epoch {
            return Err(ErrorCode::ProducerFenced);
        }
        Ok(transaction)
    }

    /// EndTxn.
    pub fn end(
        &mut self,
        transactional_id: &str,
        by: ProducerIdentity,
        end: MarkerKind,
        version: TxnVersion,
        allocate: impl FnOnce() -> i64,
        now: i64,
    ) -> Result<EndStep, ErrorCode> {
        let ahead = self.wall_ahead_ms;
        let transaction =
            self.transactions.get_mut(transactional_id).ok_or(ErrorCode::InvalidProducerIdMapping)?;
        let repeated = version == TxnVersion::V2
            && transaction.previous == Some((by.producer_id, by.producer_epoch))
            && transaction.state != TxnState::Ongoing;
        if !repeated && transaction.producer_id != by.producer_id {
            return Err(ErrorCode::InvalidProducerIdMapping);
        }
        if !repeated && transaction.producer_epoch != by.producer_epoch {
            return Err(ErrorCode::ProducerFenced);
        }
        let finished_alike = match end {
            MarkerKind::Commit => TxnState::CompleteCommit,
            MarkerKind::Abort => TxnState::CompleteAbort,
        };
        match transaction.state {
            TxnState::Ongoing => {
                if version == TxnVersion::V2 {
                    bump_for_fence(transaction);
                }
                let (plan, record) = prepare(transaction, end, ahead, now);
                if version == TxnVersion::V2 && transaction.producer_epoch == i16::MAX {
                    // The markers still carry the exhausted epoch; the next transaction uses a new id.
                    transaction.previous = Some((by.producer_id, by.producer_epoch));
                    transaction.producer_id = allocate();
                    transaction.producer_epoch = 0;
                }
                let identity = identity(transaction);
                Ok(EndStep::Prepare { plan, record, identity })
            }
            TxnState::PrepareCommit | TxnState::PrepareAbort => {
                if transaction.state.prepared() == Some(end) {
                    Ok(EndStep::Busy)
                } else {
                    Err(ErrorCode::InvalidTxnState)
                }
            }
            state if state == finished_alike && (repeated || version == TxnVersion::V1) => {
                Ok(EndStep::Done { identity: identity(transaction), record: None })
            }
            TxnState::Empty | TxnState::CompleteCommit | TxnState::CompleteAbort
                if version == TxnVersion::V2 && end == MarkerKind::Abort && !repeated =>
            {
                // Nothing was written, yet the client wants a clean start: late writes must be fenced.
                bump(transaction, allocate);
                transaction.state = TxnState::CompleteAbort;
                transaction.update_ms = now;
                let record = Some(record::transaction_record(transaction, ahead));
                Ok(EndStep::Done { identity: identity(transaction), record })
            }
            TxnState::Empty
            | TxnState::CompleteCommit
            | TxnState::CompleteAbort
            | TxnState::Dead
            | TxnState::PrepareEpochFence => Err(ErrorCode::InvalidTxnState),
        }
    }

    /// The markers of a decided transaction are durable. Gives the record that says so, which may be lazy.
    pub fn complete(&mut self, transactional_id: &str, now: i64) -> Option<CoordinatorRecord> {
        let ahead = self.wall_ahead_ms;
        let transaction = self.transactions.get_mut(transactional_id)?;
        transaction.state = match transaction.state.prepared()? {
            MarkerKind::Commit => TxnState::CompleteCommit,
            MarkerKind::Abort => TxnState::CompleteAbort,
        };
        transaction.partitions.clear();
        transaction.start_ms = -1;
        transaction.update_ms = now;
        Some(record::transaction_record(transaction, ahead))
    }

    /// The ids of transactions that are older than their timeout.
    #[must_use]
    pub fn overdue(&self, now: i64) -> Vec<String> {
        let due = self.transactions.values().filter(|txn| is_overdue(txn, now));
        due.map(|txn| txn.transactional_id.clone()).collect()
    }

    /// Aborts a transaction that is older than its timeout; its producer is fenced.
    pub fn time_out(&mut self, transactional_id: &str, now: i64) -> Option<(EndPlan, CoordinatorRecord)> {
        let ahead = self.wall_ahead_ms;
        let transaction = self.transactions.get_mut(transactional_id).filter(|txn| is_overdue(txn, now))?;
        bump_for_fence(transaction);
        Some(prepare(transaction, MarkerKind::Abort, ahead, now))
    }

    /// Takes back a step whose record could not be appended: `before` is what was known of the id.
    pub fn restore(&mut self, transactional_id: &str, before: Option<Transaction>) {
        match before {
            Some(before) => drop(self.transactions.insert(before.transactional_id.clone(), before)),
            None => drop(self.transactions.remove(transactional_id)),
        }
    }

    /// The transactional ids that have not been used for long.
    #[must_use]
    pub fn idle_ids(&self, now: i64) -> Vec<String> {
        let limit = self.limits.id_expiration_ms;
        let idle = |txn: &Transaction| {
            let ended =
                matches!(txn.state, TxnState::Empty | TxnState::CompleteCommit | TxnState::CompleteAbort);
            ended && now - txn.update_ms >= limit
        };
        let idle = self.transactions.values().filter(|txn| idle(txn));
        idle.map(|txn| txn.transactional_id.clone()).collect()
    }

    /// Forgets a transactional id, once its tombstone is in the log.
    pub fn forget(&mut self, transactional_id: &str) {
        self.transactions.remove(transactional_id);
    }

    /// Applies a record of the log at start.
    fn replay_record(&mut self, key: Bytes, value: Option<Bytes>) -> Result<(), RecordError> {
        match record::decode(key, value)? {
            Some((id, Some(transaction))) => {
                self.transactions.insert(id, transaction);
            }
            Some((id, None)) => {
                self.transactions.remove(&id);
            }
            None => tracing::warn!("record of unknown kind in __transaction_state skipped"),
        }
        Ok(())
    }

    /// At start: a partition's log has an open transaction of this producer. It joins the transaction if the
    /// producer is current; otherwise `false` says the records are nobody's and must be aborted.
    pub fn adopt(&mut self, producer: ProducerIdentity, partition: TxnPartition, now: i64) -> bool {
        let owner = self.transactions.values_mut().find(|txn| txn.producer_id == producer.producer_id);
        let Some(transaction) = owner else { return false };
        if transaction.state.prepared().is_some() {
            return transaction.partitions.contains(&partition);
        }
        if transaction.producer_epoch != producer.producer_epoch {
            return false;
        }
        if transaction.state != TxnState::Ongoing {
            transaction.state = TxnState::Ongoing;
            transaction.start_ms = now;
            transaction.previous = None;
            transaction.partitions.clear();
        }
        transaction.partitions.insert(partition);
        true
    }

    /// At start: the decided transactions whose markers may be missing.
    #[must_use]
    pub fn unfinished(&self) -> Vec<EndPlan> {
        self.transactions.values().filter_map(|txn| Some(plan(txn, txn.state.prepared()?))).collect()
    }
}

impl CoordinatorShard for TxnCoordinator {
    type Gates = TxnGates;

    fn replay(&mut self, item: ReplayItem, _now: i64) -> Result<(), RecordError> {
        match item {
            ReplayItem::Record { key, value, .. } => self.replay_record(key, value),
            ReplayItem::Marker { .. } => Ok(()),
        }
    }

    fn loaded(&mut self, _now: i64) {}

    fn set_wall_ahead(&mut self, wall_ahead_ms: i64) {
        self.wall_ahead_ms = wall_ahead_ms;
    }

    /// The earliest end of an open transaction's time. Units: ms since epoch.
    fn next_deadline(&self) -> Option<i64> {
        self.transactions.values().filter_map(Transaction::deadline).min()
    }
}

fn is_overdue(transaction: &Transaction, now: i64) -> bool {
    transaction.deadline().is_some_and(|deadline| deadline <= now)
}

fn identity(transaction: &Transaction) -> ProducerIdentity {
    ProducerIdentity { producer_id: transaction.producer_id, producer_epoch: transaction.producer_epoch }
}

fn ready(transaction: &Transaction, ahead: i64) -> InitStep {
    InitStep::Ready {
        identity: identity(transaction),
        record: record::transaction_record(transaction, ahead),
    }
}

/// The next epoch, or a new producer id when epochs are used up. The last epoch is left for fencing.
fn bump(transaction: &mut Transaction, allocate: impl FnOnce() -> i64) {
    transaction.previous = Some((transaction.producer_id, transaction.producer_epoch));
    if transaction.producer_epoch >= i16::MAX - 1 {
        transaction.producer_id = allocate();
        transaction.producer_epoch = 0;
    } else {
        transaction.producer_epoch += 1;
    }
}

/// The next epoch of the same producer id, for markers that must fence the producer that wrote the records.
fn bump_for_fence(transaction: &mut Transaction) {
    transaction.previous = Some((transaction.producer_id, transaction.producer_epoch));
    transaction.producer_epoch = transaction.producer_epoch.saturating_add(1);
}

fn prepare(
    transaction: &mut Transaction,
    end: MarkerKind,
    ahead: i64,
    now: i64,
) -> (EndPlan, CoordinatorRecord) {
    transaction.state = match end {
        MarkerKind::Commit => TxnState::PrepareCommit,
        MarkerKind::Abort => TxnState::PrepareAbort,
    };
    transaction.update_ms = now;
    (plan(transaction, end), record::transaction_record(transaction, ahead))
}

fn plan(transaction: &Transaction, end: MarkerKind) -> EndPlan {
    EndPlan {
        transactional_id: transaction.transactional_id.clone(),
        end,
        producer_id: transaction.producer_id,
        marker_epoch: transaction.producer_epoch,
        partitions: transaction.partitions.iter().cloned().collect(),
    }
}
