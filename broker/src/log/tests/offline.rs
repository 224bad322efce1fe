//! One damaged log, and everything around it.

use std::sync::Arc;

use super::{Crash, Fixture, batch, log_file, manager_config, tp};
use crate::env::storage::Storage;
use crate::env::storage::memory::MemoryStorage;
use crate::error::{Error, Result};
use crate::ids::{Offset, TopicId, TopicPartition};
use crate::log::access::{AppendOrigin, Isolation, ReadRequest};
use crate::log::config::LogConfig;
use crate::log::manager::LogManager;

fn other() -> TopicPartition {
    TopicPartition::new("other", 3)
}

fn open(fixture: &Fixture, storage: &MemoryStorage) -> Arc<LogManager> {
    LogManager::open(manager_config(), Arc::new(storage.clone()), fixture.clock.clone())
        .expect("damage does not keep a directory from being opened")
}

/// Two logs with three records each, of which two are below the recovery point; the first log is damaged there.
fn damaged() -> (Fixture, MemoryStorage) {
    let fixture = Fixture::new(LogConfig::default());
    let second = fixture.manager.create(&other(), TopicId::NONE, LogConfig::default()).expect("create");
    for round in 0..3 {
        if round == 2 {
            fixture.manager.checkpoint().expect("checkpoint");
        }
        fixture.append(batch(&["a"])).expect("append");
        second.append(batch(&["b"]), AppendOrigin::Client, 0).expect("append");
        fixture.manager.flush();
    }
    let storage = fixture.storage.after_crash(Crash::Process);
    storage.tamper(&log_file(0, ".log"), |bytes| bytes[65] ^= 1).expect("tamper");
    (fixture, storage)
}

fn end_of(manager: &LogManager, partition: &TopicPartition) -> Result<Offset> {
    let log = manager.get(partition).ok_or_else(|| Error::UnknownPartition(partition.clone()))?;
    let request = ReadRequest {
        offset: 0,
        bytes_max: 1 << 20,
        isolation: Isolation::ReadUncommitted,
        at_least_one_batch: true,
    };
    log.read(&request)?;
    Ok(log.offsets().log_end)
}

#[test]
fn a_damaged_log_goes_offline_and_the_others_are_served() {
    let (fixture, storage) = damaged();
    let manager = open(&fixture, &storage);
    assert_eq!(end_of(&manager, &other()).expect("served"), 3);
    assert!(manager.get(&tp()).is_none());
    let offline = manager.offline();
    assert_eq!(offline.len(), 1);
    let Error::CorruptLog { path, offset, .. } = &offline[0].error else { panic!("{}", offline[0].error) };
    assert_eq!((path, *offset), (&log_file(0, ".log"), 0));
    assert!(matches!(
        manager.create(&tp(), TopicId::NONE, LogConfig::default()),
        Err(Error::CorruptLog { .. })
    ));
}

#[test]
fn damage_is_still_damage_after_a_clean_stop() {
    let (fixture, storage) = damaged();
    let before = storage.read(&log_file(0, ".log")).expect("readable");
    for _ in 0..3 {
        let manager = open(&fixture, &storage);
        assert_eq!(manager.offline().len(), 1);
        manager.shutdown().expect("shutdown");
    }
    assert_eq!(storage.read(&log_file(0, ".log")).expect("readable"), before, "nothing was cut off");
}

#[test]
fn a_damaged_log_can_be_deleted_and_made_anew() {
    let (fixture, storage) = damaged();
    let manager = open(&fixture, &storage);
    manager.delete(&tp()).expect("delete");
    assert!(manager.offline().is_empty());
    let log = manager.create(&tp(), TopicId::NONE, LogConfig::default()).expect("create");
    log.append(batch(&["new"]), AppendOrigin::Client, 0).expect("append");
    manager.flush();
    let reopened = open(&fixture, &storage.after_crash(Crash::Power));
    assert_eq!(end_of(&reopened, &tp()).expect("served"), 1);
}

#[test]
fn a_log_cut_between_batches_below_the_recovery_point_goes_offline() {
    let (fixture, _) = damaged();
    let storage = fixture.storage.after_crash(Crash::Process);
    let one = batch(&["a"]).len();
    storage.tamper(&log_file(0, ".log"), |bytes| bytes.truncate(one)).expect("tamper");
    let manager = open(&fixture, &storage);
    let error = manager.find_offline(&tp()).expect("two records were flushed").error;
    assert!(matches!(error, Error::CorruptLog { offset: 1, .. }), "{error}");
}

/// The recovery point and the log start of a deleted log must not be believed of a new one with its name.
#[test]
fn a_log_made_anew_is_not_judged_by_the_checkpoints_of_its_predecessor() {
    let fixture = Fixture::new(LogConfig { segment_bytes: 100, ..LogConfig::default() });
    for value in ["a", "b", "c", "d"] {
        fixture.put(&[value]);
    }
    fixture.log.delete_records_before(4).expect("delete");
    fixture.manager.checkpoint().expect("checkpoint");
    fixture.manager.delete(&tp()).expect("delete");
    let log = fixture.manager.create(&tp(), TopicId::NONE, LogConfig::default()).expect("create");
    log.append(batch(&["new"]), AppendOrigin::Client, 0).expect("append");
    fixture.manager.flush();
    for crash in [Crash::Process, Crash::Power] {
        let manager = open(&fixture, &fixture.storage.after_crash(crash));
        assert!(manager.offline().is_empty(), "{:?}", manager.offline());
        let log = manager.get(&tp()).expect("served");
        assert_eq!((log.offsets().log_start, log.offsets().log_end), (0, 1), "{crash:?}");
    }
}
