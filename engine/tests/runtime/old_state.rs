//! Local state that may have missed tombstones is not used (KIP-1259).

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use weir_broker::env::clock::{Clock, SystemClock};
use weir_engine::query::status::QueryState;

use super::harness::{Node, World};
use super::{STREAM, rows};

/// The machine's clock, and some time later.
#[derive(Debug, Default)]
struct LaterClock {
    inner: SystemClock,
    later_ms: AtomicI64,
}

impl Clock for LaterClock {
    fn now_ms(&self) -> i64 {
        self.inner.now_ms() + self.later_ms.load(Ordering::SeqCst)
    }

    fn monotonic(&self) -> Duration {
        self.inner.monotonic()
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        match entry.file_type().expect("a type").is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).expect("copied")),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_that_lags_behind_for_longer_than_tombstones_are_kept_is_rebuilt() {
    const TWO_DAYS_MS: i64 = 2 * 24 * 60 * 60 * 1_000;
    for later_ms in [0, TWO_DAYS_MS] {
        let dir = tempfile::tempdir().expect("a directory");
        let clock = Arc::new(LaterClock::default());
        let world = World { clock: clock.clone(), ..World::default() };
        let mut node = Node::start_in(dir.path(), 1, world).await;
        node.execute(STREAM).await;
        let sql = "CREATE TABLE t AS SELECT k, COUNT(*) AS n FROM s GROUP BY k;";
        let id = node.execute(sql).await.expect("a query");
        for turn in 1..=10 {
            node.produce("s", 2, turn, &rows(0, 7)).await;
            node.await_rows(&format!("SELECT k FROM t WHERE n = {turn};"), 7).await;
        }
        // State goes back to this moment; what follows is in the changelog only.
        node.engine.shutdown().await.expect("a clean end");
        let (state, image) = (dir.path().join("state"), dir.path().join("image"));
        copy(&state, &image);
        node.crash(1).await;
        node.await_state(&id, QueryState::Running).await;
        node.produce("s", 2, 11, &rows(0, 7)).await;
        node.await_rows("SELECT k FROM t WHERE n = 11;", 7).await;
        node.engine.shutdown().await.expect("a clean end");
        std::fs::remove_dir_all(&state).expect("removed");
        copy(&image, &state);
        clock.later_ms.store(later_ms, Ordering::SeqCst);
        node.crash(1).await;
        node.await_state(&id, QueryState::Running).await;
        node.await_rows("SELECT k FROM t WHERE n = 11;", 7).await;
        let restored = node.engine.query(&id).expect("the query").status().metrics.restored_records;
        match later_ms {
            0 => assert_eq!(restored, 7, "what the image lacks"),
            _ => assert_eq!(restored, 77, "the whole changelog"),
        }
    }
}
