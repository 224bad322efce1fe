//! Logs in memory, with a clock that stands still and a disk that can fail.

mod appending;
mod cleaning;
mod flushing;
mod many;
mod offline;
mod producers;
mod reading;
mod recovering;
mod sealed;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::env::clock::ManualClock;
use crate::env::storage::memory::{Crash, MemoryStorage};
use crate::error::Result;
use crate::ids::{Offset, ProducerEpoch, ProducerId, TopicId, TopicPartition};
use crate::log::access::{AppendOrigin, Appended, FetchData, Isolation, ReadRequest};
use crate::log::config::LogConfig;
use crate::log::manager::{Background, LogManager, LogManagerConfig};
use crate::log::partition_log::Log;
use crate::record::batch::BatchIter;
use crate::record::builder::{BatchOptions, RecordBatchBuilder};
use crate::record::compression::DecompressBuf;
use crate::record::control::{EndTxnMarker, MarkerKind};

const DATA_DIR: &str = "/data";
const NOW_MS: i64 = 1_700_000_000_000;

fn tp() -> TopicPartition {
    TopicPartition::new("topic", 0)
}

fn log_file(base_offset: Offset, suffix: &str) -> PathBuf {
    Path::new(DATA_DIR).join("topic-0").join(format!("{base_offset:020}{suffix}"))
}

/// A record as a test thinks of it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kv {
    offset: Offset,
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
}

/// One data directory and the broker that uses it.
struct Fixture {
    storage: MemoryStorage,
    clock: Arc<ManualClock>,
    manager: Arc<LogManager>,
    log: Arc<Log>,
}

fn manager_config() -> LogManagerConfig {
    LogManagerConfig { background: Background::Manual, load_threads: 1, ..LogManagerConfig::new(DATA_DIR) }
}

impl Fixture {
    fn new(config: LogConfig) -> Self {
        Fixture::with_manager(manager_config(), config)
    }

    fn with_manager(manager_config: LogManagerConfig, config: LogConfig) -> Self {
        let (storage, clock) = (MemoryStorage::new(), Arc::new(ManualClock::new(NOW_MS)));
        let manager =
            LogManager::open(manager_config, Arc::new(storage.clone()), clock.clone()).expect("open");
        let log = manager.create(&tp(), TopicId::NONE, config).expect("create");
        Fixture { storage, clock, manager, log }
    }

    /// The same directory after a clean stop and a start.
    fn restart(self) -> Self {
        self.manager.shutdown().expect("shutdown");
        let config = self.log.config();
        let Fixture { storage, clock, manager, log } = self;
        drop((manager, log));
        let restarted = Fixture::open(storage, clock, manager_config()).expect("reopen");
        restarted.log.set_config((*config).clone());
        restarted
    }

    /// What another process finds after this one has crashed.
    fn crash(&self, crash: Crash) -> Result<Self> {
        Fixture::open(self.storage.after_crash(crash), Arc::clone(&self.clock), manager_config())
    }

    fn open(storage: MemoryStorage, clock: Arc<ManualClock>, config: LogManagerConfig) -> Result<Self> {
        let manager = LogManager::open(config, Arc::new(storage.clone()), clock.clone())?;
        if let Some(damaged) = manager.find_offline(&tp()) {
            return Err(damaged.error);
        }
        let log = match manager.get(&tp()) {
            Some(log) => log,
            None => manager.create(&tp(), TopicId::NONE, LogConfig::default())?,
        };
        Ok(Fixture { storage, clock, manager, log })
    }

    fn append(&self, bytes: Bytes) -> Result<Appended> {
        self.log.append(bytes, AppendOrigin::Client, 0)
    }

    /// Appends and flushes one record per value.
    fn put(&self, values: &[&str]) -> Appended {
        let appended = self.append(batch(values)).expect("append");
        self.manager.flush();
        appended
    }

    fn end_txn(&self, producer: i64, kind: MarkerKind) -> Result<Appended> {
        let marker = EndTxnMarker { kind, coordinator_epoch: 0 };
        let bytes = marker.to_batch(NOW_MS, ProducerId(producer), ProducerEpoch(0));
        self.log.append(bytes, AppendOrigin::Marker, 0)
    }

    fn read(&self, offset: Offset, isolation: Isolation) -> FetchData {
        let request = ReadRequest { offset, bytes_max: 1 << 20, isolation, at_least_one_batch: true };
        self.log.read(&request).expect("read")
    }

    /// All visible values from the log start on.
    fn values(&self) -> Vec<String> {
        records(&self.log, Isolation::ReadUncommitted)
            .into_iter()
            .map(|kv| String::from_utf8(kv.value.unwrap_or_default()).expect("text"))
            .collect()
    }
}

/// A batch of records without keys.
fn batch(values: &[&str]) -> Bytes {
    let mut builder = RecordBatchBuilder::new(BatchOptions::default());
    for value in values {
        builder.append(NOW_MS, None, Some(value.as_bytes()), &[]);
    }
    builder.build().expect("build")
}

/// A batch of an idempotent producer, transactional or not.
fn producer_batch(producer: i64, epoch: i16, sequence: i32, count: usize, transactional: bool) -> Bytes {
    let mut builder = RecordBatchBuilder::new(BatchOptions {
        producer_id: ProducerId(producer),
        producer_epoch: ProducerEpoch(epoch),
        base_sequence: sequence,
        transactional,
        ..BatchOptions::default()
    });
    for index in 0..count {
        let key = format!("k{}", index % 3);
        builder.append(NOW_MS, Some(key.as_bytes()), Some(format!("p{producer}").as_bytes()), &[]);
    }
    builder.build().expect("build")
}

/// All data records a reader sees from the log start on; with read committed, without the aborted ones.
fn records(log: &Log, isolation: Isolation) -> Vec<Kv> {
    let mut found = Vec::new();
    let mut scratch = DecompressBuf::default();
    let mut offset = log.offsets().log_start;
    loop {
        let request = ReadRequest { offset, bytes_max: 500, isolation, at_least_one_batch: true };
        let data = log.read(&request).expect("read");
        if data.bytes.is_empty() {
            return found;
        }
        // As the consumers of Kafka do it.
        let mut ahead = data.aborted.clone();
        ahead.reverse();
        let mut aborting = Vec::new();
        for batch in BatchIter::new(data.bytes) {
            let batch = batch.expect("whole batches");
            let from = offset;
            offset = batch.header().next_offset();
            while let Some(txn) = ahead.pop_if(|txn| txn.first_offset <= batch.last_offset()) {
                aborting.push(txn.producer_id);
            }
            if batch.header().is_control() {
                aborting.retain(|id| *id != batch.producer_id());
                continue;
            }
            if batch.header().is_transactional() && aborting.contains(&batch.producer_id()) {
                continue;
            }
            for record in batch.records(&mut scratch).expect("records") {
                let record = record.expect("record");
                if record.offset >= from {
                    found.push(Kv {
                        offset: record.offset,
                        timestamp: record.timestamp,
                        key: record.key.map(<[u8]>::to_vec),
                        value: record.value.map(<[u8]>::to_vec),
                    });
                }
            }
        }
    }
}
