//! The transaction coordinator driven step by step.

use super::coordinator::{AddStep, EndPlan, EndStep, InitStep, TxnCoordinator, TxnLimits, TxnVersion};
use super::record::transaction_tombstone;
use super::state::TxnState;
use crate::coordinator::codec::CoordinatorRecord;
use crate::coordinator::log::ReplayItem;
use crate::coordinator::shard::CoordinatorShard;
use crate::ids::ProducerIdentity;
use crate::protocol::error_code::ErrorCode;
use crate::record::control::MarkerKind;

const TIMEOUT_MS: i32 = 60_000;
const NOW: i64 = 1_000_000;

struct Bench {
    coordinator: TxnCoordinator,
    log: Vec<CoordinatorRecord>,
}

impl Bench {
    fn new() -> Self {
        Self { coordinator: TxnCoordinator::new(TxnLimits::default()), log: Vec::new() }
    }

    fn init(&mut self) -> ProducerIdentity {
        match self.coordinator.init("x", TIMEOUT_MS, None, || 7, NOW) {
            Ok(InitStep::Ready { identity, record }) => {
                self.log.push(record);
                identity
            }
            other => panic!("{other:?}"),
        }
    }

    fn add(&mut self, by: ProducerIdentity, partition: i32) -> Result<(), ErrorCode> {
        match self.coordinator.add_partitions("x", by, [("t".to_owned(), partition)], NOW)? {
            AddStep::Added { record } => self.log.extend(record),
            AddStep::Busy => return Err(ErrorCode::ConcurrentTransactions),
        }
        Ok(())
    }

    fn end(
        &mut self,
        by: ProducerIdentity,
        end: MarkerKind,
        version: TxnVersion,
    ) -> Result<EndStep, ErrorCode> {
        let step = self.coordinator.end("x", by, end, version, || 8, NOW)?;
        if let EndStep::Prepare { record, .. } | EndStep::Done { record: Some(record), .. } = &step {
            self.log.push(record.clone());
        }
        Ok(step)
    }

    fn prepare(
        &mut self,
        by: ProducerIdentity,
        end: MarkerKind,
        version: TxnVersion,
    ) -> (EndPlan, ProducerIdentity) {
        match self.end(by, end, version) {
            Ok(EndStep::Prepare { plan, identity, .. }) => (plan, identity),
            other => panic!("{other:?}"),
        }
    }

    fn complete(&mut self) {
        let record = self.coordinator.complete("x", NOW).expect("prepared");
        self.log.push(record);
    }

    fn state(&self) -> TxnState {
        self.coordinator.transaction("x").expect("known").state
    }

    fn replayed(&self) -> TxnCoordinator {
        let mut rebuilt = TxnCoordinator::new(TxnLimits::default());
        for record in &self.log {
            let (key, value) = (record.key.clone(), record.value.clone());
            let item = ReplayItem::Record { producer_id: None, key, value };
            rebuilt.replay(item, NOW).expect("own records are readable");
        }
        rebuilt
    }
}

#[test]
fn a_transaction_runs_from_init_to_commit() {
    let mut bench = Bench::new();
    let by = bench.init();
    bench.add(by, 0).expect("added");
    bench.add(by, 1).expect("added");
    assert_eq!(bench.coordinator.verify("x", by, "t", 1), Ok(()));
    assert_eq!(bench.coordinator.verify("x", by, "t", 2), Err(ErrorCode::InvalidTxnState));
    let (plan, identity) = bench.prepare(by, MarkerKind::Commit, TxnVersion::V1);
    assert_eq!(identity, by, "version 1 keeps the epoch");
    assert_eq!(plan.partitions, [("t".to_owned(), 0), ("t".to_owned(), 1)]);
    assert_eq!(plan.marker_epoch, by.producer_epoch);
    assert_eq!(bench.add(by, 0), Err(ErrorCode::ConcurrentTransactions));
    assert!(matches!(bench.end(by, MarkerKind::Commit, TxnVersion::V1), Ok(EndStep::Busy)));
    assert_eq!(bench.end(by, MarkerKind::Abort, TxnVersion::V1), Err(ErrorCode::InvalidTxnState));
    bench.complete();
    assert_eq!(bench.state(), TxnState::CompleteCommit);
    let again = bench.end(by, MarkerKind::Commit, TxnVersion::V1);
    assert!(matches!(again, Ok(EndStep::Done { record: None, .. })), "a lost answer is given again");
    assert_eq!(bench.end(by, MarkerKind::Abort, TxnVersion::V1), Err(ErrorCode::InvalidTxnState));
}

#[test]
fn version_2_raises_the_epoch_with_every_end() {
    let mut bench = Bench::new();
    let by = bench.init();
    bench.add(by, 0).expect("added");
    let (plan, next) = bench.prepare(by, MarkerKind::Commit, TxnVersion::V2);
    assert_eq!(next.producer_epoch, by.producer_epoch + 1);
    assert_eq!(plan.marker_epoch, next.producer_epoch, "the markers fence late writes");
    bench.complete();
    let again = bench.end(by, MarkerKind::Commit, TxnVersion::V2);
    assert_eq!(again, Ok(EndStep::Done { identity: next, record: None }), "a lost answer is given again");
    let after_restart = bench.replayed().end("x", by, MarkerKind::Commit, TxnVersion::V2, || 8, NOW);
    assert_eq!(after_restart, again, "the answer may have been lost with the broker");
    assert_eq!(bench.add(by, 0), Err(ErrorCode::ProducerFenced));
    bench.add(next, 0).expect("the next transaction");
}

#[test]
fn a_fenced_producer_takes_no_commit_of_its_successor_for_its_own() {
    let mut bench = Bench::new();
    let zombie = bench.init();
    let by = bench.init();
    bench.add(by, 0).expect("added");
    bench.prepare(by, MarkerKind::Commit, TxnVersion::V1);
    bench.complete();
    let late = bench.end(zombie, MarkerKind::Commit, TxnVersion::V2);
    assert_eq!(late, Err(ErrorCode::ProducerFenced));
}

#[test]
fn version_2_may_abort_before_anything_was_written() {
    let mut bench = Bench::new();
    let by = bench.init();
    assert_eq!(bench.end(by, MarkerKind::Commit, TxnVersion::V2), Err(ErrorCode::InvalidTxnState));
    let step = bench.end(by, MarkerKind::Abort, TxnVersion::V2).expect("allowed");
    let EndStep::Done { identity, record: Some(_) } = step else { panic!("{step:?}") };
    assert_eq!(identity.producer_epoch, by.producer_epoch + 1);
}

#[test]
fn a_new_incarnation_aborts_what_is_open_and_fences_the_old_one() {
    let mut bench = Bench::new();
    let old = bench.init();
    bench.add(old, 0).expect("added");
    let step = bench.coordinator.init("x", TIMEOUT_MS, None, || 9, NOW).expect("allowed");
    let InitStep::EndFirst { plan, record } = step else { panic!("{step:?}") };
    bench.log.push(record);
    assert_eq!(plan.end, MarkerKind::Abort);
    assert_eq!(plan.marker_epoch, old.producer_epoch + 1);
    assert_eq!(bench.coordinator.init("x", TIMEOUT_MS, None, || 9, NOW), Ok(InitStep::Busy));
    bench.complete();
    let new = bench.init();
    assert_eq!(new.producer_id, old.producer_id);
    assert_eq!(new.producer_epoch, old.producer_epoch + 2);
    assert_eq!(bench.add(old, 0), Err(ErrorCode::ProducerFenced));
    assert_eq!(bench.end(old, MarkerKind::Commit, TxnVersion::V1), Err(ErrorCode::ProducerFenced));
    let stranger = ProducerIdentity { producer_id: 99, ..new };
    assert_eq!(bench.add(stranger, 0), Err(ErrorCode::InvalidProducerIdMapping));
}

#[test]
fn an_exhausted_epoch_is_followed_by_a_new_producer_id() {
    let mut bench = Bench::new();
    let mut last = bench.init();
    while last.producer_id == 7 {
        assert!(last.producer_epoch < i16::MAX, "the last epoch is kept for fencing");
        last = bench.init_with(8);
    }
    assert_eq!(last, ProducerIdentity { producer_id: 8, producer_epoch: 0 });
    let mut bench = Bench::new();
    let mut by = bench.init();
    for _ in 0..=i16::MAX {
        bench.add(by, 0).expect("added");
        let (plan, next) = bench.prepare(by, MarkerKind::Commit, TxnVersion::V2);
        assert!(plan.marker_epoch > by.producer_epoch);
        assert_eq!(plan.producer_id, by.producer_id);
        bench.complete();
        by = next;
    }
    assert_eq!(by.producer_id, 8);
}

impl Bench {
    fn init_with(&mut self, id: i64) -> ProducerIdentity {
        match self.coordinator.init("x", TIMEOUT_MS, None, || id, NOW) {
            Ok(InitStep::Ready { identity, .. }) => identity,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_expected_identity_guards_init() {
    let mut bench = Bench::new();
    let first = bench.init();
    let ask =
        |bench: &mut Bench, expected| bench.coordinator.init("x", TIMEOUT_MS, Some(expected), || 9, NOW);
    let Ok(InitStep::Ready { identity: second, .. }) = ask(&mut bench, first) else { panic!("refused") };
    assert_eq!(second.producer_epoch, first.producer_epoch + 1);
    let Ok(InitStep::Ready { identity: again, .. }) = ask(&mut bench, first) else { panic!("refused") };
    assert_eq!(again, second, "a lost answer is given again");
    let other = ProducerIdentity { producer_epoch: 77, ..first };
    assert_eq!(ask(&mut bench, other), Err(ErrorCode::ProducerFenced));
}

#[test]
fn a_fenced_producer_does_not_get_the_identity_of_its_successor() {
    let mut bench = Bench::new();
    let zombie = bench.init();
    let successor = bench.init();
    assert_eq!(successor.producer_epoch, zombie.producer_epoch + 1);
    for mut coordinator in [bench.replayed(), std::mem::take(&mut bench.coordinator)] {
        // As if the answer to a request of its own had been lost.
        let asked = coordinator.init("x", TIMEOUT_MS, Some(zombie), || 9, NOW);
        assert_eq!(asked, Err(ErrorCode::ProducerFenced));
    }
}

#[test]
fn an_overdue_transaction_is_aborted_and_its_producer_fenced() {
    let mut bench = Bench::new();
    let by = bench.init();
    bench.add(by, 0).expect("added");
    let deadline = NOW + i64::from(TIMEOUT_MS);
    assert_eq!(bench.coordinator.next_deadline(), Some(deadline));
    assert!(bench.coordinator.overdue(deadline - 1).is_empty());
    assert_eq!(bench.coordinator.time_out("x", deadline - 1), None);
    assert_eq!(bench.coordinator.overdue(deadline), ["x"]);
    let (plan, _) = bench.coordinator.time_out("x", deadline).expect("overdue");
    assert_eq!((plan.end, plan.marker_epoch), (MarkerKind::Abort, by.producer_epoch + 1));
    bench.complete();
    assert_eq!(bench.add(by, 0), Err(ErrorCode::ProducerFenced));
}

#[test]
fn replaying_the_log_gives_the_live_state_at_every_step() {
    let mut bench = Bench::new();
    let check = |bench: &Bench| {
        assert_eq!(bench.replayed().transaction("x"), bench.coordinator.transaction("x"));
    };
    let by = bench.init();
    check(&bench);
    bench.add(by, 0).expect("added");
    bench.add(by, 5).expect("added");
    check(&bench);
    bench.prepare(by, MarkerKind::Commit, TxnVersion::V2);
    check(&bench);
    let plans = bench.replayed().unfinished();
    assert_eq!(plans.len(), 1, "a decided transaction is finished after a restart");
    assert_eq!(plans[0].end, MarkerKind::Commit);
    assert_eq!(plans[0].partitions.len(), 2);
    bench.complete();
    check(&bench);
    assert!(bench.replayed().unfinished().is_empty());
}

#[test]
fn open_transactions_of_partitions_find_their_owner_after_a_restart() {
    let mut bench = Bench::new();
    let by = bench.init();
    let member = ("t".to_owned(), 3);
    let mut replayed = bench.replayed();
    assert!(replayed.adopt(by, member.clone(), NOW), "the producer goes on");
    let transaction = replayed.transaction("x").expect("known");
    assert_eq!(transaction.state, TxnState::Ongoing);
    assert!(transaction.partitions.contains(&member));
    let newer = bench.init();
    let mut replayed = bench.replayed();
    assert!(!replayed.adopt(by, member.clone(), NOW), "an older epoch is nobody's");
    assert!(replayed.adopt(newer, member.clone(), NOW));
    let stranger = ProducerIdentity { producer_id: 99, producer_epoch: 0 };
    assert!(!replayed.adopt(stranger, member, NOW));
}

#[test]
fn limits_are_enforced() {
    let mut bench = Bench::new();
    for timeout in [0, -1, 900_001] {
        let refused = bench.coordinator.init("x", timeout, None, || 7, NOW);
        assert_eq!(refused, Err(ErrorCode::InvalidTransactionTimeout));
    }
    bench.init();
    let idle = TxnLimits::default().id_expiration_ms;
    assert!(bench.coordinator.idle_ids(NOW + idle - 1).is_empty());
    assert_eq!(bench.coordinator.idle_ids(NOW + idle), ["x"]);
    bench.log.push(transaction_tombstone("x"));
    assert!(bench.replayed().transaction("x").is_none());
}
