//! Topics that are deleted, created again or given partitions under a query: it ends with the cause, and never goes on from zero.

use std::collections::BTreeMap;
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use weir_broker::client::group_offsets;
use weir_broker::ids::TopicPartition;
use weir_engine::batch::RowBatch;
use weir_engine::push::subscription::PushSubscription;
use weir_engine::query::status::QueryState;

use super::harness::{Node, World};
use super::{STREAM, number, rows};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Delete,
    CreateAgain,
    AddPartitions,
}

const CHANGES: [Change; 3] = [Change::Delete, Change::CreateAgain, Change::AddPartitions];
/// Parts of the names of the topics of [`GROUPED`].
const TOPICS: [&str; 4] = ["s", "T", "-repartition", "-changelog"];
const GROUPED: &str = "CREATE TABLE t AS SELECT v % 3 AS m, COUNT(*) AS n FROM s GROUP BY v % 3;";

fn world() -> World {
    World { tune: |config| config.topic_check_interval_ms = 20, ..World::default() }
}

/// The name of a topic of the query.
async fn topic(node: &Node, name: &str) -> String {
    let topics = node.admin().list_topics().await.expect("listed");
    let fits = |found: &str| if name.starts_with('-') { found.ends_with(name) } else { found == name };
    topics.into_iter().map(|t| t.name).find(|found| fits(found)).expect("the topic exists")
}

async fn change(node: &Node, name: &str, change: Change) {
    let admin = node.admin();
    match change {
        Change::Delete => admin.delete_topics(&[name]).await.expect("deleted"),
        Change::CreateAgain => {
            let configs = if name.ends_with("-changelog") { "compact" } else { "delete" };
            let configs = BTreeMap::from([("cleanup.policy".to_owned(), configs.to_owned())]);
            admin.delete_topics(&[name]).await.expect("deleted");
            admin.create_topic(name, 2, &configs).await.expect("created");
        }
        Change::AddPartitions => admin.create_partitions(name, 5).await.expect("added"),
    }
}

/// A node on which the table counts 99 rows.
async fn counting(dir: &std::path::Path) -> (Node, String) {
    let mut node = Node::start_in(dir, 2, world()).await;
    node.execute(STREAM).await;
    let id = node.execute(GROUPED).await.expect("a query");
    node.produce("s", 2, 0, &rows(0, 99)).await;
    node.await_rows("SELECT m FROM t WHERE n = 33;", 3).await;
    (node, id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_changes_while_it_is_used_ends_the_query_with_the_cause() {
    for name in TOPICS {
        for kind in CHANGES {
            let dir = tempfile::tempdir().expect("a directory");
            let (node, id) = counting(dir.path()).await;
            let name = topic(&node, name).await;
            change(&node, &name, kind).await;
            if name != "s" || kind == Change::AddPartitions {
                // The query may notice by what it reads or writes.
                node.produce("s", 2, 0, &rows(99, 120)).await;
            }
            node.await_state(&id, QueryState::Error).await;
            let cause = node.failure(&id);
            assert!(cause.contains(&format!("topic \"{name}\"")), "{name} {kind:?}: {cause}");
            assert!(cause.contains("Drop the query and create it again"), "{name} {kind:?}: {cause}");
            // It cannot be talked into going on.
            let resumed = node.engine.resume(&id).await;
            if resumed.is_ok() {
                node.await_state(&id, QueryState::Error).await;
            }
            node.engine
                .stop_query(&id, weir_engine::engine::StopMode::Delete)
                .await
                .expect("it can be dropped");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_changed_while_the_engine_was_down_is_noticed_at_the_start() {
    for name in TOPICS {
        for kind in CHANGES {
            let dir = tempfile::tempdir().expect("a directory");
            let (mut node, id) = counting(dir.path()).await;
            let name = topic(&node, name).await;
            node.engine.shutdown().await.expect("a clean end");
            change(&node, &name, kind).await;
            let started = node.start_again(2).await.remove(0);
            match started {
                Err(error) => assert!(
                    error.chain().contains("partitions") || error.chain().contains("exist"),
                    "{error}"
                ),
                Ok(()) => {
                    node.await_state(&id, QueryState::Error).await;
                    let cause = node.failure(&id);
                    assert!(cause.contains(&format!("topic \"{name}\"")), "{name} {kind:?}: {cause}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_source_that_is_created_again_ends_the_query() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut node = Node::start_in(dir.path(), 1, world()).await;
    node.execute(
        "CREATE SOURCE TABLE u (k STRING PRIMARY KEY, v BIGINT) \
         WITH (KAFKA_TOPIC = 'u', PARTITIONS = 2, KEY_FORMAT = 'KAFKA', VALUE_FORMAT = 'JSON');",
    )
    .await;
    let id = node.execute("CREATE TABLE d AS SELECT k, v FROM u;").await.expect("a query");
    node.produce("u", 2, 0, &rows(0, 5)).await;
    node.await_rows("SELECT k FROM d;", 5).await;
    change(&node, "u", Change::CreateAgain).await;
    node.await_state(&id, QueryState::Error).await;
    // Nor does it go on after a restart: it would show the old rows beside the new ones.
    node.produce("u", 2, 0, &rows(0, 2)).await;
    node.crash(1).await;
    node.await_state(&id, QueryState::Error).await;
}

/// What a query that has committed, and whose only source is another one since, says after a restart.
async fn failure_after_restart(node: &mut Node, id: &str, state: Option<&std::path::Path>) -> String {
    node.engine.shutdown().await.expect("a clean end");
    change(node, "s", Change::CreateAgain).await;
    node.produce("s", 2, 0, &rows(200, 230)).await;
    if let Some(state) = state {
        std::fs::remove_dir_all(state).expect("removed");
    }
    node.crash(2).await;
    node.await_state(id, QueryState::Error).await;
    node.failure(id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_only_source_that_was_created_again_while_the_engine_was_down_ends_a_query_with_state() {
    for keeps_state in [true, false] {
        let dir = tempfile::tempdir().expect("a directory");
        let mut node = Node::start_in(dir.path(), 2, world()).await;
        node.execute(STREAM).await;
        let sql = "CREATE TABLE t AS SELECT k, COUNT(*) AS n FROM s GROUP BY k;";
        let id = node.execute(sql).await.expect("a query");
        node.produce("s", 2, 0, &rows(0, 70)).await;
        node.await_rows("SELECT k FROM t WHERE n = 10;", 7).await;
        let state = dir.path().join("state");
        let cause = failure_after_restart(&mut node, &id, (!keeps_state).then_some(state.as_path())).await;
        assert!(cause.contains("topic \"s\"") && cause.contains("created again"), "{keeps_state}: {cause}");
        assert!(cause.contains("Drop the query and create it again"), "{keeps_state}: {cause}");
        let resumed = node.engine.resume(&id).await;
        if resumed.is_ok() {
            node.await_state(&id, QueryState::Error).await;
        }
        // Nothing was counted on top of what the query had.
        assert_eq!(node.read("T", 2, 70).await.len(), 70);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_only_source_that_was_created_again_while_the_engine_was_down_is_read_anew_after_resume() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut node = Node::start_in(dir.path(), 2, world()).await;
    node.execute(STREAM).await;
    // Read from the end: the new topic is read from its beginning nevertheless.
    let options = weir_engine::settings::QueryOptions::default();
    let sql = "CREATE STREAM copy AS SELECT k, v FROM s;";
    let id = node.execute_with(sql, options).await.expect("a query");
    node.await_state(&id, QueryState::Running).await;
    node.produce("s", 2, 0, &rows(0, 100)).await;
    node.read("COPY", 2, 100).await;
    let cause = failure_after_restart(&mut node, &id, None).await;
    assert!(cause.contains("topic \"s\"") && cause.contains("Use RESUME"), "{cause}");
    node.engine.resume(&id).await.expect("goes on");
    let mut seen: Vec<i64> =
        node.read("COPY", 2, 130).await.iter().map(|(_, v)| number(v.as_deref(), "V")).collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..100).chain(200..230).collect::<Vec<_>>());
    // What RESUME has accepted is accepted by the next start, in all parts of the query.
    node.restart(2).await;
    node.produce("s", 2, 0, &rows(230, 240)).await;
    assert_eq!(node.read("COPY", 2, 140).await.len(), 140);
    node.await_state(&id, QueryState::Running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_and_notes_of_an_idle_query_are_committed_again_before_they_expire() {
    let dir = tempfile::tempdir().expect("a directory");
    let world = World { tune: |config| config.offset_renewal_interval_ms = 20, ..World::default() };
    let mut node = Node::start_in(dir.path(), 2, world).await;
    node.execute(STREAM).await;
    let id = node.execute("CREATE STREAM copy AS SELECT k, v FROM s;").await.expect("a query");
    node.produce("s", 2, 0, &rows(0, 100)).await;
    node.read("COPY", 2, 100).await;
    let group = node.engine.query(&id).expect("the query").application_id.clone();
    let ends: BTreeMap<_, _> = group_offsets::fetch(&node.transport, &group).await.expect("fetched");
    assert_eq!(ends.len(), 2, "{ends:?}");
    for _ in 0..3 {
        // As if they had expired.
        group_offsets::delete(&node.transport, &group).await.expect("deleted");
        let deadline = tokio::time::Instant::now() + Duration::from_secs(120);
        loop {
            let committed = group_offsets::fetch_committed(&node.transport, &group).await.expect("fetched");
            let positions: BTreeMap<_, _> =
                committed.iter().filter_map(|(partition, c)| Some((partition.clone(), c.offset?))).collect();
            let noted = committed.get(&TopicPartition::new("COPY", 0));
            if positions == ends && noted.is_some_and(|c| c.offset.is_none() && !c.metadata.is_empty()) {
                break;
            }
            assert!(tokio::time::Instant::now() < deadline, "{committed:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_without_state_goes_on_with_new_partitions_when_it_is_resumed() {
    for restart in [false, true] {
        let dir = tempfile::tempdir().expect("a directory");
        let mut node = Node::start_in(dir.path(), 2, world()).await;
        node.execute(STREAM).await;
        // Read from the end: what the new partitions hold is read from the beginning nevertheless.
        let id = node
            .execute_with(
                "CREATE STREAM copy AS SELECT k, v FROM s;",
                weir_engine::settings::QueryOptions::default(),
            )
            .await
            .expect("a query");
        node.await_state(&id, QueryState::Running).await;
        let keys = |from, to| -> Vec<_> {
            (from..to).map(|i| (format!("key{i}"), Some(format!("{{\"V\":{i}}}")))).collect()
        };
        node.produce("s", 2, 0, &keys(0, 100)).await;
        assert_eq!(node.read("COPY", 2, 100).await.len(), 100);
        change(&node, "s", Change::AddPartitions).await;
        node.produce("s", 5, 0, &keys(100, 300)).await;
        node.await_state(&id, QueryState::Error).await;
        let cause = node.failure(&id);
        assert!(cause.contains("has 5 partitions now, 2") && cause.contains("Use RESUME"), "{cause}");
        match restart {
            false => node.engine.resume(&id).await.expect("goes on"),
            true => node.crash(1).await,
        }
        node.await_state(&id, QueryState::Running).await;
        let mut seen: Vec<i64> =
            node.read("COPY", 2, 300).await.iter().map(|(_, v)| number(v.as_deref(), "V")).collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..300).collect::<Vec<_>>(), "restart: {restart}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_without_state_reads_a_topic_that_was_created_again_from_its_beginning() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut node = Node::start_in(dir.path(), 1, world()).await;
    node.execute(STREAM).await;
    let id = node.execute("CREATE STREAM copy AS SELECT k, v FROM s;").await.expect("a query");
    node.produce("s", 2, 0, &rows(0, 100)).await;
    node.read("COPY", 2, 100).await;
    change(&node, "s", Change::CreateAgain).await;
    node.await_state(&id, QueryState::Error).await;
    node.produce("s", 2, 0, &rows(200, 230)).await;
    node.engine.resume(&id).await.expect("goes on");
    let seen = node.read("COPY", 2, 130).await;
    let last: i64 = seen.iter().map(|(_, v)| number(v.as_deref(), "V")).max().expect("rows");
    assert_eq!((seen.len(), last), (130, 229));
}

/// Rows of a push query until `count` have come.
async fn pushed(rows: &mut PushSubscription, count: usize) -> Vec<RowBatch> {
    let mut batches = Vec::new();
    while batches.iter().map(RowBatch::len).sum::<usize>() < count {
        let next = tokio::time::timeout(Duration::from_secs(120), rows.next()).await;
        batches.push(next.expect("rows in time").unwrap_or_else(|| panic!("ended: {:?}", rows.failure())));
    }
    batches
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_query_reads_partitions_that_its_topic_is_given() {
    let keys = |from: i64, to: i64| -> Vec<_> {
        (from..to).map(|i| (format!("key{i}"), Some(format!("{{\"V\":{i}}}")))).collect()
    };
    // Read from the end: what the new partitions hold is read from the beginning nevertheless.
    let options = weir_engine::settings::QueryOptions::default();
    let integers = |batches: &[RowBatch], column: usize| -> Vec<i64> {
        batches.iter().flat_map(|b| b.value[column].as_primitive::<Int64Type>().values().to_vec()).collect()
    };
    for sql in [
        "SELECT k, v FROM s EMIT CHANGES;",
        // Rows reach the aggregation through an exchange.
        "SELECT v % 1 AS zero, COUNT(*) AS n FROM s GROUP BY v % 1 EMIT CHANGES;",
    ] {
        let dir = tempfile::tempdir().expect("a directory");
        let mut node = Node::start_in(dir.path(), 1, world()).await;
        node.execute(STREAM).await;
        let push = node.push(sql);
        let mut rows = node.engine.push_query(push.plan, options.clone(), push.limit).await.expect("starts");
        node.produce("s", 2, 0, &keys(0, 20)).await;
        let mut seen = pushed(&mut rows, 20).await;
        change(&node, "s", Change::AddPartitions).await;
        node.produce("s", 5, 0, &keys(20, 120)).await;
        seen.extend(pushed(&mut rows, 100).await);
        let column = seen[0].value.len() - 1;
        let mut values = integers(&seen, column);
        values.sort_unstable();
        let first = i64::from(sql.contains("COUNT"));
        assert_eq!(values, (first..120 + first).collect::<Vec<_>>(), "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_query_with_state_by_partition_ends_when_its_topic_is_given_partitions() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut node = Node::start_in(dir.path(), 1, world()).await;
    node.execute(STREAM).await;
    node.produce("s", 2, 0, &rows(0, 20)).await;
    let push = node.push("SELECT k, COUNT(*) AS n FROM s GROUP BY k EMIT CHANGES;");
    let mut rows = node.engine.push_query(push.plan, super::earliest(), push.limit).await.expect("starts");
    pushed(&mut rows, 1).await;
    change(&node, "s", Change::AddPartitions).await;
    let ended = async { while rows.next().await.is_some() {} };
    tokio::time::timeout(Duration::from_secs(120), ended).await.expect("it ends");
    let cause = rows.failure().expect("a cause");
    assert!(cause.contains("has 5 partitions now, 2") && cause.contains("Run the query again"), "{cause}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_query_ends_with_the_cause_when_its_topic_is_deleted() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut node = Node::start(dir.path(), 1).await;
    node.execute(STREAM).await;
    node.produce("s", 2, 0, &rows(0, 5)).await;
    let push = node.push("SELECT k, v FROM s EMIT CHANGES;");
    let mut rows = node.engine.push_query(push.plan, super::earliest(), push.limit).await.expect("starts");
    let mut count = 0;
    while count < 5 {
        count += rows.next().await.expect("rows").len();
    }
    change(&node, "s", Change::CreateAgain).await;
    let ended = tokio::time::timeout(Duration::from_secs(60), rows.next()).await.expect("it ends");
    assert!(ended.is_none());
    let cause = rows.failure().expect("a cause");
    assert!(cause.contains("topic \"s\"") && cause.contains("deleted"), "{cause}");
    assert!(cause.contains("Run the query again"), "{cause}");
}
