//! What many partitions cost. Operations are counted and compared, because each takes as long as the disk likes.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Crash, DATA_DIR, NOW_MS, batch, manager_config};
use crate::env::clock::ManualClock;
use crate::env::storage::Storage;
use crate::env::storage::memory::{MemoryStorage, Operation, Verdict};
use crate::error::Error;
use crate::ids::{LeaderEpoch, TopicId, TopicPartition};
use crate::log::access::{AppendOrigin, Isolation, ReadRequest};
use crate::log::config::LogConfig;
use crate::log::manager::LogManager;

const EPOCH: LeaderEpoch = 0;

/// Operations that were asked for.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Counts {
    opens: usize,
    reads: usize,
    writes: usize,
    syncs: usize,
    dir_syncs: usize,
    others: usize,
}

/// Counts what `work` does to the disk.
fn count(storage: &MemoryStorage, work: impl FnOnce()) -> Counts {
    let counts = Arc::new(Mutex::new(Counts::default()));
    let counting = Arc::clone(&counts);
    storage.inject(move |operation, _| {
        let mut counts = counting.lock();
        match operation {
            Operation::Open => counts.opens += 1,
            Operation::Read => counts.reads += 1,
            Operation::Write { .. } => counts.writes += 1,
            Operation::Sync => counts.syncs += 1,
            Operation::SyncDir => counts.dir_syncs += 1,
            Operation::SetLen | Operation::Rename | Operation::Remove | Operation::CreateDir => {
                counts.others += 1;
            }
        }
        Verdict::Proceed
    });
    work();
    storage.heal();
    *counts.lock()
}

fn open(storage: &MemoryStorage) -> Arc<LogManager> {
    let clock = Arc::new(ManualClock::new(NOW_MS));
    LogManager::open(manager_config(), Arc::new(storage.clone()), clock).expect("open")
}

fn partition(index: usize) -> TopicPartition {
    TopicPartition::new("many", index as i32)
}

fn create(manager: &LogManager, partitions: usize) {
    let config = Arc::new(LogConfig::default());
    for index in 0..partitions {
        manager.create(&partition(index), TopicId::NONE, Arc::clone(&config)).expect("create");
    }
}

fn append_to_all(manager: &LogManager, partitions: usize) {
    for index in 0..partitions {
        let log = manager.get(&partition(index)).expect("it is there");
        log.append(batch(&["value"]), AppendOrigin::Client, EPOCH).expect("append");
    }
    manager.flush();
}

fn records(manager: &LogManager, index: usize) -> usize {
    let log = manager.get(&partition(index)).expect("it is there");
    let request =
        ReadRequest { offset: 0, bytes_max: 1 << 20, isolation: Isolation::LogEnd, at_least_one_batch: true };
    let read = log.read(&request).expect("read");
    crate::record::batch::BatchIter::new(read.bytes)
        .map(|batch| batch.expect("good").header().records_count as usize)
        .sum()
}

/// What each further partition adds to what `life` does, which is given a number of them.
fn per_partition(life: impl Fn(usize) -> Counts) -> Counts {
    let (few, many) = (life(20), life(120));
    let each = |few: usize, many: usize| {
        assert!((many - few).is_multiple_of(100), "{few} for 20 and {many} for 120 partitions");
        (many - few) / 100
    };
    Counts {
        opens: each(few.opens, many.opens),
        reads: each(few.reads, many.reads),
        writes: each(few.writes, many.writes),
        syncs: each(few.syncs, many.syncs),
        dir_syncs: each(few.dir_syncs, many.dir_syncs),
        others: each(few.others, many.others),
    }
}

const NOTHING: Counts = Counts { opens: 0, reads: 0, writes: 0, syncs: 0, dir_syncs: 0, others: 0 };

#[test]
fn a_new_partition_costs_two_files_and_no_sync() {
    let each = per_partition(|partitions| {
        let storage = MemoryStorage::new();
        let manager = open(&storage);
        count(&storage, || create(&manager, partitions))
    });
    assert_eq!(each, Counts { opens: 2, writes: 1, others: 1, ..NOTHING });
}

#[test]
fn a_clean_stop_of_partitions_without_records_touches_none_of_them() {
    let each = per_partition(|partitions| {
        let storage = MemoryStorage::new();
        let manager = open(&storage);
        create(&manager, partitions);
        count(&storage, || manager.shutdown().expect("shutdown"))
    });
    assert_eq!(each, NOTHING);
}

#[test]
fn a_clean_stop_of_partitions_nothing_was_appended_to_touches_none_of_them() {
    let each = per_partition(|partitions| {
        let storage = MemoryStorage::new();
        let manager = open(&storage);
        create(&manager, partitions);
        append_to_all(&manager, partitions);
        manager.shutdown().expect("shutdown");
        let manager = open(&storage);
        count(&storage, || manager.shutdown().expect("shutdown"))
    });
    assert_eq!(each, NOTHING);
}

#[test]
fn a_clean_stop_writes_nothing_for_a_partition_with_few_records() {
    let each = per_partition(|partitions| {
        let storage = MemoryStorage::new();
        let manager = open(&storage);
        create(&manager, partitions);
        append_to_all(&manager, partitions);
        count(&storage, || manager.shutdown().expect("shutdown"))
    });
    assert_eq!(each, NOTHING);
}

#[test]
fn a_start_after_a_clean_stop_reads_one_small_file_of_each_and_the_log_if_that_is_small() {
    for with_records in [false, true] {
        let each = per_partition(|partitions| {
            let storage = MemoryStorage::new();
            let manager = open(&storage);
            create(&manager, partitions);
            if with_records {
                append_to_all(&manager, partitions);
            }
            manager.shutdown().expect("shutdown");
            count(&storage, || drop(open(&storage)))
        });
        assert_eq!((each.opens, each.writes), (1 + usize::from(with_records), 0));
        assert_eq!((each.syncs, each.dir_syncs, each.others), (0, 0, 0));
    }
}

#[test]
fn a_start_after_a_kill_syncs_only_what_was_appended_since_the_checkpoint() {
    for checkpoint in [false, true] {
        let each = per_partition(|partitions| {
            let storage = MemoryStorage::new();
            let manager = open(&storage);
            create(&manager, partitions);
            append_to_all(&manager, partitions);
            if checkpoint {
                manager.checkpoint().expect("checkpoint");
            }
            drop(manager);
            count(&storage, || drop(open(&storage)))
        });
        let syncs = usize::from(!checkpoint);
        assert_eq!((each.syncs, each.dir_syncs), (syncs, syncs), "checkpoint: {checkpoint}");
        assert_eq!((each.opens, each.writes), (2, 0));
    }
}

#[test]
fn deleting_many_waits_for_the_disk_once() {
    let storage = MemoryStorage::new();
    let manager = open(&storage);
    create(&manager, 100);
    append_to_all(&manager, 50);
    let doomed: Vec<_> = (0..200).map(partition).collect();
    let counts = count(&storage, || manager.delete_all(&doomed).expect("delete"));
    assert_eq!((counts.syncs, counts.dir_syncs), (0, 1));
    assert!(manager.logs().is_empty());
    let names = storage.read_dir(Path::new(DATA_DIR)).expect("list");
    assert!(names.iter().all(|entry| !entry.is_dir), "{names:?}");
}

fn directories(storage: &MemoryStorage) -> usize {
    let entries = storage.read_dir(Path::new(DATA_DIR)).expect("list");
    entries.iter().filter(|entry| entry.is_dir).count()
}

fn two_logs_that_cannot_be_renamed(kind: ErrorKind) -> (MemoryStorage, Arc<LogManager>) {
    let storage = MemoryStorage::new();
    let manager = open(&storage);
    create(&manager, 2);
    append_to_all(&manager, 2);
    storage.inject(move |operation, _| match operation {
        Operation::Rename => Verdict::Fail(kind),
        _ => Verdict::Proceed,
    });
    (storage, manager)
}

/// On ext4 the directory may need a block for the new name.
#[test]
fn a_log_is_deleted_on_a_disk_that_is_too_full_to_rename_it() {
    let (storage, manager) = two_logs_that_cannot_be_renamed(ErrorKind::StorageFull);
    manager.delete(&partition(0)).expect("deleted");
    storage.heal();
    assert_eq!((manager.logs().len(), directories(&storage)), (1, 1));
    assert_eq!(open(&storage_after_power_cut(&storage, manager)).logs().len(), 1);
}

#[test]
fn a_log_that_could_not_be_deleted_is_found_by_the_next_attempt() {
    let (storage, manager) = two_logs_that_cannot_be_renamed(ErrorKind::PermissionDenied);
    assert!(matches!(manager.delete(&partition(0)), Err(Error::Io { action: "rename", .. })));
    storage.heal();
    assert_eq!(directories(&storage), 2);
    manager.delete(&partition(0)).expect("deleted");
    assert_eq!((manager.logs().len(), manager.offline().len(), directories(&storage)), (1, 0, 1));
}

#[test]
fn a_flush_of_a_deleted_log_has_nothing_to_do() {
    let storage = MemoryStorage::new();
    let manager = open(&storage);
    create(&manager, 1);
    let log = manager.get(&partition(0)).expect("it is there");
    let appended = log.append(batch(&["value"]), AppendOrigin::Client, EPOCH).expect("append");
    manager.delete(&partition(0)).expect("delete");
    assert_eq!(count(&storage, || manager.flush()), NOTHING);
    manager.check_health().expect("nothing has failed");
    assert!(appended.flush.wait_blocking().is_err(), "nothing is acknowledged");
}

/// What was made before a kill was never synced by the process that made it.
#[test]
fn a_record_in_a_partition_made_before_a_kill_survives_a_power_cut() {
    let storage = MemoryStorage::new();
    let manager = open(&storage);
    create(&manager, 3);
    drop(manager);
    let manager = open(&storage);
    append_to_all(&manager, 2);
    let manager = open(&storage_after_power_cut(&storage, manager));
    assert_eq!((records(&manager, 0), records(&manager, 1)), (1, 1));
    assert!(manager.get(&partition(2)).is_none_or(|log| log.offsets().log_end == 0));
}

/// The same for a clean stop, which leaves partitions without records unsynced.
#[test]
fn a_record_in_a_partition_made_before_a_clean_stop_survives_a_power_cut() {
    let storage = MemoryStorage::new();
    let manager = open(&storage);
    create(&manager, 2);
    manager.shutdown().expect("shutdown");
    drop(manager);
    let manager = open(&storage);
    append_to_all(&manager, 2);
    let manager = open(&storage_after_power_cut(&storage, manager));
    assert_eq!((records(&manager, 0), records(&manager, 1)), (1, 1));
}

/// A clean stop that found nothing to write, then a kill: the files of the first stop still hold.
#[test]
fn records_survive_a_stop_that_wrote_nothing() {
    let storage = MemoryStorage::new();
    let manager = open(&storage);
    create(&manager, 2);
    append_to_all(&manager, 2);
    manager.shutdown().expect("shutdown");
    for _ in 0..3 {
        let manager = open(&storage);
        assert_eq!((records(&manager, 0), records(&manager, 1)), (1, 1));
        manager.shutdown().expect("shutdown");
    }
    let manager = open(&storage);
    append_to_all(&manager, 1);
    let manager = open(&storage_after_power_cut(&storage, manager));
    assert_eq!((records(&manager, 0), records(&manager, 1)), (2, 1));
}

fn storage_after_power_cut(storage: &MemoryStorage, manager: Arc<LogManager>) -> MemoryStorage {
    let after = storage.after_crash(Crash::Power);
    drop(manager);
    after
}
