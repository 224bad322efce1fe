//! A start that fails leaves nothing behind, and deletes nothing that was there before it.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_broker::protocol::api_key::ApiKey;
use weir_engine::query::status::QueryState;
use weir_engine::settings::QueryOptions;

use super::faults::{Fault, Faults};
use super::harness::{Node, World, earliest};
use super::{STREAM, rows};

/// Needs a repartition topic and a changelog.
const GROUPED: &str = "CREATE TABLE t AS SELECT v % 3 AS m, COUNT(*) AS n FROM s GROUP BY v % 3;";

fn latest() -> QueryOptions {
    QueryOptions::default()
}

/// Internal topics of all queries, with their partitions.
async fn internal_topics(node: &Node) -> BTreeMap<String, i32> {
    let topics = node.admin().list_topics().await.expect("listed");
    let internal = topics.into_iter().filter(|topic| topic.name.starts_with("_confluent-ksql-"));
    internal.map(|topic| (topic.name, topic.partitions)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn internal_topics_of_a_start_that_fails_are_gone_again() {
    // Before topics are made, meanwhile, and after it.
    for api in [ApiKey::CreateTopics, ApiKey::DescribeTransactions, ApiKey::ListOffsets] {
        let dir = tempfile::tempdir().expect("a directory");
        let faults: Arc<Faults> = Arc::default();
        let world = World { faults: faults.clone(), ..World::default() };
        let mut node = Node::start_in(dir.path(), 2, world).await;
        node.execute(STREAM).await;
        faults.inject(Fault::Disconnect(api));
        let started = node.try_execute(GROUPED, latest()).await;
        assert!(started.is_err() && faults.happened() == 1, "{api:?}: {started:?}");
        assert_eq!(internal_topics(&node).await, BTreeMap::new(), "{api:?}");
        assert!(node.engine.queries().is_empty(), "{api:?}");
        // The same plan starts once the broker can be reached.
        node.start_again(2).await.remove(0).expect("the query starts");
        assert_eq!(internal_topics(&node).await.len(), 2, "{api:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_from_before_a_start_that_fails_stay() {
    let dir = tempfile::tempdir().expect("a directory");
    let faults: Arc<Faults> = Arc::default();
    let mut node = Node::start_in(dir.path(), 2, World { faults: faults.clone(), ..World::default() }).await;
    node.execute(STREAM).await;
    let id = node.execute_with(GROUPED, earliest()).await.expect("a query");
    node.produce("s", 2, 0, &rows(0, 99)).await;
    node.await_rows("SELECT m FROM t WHERE n = 33;", 3).await;
    let before = internal_topics(&node).await;
    assert_eq!(before.len(), 2, "{before:?}");
    node.engine.shutdown().await.expect("a clean end");
    let repartition = before.keys().find(|name| name.ends_with("-repartition")).expect("a repartition topic");
    node.admin().delete_topics(&[repartition.as_str()]).await.expect("deleted");
    let left = internal_topics(&node).await;

    // It makes the repartition topic again, and cannot look up the transactions of its predecessor.
    faults.inject(Fault::Disconnect(ApiKey::DescribeTransactions));
    let started = node.start_again(2).await.remove(0);
    assert!(started.is_err() && faults.happened() == 1, "{started:?}");
    assert_eq!(internal_topics(&node).await, left);
    assert!(node.engine.query(&id).is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_in_the_way_of_a_start_stays() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut node = Node::start(dir.path(), 1).await;
    node.execute(STREAM).await;
    let id = node.execute(GROUPED).await.expect("a query");
    node.await_state(&id, QueryState::Running).await;
    let changelog = internal_topics(&node).await.into_keys().find(|name| name.ends_with("-changelog"));
    let changelog = changelog.expect("a changelog");
    node.engine.stop_query(&id, weir_engine::engine::StopMode::Delete).await.expect("stops");
    node.admin().create_topic(&changelog, 7, &BTreeMap::new()).await.expect("created");

    let error = node.start_again(1).await.remove(0).expect_err("the changelog is too wide");
    assert!(error.chain().contains("7 partitions"), "{}", error.chain());
    assert_eq!(internal_topics(&node).await, BTreeMap::from([(changelog, 7)]));
}
