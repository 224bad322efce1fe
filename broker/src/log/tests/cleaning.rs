//! Compaction against a map from key to last value.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

use super::{Crash, Fixture, Kv, NOW_MS, producer_batch, records};
use crate::ids::{ProducerEpoch, ProducerId};
use crate::log::access::Isolation;
use crate::log::cleaner::CleanerConfig;
use crate::log::config::{CleanupPolicy, LogConfig};
use crate::log::manager::LogManagerConfig;
use crate::log::segment::Segment;
use crate::record::builder::{BatchOptions, RecordBatchBuilder};
use crate::record::compression::Compression;
use crate::record::control::MarkerKind;

fn compacted() -> LogConfig {
    LogConfig {
        segment_bytes: 400,
        index_interval_bytes: 50,
        cleanup_policy: CleanupPolicy { delete: false, compact: true },
        min_cleanable_dirty_ratio: 0.0,
        delete_retention_ms: 1000,
        ..LogConfig::default()
    }
}

/// The last value and offset of each key; keys whose last value is a tombstone are not there.
pub(super) fn latest(records: &[Kv]) -> BTreeMap<Vec<u8>, (i64, Vec<u8>)> {
    let mut latest = BTreeMap::new();
    for kv in records {
        let key = kv.key.clone().expect("compacted topics have keys");
        match &kv.value {
            Some(value) => latest.insert(key, (kv.offset, value.clone())),
            None => latest.remove(&key),
        };
    }
    latest
}

fn put(fixture: &Fixture, key: &str, value: Option<&str>) {
    let mut builder = RecordBatchBuilder::new(BatchOptions::default());
    builder.append(NOW_MS, Some(key.as_bytes()), value.map(str::as_bytes), &[]);
    fixture.append(builder.build().expect("build")).expect("append");
    fixture.manager.flush();
}

/// Pushes everything before out of the active segment.
fn roll(fixture: &Fixture) {
    put(fixture, "filler", Some(&"x".repeat(400)));
    put(fixture, "filler", Some(&"y".repeat(400)));
}

fn keys(fixture: &Fixture, isolation: Isolation) -> Vec<String> {
    let records = records(&fixture.log, isolation).into_iter();
    let keys = records.map(|kv| String::from_utf8(kv.key.expect("key")).expect("text"));
    keys.filter(|key| key != "filler").collect()
}

#[test]
fn the_end_of_a_compacted_segment_is_noted_anew() {
    let fixture = Fixture::new(compacted());
    for turn in 0..20 {
        put(&fixture, &format!("k{}", turn % 3), Some("value"));
    }
    roll(&fixture);
    assert_eq!(fixture.manager.clean().expect("clean"), 1);
    let (all, sizes) = (records(&fixture.log, Isolation::ReadUncommitted), fixture.log.size_bytes());
    let reopened = fixture.crash(Crash::Power).expect("what was compacted is not taken for damage");
    assert_eq!(records(&reopened.log, Isolation::ReadUncommitted), all);
    assert_eq!(reopened.log.size_bytes(), sizes);
    fixture.manager.checkpoint().expect("checkpoint");
    let segments = fixture.log.segments();
    let kept = |segment: &&Arc<Segment>| !segment.is_contiguous() && !segment.is_empty();
    let compacted = segments.iter().find(kept).expect("there is one");
    let storage = fixture.storage.after_crash(Crash::Power);
    storage.tamper(compacted.path(), |bytes| bytes.truncate(bytes.len() / 2)).expect("tamper");
    assert!(Fixture::open(storage, fixture.clock.clone(), super::manager_config()).is_err());
}

/// A step: a batch of (key, value or tombstone) by one of three writers, the last two transactional and ended so.
type Step = (Vec<(u8, Option<u8>)>, u8, bool);

proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(60))]
    #[test]
    fn compaction_keeps_what_a_map_would(
        steps in vec((vec((0..12u8, option::weighted(0.8, any::<u8>())), 1..8), 0..3u8, any::<bool>()), 1..60),
        clean_every in 5..20usize,
        dedupe_keys in 1..40usize,
        advance_ms in 0..3000u64,
    ) {
        let cleaner = CleanerConfig { dedupe_bytes_max: dedupe_keys * 64, ..CleanerConfig::default() };
        let config = LogManagerConfig { cleaner, ..super::manager_config() };
        let fixture = Fixture::with_manager(config, compacted());
        let mut model: BTreeMap<Vec<u8>, (i64, Vec<u8>)> = BTreeMap::new();
        let mut sequences = [0; 3];
        for (index, (entries, writer, commit)) in (steps as Vec<Step>).into_iter().enumerate() {
            let transactional = writer > 0;
            let mut builder = RecordBatchBuilder::new(BatchOptions {
                compression: Compression::ALL[index % 5],
                producer_id: ProducerId(i64::from(writer)),
                producer_epoch: ProducerEpoch(0),
                base_sequence: sequences[usize::from(writer)],
                transactional,
                ..BatchOptions::default()
            });
            sequences[usize::from(writer)] += entries.len() as i32;
            for (key, value) in &entries {
                builder.append(NOW_MS, Some(&[*key]), value.as_ref().map(std::slice::from_ref), &[]);
            }
            let base = fixture.append(builder.build().expect("build")).expect("append").base_offset;
            if transactional {
                let kind = if commit { MarkerKind::Commit } else { MarkerKind::Abort };
                fixture.end_txn(i64::from(writer), kind).expect("marker");
            }
            fixture.manager.flush();
            if !transactional || commit {
                for (at, (key, value)) in entries.into_iter().enumerate() {
                    match value {
                        Some(value) => model.insert(vec![key], (base + at as i64, vec![value])),
                        None => model.remove(&vec![key]),
                    };
                }
            }
            if index % clean_every == clean_every - 1 {
                fixture.manager.clean().expect("clean");
                fixture.clock.advance_ms(advance_ms);
                let found = latest(&records(&fixture.log, Isolation::ReadCommitted));
                prop_assert_eq!(&found, &model);
            }
        }
        for _ in 0..3 {
            fixture.manager.clean().expect("clean");
            fixture.clock.advance_ms(1001);
        }
        prop_assert_eq!(&latest(&records(&fixture.log, Isolation::ReadCommitted)), &model);
        let producers = |fixture: &Fixture| {
            let mut known: Vec<_> =
                fixture.log.producers().iter().map(|p| (p.producer_id, p.last_sequence)).collect();
            known.sort_unstable();
            known
        };
        let known = producers(&fixture);
        let crashed = fixture.crash(Crash::Power).expect("reopen");
        prop_assert_eq!(&latest(&records(&crashed.log, Isolation::ReadCommitted)), &model);
        prop_assert_eq!(producers(&crashed), known.clone());
        let restarted = fixture.restart();
        prop_assert_eq!(&latest(&records(&restarted.log, Isolation::ReadCommitted)), &model);
        prop_assert!(producers(&restarted) == known);
    }
}

#[test]
fn superseded_records_go_and_the_active_segment_stays() {
    let fixture = Fixture::new(compacted());
    for value in 0..5 {
        put(&fixture, "a", Some(&value.to_string()));
        put(&fixture, "b", Some(&value.to_string()));
    }
    roll(&fixture);
    let before = fixture.log.size_bytes();
    assert_eq!(fixture.manager.clean().expect("clean"), 1);
    assert!(fixture.log.size_bytes() < before);
    assert_eq!(keys(&fixture, Isolation::ReadUncommitted), ["a", "b"]);
    assert_eq!(fixture.manager.clean().expect("clean"), 0, "nothing is dirty");
    let fixture = fixture.restart();
    assert_eq!(keys(&fixture, Isolation::ReadUncommitted), ["a", "b"]);
    assert_eq!(fixture.manager.clean().expect("clean"), 0, "the checkpoint is kept");
    put(&fixture, "a", Some("newer"));
    fixture.manager.clean().expect("clean");
    assert_eq!(keys(&fixture, Isolation::ReadUncommitted), ["a", "b", "a"], "the active segment stays");
}

#[test]
fn tombstones_stay_for_their_retention_time() {
    let fixture = Fixture::new(compacted());
    put(&fixture, "a", Some("1"));
    put(&fixture, "a", None);
    roll(&fixture);
    fixture.manager.clean().expect("clean");
    assert_eq!(keys(&fixture, Isolation::ReadUncommitted), ["a"], "the tombstone");
    fixture.clock.advance_ms(999);
    roll(&fixture);
    fixture.manager.clean().expect("clean");
    assert_eq!(keys(&fixture, Isolation::ReadUncommitted), ["a"]);
    fixture.clock.advance_ms(1);
    roll(&fixture);
    fixture.manager.clean().expect("clean");
    assert!(keys(&fixture, Isolation::ReadUncommitted).is_empty());
}

#[test]
fn open_transactions_bound_compaction() {
    let fixture = Fixture::new(compacted());
    put(&fixture, "k0", Some("1"));
    put(&fixture, "k0", Some("2"));
    roll(&fixture);
    let clean_until = fixture.log.offsets().log_end;
    fixture.append(producer_batch(1, 0, 0, 3, true)).expect("append");
    put(&fixture, "k0", Some("3"));
    put(&fixture, "k0", Some("4"));
    roll(&fixture);
    roll(&fixture);
    fixture.manager.clean().expect("clean");
    let offsets: Vec<_> =
        records(&fixture.log, Isolation::ReadUncommitted).iter().map(|kv| kv.offset).collect();
    let end = fixture.log.offsets().log_end;
    assert!((clean_until..end).all(|offset| offsets.contains(&offset)), "{offsets:?}");
}

#[test]
fn aborted_records_and_then_their_marker_go() {
    let fixture = Fixture::new(compacted());
    fixture.append(producer_batch(1, 0, 0, 3, true)).expect("append");
    let marker = fixture.end_txn(1, MarkerKind::Abort).expect("marker").base_offset;
    fixture.append(producer_batch(1, 0, 3, 1, true)).expect("append");
    fixture.end_txn(1, MarkerKind::Commit).expect("marker");
    roll(&fixture);
    let marker_is_there = |fixture: &Fixture| {
        let data = fixture.read(0, Isolation::ReadUncommitted);
        crate::record::batch::BatchIter::new(data.bytes)
            .any(|batch| batch.expect("good").base_offset() == marker)
    };
    fixture.manager.clean().expect("clean");
    assert!(marker_is_there(&fixture));
    assert_eq!(keys(&fixture, Isolation::ReadUncommitted), ["k0"], "the committed one");
    roll(&fixture);
    fixture.manager.clean().expect("clean sets the horizon");
    assert!(marker_is_there(&fixture));
    fixture.clock.advance_ms(1000);
    roll(&fixture);
    fixture.manager.clean().expect("clean");
    assert!(!marker_is_there(&fixture));
    assert!(fixture.log.aborted_txns(0, marker + 1).expect("aborted").is_empty());
    assert_eq!(keys(&fixture, Isolation::ReadCommitted), ["k0"]);
}

#[test]
fn young_records_are_left_alone_and_old_ones_forced() {
    let config = LogConfig { min_compaction_lag_ms: 5000, ..compacted() };
    let fixture = Fixture::new(config);
    put(&fixture, "a", Some("1"));
    put(&fixture, "a", Some("2"));
    roll(&fixture);
    assert_eq!(fixture.manager.clean().expect("clean"), 0);
    fixture.clock.advance_ms(5001);
    assert_eq!(fixture.manager.clean().expect("clean"), 1);
    let config = LogConfig { min_cleanable_dirty_ratio: 1.0, max_compaction_lag_ms: 5000, ..compacted() };
    let fixture = Fixture::new(config);
    put(&fixture, "a", Some("1"));
    put(&fixture, "a", Some("2"));
    roll(&fixture);
    assert_eq!(fixture.manager.clean().expect("clean"), 0);
    fixture.clock.advance_ms(5001);
    assert_eq!(fixture.manager.clean().expect("clean"), 1);
}
