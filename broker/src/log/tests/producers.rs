//! Idempotence and transactions, also over restarts.

use super::{Crash, Fixture, NOW_MS, batch, producer_batch};
use crate::error::Error;
use crate::ids::{ProducerEpoch, ProducerId};
use crate::log::access::{AbortedTxn, AppendOrigin, Isolation, OffsetSpec};
use crate::log::config::LogConfig;
use crate::record::builder::{BatchOptions, RecordBatchBuilder};
use crate::record::control::{EndTxnMarker, MarkerKind};

/// Applies `check` to a running log, after a clean restart and after a crash.
fn in_every_life(fixture: Fixture, check: impl Fn(&Fixture)) {
    check(&fixture.crash(Crash::Power).expect("reopen"));
    check(&fixture.crash(Crash::Process).expect("reopen"));
    let fixture = fixture.restart();
    check(&fixture);
}

#[test]
fn duplicates_get_their_first_offset_again() {
    let fixture = Fixture::new(LogConfig { segment_bytes: 300, ..LogConfig::default() });
    for index in 0..7 {
        let appended = fixture.append(producer_batch(1, 0, index * 2, 2, false)).expect("append");
        assert_eq!((appended.base_offset, appended.duplicate), (i64::from(index) * 2, false));
    }
    fixture.manager.flush();
    in_every_life(fixture, |fixture| {
        for index in 2..7 {
            let again = fixture.append(producer_batch(1, 0, index * 2, 2, false)).expect("duplicate");
            assert_eq!((again.base_offset, again.duplicate), (i64::from(index) * 2, true));
            assert_eq!(again.last_offset, again.base_offset + 1);
        }
        for sequence in [2, 13, 15, 20] {
            let error = fixture.append(producer_batch(1, 0, sequence, 2, false)).expect_err("order");
            assert!(matches!(error, Error::OutOfOrderSequence { expected: 14, .. }), "{error}");
        }
        assert_eq!(fixture.log.offsets().log_end, 14);
    });
}

#[test]
fn a_duplicate_waits_for_the_original() {
    let fixture = Fixture::new(LogConfig::default());
    fixture.append(producer_batch(1, 0, 0, 2, false)).expect("append");
    let again = fixture.append(producer_batch(1, 0, 0, 2, false)).expect("duplicate");
    assert!(!again.flush.is_done());
    fixture.manager.flush();
    assert!(again.flush.is_done());
}

#[test]
fn epochs_fence_and_restart_sequences() {
    let fixture = Fixture::new(LogConfig::default());
    fixture.append(producer_batch(1, 0, 0, 2, false)).expect("append");
    let error = fixture.append(producer_batch(1, 1, 2, 1, false)).expect_err("sequence of the old epoch");
    assert!(matches!(error, Error::OutOfOrderSequence { expected: 0, .. }), "{error}");
    fixture.append(producer_batch(1, 1, 0, 1, false)).expect("new epoch");
    fixture.manager.flush();
    in_every_life(fixture, |fixture| {
        let error = fixture.append(producer_batch(1, 0, 2, 1, false)).expect_err("zombie");
        assert!(matches!(error, Error::InvalidProducerEpoch { current: ProducerEpoch(1), .. }), "{error}");
    });
}

#[test]
fn sequences_wrap() {
    let fixture = Fixture::new(LogConfig::default());
    fixture
        .append(producer_batch(1, 0, i32::MAX - 1, 3, false))
        .expect("unknown producers may start anywhere");
    fixture.append(producer_batch(1, 0, 1, 1, false)).expect("0 was the last");
}

#[test]
fn the_last_stable_offset_waits_for_the_oldest_transaction() {
    let fixture = Fixture::new(LogConfig { segment_bytes: 250, ..LogConfig::default() });
    fixture.put(&["plain"]);
    fixture.append(producer_batch(1, 0, 0, 2, true)).expect("append");
    fixture.append(producer_batch(2, 0, 0, 1, true)).expect("append");
    fixture.append(producer_batch(1, 0, 2, 1, true)).expect("append");
    fixture.manager.flush();
    assert_eq!(fixture.log.offsets().last_stable, 1);
    assert_eq!(fixture.log.ongoing_txn(ProducerId(1)), Some(1));
    // Offset 5: the marker of 2; transaction 1 is still open.
    fixture.end_txn(2, MarkerKind::Abort).expect("marker");
    fixture.manager.flush();
    assert_eq!(fixture.log.offsets().last_stable, 1);
    // Offset 6: the marker of 1. It decides only when it is durable.
    fixture.end_txn(1, MarkerKind::Commit).expect("marker");
    assert_eq!(fixture.log.offsets().last_stable, 1);
    fixture.manager.flush();
    assert_eq!(fixture.log.offsets().last_stable, 7);
    in_every_life(fixture, |fixture| {
        assert_eq!(fixture.log.offsets().last_stable, 7);
        let data = fixture.read(0, Isolation::ReadCommitted);
        assert!(!data.bytes.is_empty());
        let all = fixture.log.aborted_txns(0, 7).expect("aborted");
        assert_eq!(all, [AbortedTxn { producer_id: ProducerId(2), first_offset: 3 }]);
        assert!(fixture.log.aborted_txns(6, 7).expect("aborted").is_empty());
        let offsets: Vec<_> =
            super::records(&fixture.log, Isolation::ReadCommitted).iter().map(|kv| kv.offset).collect();
        assert_eq!(offsets, [0, 1, 2, 4]);
        assert_eq!(fixture.log.ongoing_txn(ProducerId(1)), None);
    });
}

#[test]
fn open_transactions_survive_restarts() {
    let fixture = Fixture::new(LogConfig::default());
    fixture.append(producer_batch(1, 0, 0, 2, true)).expect("append");
    fixture.put(&["plain"]);
    in_every_life(fixture, |fixture| {
        assert_eq!(fixture.log.offsets().last_stable, 0);
        assert_eq!(fixture.log.ongoing_txn(ProducerId(1)), Some(0));
        let error = fixture.append(producer_batch(1, 0, 2, 1, false)).expect_err("outside the transaction");
        assert!(matches!(error, Error::InvalidTxnState { .. }), "{error}");
    });
}

#[test]
fn old_coordinators_cannot_end_transactions() {
    let fixture = Fixture::new(LogConfig::default());
    let end = |coordinator_epoch| {
        fixture.append(producer_batch(1, 0, 0, 1, true)).expect("append");
        let marker = EndTxnMarker { kind: MarkerKind::Commit, coordinator_epoch };
        let bytes = marker.to_batch(NOW_MS, ProducerId(1), ProducerEpoch(0));
        fixture.log.append(bytes, AppendOrigin::Marker, 0)
    };
    end(5).expect("marker");
    assert!(matches!(end(4), Err(Error::TransactionCoordinatorFenced { current: 5, actual: 4, .. })));
    let error = fixture.log.append(batch(&["a"]), AppendOrigin::Marker, 0).expect_err("not a marker");
    assert!(matches!(error, Error::InvalidRecord { .. }), "{error}");
}

#[test]
fn silent_producers_are_forgotten() {
    let fixture = Fixture::new(LogConfig::default());
    fixture.append(producer_batch(1, 0, 0, 1, false)).expect("append");
    fixture.append(producer_batch(2, 0, 0, 1, true)).expect("append");
    fixture.clock.advance_ms(2 * 24 * 60 * 60 * 1000);
    fixture.manager.housekeep();
    let ids: Vec<_> = fixture.log.producers().iter().map(|producer| producer.producer_id).collect();
    assert_eq!(ids, [ProducerId(2)], "an open transaction keeps its producer");
}

#[test]
fn producers_of_old_records_are_remembered_as_long_as_others() {
    let fixture = Fixture::new(LogConfig::default());
    let old = |sequence| {
        let mut builder = RecordBatchBuilder::new(BatchOptions {
            producer_id: ProducerId(1),
            producer_epoch: ProducerEpoch(0),
            base_sequence: sequence,
            ..BatchOptions::default()
        });
        builder.append(NOW_MS / 2, None, Some(b"long ago"), &[]);
        builder.build().expect("build")
    };
    fixture.append(old(0)).expect("append");
    fixture.append(old(1)).expect("append");
    fixture.manager.flush();
    fixture.clock.advance_ms(60 * 60 * 1000);
    fixture.manager.housekeep();
    in_every_life(fixture, |fixture| {
        fixture.manager.housekeep();
        let again = fixture.append(old(1)).expect("append");
        assert!(again.duplicate, "the batch is known");
        let error = fixture.append(old(5)).expect_err("a gap");
        assert!(matches!(error, Error::OutOfOrderSequence { expected: 2, actual: 5, .. }), "{error}");
        fixture.clock.advance_ms(2 * 24 * 60 * 60 * 1000);
        fixture.manager.housekeep();
        assert!(fixture.log.producers().is_empty());
        fixture.clock.set_now_ms(NOW_MS);
    });
}

#[test]
fn a_clock_set_a_day_ahead_makes_no_producer_unknown() {
    let fixture = Fixture::new(LogConfig::default());
    fixture.append(producer_batch(1, 0, 0, 1, false)).expect("append");
    fixture.clock.set_now_ms(NOW_MS + 2 * 24 * 60 * 60 * 1000);
    fixture.manager.housekeep();
    assert!(fixture.append(producer_batch(1, 0, 0, 1, false)).expect("append").duplicate);
}

#[test]
fn readers_are_not_sent_before_the_log_start_by_a_transaction_whose_records_are_deleted() {
    let fixture = Fixture::new(LogConfig::default());
    fixture.append(producer_batch(1, 0, 0, 2, true)).expect("append");
    fixture.put(&["plain", "plain"]);
    fixture.log.delete_records_before(3).expect("deleted");
    in_every_life(fixture, |fixture| {
        fixture.log.delete_records_before(3).expect("deleted");
        let offsets = fixture.log.offsets();
        assert_eq!((offsets.log_start, offsets.last_stable), (3, 3));
        let latest = fixture.log.lookup(OffsetSpec::Latest, Isolation::ReadCommitted).expect("lookup");
        assert_eq!(latest.expect("some").offset, 3);
        fixture.end_txn(1, MarkerKind::Commit).expect("marker");
        fixture.manager.flush();
        assert_eq!(fixture.log.offsets().last_stable, 5);
    });
}
