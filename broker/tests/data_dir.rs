//! The data directory: who may read it, and which copies of one are refused.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use weir_broker::broker::{Broker, StartError};
use weir_broker::client::admin::Admin;
use weir_broker::client::group_offsets;
use weir_broker::client::producer::idempotent::IdempotentProducer;
use weir_broker::config::BrokerConfig;
use weir_broker::error::Error;
use weir_broker::ids::TopicPartition;
use weir_broker::record::builder::{BatchOptions, RecordBatchBuilder};

fn config(dir: &Path) -> BrokerConfig {
    let mut config = BrokerConfig::new(dir);
    config.listeners.clear();
    config
}

/// A broker with a topic that has records in several segments, and a group.
async fn used(dir: &Path) -> Broker {
    let broker = Broker::start(config(dir)).await.expect("the broker starts");
    let small = BTreeMap::from([("segment.bytes".to_owned(), "200".to_owned())]);
    Admin::new(broker.transport()).create_topic("t", 1, &small).await.expect("created");
    let mut producer = IdempotentProducer::init(broker.transport()).await.expect("initialized");
    for _ in 0..10 {
        let mut batch = RecordBatchBuilder::new(BatchOptions::default());
        batch.append(1, Some(b"k"), Some(&[b'v'; 100]), &[]);
        let batches = vec![(TopicPartition::new("t", 0), vec![batch.build().expect("a batch")])];
        producer.send(batches).await.expect("acknowledged");
    }
    let offsets = [(TopicPartition::new("t", 0), 3)];
    group_offsets::commit(&broker.transport(), "g", &offsets).await.expect("committed");
    broker
}

/// All files and directories below a directory, itself included.
fn entries(dir: &Path) -> Vec<PathBuf> {
    let mut found = vec![dir.to_owned()];
    for entry in fs::read_dir(dir).expect("listed") {
        let entry = entry.expect("an entry");
        match entry.file_type().expect("a type").is_dir() {
            true => found.extend(entries(&entry.path())),
            false => found.push(entry.path()),
        }
    }
    found
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("there").permissions().mode() & 0o7777
}

fn copy(from: &Path, to: &Path) {
    for path in entries(from) {
        let target = to.join(path.strip_prefix(from).expect("below"));
        match path.is_dir() {
            true => fs::create_dir_all(target).expect("made"),
            false => drop(fs::copy(path, target).expect("copied")),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_for_their_owner_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("weir").join("data");
    let broker = used(&data).await;
    let check = || {
        let all = entries(&dir.path().join("weir"));
        for path in &all {
            let expected = if path.is_dir() { 0o700 } else { 0o600 };
            assert_eq!(mode(path), expected, "{}: {:o}", path.display(), mode(path));
        }
        all.len()
    };
    assert!(check() > 40, "segments, indexes, metadata and locks");
    broker.shutdown().await.expect("stops");
    // Checkpoints and snapshots of producers.
    check();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_others_could_read_is_closed_to_them() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    fs::create_dir(&data).expect("made");
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).expect("opened");
    let broker = Broker::start(config(&data)).await.expect("the broker starts");
    assert_eq!(mode(&data), 0o750, "a group that was let in stays so");
    broker.shutdown().await.expect("stops");
}

fn is_refused(outcome: &Result<Broker, StartError>) -> bool {
    matches!(outcome, Err(StartError::Storage(Error::CopiedWhileRunning { .. })))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_copied_while_a_node_runs_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    let broker = used(&data).await;
    let while_running = dir.path().join("while-running");
    copy(&data, &while_running);
    broker.shutdown().await.expect("stops");
    let after_stop = dir.path().join("after-stop");
    copy(&data, &after_stop);

    for _ in 0..2 {
        let refused = Broker::start(config(&while_running)).await;
        assert!(is_refused(&refused), "{refused:?}");
    }
    let message = Broker::start(config(&while_running)).await.expect_err("refused");
    let message = std::error::Error::source(&message).unwrap_or(&message).to_string();
    assert!(message.contains("--accept-copied-data"), "{message}");

    let accepting = BrokerConfig { accept_copied_data: true, ..config(&while_running) };
    let broker = Broker::start(accepting).await.expect("the operator accepts it");
    broker.shutdown().await.expect("stops");
    let broker = Broker::start(config(&while_running)).await.expect("it is this node's own from now on");
    broker.shutdown().await.expect("stops");
    let broker = Broker::start(config(&after_stop)).await.expect("a copy made after a clean stop is whole");
    broker.shutdown().await.expect("stops");
}
