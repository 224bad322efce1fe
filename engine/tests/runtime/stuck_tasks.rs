//! A step that does not return is reported, and neither keeps its query from being dropped nor the others from going on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt;
use weir_engine::engine::StopMode;
use weir_engine::query::condition::QueryCondition;
use weir_engine::query::status::QueryState;

use super::harness::{Node, World};
use super::{STREAM, number, rows};

/// Functions that ask for the time do not return while this is held.
#[derive(Debug, Default)]
struct Hold(AtomicBool);

impl Hold {
    fn set(&self, held: bool) {
        self.0.store(held, Ordering::SeqCst);
    }

    fn pass(&self) -> i64 {
        let released = crossbeam_channel::tick(Duration::from_millis(5));
        while self.0.load(Ordering::SeqCst) {
            let _ = released.recv();
        }
        0
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.set(false);
    }
}

/// Lets go at the end of a test, however it ends.
struct Release(Arc<Hold>);

impl Drop for Release {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

async fn stuck_node(dir: &std::path::Path) -> (Node, String, String, Release) {
    let hold = Arc::new(Hold::default());
    let (release, in_functions) = (Release(hold.clone()), hold.clone());
    let world = World {
        now_ms: Arc::new(move || in_functions.pass()),
        tune: |config| {
            // Long enough that a step of a busy machine is not taken for one that does not return.
            config.task_step_max_ms = 2_000;
            config.stop_timeout_ms = 2_000;
        },
        ..World::default()
    };
    let mut node = Node::start_in(dir, 1, world).await;
    node.execute(STREAM).await;
    let counts = "CREATE TABLE t AS SELECT k, COUNT(*) AS n FROM s GROUP BY k;";
    let other = node.execute(counts).await.expect("a query");
    let id =
        node.execute("CREATE STREAM c AS SELECT k, v, UNIX_TIMESTAMP() AS made FROM s;").await.expect("one");
    node.produce("s", 2, 0, &rows(0, 70)).await;
    node.read("C", 2, 70).await;
    node.await_rows("SELECT k FROM t WHERE n = 10;", 7).await;
    hold.set(true);
    node.produce("s", 2, 0, &rows(70, 140)).await;
    node.await_that("the step is overdue", |engine| engine.health().overdue_steps_total >= 1).await;
    (node, id, other, release)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_whose_task_does_not_return_is_reported_and_can_be_dropped() {
    let dir = tempfile::tempdir().expect("a directory");
    let (node, id, other, release) = stuck_node(dir.path()).await;
    let health = node.engine.health();
    assert_eq!(health.overdue_steps[0].query_id, id);
    assert!(health.check().expect_err("unhealthy").contains(&id));
    let status = node.engine.queries().into_iter().find(|q| q.query_id == id).expect("listed");
    assert!(status.conditions.iter().any(|c| matches!(c, QueryCondition::StepOverdue { .. })), "{status:?}");
    node.engine.stop_query(&id, StopMode::Delete).await.expect("dropped");
    assert!(node.engine.query(&id).is_none());
    // The other query of the thread goes on with the rows that came meanwhile.
    node.await_rows("SELECT k FROM t WHERE n = 20;", 7).await;
    node.await_state(&other, QueryState::Running).await;
    let health = node.engine.health();
    assert_eq!((health.abandoned_threads, health.check()), (1, Ok(())), "{health:?}");
    // The old thread comes back: nothing changes.
    drop(release);
    node.produce("s", 2, 0, &rows(140, 210)).await;
    node.await_rows("SELECT k FROM t WHERE n = 30;", 7).await;
    let updates = node.read("T", 2, 210).await;
    assert_eq!(updates.len(), 210, "every update once");
    assert_eq!(updates.iter().map(|(_, v)| number(v.as_deref(), "N")).max(), Some(30));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_whose_task_does_not_return_can_be_shut_down() {
    let dir = tempfile::tempdir().expect("a directory");
    let (node, _, _, _release) = stuck_node(dir.path()).await;
    let begun = Instant::now();
    node.engine.shutdown().await.expect("ends");
    drop(node);
    // The others commit; the thread that does not return is left behind. Far below the time it would take to wait for it.
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

/// Functions that ask for the time take this long while they are slow.
const PAUSE: Duration = Duration::from_millis(200);
const STOP_TIMEOUT: Duration = Duration::from_secs(2);
const ELEMENTS: usize = 20_000;

#[derive(Debug, Default)]
struct SlowTime {
    is_fast: AtomicBool,
    calls: AtomicUsize,
}

impl SlowTime {
    fn pass(&self) -> i64 {
        self.calls.fetch_add(1, Ordering::SeqCst);
        if !self.is_fast.load(Ordering::SeqCst) {
            let _ = crossbeam_channel::after(PAUSE).recv();
        }
        0
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

/// A node whose query is in the midst of one row, which becomes very many.
async fn exploding_node(dir: &std::path::Path) -> (Node, String, Arc<SlowTime>) {
    let time = Arc::new(SlowTime::default());
    let in_functions = time.clone();
    let world = World {
        now_ms: Arc::new(move || in_functions.pass()),
        tune: |config| config.stop_timeout_ms = STOP_TIMEOUT.as_millis() as u64,
        ..World::default()
    };
    let mut node = Node::start_in(dir, 1, world).await;
    node.execute(
        "CREATE STREAM a (k STRING KEY, a ARRAY<BIGINT>) \
         WITH (KAFKA_TOPIC = 'a', PARTITIONS = 1, KEY_FORMAT = 'KAFKA', VALUE_FORMAT = 'JSON');",
    )
    .await;
    let statement = "CREATE STREAM o AS SELECT k, EXPLODE(a) AS x, UNIX_TIMESTAMP() AS made FROM a;";
    let id = node.execute(statement).await.expect("a query");
    node.await_state(&id, QueryState::Running).await;
    let list = vec!["1"; ELEMENTS].join(",");
    node.produce("a", 1, 0, &[("k".to_owned(), Some(format!("{{\"A\":[{list}]}}")))]).await;
    let before = time.calls();
    node.await_that("a piece is computed", |_| time.calls() > before).await;
    (node, id, time)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_is_dropped_between_the_pieces_of_a_row() {
    let dir = tempfile::tempdir().expect("a directory");
    let (node, id, time) = exploding_node(dir.path()).await;
    let before = time.calls();
    node.engine.stop_query(&id, StopMode::Delete).await.expect("dropped");
    let pieces = time.calls() - before;
    assert!(pieces <= 2, "{pieces} pieces after the query was dropped");
    let health = node.engine.health();
    assert_eq!((health.abandoned_threads, health.check()), (0, Ok(())), "the thread goes on: {health:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_is_given_up_by_a_stop_is_processed_again_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut node, id, time) = exploding_node(dir.path()).await;
    let begun = Instant::now();
    node.engine.shutdown().await.expect("a clean end");
    assert!(begun.elapsed() < STOP_TIMEOUT * 4, "{:?}", begun.elapsed());
    assert_eq!(node.engine.health().abandoned_threads, 0);
    time.is_fast.store(true, Ordering::SeqCst);
    for started in node.start_again(1).await {
        started.expect("starts");
    }
    node.await_state(&id, QueryState::Running).await;
    assert_eq!(node.read("O", 1, ELEMENTS).await.len(), ELEMENTS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pull_query_ends_when_its_table_is_dropped() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut node = Node::start(dir.path(), 1).await;
    node.execute(
        "CREATE STREAM p (k STRING KEY, v BIGINT) \
         WITH (KAFKA_TOPIC = 'p', PARTITIONS = 1, KEY_FORMAT = 'KAFKA', VALUE_FORMAT = 'JSON');",
    )
    .await;
    let id = node.execute("CREATE TABLE t AS SELECT k, COUNT(*) AS n FROM p GROUP BY k;").await.expect("one");
    let keys: Vec<_> = (0..30_000).map(|i| (format!("key{i}"), Some("{\"V\":1}".to_owned()))).collect();
    node.produce("p", 1, 0, &keys).await;
    node.await_rows("SELECT k FROM t;", keys.len()).await;
    let mut rows = node.open_pull("SELECT k, n FROM t;").await;
    let first = rows.next().await.expect("rows").expect("a batch").num_rows();
    node.engine.stop_query(&id, StopMode::Delete).await.expect("dropped");
    let (mut count, mut failure) = (first, None);
    while let Some(batch) = rows.next().await {
        match batch {
            Ok(batch) => count += batch.num_rows(),
            Err(error) => failure = Some(error.to_string()),
        }
    }
    assert!(count < keys.len(), "{count} rows");
    assert!(failure.is_some(), "an answer without some rows must not look complete");
}
