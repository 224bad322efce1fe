//! A step that does not return is reported, and neither keeps its query from being dropped nor the others from going on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

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
            config.task_step_max_ms = 300;
            config.stop_timeout_ms = 300;
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
