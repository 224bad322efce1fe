//! Many partitions on one node: made, served, stopped, killed, deleted.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use weir_broker::client::admin::{Admin, NewTopic};
use weir_broker::ids::TopicPartition;
use weir_broker::log::access::{Isolation, OffsetSpec};
use weir_broker::protocol::messages::metadata::MetadataRequest;

use crate::scale::child::{Child, Options, PATIENCE};
use crate::scale::traffic::produce_to_all;
use crate::scale::{crowd::Peer, number};

/// With so many partitions figures are worth the time they take.
const FULL: usize = 5_000;
const METADATA_REQUESTS: usize = 100;
/// What a node with 10,000 partitions may take.
const RSS_MAX: usize = 1 << 30;

fn topic(index: usize) -> String {
    format!("topic-{index}")
}

fn partitions(topics: usize, each: usize) -> Vec<TopicPartition> {
    (0..topics)
        .flat_map(|at| (0..each).map(move |index| TopicPartition::new(topic(at), index as i32)))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_topic_of_all_partitions() {
    live(1, number("WEIR_SCALE_PARTITIONS", 300)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn some_topics_of_some_partitions() {
    let topics = number("WEIR_SCALE_PARTITIONS", 300).div_ceil(100);
    live(topics, 100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_topics_of_few_partitions() {
    let topics = number("WEIR_SCALE_PARTITIONS", 300).div_ceil(10);
    live(topics, 10).await;
}

/// The life of a node with `topics` topics of `each` partitions.
async fn live(topics: usize, each: usize) {
    let dir = tempfile::tempdir().expect("a directory");
    let options = Options::default();
    let all = partitions(topics, each);
    let child = Child::start(dir.path(), &options).await;
    let created = create(&child, topics, each).await;
    let (metadata, idle) = (time_metadata(&child).await, idle_cpu(&child, all.len()).await);
    let rss = child.rss();
    let stopped = child.stop().await;
    println!(
        "{topics} x {each}: created in {created:.2?}, stopped in {stopped:.2?}, RSS {} MiB, idle {idle}, {metadata}",
        rss >> 20
    );

    let child = Child::start(dir.path(), &options).await;
    let started = child.started_in;
    let producing = Instant::now();
    produce_to_all(child.transport(), &all).await;
    let produced = producing.elapsed();
    let rss = child.rss();
    child.kill();
    println!(
        "{topics} x {each}: started in {started:.2?}, a record to each in {produced:.2?}, RSS {} MiB",
        rss >> 20
    );
    assert!(rss < RSS_MAX, "{rss} bytes");

    let child = Child::start(dir.path(), &options).await;
    let recovered = child.started_in;
    check(&child, &all).await;
    let stopped = child.stop().await;
    let child = Child::start(dir.path(), &options).await;
    let started = child.started_in;
    check(&child, &all).await;
    let metadata = time_metadata(&child).await;
    let stopped_untouched = child.stop().await;
    println!(
        "{topics} x {each}, a record in each: started after a kill in {recovered:.2?}, stopped in {stopped:.2?}, \
         started in {started:.2?}, stopped in {stopped_untouched:.2?}, {metadata}"
    );
    delete(dir.path(), &options, topics, each).await;
}

async fn create(child: &Child, topics: usize, each: usize) -> Duration {
    let new = |index| NewTopic {
        name: topic(index),
        partitions: each as i32,
        configs: BTreeMap::from([("retention.ms".to_owned(), "-1".to_owned())]),
    };
    let wanted: Vec<NewTopic> = (0..topics).map(new).collect();
    let creating = Instant::now();
    let made = Admin::new(child.transport()).create_topics(&wanted).await.expect("answered");
    made.into_iter().for_each(|outcome| outcome.expect("created"));
    creating.elapsed()
}

/// Every partition has the one record that was acknowledged.
async fn check(child: &Child, all: &[TopicPartition]) {
    let admin = Admin::new(child.transport());
    for some in all.chunks(1_000) {
        let wanted: Vec<_> = some.iter().map(|partition| (partition.clone(), OffsetSpec::Latest)).collect();
        let listed = admin.list_offsets(&wanted, Isolation::ReadCommitted).await.expect("listed");
        assert!(listed.iter().all(|listed| listed.offset == Some(1)), "records are gone or doubled");
    }
}

/// Asks for all topics on a connection of its own, one request after the other.
async fn time_metadata(child: &Child) -> String {
    let mut peer = Peer::connect(&child.address).await;
    let mut took = Vec::with_capacity(METADATA_REQUESTS);
    let mut bytes = 0;
    for _ in 0..METADATA_REQUESTS {
        let asking = Instant::now();
        peer.send(&MetadataRequest { topics: None, ..MetadataRequest::default() }.into(), 12)
            .await
            .expect("sent");
        bytes = peer.receive().await.expect("answered").len();
        took.push(asking.elapsed());
    }
    took.sort_unstable();
    let (p50, p99) = (took[METADATA_REQUESTS / 2], took[METADATA_REQUESTS * 99 / 100]);
    format!("all metadata ({} KiB) p50 {p50:.1?} p99 {p99:.1?}", bytes >> 10)
}

/// How much of a processor the node takes when nobody asks for anything; measured in long runs only.
async fn idle_cpu(child: &Child, partitions: usize) -> String {
    if partitions < FULL {
        return "not measured".to_owned();
    }
    let (before, began) = (child.cpu(), Instant::now());
    // A checkpoint falls into it, and the cleaner a few times.
    tokio::time::sleep(Duration::from_secs(65)).await;
    let used = child.cpu() - before;
    format!("{:.2} % of a processor", 100.0 * used.as_secs_f64() / began.elapsed().as_secs_f64())
}

async fn delete(dir: &Path, options: &Options, topics: usize, each: usize) {
    let child = Child::start(dir, options).await;
    let admin = Admin::new(child.transport());
    let names: Vec<String> = (0..topics).map(topic).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let deleting = Instant::now();
    admin.delete_topics(&names).await.expect("deleted");
    let deleted = deleting.elapsed();
    let left = admin.list_topics().await.expect("listed");
    assert!(left.iter().all(|topic| topic.internal), "{left:?}");
    let rss = child.rss() >> 20;
    // As long as it goes on, it may take as long as the disk likes.
    let (mut left, mut deadline) = (directories(dir), Instant::now() + PATIENCE);
    while left > 0 {
        assert!(Instant::now() < deadline, "{left} directories are left");
        tokio::time::sleep(Duration::from_millis(20)).await;
        if directories(dir) < left {
            (left, deadline) = (directories(dir), Instant::now() + PATIENCE);
        }
    }
    let removed = deleting.elapsed();
    println!("{topics} x {each}: deleted in {deleted:.2?}, files gone after {removed:.2?}, RSS {rss} MiB");
    child.stop().await;
}

/// How many directories there are but those of the broker's own topics.
fn directories(dir: &Path) -> usize {
    let entries = std::fs::read_dir(dir.join("data/log")).expect("a directory");
    let names =
        entries.filter_map(Result::ok).filter(|entry| entry.path().is_dir()).map(|entry| entry.file_name());
    names.filter(|name| !name.to_string_lossy().starts_with("__")).count()
}
