//! Every kind of file of a broker, cut short, with a bit flipped, or lost: the broker recovers, takes the partition offline or
//! refuses to start naming the file. It never panics, never serves other bytes than were written, and never loses what
//! was flushed without saying so.
//!
//! `WEIR_DAMAGES=1000` tries a thousand of each instead of fifty; `WEIR_SEED` repeats a run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use weir_broker::broker::{Broker, Effects, StartError};
use weir_broker::client::admin::Admin;
use weir_broker::client::consumer::reader::{FetchOptions, Reader};
use weir_broker::client::group_offsets;
use weir_broker::client::producer::idempotent::IdempotentProducer;
use weir_broker::client::producer::transactional::TransactionalProducer;
use weir_broker::client::transport::Transport;
use weir_broker::config::BrokerConfig;
use weir_broker::env::clock::SystemClock;
use weir_broker::env::rng::SystemRng;
use weir_broker::env::storage::memory::{Crash, MemoryStorage};
use weir_broker::env::storage::{OpenMode, Storage};
use weir_broker::error::Error;
use weir_broker::ids::TopicPartition;
use weir_broker::record::builder::{BatchOptions, RecordBatchBuilder};
use weir_broker::record::compression::{Compression, DecompressBuf};

const TRIES: u64 = 50;
const DATA_DIR: &str = "/data";
const NOW_MS: i64 = 1_700_000_000_000;

fn effects(storage: &MemoryStorage) -> Effects {
    Effects {
        storage: Arc::new(storage.clone()),
        clock: Arc::new(SystemClock::new()),
        rng: Arc::new(SystemRng),
    }
}

async fn start(storage: &MemoryStorage) -> Result<Broker, StartError> {
    let mut config = BrokerConfig::new(DATA_DIR);
    config.listeners.clear();
    config.offsets_partitions = 1;
    config.transactions_partitions = 1;
    Broker::start_with(config, effects(storage)).await
}

fn batch(from: usize, count: usize, compression: Compression) -> bytes::Bytes {
    let mut builder = RecordBatchBuilder::new(BatchOptions { compression, ..BatchOptions::default() });
    for number in from..from + count {
        let key = format!("k{}", number % 7);
        let value = format!("value {number} {}", "x".repeat(number % 50));
        builder.append(NOW_MS, Some(key.as_bytes()), Some(value.as_bytes()), &[]);
    }
    builder.build().expect("the batch builds")
}

fn partition(topic: &str) -> TopicPartition {
    TopicPartition::new(topic, 0)
}

const TOPICS: [&str; 3] = ["plain", "compacted", "transactional"];

/// Fills a broker with everything it keeps in files, and leaves two images: after a clean stop, and after a crash.
async fn images() -> [MemoryStorage; 2] {
    let storage = MemoryStorage::new();
    let mut crashed = None;
    for round in 0..2 {
        let broker = start(&storage).await.expect("starts");
        let transport = broker.transport();
        let admin = Admin::new(transport.clone());
        if round == 0 {
            let small = |policy: &str| -> BTreeMap<String, String> {
                let configs = [("segment.bytes", "2000"), ("cleanup.policy", policy), ("retention.ms", "-1")];
                configs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
            };
            for (topic, policy) in TOPICS.into_iter().zip(["delete", "compact", "delete"]) {
                admin.create_topic(topic, 1, &small(policy)).await.expect("created");
            }
        }
        let mut producer = IdempotentProducer::init(transport.clone()).await.expect("a producer id");
        for turn in 0..30 {
            let codec = Compression::ALL[turn % Compression::ALL.len()];
            for topic in ["plain", "compacted"] {
                let sent = vec![(partition(topic), vec![batch(turn * 5, 5, codec)])];
                producer.send(sent).await.expect("produced");
            }
        }
        let mut producer =
            TransactionalProducer::init(transport.clone(), "tx", 60_000).await.expect("a producer id");
        for turn in 0..20 {
            let sent = vec![(partition("transactional"), vec![batch(turn * 5, 5, Compression::None)])];
            producer.produce(sent).await.expect("produced");
            if turn % 3 == 0 {
                producer.abort().await.expect("aborted");
            } else {
                producer.commit(None).await.expect("committed");
            }
        }
        admin.delete_records(&partition("plain"), 7).await.expect("deleted");
        group_offsets::commit(&transport, "group", &[(partition("plain"), 10)]).await.expect("committed");
        if round == 1 {
            crashed = Some(storage.after_crash(Crash::Power));
        }
        broker.shutdown().await.expect("a clean end");
    }
    [storage, crashed.expect("the second round crashed as well")]
}

/// A record: offset, key, value.
type Seen = (i64, Vec<u8>, Vec<u8>);

/// All committed records of a partition; `None` once the broker says that it cannot give them.
async fn read(transport: &Arc<dyn Transport>, topic: &str) -> Option<Vec<Seen>> {
    let reader = Reader::new(transport.clone());
    let options = FetchOptions { wait_max: Duration::ZERO, ..FetchOptions::default() };
    let start = Admin::new(transport.clone())
        .list_offsets(
            &[(partition(topic), weir_broker::log::access::OffsetSpec::Earliest)],
            weir_broker::log::access::Isolation::ReadCommitted,
        )
        .await;
    let mut offset = start.ok()?.first()?.offset.unwrap_or(0);
    let mut scratch = DecompressBuf::default();
    let mut seen = Vec::new();
    loop {
        let mut fetched = reader.fetch(&[(partition(topic), offset)], &options).await.ok()?;
        let records = fetched.pop().expect("one partition").1.ok()?;
        for batch in &records.batches {
            for record in batch.records(&mut scratch).expect("decompresses") {
                let record = record.expect("well formed");
                if record.offset >= offset {
                    let bytes = |bytes: Option<&[u8]>| bytes.unwrap_or_default().to_vec();
                    seen.push((record.offset, bytes(record.key), bytes(record.value)));
                }
            }
        }
        if records.next_offset <= offset {
            return Some(seen);
        }
        offset = records.next_offset;
    }
}

/// The files of an image, by kind.
fn files(storage: &MemoryStorage) -> BTreeMap<String, Vec<PathBuf>> {
    let mut kinds: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    let mut dirs = vec![PathBuf::from(DATA_DIR)];
    while let Some(dir) = dirs.pop() {
        for entry in storage.read_dir(&dir).expect("a directory") {
            let path = dir.join(&entry.name);
            if entry.is_dir {
                dirs.push(path);
            } else if entry.len > 0 && entry.name != ".lock" {
                let suffix = path.extension().map(|suffix| suffix.to_string_lossy().into_owned());
                let kind = match suffix {
                    Some(suffix) if entry.name.starts_with('0') => {
                        let internal = dir.to_string_lossy().contains("__");
                        format!("{}{suffix}", if internal { "internal " } else { "" })
                    }
                    _ => entry.name.clone(),
                };
                kinds.entry(kind).or_default().push(path);
            }
        }
    }
    kinds
}

/// What became of a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Recovered,
    CutShort,
    Offline,
    Refused,
}

/// The last place at or before `at` at which a batch, an entry or a line begins: what is before looks whole.
fn unit_before(storage: &MemoryStorage, path: &Path, at: u64) -> u64 {
    let bytes = storage.read(path).expect("readable");
    let entries = |size: u64| at - at % size;
    match path.extension().and_then(|suffix| suffix.to_str()) {
        Some("log") if path.file_name().is_some_and(|name| name != "metadata.log") => {
            let mut position = 0;
            while let Some(length) = bytes.get(position + 8..position + 12) {
                let next =
                    position + 12 + u32::from_be_bytes(length.try_into().expect("four bytes")) as usize;
                if next as u64 > at {
                    break;
                }
                position = next;
            }
            position as u64
        }
        Some("index") => entries(8),
        Some("timeindex") => entries(12),
        Some("txnindex") => entries(36),
        _ if path.ends_with("sealed-segments") => entries(32),
        _ => bytes[..at as usize].iter().rposition(|byte| *byte == b'\n').map_or(0, |line| line as u64 + 1),
    }
}

async fn outcome(damaged: &MemoryStorage, path: &Path, whole: &[Vec<Seen>], context: &str) -> Outcome {
    let broker = match start(damaged).await {
        Ok(broker) => broker,
        Err(StartError::Storage(
            Error::CorruptLog { path: named, .. } | Error::CorruptFile { path: named, .. },
        )) => {
            // Without its last changes the metadata does not know an internal topic, whose files then belong to nobody.
            let names = named.parent() == path.parent() || path.ends_with("metadata.log");
            assert!(names, "{context}: {} is named", named.display());
            return Outcome::Refused;
        }
        Err(error) => panic!("{context}: {error}: {:?}", std::error::Error::source(&error)),
    };
    let mut outcome =
        if broker.offline_partitions().is_empty() { Outcome::Recovered } else { Outcome::Offline };
    let transport = broker.transport();
    for (topic, whole) in TOPICS.into_iter().zip(whole) {
        let Some(seen) = read(&transport, topic).await else {
            outcome = outcome.max(Outcome::Offline);
            continue;
        };
        // The log start may be an older one, so there may be more in front.
        let known: BTreeSet<&Seen> = whole.iter().collect();
        let first = whole.first().map_or(0, |seen| seen.0);
        for record in seen.iter().filter(|seen| seen.0 >= first) {
            assert!(known.contains(record), "{context}: {topic} serves {record:?}, which was never written");
        }
        let count = seen.iter().filter(|seen| seen.0 >= first).count();
        let missing_at_end = seen.last().map(|seen| seen.0) < whole.last().map(|seen| seen.0);
        assert!(count == whole.len() || missing_at_end, "{context}: {topic} misses records in the middle");
        if count < whole.len() {
            outcome = outcome.max(Outcome::CutShort);
        }
    }
    broker.shutdown().await.unwrap_or_else(|error| panic!("{context}: {error}"));
    outcome
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_files_are_recovered_taken_offline_or_refused() {
    let seed = weir_broker::env::rng::test_seed();
    println!(
        "seed={seed}; again: WEIR_SEED={seed} tests/cargo.sh test --test broker_suite damaged_files -- --nocapture"
    );
    let tries = std::env::var("WEIR_DAMAGES").ok().and_then(|n| n.parse().ok()).unwrap_or(TRIES);
    let mut state = seed | 1;
    let mut random = move |below: u64| {
        // Xorshift: the numbers need not be good.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below.max(1)
    };
    let images = images().await;
    let mut figures: BTreeMap<(String, &str), BTreeMap<Outcome, u64>> = BTreeMap::new();
    for (image, name) in images.iter().zip(["clean", "crashed"]) {
        let broker = start(&image.after_crash(Crash::Process)).await.expect("starts");
        let mut whole = Vec::new();
        for topic in TOPICS {
            whole.push(read(&broker.transport(), topic).await.expect("readable"));
        }
        drop(broker);
        for (kind, paths) in files(image) {
            for turn in 0..tries {
                let path = &paths[random(paths.len() as u64) as usize];
                let damaged = image.after_crash(Crash::Process);
                let len = damaged.open(path, OpenMode::Read).and_then(|file| file.len()).expect("a file");
                let (at, bit) = (random(len), random(8));
                let mut action = ["flip", "cut", "cut at a unit", "lose"][(turn % 4) as usize];
                // Without any metadata there is another cluster.
                if path.ends_with("metadata.log") && action == "lose" {
                    action = "cut";
                }
                let at = if action == "cut at a unit" { unit_before(image, path, at) } else { at };
                match action {
                    "lose" => damaged.remove_file(path),
                    "flip" => damaged.tamper(path, |bytes| bytes[at as usize] ^= 1 << bit),
                    _ => damaged.tamper(path, |bytes| bytes.truncate(at as usize)),
                }
                .expect("a file");
                let context = format!("seed {seed}: {name}, {action} {} at {at} bit {bit}", path.display());
                let outcome = outcome(&damaged, path, &whole, &context).await;
                // A flushed segment that is not the last has no torn tail.
                if outcome == Outcome::CutShort {
                    assert!(
                        kind.ends_with("log") || kind.ends_with("checkpoint"),
                        "{context}: records are gone"
                    );
                    assert_eq!(name, "crashed", "{context}: after a clean stop nothing is torn");
                }
                *figures.entry((kind.clone(), action)).or_default().entry(outcome).or_default() += 1;
            }
        }
    }
    for ((kind, action), outcomes) in &figures {
        println!("{kind} {action}: {outcomes:?}");
    }
    let kinds: BTreeSet<&String> = figures.keys().map(|(kind, _)| kind).collect();
    assert!(kinds.len() >= 10, "only {kinds:?}");
}
