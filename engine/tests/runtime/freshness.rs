//! Waiting for the state of a query that is behind.

use std::time::Duration;

use weir_broker::ids::TopicPartition;
use weir_broker::log::access::{Isolation, OffsetSpec};
use weir_broker::protocol::error_code::ErrorCode;
use weir_engine::pull::freshness::{Freshness, ReadSource, WrittenOffsets, wait_until_read};
use weir_sql::plan::physical::ResultKind;

use super::faults::Fault;
use super::harness::{Node, World};
use super::{STREAM, rows};

/// The ends of the partitions of `s`.
async fn ends(node: &Node) -> WrittenOffsets {
    let wanted: Vec<_> = (0..2).map(|p| (TopicPartition::new("s", p), OffsetSpec::Latest)).collect();
    let listed = node.admin().list_offsets(&wanted, Isolation::ReadUncommitted).await.expect("listed");
    let end = |(at, (partition, _)): (usize, (TopicPartition, OffsetSpec))| {
        (partition, listed[at].offset.expect("an offset"))
    };
    wanted.into_iter().enumerate().map(end).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_commits_nothing_in_time_is_behind() {
    let dir = tempfile::tempdir().expect("a directory");
    // A commit that fails is done again long after this test.
    let tune = |config: &mut weir_engine::config::EngineConfig| {
        (config.restart_backoff_ms, config.restart_backoff_max_ms) = (3_600_000, 3_600_000);
    };
    let world = World { tune, ..World::default() };
    let faults = world.faults.clone();
    let mut node = Node::start_in(dir.path(), 1, world).await;
    node.execute(STREAM).await;
    let sql = "CREATE TABLE t AS SELECT k, COUNT(*) AS n FROM s GROUP BY k;";
    let query_id = node.execute(sql).await.expect("a query");
    let sources = [ReadSource { name: "T", topic: "T", kind: ResultKind::Table }];
    node.produce("s", 2, 0, &rows(0, 7)).await;
    let read = wait_until_read(&node.engine, &sources, &ends(&node).await, Duration::from_secs(60)).await;
    assert_eq!(read, Freshness::Current);
    assert_eq!(node.pull("SELECT k FROM t WHERE n = 1;").await.len(), 7);
    faults.inject(Fault::RefuseCommit(ErrorCode::InvalidTxnState));
    node.produce("s", 2, 0, &rows(7, 14)).await;
    node.await_that("the commit is refused", |_| faults.happened() == 1).await;
    let read = wait_until_read(&node.engine, &sources, &ends(&node).await, Duration::from_millis(100)).await;
    assert_eq!(read, Freshness::Behind { query_id });
}
