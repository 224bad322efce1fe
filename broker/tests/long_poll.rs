//! Fetches that wait: what they read meanwhile, and what ends the wait.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;
use weir_broker::broker::{Broker, Effects};
use weir_broker::client::admin::Admin;
use weir_broker::client::producer::idempotent::IdempotentProducer;
use weir_broker::client::producer::transactional::TransactionalProducer;
use weir_broker::client::transport::Transport;
use weir_broker::config::BrokerConfig;
use weir_broker::env::storage::system::SystemStorage;
use weir_broker::env::storage::{DirEntry, OpenMode, Storage, StorageFile, StorageLock};
use weir_broker::ids::TopicPartition;
use weir_broker::protocol::error_code::ErrorCode;
use weir_broker::protocol::messages::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic};
use weir_broker::protocol::request::Request;
use weir_broker::protocol::response::Response;
use weir_broker::record::builder::{BatchOptions, RecordBatchBuilder};

const DEADLINE: Duration = Duration::from_secs(120);
const FOR_EVER_MS: i32 = 3_600_000;

/// The machine's files; what is read of the topic's log is counted.
#[derive(Debug, Clone)]
struct Counting {
    read: Arc<AtomicU64>,
}

#[derive(Debug)]
struct CountingFile {
    file: Arc<dyn StorageFile>,
    read: Arc<AtomicU64>,
}

impl Storage for Counting {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn StorageFile>> {
        let file = SystemStorage.open(path, mode)?;
        if path.to_string_lossy().contains("/t-0/") {
            Ok(Arc::new(CountingFile { file, read: self.read.clone() }))
        } else {
            Ok(file)
        }
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        SystemStorage.create_dir_all(path)
    }
    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        SystemStorage.read_dir(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        SystemStorage.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        SystemStorage.remove_file(path)
    }
    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        SystemStorage.remove_dir_all(path)
    }
    fn exists(&self, path: &Path) -> bool {
        SystemStorage.exists(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        SystemStorage.sync_dir(path)
    }
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn StorageLock>>> {
        SystemStorage.lock(path)
    }
}

impl StorageFile for CountingFile {
    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        let read = self.file.read_at(buf, position)?;
        self.read.fetch_add(read as u64, Ordering::SeqCst);
        Ok(read)
    }
    fn write_all_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, position)
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// A broker with the topic `t` of one partition.
async fn start(dir: &Path, storage: &Counting) -> (Broker, Uuid) {
    let mut config = BrokerConfig::new(dir);
    config.listeners.clear();
    let effects = Effects { storage: Arc::new(storage.clone()), ..Effects::default() };
    let broker = Broker::start_with(config, effects).await.expect("the broker starts");
    let admin = Admin::new(broker.transport());
    admin.create_topic("t", 1, &BTreeMap::new()).await.expect("created");
    let id = admin.describe_topic("t").await.expect("described").expect("exists").id.0;
    (broker, id)
}

fn batch(value_bytes: usize) -> Bytes {
    let mut builder = RecordBatchBuilder::new(BatchOptions::default());
    builder.append(1, Some(b"k"), Some(&vec![b'v'; value_bytes]), &[]);
    builder.build().expect("the batch builds")
}

/// Waits for `min_bytes`. Returns how many bytes came.
async fn fetch(
    transport: Arc<dyn Transport>,
    topic_id: Uuid,
    isolation_level: i8,
    min_bytes: usize,
) -> usize {
    let partition = FetchPartition { partition_max_bytes: i32::MAX, ..FetchPartition::default() };
    let topic = FetchTopic { topic_id, partitions: vec![partition], ..FetchTopic::default() };
    let request = FetchRequest {
        max_wait_ms: FOR_EVER_MS,
        min_bytes: i32::try_from(min_bytes).expect("small"),
        max_bytes: i32::MAX,
        isolation_level,
        topics: vec![topic],
        ..FetchRequest::default()
    };
    let answer = tokio::time::timeout(DEADLINE, transport.send(Request::Fetch(request)));
    let Ok(Response::Fetch(FetchResponse { mut responses, .. })) = answer.await.expect("in time") else {
        panic!("an answer of the same API")
    };
    let partition = responses.remove(0).partitions.remove(0);
    assert_eq!(partition.error_code, ErrorCode::None);
    partition.records.map_or(0, |records| records.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_read_is_not_read_again_with_every_record_that_comes() {
    const BATCHES: usize = 200;
    let dir = tempfile::tempdir().expect("a directory");
    let storage = Counting { read: Arc::default() };
    let (broker, id) = start(dir.path(), &storage).await;
    let wanted = BATCHES * batch(1_000).len();
    let mut producer = IdempotentProducer::init(broker.transport()).await.expect("a producer id");
    storage.read.store(0, Ordering::SeqCst);
    let produce = async {
        for _ in 0..BATCHES {
            let batches = vec![(TopicPartition::new("t", 0), vec![batch(1_000)])];
            producer.send(batches).await.expect("produced");
        }
    };
    let (fetched, ()) = tokio::join!(fetch(broker.transport(), id, 0, wanted), produce);
    assert_eq!(fetched, wanted);
    // Reading all of it with every batch would come to a hundred times as much.
    let read = storage.read.load(Ordering::SeqCst);
    assert!(read < 4 * wanted as u64, "{read} bytes read for {wanted}");
    broker.shutdown().await.expect("a clean end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_marker_ends_the_wait_for_a_large_transaction() {
    const READ_COMMITTED: i8 = 1;
    let dir = tempfile::tempdir().expect("a directory");
    let storage = Counting { read: Arc::default() };
    let (broker, id) = start(dir.path(), &storage).await;
    let mut producer =
        TransactionalProducer::init(broker.transport(), "x", 60_000).await.expect("a producer id");
    let batches = vec![(TopicPartition::new("t", 0), vec![batch(10_000)])];
    producer.produce(batches).await.expect("handed over");
    // Visible to others before the fetch begins to wait.
    assert!(fetch(broker.transport(), id, 0, 10_000).await >= 10_000);
    let commit = async { producer.commit(None).await.expect("committed") };
    let (fetched, _) = tokio::join!(fetch(broker.transport(), id, READ_COMMITTED, 5_000), commit);
    assert!(fetched >= 10_000, "{fetched}");
    broker.shutdown().await.expect("a clean end");
}

/// A reader by id learns at once that its topic is gone, also when there is one of the same name again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_by_id_learns_at_once_that_its_topic_is_gone() {
    let dir = tempfile::tempdir().expect("a directory");
    let (broker, id) = start(dir.path(), &Counting { read: Arc::default() }).await;
    let request = |session_epoch| {
        let partition = FetchPartition { partition_max_bytes: i32::MAX, ..FetchPartition::default() };
        let topic = FetchTopic { topic_id: id, partitions: vec![partition], ..FetchTopic::default() };
        Request::Fetch(FetchRequest {
            max_wait_ms: FOR_EVER_MS,
            min_bytes: 1,
            max_bytes: i32::MAX,
            session_epoch,
            topics: vec![topic],
            ..FetchRequest::default()
        })
    };
    let code = |answer: Response| {
        let Response::Fetch(mut answer) = answer else { panic!("{answer:?}") };
        answer.responses.remove(0).partitions.remove(0).error_code
    };
    let transport = broker.transport();
    let waiting = request(-1);
    let waits = tokio::spawn(async move { transport.send(waiting).await });
    let admin = Admin::new(broker.transport());
    admin.delete_topics(&["t"]).await.expect("deleted");
    let answer = tokio::time::timeout(DEADLINE, waits).await.expect("in time").expect("no panic");
    let first = code(answer.expect("answered"));
    assert!(first.is_err(), "the wait ends with the topic");
    admin.create_topic("t", 1, &BTreeMap::new()).await.expect("created anew");
    for epoch in [-1, 0] {
        let answer = tokio::time::timeout(DEADLINE, broker.transport().send(request(epoch))).await;
        assert_eq!(code(answer.expect("in time").expect("answered")), ErrorCode::UnknownTopicId);
    }
    broker.shutdown().await.expect("a clean end");
}
