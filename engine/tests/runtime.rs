//! Queries through a real broker: to the end, through crashes, and to clients.

mod failed_starts;
mod faults;
mod freshness;
mod harness;
mod old_state;
mod panics;
mod refused_records;
mod stuck_tasks;
mod topic_changes;

use std::collections::BTreeMap;
use std::time::Instant;

use self::harness::{Node, earliest};
use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use weir_engine::engine::StopMode;
use weir_engine::query::status::QueryState;
use weir_engine::settings::QueryOptions;

const STREAM: &str = "CREATE STREAM s (k STRING KEY, v BIGINT) \
                      WITH (KAFKA_TOPIC = 's', PARTITIONS = 2, KEY_FORMAT = 'KAFKA', VALUE_FORMAT = 'JSON');";

fn rows(from: i64, to: i64) -> Vec<(String, Option<String>)> {
    (from..to).map(|i| (format!("k{}", i % 7), Some(format!("{{\"V\":{i}}}")))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filter_and_project_reach_the_sink() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut node = Node::start(dir.path(), 2).await;
    node.execute(STREAM).await;
    let id = node
        .execute("CREATE STREAM big AS SELECT k, v * 2 AS d FROM s WHERE v >= 90;")
        .await
        .expect("a query");
    node.produce("s", 2, 1_000, &rows(0, 100)).await;
    let mut seen = node.read("BIG", 2, 10).await;
    seen.sort();
    let mut expected: Vec<_> =
        (90..100).map(|i| (Some(format!("k{}", i % 7)), Some(format!("{{\"D\":{}}}", i * 2)))).collect();
    expected.sort();
    assert_eq!(seen, expected);
    node.await_state(&id, QueryState::Running).await;
    node.engine.stop_query(&id, StopMode::Delete).await.expect("stops");
    assert!(node.engine.queries().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn output_is_exactly_once_through_crashes() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut node = Node::start(dir.path(), 2).await;
    node.execute(STREAM).await;
    node.execute("CREATE STREAM copy AS SELECT k, v FROM s;").await;
    node.execute("CREATE TABLE sums AS SELECT k, SUM(v) AS total, COUNT(*) AS n FROM s GROUP BY k;").await;
    let total = 6_000;
    for round in 0..6 {
        node.produce("s", 2, round * 1_000, &rows(round * 1_000, (round + 1) * 1_000)).await;
        node.crash(1 + (round as usize % 2)).await;
    }
    let copied = node.read("COPY", 2, total).await;
    assert_eq!(copied.len(), total);
    let mut values: Vec<i64> = copied.iter().map(|(_, v)| number(v.as_deref(), "V")).collect();
    values.sort_unstable();
    assert_eq!(values, (0..total as i64).collect::<Vec<_>>());

    let updates = node.read("SUMS", 2, total).await;
    assert_eq!(updates.len(), total, "every update once");
    let mut last = BTreeMap::new();
    for (key, value) in updates {
        last.insert(key.expect("a key"), (number(value.as_deref(), "TOTAL"), number(value.as_deref(), "N")));
    }
    let mut expected = BTreeMap::new();
    for i in 0..total as i64 {
        let entry = expected.entry(format!("k{}", i % 7)).or_insert((0, 0));
        *entry = (entry.0 + i, entry.1 + 1);
    }
    assert_eq!(last, expected);
}

fn number(json: Option<&str>, field: &str) -> i64 {
    let value: serde_json::Value = serde_json::from_str(json.expect("a value")).expect("JSON");
    value[field].as_i64().expect("a number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_query_shows_new_rows_at_once_and_ends_at_its_limit() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut node = Node::start(dir.path(), 1).await;
    node.execute(STREAM).await;
    node.produce("s", 2, 0, &rows(0, 10)).await;
    let push = node.push("SELECT k, v FROM s EMIT CHANGES LIMIT 5;");
    let mut rows_of =
        node.engine.push_query(push.plan, QueryOptions::default(), push.limit).await.expect("starts");
    let mut seen = Vec::new();
    for i in 100..105 {
        let begun = Instant::now();
        node.produce("s", 2, 50, &rows(i, i + 1)).await;
        let batch = rows_of.next().await.expect("a row");
        println!("row after {:?}", begun.elapsed());
        let column = rows_of.schema().value.iter().position(|c| c.name == "V").expect("a column");
        seen.extend(batch.value[column].as_primitive::<Int64Type>().values().iter().copied());
    }
    assert_eq!(seen, [100, 101, 102, 103, 104]);
    assert!(rows_of.next().await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scan_ends_where_the_topic_ended_and_regroups_within_the_process() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut node = Node::start(dir.path(), 2).await;
    node.execute(STREAM).await;
    node.produce("s", 2, 0, &rows(0, 100)).await;
    let push = node.push("SELECT v % 3 AS m, COUNT(*) AS n FROM s GROUP BY v % 3 EMIT CHANGES;");
    let mut results = node.engine.scan_query(push.plan, earliest(), None).await.expect("starts");
    let mut last = BTreeMap::new();
    while let Some(batch) = results.next().await {
        let keys = batch.key[0].as_primitive::<Int64Type>().clone();
        let position = results.schema().value.iter().position(|c| c.name == "N").expect("a column");
        let counts = batch.value[position].as_primitive::<Int64Type>().clone();
        for row in 0..batch.len() {
            last.insert(keys.value(row), counts.value(row));
        }
    }
    assert_eq!(results.failure(), None);
    assert_eq!(last, BTreeMap::from([(0, 34), (1, 33), (2, 33)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pull_queries_look_up_scan_sort_and_group() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut node = Node::start(dir.path(), 2).await;
    node.execute(STREAM).await;
    node.execute("CREATE TABLE t AS SELECT k, COUNT(*) AS n, SUM(v) AS total FROM s GROUP BY k;").await;
    node.execute(
        "CREATE TABLE w AS SELECT k, COUNT(*) AS n FROM s WINDOW TUMBLING (SIZE 50 MILLISECONDS) GROUP BY k;",
    )
    .await;
    node.produce("s", 2, 1_000, &rows(0, 100)).await;
    node.read("T", 2, 100).await;
    node.read("W", 2, 100).await;
    // State follows the output it belongs to.
    node.await_rows("SELECT k FROM t;", 7).await;
    node.await_rows("SELECT n FROM w;", 14).await;

    assert_eq!(node.pull("SELECT * FROM t WHERE k = 'k3';").await, [["k3", "14", "679"]]);
    assert!(node.pull("SELECT * FROM t WHERE k = 'none';").await.is_empty());
    let two = node.pull("SELECT k, n + 1 AS m FROM t WHERE k IN ('k1', 'k0') ORDER BY k;").await;
    assert_eq!(two, [["k0", "16"], ["k1", "16"]]);
    let range = node.pull("SELECT k FROM t WHERE k > 'k3' AND k <= 'k5' ORDER BY k DESC;").await;
    assert_eq!(range, [["k5"], ["k4"]]);
    let grouped = node.pull("SELECT n, COUNT(*) AS c, MAX(k) AS last FROM t GROUP BY n ORDER BY n;").await;
    assert_eq!(grouped, [["14", "5", "k6"], ["15", "2", "k1"]]);
    let limited = node.pull("SELECT k FROM t ORDER BY total DESC LIMIT 2;").await;
    assert_eq!(limited, [["k1"], ["k0"]]);

    let windows = node.pull("SELECT k, WINDOWSTART, n FROM w WHERE k = 'k0' ORDER BY WINDOWSTART;").await;
    assert_eq!(windows, [["k0", "1000", "8"], ["k0", "1050", "7"]]);
    let later = node.pull("SELECT n FROM w WHERE k = 'k0' AND WINDOWSTART >= 1001;").await;
    assert_eq!(later, [["7"]]);

    let of_stream = node.pull("SELECT COUNT(*) AS n FROM s WHERE v >= 50;").await;
    assert_eq!(of_stream, [["50"]]);
    let joined =
        node.pull("SELECT a.k, b.n FROM t a JOIN w b ON a.k = b.k WHERE a.k = 'k2' ORDER BY b.n;").await;
    assert_eq!(joined, [["k2", "7"], ["k2", "7"]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clean_restart_finds_its_state_and_replays_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut node = Node::start(dir.path(), 2).await;
    node.execute(STREAM).await;
    let id =
        node.execute("CREATE TABLE t AS SELECT k, COUNT(*) AS n FROM s GROUP BY k;").await.expect("a query");
    node.produce("s", 2, 1_000, &rows(0, 70)).await;
    node.read("T", 2, 70).await;
    node.restart(2).await;
    node.await_state(&id, QueryState::Running).await;
    let status = node.engine.query(&id).expect("the query").status();
    assert_eq!(status.metrics.restored_records, 0, "{status:?}");
    node.produce("s", 2, 2_000, &rows(70, 140)).await;
    node.read("T", 2, 140).await;
    node.await_rows("SELECT k FROM t WHERE n = 20;", 7).await;
    let counts = node.pull("SELECT k, n FROM t ORDER BY k;").await;
    assert!(counts.iter().all(|row| row[1] == "20"), "{counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_state_is_rebuilt_from_the_changelog() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut node = Node::start(dir.path(), 1).await;
    node.execute(STREAM).await;
    let id =
        node.execute("CREATE TABLE t AS SELECT k, COUNT(*) AS n FROM s GROUP BY k;").await.expect("a query");
    node.produce("s", 2, 1_000, &rows(0, 70)).await;
    node.read("T", 2, 70).await;
    node.engine.shutdown().await.expect("a clean end");
    let mut damaged = 0;
    let application =
        dir.path().join("state").join(weir_engine::query::naming::application_id("default_", &id));
    for task in std::fs::read_dir(application).expect("tasks") {
        for file in std::fs::read_dir(task.expect("a task").path()).expect("files") {
            let path = file.expect("a file").path();
            if path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("MANIFEST")) {
                std::fs::write(path, b"junk").expect("writable");
                damaged += 1;
            }
        }
    }
    assert_eq!(damaged, 2);
    node.crash(1).await;
    node.await_state(&id, QueryState::Running).await;
    let counts = node.pull("SELECT k, n FROM t ORDER BY k;").await;
    assert_eq!(counts.len(), 7);
    assert!(counts.iter().all(|row| row[1] == "10"), "{counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_finds_the_rows_of_a_table() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut node = Node::start(dir.path(), 2).await;
    node.execute(STREAM).await;
    node.execute(
        "CREATE TABLE u (k STRING PRIMARY KEY, name STRING) \
         WITH (KAFKA_TOPIC = 'u', PARTITIONS = 2, KEY_FORMAT = 'KAFKA', VALUE_FORMAT = 'JSON');",
    )
    .await;
    let names: Vec<_> = (0..7).map(|i| (format!("k{i}"), Some(format!("{{\"NAME\":\"n{i}\"}}")))).collect();
    node.produce("u", 2, 10, &names).await;
    node.execute("CREATE STREAM j AS SELECT s.k, s.v, u.name FROM s JOIN u ON s.k = u.k;").await;
    node.produce("s", 2, 1_000, &rows(0, 50)).await;
    node.crash(2).await;
    node.produce("s", 2, 2_000, &rows(50, 100)).await;
    let mut seen: Vec<(i64, String)> = node
        .read("J", 2, 100)
        .await
        .into_iter()
        .map(|(key, value)| {
            let value: serde_json::Value = serde_json::from_str(&value.expect("a value")).expect("JSON");
            let row = (key, value);
            let v =
                row.1.as_object().expect("a row").values().find_map(serde_json::Value::as_i64).expect("v");
            (v, row.0.expect("a key") + row.1["U_NAME"].as_str().or(row.1["NAME"].as_str()).expect("a name"))
        })
        .collect();
    seen.sort();
    let expected: Vec<_> = (0..100).map(|i| (i, format!("k{0}n{0}", i % 7))).collect();
    assert_eq!(seen, expected);
}

/// Options that read from the beginning, with properties.
fn properties(pairs: &[(&str, &str)]) -> QueryOptions {
    let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let mut options = earliest();
    options.properties.extend(pairs);
    options
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn properties_reach_the_query() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut node = Node::start(dir.path(), 2).await;
    node.execute(STREAM).await;
    node.produce("s", 2, 1_000, &rows(0, 2_000)).await;
    let caching = properties(&[
        ("ksql.streams.cache.max.bytes.buffering", "1000000"),
        ("commit.interval.ms", "60000"),
        ("ksql.functions.collect_list.limit", "3"),
    ]);
    let sql = "CREATE TABLE t AS SELECT k, COUNT(*) AS n, COLLECT_LIST(v) AS l FROM s GROUP BY k;";
    node.execute_with(sql, caching).await;
    let mut last = BTreeMap::new();
    for _ in 0..100 {
        let updates = node.read("T", 2, 7).await;
        assert!(updates.len() < 200, "updates of a key are one per commit: {}", updates.len());
        last = updates.into_iter().collect();
        if last.values().map(|v| number(v.as_deref(), "N")).sum::<i64>() == 2_000 {
            break;
        }
    }
    assert_eq!(last.values().map(|v| number(v.as_deref(), "N")).sum::<i64>(), 2_000);
    assert!(last.values().all(|v| v.as_deref().is_some_and(|v| v.matches(',').count() == 3)), "{last:?}");

    let refused = properties(&[("commit.interval.ms", "soon")]);
    let push = node.push("SELECT k, v FROM s EMIT CHANGES;");
    let error = node.engine.push_query(push.plan, refused, None).await.expect_err("no number");
    assert!(error.to_string().contains("'commit.interval.ms'"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_fail_or_come_late_are_counted() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut node = Node::start(dir.path(), 1).await;
    node.execute(STREAM).await;
    let sql = "CREATE TABLE w AS SELECT k, COUNT(*) AS n FROM s \
               WINDOW TUMBLING (SIZE 10 MILLISECONDS, GRACE PERIOD 0 MILLISECONDS) GROUP BY k;";
    let id = node.execute(sql).await.expect("a query");
    let row = |text: &str| vec![("k".to_owned(), Some(text.to_owned()))];
    node.produce("s", 2, 1_000, &row("{\"V\":1}")).await;
    node.produce("s", 2, 5_000, &row("{\"V\":2}")).await;
    node.produce("s", 2, 1_001, &row("{\"V\":3}")).await;
    node.produce("s", 2, 5_001, &row("{\"V\":")).await;
    node.produce("s", 2, 6_000, &row("{\"V\":4}")).await;
    node.read("W", 2, 3).await;
    let metrics = node.engine.query(&id).expect("the query").status().metrics;
    assert_eq!((metrics.late_rows, metrics.row_errors), (1, 2), "{metrics:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_is_read_twice_is_read_once_each_through_crashes() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut node = Node::start(dir.path(), 2).await;
    node.execute(STREAM).await;
    node.execute(&STREAM.replace("STREAM s", "STREAM again")).await;
    node.execute(
        "CREATE STREAM j AS SELECT s.k, s.v AS v FROM s JOIN again WITHIN 0 SECONDS ON s.k = again.k;",
    )
    .await;
    let total = 3_000;
    for round in 0..3 {
        node.produce("s", 2, round * 1_000, &rows(round * 1_000, (round + 1) * 1_000)).await;
        node.crash(2).await;
    }
    let mut seen: Vec<i64> =
        node.read("J", 2, total).await.iter().map(|(_, v)| number(v.as_deref(), "V")).collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..total as i64).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_goes_on_after_records_it_has_not_read_are_deleted() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut node = Node::start(dir.path(), 1).await;
    node.execute(&STREAM.replace("PARTITIONS = 2", "PARTITIONS = 1")).await;
    let id = node.execute("CREATE STREAM copy AS SELECT k, v FROM s;").await.expect("a query");
    node.produce("s", 1, 1_000, &rows(0, 10)).await;
    node.read("COPY", 1, 10).await;
    node.engine.shutdown().await.expect("a clean end");
    node.produce("s", 1, 2_000, &rows(10, 60)).await;
    let partition = weir_broker::ids::TopicPartition::new("s", 0);
    let admin = weir_broker::client::admin::Admin::new(node.transport.clone());
    admin.delete_records(&partition, 40).await.expect("deleted");
    node.crash(1).await;
    let seen = node.read("COPY", 1, 30).await;
    let values: Vec<i64> = seen.iter().map(|(_, v)| number(v.as_deref(), "V")).collect();
    assert_eq!(values, (0..10).chain(40..60).collect::<Vec<_>>());
    let status = node.engine.query(&id).expect("the query").status();
    assert_eq!((status.state, status.metrics.restarts), (QueryState::Running, 0));
}
