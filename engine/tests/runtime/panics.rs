//! Panics and refused commits cost a restart at most, and nothing reports RUNNING on top of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use weir_broker::protocol::error_code::ErrorCode;
use weir_engine::query::status::QueryState;

use super::faults::{Fault, PanickingClock};
use super::harness::{Node, World};
use super::{STREAM, number, rows};

const COUNTS: &str = "CREATE TABLE t AS SELECT k, COUNT(*) AS n, SUM(v) AS total FROM s GROUP BY k;";

/// Waits until table `t` is what rows `0..to` make of it.
async fn await_counts(node: &Node, to: i64) {
    let mut expected: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for i in 0..to {
        let entry = expected.entry(format!("k{}", i % 7)).or_default();
        *entry = (entry.0 + 1, entry.1 + i);
    }
    let expected: Vec<Vec<String>> =
        expected.into_iter().map(|(k, (n, total))| vec![k, n.to_string(), total.to_string()]).collect();
    for row in &expected {
        let [k, n, total] = &row[..] else { panic!("three columns") };
        node.await_rows(&format!("SELECT k FROM t WHERE k = '{k}' AND n = {n} AND total = {total};"), 1)
            .await;
    }
    assert_eq!(node.pull("SELECT k, n, total FROM t ORDER BY k;").await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_panics_goes_on_with_its_queries() {
    let dir = tempfile::tempdir().expect("a directory");
    let clock = Arc::new(PanickingClock::default());
    let world = World { clock: clock.clone(), ..World::default() };
    let mut node = Node::start_in(dir.path(), 1, world).await;
    node.execute(STREAM).await;
    let id = node.execute(COUNTS).await.expect("a query");
    node.produce("s", 2, 0, &rows(0, 100)).await;
    await_counts(&node, 100).await;
    clock.next_monotonic.store(true, Ordering::SeqCst);
    node.produce("s", 2, 0, &rows(100, 200)).await;
    node.await_that("the worker panicked", |engine| engine.health().thread_restarts == 1).await;
    await_counts(&node, 200).await;
    node.await_state(&id, QueryState::Running).await;
    let health = node.engine.health();
    assert_eq!((health.workers, health.check()), (1, Ok(())), "{health:?}");
    let panic = health.last_panic.expect("a panic");
    assert!(panic.thread == "weir-worker-0" && panic.message.contains("injected"), "{panic:?}");
    assert!(node.failure(&id).contains("weir-worker-0 panicked: injected"), "{}", node.failure(&id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_in_the_report_of_a_panic_ends_the_query_and_resume_starts_it_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let clock = Arc::new(PanickingClock::default());
    let function = Arc::new(AtomicBool::new(false));
    let panics = function.clone();
    let now_ms = move || {
        assert!(!panics.load(Ordering::SeqCst), "injected into a function");
        0
    };
    let world = World { clock: clock.clone(), now_ms: Arc::new(now_ms), ..World::default() };
    let mut node = Node::start_in(dir.path(), 1, world).await;
    node.execute(STREAM).await;
    let other = node.execute(COUNTS).await.expect("a query");
    let id =
        node.execute("CREATE STREAM c AS SELECT k, v, UNIX_TIMESTAMP() AS made FROM s;").await.expect("one");
    node.produce("s", 2, 0, &rows(0, 50)).await;
    node.read("C", 2, 50).await;
    function.store(true, Ordering::SeqCst);
    clock.wall.store(true, Ordering::SeqCst);
    node.produce("s", 2, 0, &rows(50, 100)).await;
    node.await_state(&id, QueryState::Error).await;
    assert!(node.failure(&id).contains("panicked"), "{}", node.failure(&id));
    clock.wall.store(false, Ordering::SeqCst);
    await_counts(&node, 100).await;
    node.await_state(&other, QueryState::Running).await;

    node.engine.pause(&id).expect("a failed query can be paused");
    assert_eq!(node.engine.query(&id).expect("the query").state(), QueryState::Error);
    function.store(false, Ordering::SeqCst);
    node.engine.resume(&id).await.expect("starts again");
    node.await_state(&id, QueryState::Running).await;
    let mut seen: Vec<i64> =
        node.read("C", 2, 100).await.iter().map(|(_, v)| number(v.as_deref(), "V")).collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..100).collect::<Vec<_>>());
    assert!(!node.failure(&id).is_empty(), "the failure is remembered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_fails_or_panics_is_done_again() {
    for fault in [
        Fault::PanicAtCommit,
        Fault::RefuseCommit(ErrorCode::InvalidTxnState),
        Fault::RefuseCommit(ErrorCode::ProducerFenced),
        Fault::RefuseOffsets(ErrorCode::InvalidProducerEpoch),
    ] {
        let dir = tempfile::tempdir().expect("a directory");
        let world = World::default();
        let faults = world.faults.clone();
        let mut node = Node::start_in(dir.path(), 1, world).await;
        node.execute(STREAM).await;
        let id = node.execute(COUNTS).await.expect("a query");
        node.produce("s", 2, 0, &rows(0, 100)).await;
        await_counts(&node, 100).await;
        faults.inject(fault);
        node.produce("s", 2, 0, &rows(100, 200)).await;
        await_counts(&node, 200).await;
        node.await_state(&id, QueryState::Running).await;
        let metrics = node.engine.query(&id).expect("the query").status().metrics;
        assert_eq!((faults.happened(), metrics.restarts), (1, 1), "{fault:?}");
        assert_eq!(node.read("T", 2, 200).await.len(), 200, "every update once: {fault:?}");
        // State and its changelog are the same.
        node.engine.shutdown().await.expect("a clean end");
        std::fs::remove_dir_all(dir.path().join("state")).expect("removed");
        node.crash(1).await;
        await_counts(&node, 200).await;
    }
}
