//! A runtime over logs in memory, with a state machine that keeps the keys of its records.

use std::io::ErrorKind;

use bytes::Bytes;

use super::*;
use crate::coordinator::codec::{CoordinatorRecord, RecordError};
use crate::coordinator::log::ReplayItem;
use crate::env::clock::ManualClock;
use crate::env::storage::memory::{MemoryStorage, Operation, Verdict};
use crate::ids::{BrokerId, ProducerIdentity, TopicId, TopicPartition};
use crate::log::config::LogConfig;
use crate::log::manager::{Background, LogManagerConfig};
use crate::record::control::MarkerKind;
use crate::replication::manager::ReplicaManager;

const NOW_MS: i64 = 1_700_000_000_000;

#[derive(Debug, Default)]
struct Keys {
    keys: Vec<String>,
    is_loaded: bool,
    wall_ahead_ms: i64,
    deadline: Option<i64>,
}

impl CoordinatorShard for Keys {
    type Gates = ();

    fn replay(&mut self, item: ReplayItem, _now: i64) -> Result<(), RecordError> {
        assert!(!self.is_loaded, "replay comes before the rest");
        self.keys.push(match item {
            ReplayItem::Record { key, .. } => String::from_utf8(key.to_vec()).expect("text"),
            ReplayItem::Marker { kind, .. } => format!("{kind:?}"),
        });
        Ok(())
    }

    fn loaded(&mut self, _now: i64) {
        self.is_loaded = true;
    }

    fn set_wall_ahead(&mut self, wall_ahead_ms: i64) {
        self.wall_ahead_ms = wall_ahead_ms;
    }

    fn next_deadline(&self) -> Option<i64> {
        self.deadline
    }
}

struct Fixture {
    storage: MemoryStorage,
    clock: Arc<ManualClock>,
    replicas: Arc<ReplicaManager>,
    runtime: CoordinatorRuntime<Keys>,
}

impl Fixture {
    fn new(partitions: usize) -> Self {
        let (storage, clock) = (MemoryStorage::new(), Arc::new(ManualClock::new(NOW_MS)));
        let config = LogManagerConfig {
            background: Background::Manual,
            load_threads: 1,
            ..LogManagerConfig::new("/data")
        };
        let replicas = ReplicaManager::open(BrokerId(1), config, Arc::new(storage.clone()), clock.clone())
            .expect("open");
        for partition in 0..partitions {
            let name = Self::name(i32::try_from(partition).expect("few"));
            replicas.create_partition(&name, TopicId::NONE, LogConfig::default()).expect("created");
        }
        let runtime = CoordinatorRuntime::new(partitions, clock.clone());
        Self { storage, clock, replicas, runtime }
    }

    fn name(partition: i32) -> TopicPartition {
        TopicPartition::new("__keys", partition)
    }

    fn load(&self, partition: i32) -> &Shard<Keys> {
        let shard = self.runtime.partition(partition).expect("a partition");
        let replica = self.replicas.require(&Self::name(partition)).expect("a replica");
        let log = CoordinatorLog::new(replica, self.clock.clone());
        self.runtime.load(shard, Keys::default(), log).expect("loaded");
        shard
    }

    fn keys(&self, shard: &Shard<Keys>) -> Vec<String> {
        self.runtime.lock(shard).expect("loaded").state.keys.clone()
    }

    /// A step that stands.
    fn step(&self, shard: &Shard<Keys>, key: &str) -> bool {
        let mut locked = self.runtime.lock(shard).expect("loaded");
        locked.state.keys.push(key.to_owned());
        locked.append_step(&[record(key)]).is_ok()
    }

    /// A step that is undone if its record is not appended.
    fn step_or_undo(&self, shard: &Shard<Keys>, key: &str) -> bool {
        let mut locked = self.runtime.lock(shard).expect("loaded");
        locked.state.keys.push(key.to_owned());
        locked.append_or_undo(&record(key), |state| drop(state.keys.pop())).is_ok()
    }

    fn fill_disk(&self) {
        self.storage.inject(|operation, _| match operation {
            Operation::Write { .. } => Verdict::Fail(ErrorKind::StorageFull),
            _ => Verdict::Proceed,
        });
    }
}

fn record(key: &str) -> CoordinatorRecord {
    CoordinatorRecord { key: Bytes::copy_from_slice(key.as_bytes()), value: Some(Bytes::from_static(b"v")) }
}

#[test]
fn a_partition_is_coordinated_from_load_to_unload() {
    let fixture = Fixture::new(2);
    let other = fixture.runtime.partition(1).expect("a partition");
    let shard = fixture.load(0);
    assert!(fixture.step(shard, "a"));
    let producer = ProducerIdentity { producer_id: 7, producer_epoch: 0 };
    {
        let mut locked = fixture.runtime.lock(shard).expect("loaded");
        drop(locked.log.append(&[record("b")], Some(producer)).expect("appended"));
        drop(locked.log.append_marker(producer, MarkerKind::Commit, 0).expect("appended"));
    }
    assert!(matches!(fixture.runtime.lock(other), Err(ErrorCode::NotCoordinator)));
    assert_eq!(fixture.runtime.loaded().count(), 1);
    fixture.runtime.unload(shard);
    assert!(matches!(fixture.runtime.lock(shard), Err(ErrorCode::NotCoordinator)));
    assert_eq!((fixture.runtime.loaded().count(), fixture.runtime.due(i64::MAX).count()), (0, 0));
    let shard = fixture.load(0);
    assert_eq!(fixture.keys(shard), ["a", "b", "Commit"]);
    assert!(fixture.runtime.lock(shard).expect("loaded").state.is_loaded);
}

#[test]
fn on_a_full_disk_a_step_stands_or_is_undone() {
    let fixture = Fixture::new(1);
    let shard = fixture.load(0);
    fixture.fill_disk();
    assert!(!fixture.step(shard, "a"));
    assert!(!fixture.step_or_undo(shard, "x"));
    assert!(!fixture.step(shard, "b"));
    assert_eq!(fixture.keys(shard), ["a", "b"]);
    fixture.storage.heal();
    assert!(fixture.step_or_undo(shard, "c"), "what is owed goes before it");
    assert_eq!(fixture.keys(fixture.load(0)), ["a", "b", "c"]);
}

#[test]
fn time_appends_what_is_owed_and_finds_what_is_due() {
    let fixture = Fixture::new(2);
    let (shard, idle) = (fixture.load(0), fixture.load(1));
    fixture.runtime.lock(shard).expect("loaded").state.deadline = Some(NOW_MS + 5);
    fixture.runtime.lock(idle).expect("loaded").state.deadline = Some(NOW_MS + 6);
    fixture.fill_disk();
    assert!(!fixture.step(idle, "a"));
    fixture.storage.heal();
    assert_eq!(fixture.runtime.due(NOW_MS + 4).count(), 0);
    let due: Vec<_> = fixture.runtime.due(NOW_MS + 5).collect();
    assert!(due.len() == 1 && std::ptr::eq(due[0], shard));
    assert_eq!(fixture.keys(fixture.load(1)), ["a"], "appended although it is not due");
}

#[test]
fn a_lock_gives_the_state_the_offset_of_the_wall_clock() {
    let fixture = Fixture::new(1);
    let shard = fixture.load(0);
    fixture.clock.set_now_ms(NOW_MS + 90_000);
    assert_eq!(fixture.runtime.lock(shard).expect("loaded").state.wall_ahead_ms, 90_000);
    assert_eq!(fixture.runtime.now_ms(), NOW_MS);
}

#[test]
fn every_key_has_one_partition() {
    let fixture = Fixture::new(3);
    for key in ["", "a", "group", "an id that is longer"] {
        let partition = fixture.runtime.partition(fixture.runtime.partition_of(key)).expect("a partition");
        assert!(std::ptr::eq(partition, fixture.runtime.shard(key)), "{key}");
    }
    assert!(fixture.runtime.partition(-1).is_none() && fixture.runtime.partition(3).is_none());
}
