//! Crashes at every point, and files that are not what was written.

use std::io::ErrorKind;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Crash, Fixture, batch, log_file, manager_config, producer_batch};
use crate::env::storage::memory::{Operation, Verdict};
use crate::env::storage::{OpenMode, Storage};
use crate::error::Error;
use crate::log::access::Isolation;
use crate::log::config::{CleanupPolicy, Durability, LogConfig};
use crate::log::loader::CorruptionPolicy;
use crate::log::manager::LogManagerConfig;
use crate::record::control::MarkerKind;

#[test]
fn a_log_cut_anywhere_in_its_last_batch_loses_only_that() {
    let fixture = Fixture::new(LogConfig::default());
    fixture.put(&["a", "b"]);
    let kept = fixture.log.size_bytes();
    fixture.put(&["c", "d", "e"]);
    let full = fixture.log.size_bytes();
    for len in kept..full {
        let storage = fixture.storage.after_crash(Crash::Process);
        storage.tamper(&log_file(0, ".log"), |bytes| bytes.truncate(len as usize)).expect("tamper");
        let cut = Fixture::open(storage, fixture.clock.clone(), manager_config()).expect("reopen");
        assert_eq!(cut.values(), ["a", "b"], "cut at {len}");
        assert_eq!(cut.log.size_bytes(), kept);
        assert_eq!(cut.put(&["next"]).base_offset, 2);
    }
}

#[test]
fn garbage_and_zeros_behind_the_log_are_cut() {
    let fixture = Fixture::new(LogConfig::default());
    fixture.put(&["a"]);
    for garbage in [vec![0; 5000], vec![0xff; 70], (0..=255).collect::<Vec<u8>>().repeat(20)] {
        let storage = fixture.storage.after_crash(Crash::Process);
        storage.tamper(&log_file(0, ".log"), |bytes| bytes.extend(&garbage)).expect("tamper");
        let cut = Fixture::open(storage, fixture.clock.clone(), manager_config()).expect("reopen");
        assert_eq!(cut.values(), ["a"]);
    }
}

#[test]
fn flipped_bits_are_refused_cut_or_harmless() {
    let fixture = Fixture::new(LogConfig::default());
    for value in ["first", "second", "third"] {
        fixture.put(&[value]);
    }
    let (size, all) = (fixture.log.size_bytes() as usize, fixture.values());
    let last_batch = size - batch(&["third"]).len();
    for at in 0..size {
        let storage = fixture.storage.after_crash(Crash::Process);
        storage.tamper(&log_file(0, ".log"), |bytes| bytes[at] ^= 0x10).expect("tamper");
        let reopen =
            |config| Fixture::open(storage.after_crash(Crash::Process), fixture.clock.clone(), config);
        match reopen(manager_config()) {
            // The last batch looks like a torn write.
            Ok(opened) => {
                assert!(at >= last_batch, "flip at {at} went unnoticed");
                assert_eq!(opened.values(), all[..2]);
            }
            Err(Error::CorruptLog { path, position, .. }) => {
                assert_eq!(path, log_file(0, ".log"));
                assert!(position as usize <= at);
                let cut = reopen(LogManagerConfig {
                    on_corruption: CorruptionPolicy::Truncate,
                    ..manager_config()
                });
                assert!(all.starts_with(&cut.expect("the operator decided so").values()));
            }
            Err(error) => panic!("flip at {at}: {error}"),
        }
    }
}

#[test]
fn damage_in_an_older_segment_is_refused() {
    let fixture = Fixture::new(LogConfig { segment_bytes: 100, ..LogConfig::default() });
    for value in ["first", "second", "third"] {
        fixture.put(&[value]);
    }
    let storage = fixture.storage.after_crash(Crash::Process);
    storage.tamper(&log_file(1, ".log"), |bytes| bytes.truncate(20)).expect("tamper");
    let error = Fixture::open(storage, fixture.clock.clone(), manager_config()).err().expect("refused");
    assert!(matches!(error, Error::CorruptLog { offset: 1, .. }), "{error}");
}

#[test]
fn damage_below_the_recovery_point_is_no_torn_write() {
    let fixture = Fixture::new(LogConfig::default());
    fixture.put(&["a"]);
    fixture.put(&["b"]);
    fixture.manager.checkpoint().expect("checkpoint");
    fixture
        .storage
        .tamper(&log_file(0, ".log"), |bytes| *bytes.last_mut().expect("bytes") ^= 1)
        .expect("tamper");
    let error = fixture.crash(Crash::Process).err().expect("refused");
    assert!(matches!(error, Error::CorruptLog { offset: 1, .. }), "{error}");
}

#[test]
fn a_relaxed_log_is_cut_at_the_first_hole() {
    let config = LogManagerConfig { durability: Durability::Relaxed, ..manager_config() };
    let fixture = Fixture::with_manager(config.clone(), LogConfig::default());
    let sizes = ["a", "b", "c"].map(|value| {
        fixture.put(&[value]);
        fixture.log.size_bytes() as usize
    });
    fixture.storage.tamper(&log_file(0, ".log"), |bytes| bytes[sizes[0]..sizes[1]].fill(0)).expect("tamper");
    let storage = fixture.storage.after_crash(Crash::Process);
    assert_eq!(Fixture::open(storage, fixture.clock.clone(), config).expect("reopen").values(), ["a"]);
    assert!(fixture.crash(Crash::Process).is_err(), "with fsync there are no holes");
}

#[test]
fn snapshots_and_checkpoints_may_be_lost_or_damaged() {
    let fixture = Fixture::new(LogConfig { segment_bytes: 200, ..LogConfig::default() });
    for sequence in 0..8 {
        fixture.append(producer_batch(1, 0, sequence, 1, false)).expect("append");
        fixture.manager.flush();
    }
    fixture.manager.checkpoint().expect("checkpoint");
    for base in fixture.log.segments().iter().map(|segment| segment.base_offset()) {
        let _ = fixture.storage.tamper(&log_file(base, ".snapshot"), |bytes| bytes[5] ^= 1);
    }
    for name in ["recovery-point-offset-checkpoint", "log-start-offset-checkpoint"] {
        let path = std::path::Path::new(super::DATA_DIR).join(name);
        fixture.storage.tamper(&path, |bytes| bytes.push(b'x')).expect("tamper");
    }
    let reopened = fixture.crash(Crash::Process).expect("reopen");
    assert_eq!(reopened.log.offsets().log_end, 8);
    assert!(reopened.append(producer_batch(1, 0, 7, 1, false)).expect("duplicate").duplicate);
}

/// The segment ends at the recovery point, so its batches were flushed; but its indexes are written when it is sealed,
/// and a loss of power may have kept the next segment only.
#[test]
fn a_roll_cut_short_at_the_recovery_point_keeps_the_aborted_transactions() {
    let fixture = Fixture::new(LogConfig { segment_bytes: 200, ..LogConfig::default() });
    fixture.append(producer_batch(1, 0, 0, 2, true)).expect("append");
    fixture.end_txn(1, MarkerKind::Abort).expect("append");
    fixture.manager.flush();
    fixture.manager.checkpoint().expect("checkpoint");
    fixture.storage.inject(|_, path| match path.extension() {
        Some(suffix) if suffix == "txnindex" => Verdict::Fail(ErrorKind::Other),
        _ => Verdict::Proceed,
    });
    assert!(fixture.append(batch(&["rolls"])).is_err());
    fixture.storage.heal();
    fixture.storage.open(&log_file(3, ".log"), OpenMode::Create).expect("the next segment");
    let reopened = fixture.crash(Crash::Process).expect("reopen");
    assert_eq!(reopened.log.segments().len(), 2, "the new segment was made");
    assert_eq!(super::records(&reopened.log, Isolation::ReadCommitted), [], "aborted records are visible");
}

/// The segment goes on, perhaps with records that fit it: no file may say that it ended.
#[test]
fn a_roll_that_finds_no_room_leaves_nothing_behind() {
    for full in ["snapshot", "index", "timeindex", "log"] {
        let fixture = Fixture::new(LogConfig { segment_bytes: 300, ..LogConfig::default() });
        fixture.put(&["a"]);
        fixture.storage.inject(move |operation, path| match operation {
            Operation::Write { .. } | Operation::Open if path.extension().is_some_and(|it| it == full) => {
                Verdict::Fail(ErrorKind::StorageFull)
            }
            _ => Verdict::Proceed,
        });
        let large = "x".repeat(250);
        assert!(fixture.append(batch(&[&large])).is_err(), "{full}");
        fixture.storage.heal();
        fixture.put(&["b"]);
        let reopened = fixture.crash(Crash::Process).expect("reopen");
        assert_eq!(reopened.values(), ["a", "b"], "{full}");
        fixture.put(&[&large]);
        assert_eq!(fixture.log.segments().len(), 2, "{full}");
        assert_eq!(fixture.crash(Crash::Power).expect("reopen").values(), ["a", "b", &large], "{full}");
    }
}

/// What a script was promised before it was stopped.
#[derive(Default)]
struct Promises {
    /// Values whose append was acknowledged, in order.
    acknowledged: Vec<String>,
    /// Values handed to the log, acknowledged or not, in order.
    attempted: Vec<String>,
}

/// Appends, rolls, deletes, checkpoints, restarts; stops at the first error.
fn script(fixture: &Fixture, promises: &mut Promises) -> Result<(), Error> {
    for round in 0..6 {
        let mut tickets = Vec::new();
        for index in 0..3 {
            let value = format!("value {round}/{index}");
            promises.attempted.push(value.clone());
            tickets.push((fixture.append(batch(&[&value]))?.flush, value));
        }
        fixture.manager.flush();
        for (ticket, value) in tickets {
            ticket.wait_blocking()?;
            promises.acknowledged.push(value);
        }
        if round == 3 {
            fixture.manager.checkpoint()?;
        }
    }
    Ok(())
}

#[test]
fn whatever_operation_fails_acknowledged_records_survive_the_crash() {
    let config = LogConfig { segment_bytes: 250, ..LogConfig::default() };
    let mut failed_at = 0;
    loop {
        for (kind, tear) in
            [(ErrorKind::Other, false), (ErrorKind::Other, true), (ErrorKind::StorageFull, true)]
        {
            let fixture = Fixture::new(config.clone());
            let count = Arc::new(Mutex::new(0));
            let counter = Arc::clone(&count);
            fixture.storage.inject(move |_, _| {
                let mut count = counter.lock();
                *count += 1;
                match (*count - 1 == failed_at, tear) {
                    (false, _) => Verdict::Proceed,
                    (true, false) => Verdict::Fail(kind),
                    (true, true) => Verdict::Tear { kept: 30, kind },
                }
            });
            let mut promises = Promises::default();
            let _ = script(&fixture, &mut promises);
            fixture.storage.heal();
            for crash in [Crash::Process, Crash::Power, Crash::PowerTorn { extra: 40 }] {
                let reopened =
                    fixture.crash(crash).unwrap_or_else(|error| panic!("{failed_at} {crash:?}: {error}"));
                let found = reopened.values();
                let context = format!("operation {failed_at}, {kind:?}, {crash:?}");
                assert!(found.starts_with(&promises.acknowledged), "{context}: lost {found:?}");
                assert!(promises.attempted.starts_with(&found), "{context}: invented {found:?}");
                let end = reopened.put(&["after"]);
                assert_eq!(end.base_offset, found.len() as i64, "{context}");
            }
            if *count.lock() <= failed_at {
                assert_eq!(promises.acknowledged.len(), 18, "the script ran through");
                return;
            }
        }
        failed_at += 1;
    }
}

#[test]
fn a_crash_at_any_point_of_a_compaction_loses_no_value() {
    let config = LogConfig {
        segment_bytes: 400,
        cleanup_policy: CleanupPolicy { delete: false, compact: true },
        min_cleanable_dirty_ratio: 0.0,
        ..LogConfig::default()
    };
    let mut failed_at = 0;
    loop {
        let fixture = Fixture::new(config.clone());
        for sequence in 0..12 {
            fixture.append(producer_batch(1, 0, sequence * 4, 4, false)).expect("append");
            fixture.manager.flush();
        }
        let latest = super::cleaning::latest(&super::records(&fixture.log, Isolation::ReadUncommitted));
        let count = Arc::new(Mutex::new(0));
        let counter = Arc::clone(&count);
        fixture.storage.inject(move |_, _| {
            let mut count = counter.lock();
            *count += 1;
            if *count > failed_at { Verdict::Fail(ErrorKind::Other) } else { Verdict::Proceed }
        });
        let _ = fixture.manager.clean();
        fixture.storage.heal();
        for crash in [Crash::Process, Crash::Power] {
            let reopened =
                fixture.crash(crash).unwrap_or_else(|error| panic!("{failed_at} {crash:?}: {error}"));
            let found = super::records(&reopened.log, Isolation::ReadUncommitted);
            assert_eq!(super::cleaning::latest(&found), latest, "operation {failed_at}, {crash:?}");
            assert!(reopened.append(producer_batch(1, 0, 44, 4, false)).expect("known producer").duplicate);
        }
        if *count.lock() <= failed_at {
            return;
        }
        failed_at += 1;
    }
}
