//! Records that their topic cannot take cost themselves only, or the query, as its settings say.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_engine::processing_log::{MemoryLog, ProcessingError};
use weir_engine::query::status::QueryState;

use super::harness::{Node, World};
use super::{STREAM, number, properties, rows};

const TEXTS: &str = "CREATE STREAM s (k STRING KEY, v STRING) \
                     WITH (KAFKA_TOPIC = 's', PARTITIONS = 1, KEY_FORMAT = 'KAFKA', VALUE_FORMAT = 'JSON');";
const LISTS: &str = "CREATE TABLE t AS SELECT k, COUNT(*) AS n, COLLECT_LIST(v) AS l FROM s GROUP BY k;";

fn text(key: &str, letter: &str, bytes: usize) -> (String, Option<String>) {
    (key.to_owned(), Some(format!("{{\"V\":\"{}\"}}", letter.repeat(bytes))))
}

/// Topics of the production errors that were reported.
fn refused(log: &MemoryLog) -> Vec<String> {
    let topic = |(logger, error): (String, ProcessingError)| match error {
        ProcessingError::Production { topic, message, .. } => {
            assert!(!logger.is_empty() && !message.is_empty());
            Some(topic)
        }
        _ => None,
    };
    log.take().into_iter().filter_map(topic).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_grows_too_large_keeps_its_last_value_and_the_others_go_on() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = Arc::new(MemoryLog::default());
    let world = World { log: log.clone(), ..World::default() };
    let mut node = Node::start_in(dir.path(), 1, world).await;
    node.execute(TEXTS).await;
    let id = node.execute(LISTS).await.expect("a query");
    // Of 300,000 bytes each, three fit into a record.
    for n in 1..=5 {
        node.produce("s", 1, n, &[text("big", "x", 300_000)]).await;
        node.produce("s", 1, n, &[text("small", "y", 10)]).await;
        node.await_rows(&format!("SELECT k FROM t WHERE k = 'small' AND n = {n};"), 1).await;
    }
    node.await_state(&id, QueryState::Running).await;
    let kept = node.pull("SELECT n FROM t WHERE k = 'big';").await;
    assert_eq!(kept, [["3"]]);
    let mut topics = refused(&log);
    assert!(topics.iter().filter(|topic| *topic == "T").count() >= 2, "{topics:?}");
    topics.retain(|topic| topic.ends_with("-changelog"));
    assert!(topics.len() >= 2, "{topics:?}");
    let status = node.engine.query(&id).expect("the query").status();
    assert_eq!(status.metrics.restarts, 0, "{status:?}");
    assert!(status.metrics.row_errors >= 4, "{status:?}");
    let counts = |seen: &[super::harness::Seen], key: &str| -> Vec<i64> {
        let of_key = seen.iter().filter(|(k, _)| k.as_deref() == Some(key));
        of_key.map(|(_, v)| number(v.as_deref(), "N")).collect()
    };
    let seen = node.read("T", 1, 8).await;
    assert_eq!(counts(&seen, "big"), [1, 2, 3]);
    assert_eq!(counts(&seen, "small"), [1, 2, 3, 4, 5]);

    // State and its changelog are the same.
    node.engine.shutdown().await.expect("a clean end");
    std::fs::remove_dir_all(dir.path().join("state")).expect("removed");
    node.crash(1).await;
    node.await_state(&id, QueryState::Running).await;
    node.await_rows("SELECT k FROM t WHERE n = 5;", 1).await;
    assert_eq!(node.pull("SELECT n FROM t WHERE k = 'big';").await, [["3"]]);
}

/// What was refused is in the memory of the tasks no longer either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_was_too_large_takes_what_fits_later() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut node = Node::start(dir.path(), 1).await;
    node.execute(TEXTS).await;
    node.execute(LISTS).await.expect("a query");
    for n in 1..=5 {
        node.produce("s", 1, n, &[text("big", "x", 300_000)]).await;
        node.produce("s", 1, n, &[text("small", "y", 10)]).await;
        node.await_rows(&format!("SELECT k FROM t WHERE k = 'small' AND n = {n};"), 1).await;
    }
    node.produce("s", 1, 6, &[text("big", "z", 10)]).await;
    node.await_rows("SELECT k FROM t WHERE k = 'big' AND n = 4;", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_grows_too_large_ends_the_query_if_it_is_told_so() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut node = Node::start(dir.path(), 1).await;
    node.execute(TEXTS).await;
    let strict = properties(&[("ksql.fail.on.production.error", "true")]);
    let id = node.execute_with(LISTS, strict).await.expect("a query");
    for n in 1..=5 {
        node.produce("s", 1, n, &[text("big", "x", 300_000)]).await;
    }
    node.await_state(&id, QueryState::Error).await;
    let cause = node.failure(&id);
    assert!(cause.contains("MESSAGE_TOO_LARGE") && cause.contains("the topic takes"), "{cause}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_the_broker_refuses_is_found_and_left_out() {
    for strict in [false, true] {
        let dir = tempfile::tempdir().expect("a directory");
        let log = Arc::new(MemoryLog::default());
        let world = World { log: log.clone(), ..World::default() };
        let mut node = Node::start_in(dir.path(), 1, world).await;
        node.execute(&STREAM.replace("PARTITIONS = 2", "PARTITIONS = 1")).await;
        let options = properties(&[("ksql.fail.on.production.error", if strict { "true" } else { "false" })]);
        let id = node.execute_with("CREATE STREAM copy AS SELECT k, v FROM s;", options).await.expect("one");
        node.produce("s", 1, 1_000, &rows(0, 10)).await;
        node.read("COPY", 1, 10).await;
        let changes =
            BTreeMap::from([("message.timestamp.after.max.ms".to_owned(), Some("1000".to_owned()))]);
        node.admin().alter_configs("COPY", &changes).await.expect("altered");
        let changes =
            BTreeMap::from([("message.timestamp.after.max.ms".to_owned(), Some(i64::MAX.to_string()))]);
        node.admin().alter_configs("s", &changes).await.expect("altered");
        // In the year 2096, between rows of today.
        node.produce("s", 1, 1_000, &rows(10, 15)).await;
        node.produce("s", 1, 4_000_000_000_000, &rows(15, 17)).await;
        node.produce("s", 1, 1_000, &rows(17, 30)).await;
        if strict {
            node.await_state(&id, QueryState::Error).await;
            assert!(node.failure(&id).contains("INVALID_TIMESTAMP"), "{}", node.failure(&id));
            continue;
        }
        let seen = node.read("COPY", 1, 28).await;
        let values: Vec<i64> = seen.iter().map(|(_, v)| number(v.as_deref(), "V")).collect();
        assert_eq!(values, (0..15).chain(17..30).collect::<Vec<_>>());
        node.await_state(&id, QueryState::Running).await;
        assert_eq!(refused(&log), ["COPY", "COPY"]);
    }
}

/// State that its changelog does not have would be lost: such a record is not left out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_a_changelog_refuses_ends_the_query_and_nothing_is_lost() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut node = Node::start(dir.path(), 1).await;
    node.execute(&STREAM.replace("PARTITIONS = 2", "PARTITIONS = 1")).await;
    let sql = "CREATE TABLE t AS SELECT k, COUNT(*) AS n FROM s GROUP BY k;";
    let id = node.execute(sql).await.expect("a query");
    node.produce("s", 1, 1_000, &rows(0, 7)).await;
    node.await_rows("SELECT k FROM t WHERE n = 1;", 7).await;
    let topics = node.admin().list_topics().await.expect("listed");
    let changelog = topics.iter().find(|t| t.name.ends_with("-changelog")).expect("a changelog").name.clone();
    let take_until = |ahead_ms: i64| {
        BTreeMap::from([("message.timestamp.after.max.ms".to_owned(), Some(ahead_ms.to_string()))])
    };
    for (topic, ahead_ms) in [(&*changelog, 1_000), ("T", i64::MAX), ("s", i64::MAX)] {
        node.admin().alter_configs(topic, &take_until(ahead_ms)).await.expect("altered");
    }
    // In the year 2096.
    node.produce("s", 1, 4_000_000_000_000, &rows(7, 14)).await;
    node.await_state(&id, QueryState::Error).await;
    let cause = node.failure(&id);
    assert!(cause.contains("INVALID_TIMESTAMP") && cause.contains(&changelog), "{cause}");
    node.admin().alter_configs(&changelog, &take_until(i64::MAX)).await.expect("altered");
    node.engine.resume(&id).await.expect("goes on");
    node.await_rows("SELECT k FROM t WHERE n = 2;", 7).await;
    let seen = node.read("T", 1, 14).await;
    let counts: Vec<i64> = seen.iter().map(|(_, v)| number(v.as_deref(), "N")).collect();
    assert_eq!(counts, [[1; 7], [2; 7]].concat());
}
