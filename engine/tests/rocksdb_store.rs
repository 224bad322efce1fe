//! The store on disk against the store in memory, and after being closed.

use std::ops::{Bound, ControlFlow};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use proptest::prelude::{Strategy, any, proptest};
use weir_broker::env::clock::Clock;
use weir_engine::state::backend::{
    CommitBatch, KeyRange, StateBackend, StateReader, StoreId, StoreSpec, StoreWrite,
};
use weir_engine::state::memory::MemoryBackend;
use weir_engine::state::rocksdb::{RocksBackend, RocksMemory};

fn specs() -> Vec<StoreSpec> {
    ["a", "b"].map(|name| StoreSpec { name: name.to_owned(), changelog: true }).to_vec()
}

fn memory() -> RocksMemory {
    RocksMemory::new(4 << 20, 1 << 20)
}

fn entries(reader: &dyn StateReader, store: StoreId, range: &KeyRange) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut found = Vec::new();
    reader
        .scan(store, range, &mut |k, v| {
            found.push((k.to_vec(), v.to_vec()));
            ControlFlow::Continue(())
        })
        .expect("scan");
    found
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(0_u8..4, 1..4)
}

fn bound() -> impl Strategy<Value = Bound<Vec<u8>>> {
    (0..3, key()).prop_map(|(kind, key)| match kind {
        0 => Bound::Included(key),
        1 => Bound::Excluded(key),
        _ => Bound::Unbounded,
    })
}

proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 24, failure_persistence: None, ..Default::default() })]

    #[test]
    fn disk_and_memory_agree(
        commits in proptest::collection::vec(proptest::collection::btree_map(key(), any::<Option<u8>>(), 0..8), 1..5),
        ranges in proptest::collection::vec((bound(), bound()), 4),
    ) {
        let folder = tempfile::tempdir().expect("folder");
        let mut model = MemoryBackend::new(2);
        let mut disk = RocksBackend::open(folder.path(), &specs(), &memory()).expect("opens");
        for (i, commit) in commits.into_iter().enumerate() {
            let store = StoreId((i % 2) as u32);
            let writes: Vec<StoreWrite> = commit.into_iter().map(|(k, v)| (k, v.map(|v| vec![v]))).collect();
            let batch = CommitBatch { writes: vec![(store, writes)], positions: vec![(store, i as i64)] };
            model.commit(batch.clone()).expect("memory");
            disk.commit(batch).expect("disk");
        }
        for store in [StoreId(0), StoreId(1)] {
            for (from, to) in &ranges {
                let range = KeyRange { from: from.clone(), to: to.clone() };
                assert_eq!(entries(&disk, store, &range), entries(&model, store, &range));
            }
            let keys: [&[u8]; 3] = [&[1], &[0, 1], &[3]];
            assert_eq!(disk.multi_get(store, &keys).expect("disk"), model.multi_get(store, &keys).expect("memory"));
            assert_eq!(disk.position(store).expect("disk"), model.position(store).expect("memory"));
        }
    }
}

/// Units: ms.
#[derive(Debug, Default)]
struct SetClock(AtomicI64);

impl Clock for SetClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

#[test]
fn a_checkpoint_is_due_for_many_bytes_and_for_old_ones() {
    const HOUR_MS: i64 = 3_600_000;
    let folder = tempfile::tempdir().expect("folder");
    let clock = Arc::new(SetClock::default());
    let open =
        || RocksBackend::open(folder.path(), &specs(), &memory().with_clock(clock.clone())).expect("opens");
    let commit = |disk: &mut RocksBackend, bytes: usize| {
        let writes = vec![(StoreId(0), vec![(b"x".to_vec(), Some(vec![0; bytes]))])];
        disk.commit(CommitBatch { writes, positions: vec![(StoreId(0), 1)] }).expect("writes");
    };
    let mut disk = open();
    assert!(!disk.needs_checkpoint(0), "nothing is written");
    commit(&mut disk, 500);
    assert!(disk.needs_checkpoint(500) && !disk.needs_checkpoint(1_000));
    // Nothing is on disk that could become too old.
    clock.0.store(2 * HOUR_MS, Ordering::SeqCst);
    assert!(!disk.needs_checkpoint(1_000));
    disk.checkpoint().expect("flushes");
    assert!(!disk.needs_checkpoint(0));
    commit(&mut disk, 10);
    assert!(!disk.needs_checkpoint(1_000));
    clock.0.store(4 * HOUR_MS, Ordering::SeqCst);
    assert!(disk.needs_checkpoint(1_000));
    // What was not flushed is left to the changelog when the database is closed.
    drop(disk);
    let mut disk = open();
    let kept = disk.multi_get(StoreId(0), &[b"x"]).expect("reads");
    assert_eq!(kept[0].as_ref().map(Vec::len), Some(500));
    assert!(!disk.needs_checkpoint(0));
    commit(&mut disk, 10);
    assert!(disk.needs_checkpoint(1_000), "what is on disk was written four hours ago");
}

#[test]
fn a_checkpoint_survives_and_clear_forgets_one_store() {
    let folder = tempfile::tempdir().expect("folder");
    let write = |key: &[u8]| (key.to_vec(), Some(b"v".to_vec()));
    {
        let mut disk = RocksBackend::open(folder.path(), &specs(), &memory()).expect("opens");
        disk.commit(CommitBatch {
            writes: vec![(StoreId(0), vec![write(b"x")]), (StoreId(1), vec![write(b"y"), write(b"z")])],
            positions: vec![(StoreId(0), 1), (StoreId(1), 2)],
        })
        .expect("writes");
        disk.checkpoint().expect("flushes");
    }
    let mut disk = RocksBackend::open(folder.path(), &specs(), &memory()).expect("opens again");
    assert_eq!(disk.position(StoreId(1)).expect("reads"), Some(2));
    disk.clear(StoreId(1)).expect("clears");
    assert_eq!(disk.position(StoreId(1)).expect("reads"), None);
    assert!(entries(&disk, StoreId(1), &KeyRange::all()).is_empty());
    assert_eq!(entries(&disk, StoreId(0), &KeyRange::all()).len(), 1);
}
