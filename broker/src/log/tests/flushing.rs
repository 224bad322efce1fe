//! Group commit: nothing is acknowledged or visible before it is on disk, and never after the disk has failed.

use std::io::ErrorKind;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{Crash, Fixture, batch, manager_config};
use crate::env::clock::SystemClock;
use crate::env::spawn;
use crate::env::storage::memory::{Operation, Verdict};
use crate::env::storage::system::SystemStorage;
use crate::error::Error;
use crate::ids::{TopicId, TopicPartition};
use crate::log::access::{AppendOrigin, Isolation};
use crate::log::config::{Durability, LogConfig};
use crate::log::manager::{LogManager, LogManagerConfig};

#[test]
fn records_are_visible_when_they_are_durable() {
    let fixture = Fixture::new(LogConfig::default());
    let waiter = Arc::new(Notify::new());
    fixture.log.register_waiter(&waiter);
    let appended = fixture.append(batch(&["a"])).expect("append");
    assert!(!appended.flush.is_done());
    assert!(fixture.read(0, Isolation::ReadUncommitted).bytes.is_empty());
    assert!(!fixture.read(0, Isolation::LogEnd).bytes.is_empty());
    assert_eq!(fixture.log.offsets().durable, 0);
    let syncs = fixture.storage.syncs();
    fixture.manager.flush();
    assert!(fixture.storage.syncs() > syncs);
    assert!(appended.flush.is_done());
    appended.flush.wait_blocking().expect("durable");
    assert_eq!(fixture.values(), ["a"]);
    futures::executor::block_on(async { waiter.notified().await });
}

#[test]
fn one_sync_serves_all_appends_of_a_round() {
    let fixture = Fixture::new(LogConfig::default());
    fixture.put(&["first, with the new files"]);
    let syncs = fixture.storage.syncs();
    let tickets: Vec<_> = (0..50).map(|_| fixture.append(batch(&["a"])).expect("append").flush).collect();
    fixture.manager.flush();
    assert_eq!(fixture.storage.syncs(), syncs + 1);
    assert!(tickets.iter().all(|ticket| ticket.is_done()));
}

#[test]
fn a_relaxed_log_answers_at_once_and_loses_what_was_not_synced() {
    let config = LogManagerConfig { durability: Durability::Relaxed, ..manager_config() };
    let fixture = Fixture::with_manager(config, LogConfig::default());
    fixture.put(&["synced"]);
    let appended = fixture.append(batch(&["a"])).expect("append");
    appended.flush.wait_blocking().expect("no wait");
    assert_eq!(fixture.values(), ["synced", "a"]);
    assert_eq!(fixture.log.offsets().durable, 1);
    assert_eq!(fixture.crash(Crash::Process).expect("reopen").values(), ["synced", "a"]);
    assert_eq!(fixture.crash(Crash::Power).expect("reopen").values(), ["synced"]);
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged() {
    let fixture = Fixture::new(LogConfig::default());
    fixture.put(&["good"]);
    let first = fixture.append(batch(&["lost"])).expect("append");
    fixture.storage.inject(|operation, _| match operation {
        Operation::Sync => Verdict::Fail(ErrorKind::Other),
        _ => Verdict::Proceed,
    });
    fixture.manager.flush();
    fixture.storage.heal();
    assert!(matches!(first.flush.wait_blocking(), Err(Error::StorageFailed { .. })));
    assert!(matches!(fixture.append(batch(&["more"])), Err(Error::StorageFailed { .. })));
    assert!(matches!(fixture.manager.check_health(), Err(Error::StorageFailed { .. })));
    // The next round would succeed, but must not be believed.
    fixture.manager.flush();
    assert!(first.flush.wait_blocking().is_err());
    assert_eq!(fixture.values(), ["good"]);
    assert!(fixture.manager.shutdown().is_err());
}

#[test]
fn after_a_torn_write_the_directory_is_offline_and_a_restart_recovers() {
    let fixture = Fixture::new(LogConfig::default());
    fixture.put(&["good"]);
    fixture.storage.inject(|operation, _| match operation {
        Operation::Write { len } => Verdict::Tear { kept: len / 2, kind: ErrorKind::Other },
        _ => Verdict::Proceed,
    });
    assert!(matches!(fixture.append(batch(&["torn"])), Err(Error::StorageFailed { .. })));
    fixture.storage.heal();
    assert!(fixture.append(batch(&["more"])).is_err());
    let restarted = fixture.crash(Crash::Process).expect("reopen");
    assert_eq!(restarted.values(), ["good"]);
    assert_eq!(restarted.put(&["next"]).base_offset, 1);
}

#[test]
fn a_full_disk_refuses_appends_until_there_is_room() {
    let fixture = Fixture::new(LogConfig { segment_bytes: 150, ..LogConfig::default() });
    fixture.put(&["good"]);
    for _ in 0..3 {
        fixture.storage.inject(|operation, _| match operation {
            Operation::Write { .. } => Verdict::Tear { kept: 20, kind: ErrorKind::StorageFull },
            _ => Verdict::Proceed,
        });
        assert!(matches!(fixture.append(batch(&["no room"])), Err(Error::Io { .. })));
        assert_eq!(fixture.values().len() as i64, fixture.log.offsets().log_end, "reads work");
        fixture.storage.heal();
        fixture.put(&["room"]);
    }
    assert_eq!(fixture.values(), ["good", "room", "room", "room"]);
    assert_eq!(fixture.crash(Crash::Power).expect("reopen").values().len(), 4);
}

#[test]
fn answers_come_in_the_order_of_the_appends() {
    let fixture = Fixture::new(LogConfig::default());
    let order = Arc::new(Mutex::new(Vec::new()));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
    runtime.block_on(async {
        let mut tasks = Vec::new();
        for index in 0..20 {
            let ticket = fixture.append(batch(&["a"])).expect("append").flush;
            let order = Arc::clone(&order);
            tasks.push(spawn::task("waiter", async move {
                ticket.wait().await.expect("durable");
                order.lock().push(index);
            }));
        }
        tokio::task::yield_now().await;
        fixture.manager.flush();
        for task in tasks {
            task.await.expect("joined");
        }
    });
    assert_eq!(*order.lock(), (0..20).collect::<Vec<_>>());
}

#[test]
fn threads_share_rounds_on_a_real_disk() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let open = || {
        let config = LogManagerConfig::new(dir.path());
        LogManager::open(config, Arc::new(SystemStorage), Arc::new(SystemClock::new())).expect("open")
    };
    let manager = open();
    manager.start_housekeeping().expect("threads");
    let logs: Vec<_> = (0..4)
        .map(|partition| {
            let tp = TopicPartition::new("t", partition);
            manager.create(&tp, TopicId::NONE, LogConfig::default()).expect("create")
        })
        .collect();
    std::thread::scope(|scope| {
        for producer in 0..8 {
            let log = &logs[producer % 4];
            scope.spawn(move || {
                for _ in 0..20 {
                    let appended = log.append(batch(&["a", "b"]), AppendOrigin::Client, 0).expect("append");
                    appended.flush.wait_blocking().expect("durable");
                    assert!(log.offsets().high_watermark > appended.last_offset);
                }
            });
        }
    });
    manager.shutdown().expect("shutdown");
    drop((manager, logs));
    let manager = open();
    for (log, _) in manager.logs() {
        assert_eq!(super::records(&log, Isolation::ReadUncommitted).len(), 80);
    }
}
