//! How an engine runs.

use std::path::PathBuf;

use weir_broker::record::compression::Compression;

/// Settings of an engine. Any value is valid; zero counts are read as one.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Where local state lies: `<state_dir>/<application id>/<task>`.
    pub state_dir: PathBuf,
    /// `ksql.service.id`; part of every topic, group and transaction that queries own.
    pub service_id: String,
    /// OS threads that run tasks; by default one per core.
    pub worker_threads: usize,
    /// The longest time between two commits of a busy query: the first come sooner. A query that has caught up commits at
    /// once.
    pub commit_interval_ms: u64,
    /// Rows decoded and processed in one go.
    pub batch_rows_max: usize,
    /// Bytes of fetched records waiting for a task, per partition.
    pub input_bytes_max: usize,
    /// Bytes one fetch returns at most, over all partitions of a worker.
    pub fetch_bytes_max: usize,
    /// Bytes one fetch returns at most for a partition.
    pub fetch_partition_bytes_max: usize,
    /// The same, and the bytes waiting for a task, while a query has not committed anything yet: its first output does not wait
    /// for more than it needs.
    pub first_fetch_partition_bytes_max: usize,
    /// How long the broker holds a fetch when there is nothing to read.
    pub fetch_wait_ms: u64,
    /// Bytes of output after which a query commits before its interval is over.
    pub output_bytes_max: usize,
    /// Growth of state after which a query commits before its interval is over: what is not committed cannot be forgotten.
    pub uncommitted_bytes_max: usize,
    /// Rows processed after which a query commits before its interval is over; it goes on during the commit, but no further
    /// than as many rows again.
    pub uncommitted_rows_max: usize,
    /// Size at which a record batch is closed, below the broker's `max.message.bytes`.
    pub output_batch_bytes: usize,
    /// Codec of what queries write.
    pub compression: Compression,
    /// How long the broker lets a transaction of a worker that vanished stay open.
    pub transaction_timeout_ms: i32,
    /// First pause before a failed query is started again; doubles with each failure in a row.
    pub restart_backoff_ms: u64,
    pub restart_backoff_max_ms: u64,
    /// A step of a task that runs for longer is reported in the log, in the health of the engine and in its metrics.
    pub task_step_max_ms: u64,
    /// The longest time that the end of a query waits for its last commit, and for a task that does not return from a step.
    /// What is not committed then is processed again by the next start.
    pub stop_timeout_ms: u64,
    /// How often the ids and partition counts of the topics of all queries are compared with those that the queries use.
    pub topic_check_interval_ms: u64,
    /// How often all offsets of a query are committed again, also of an idle one: they expire after
    /// `offsets.retention.minutes`.
    pub offset_renewal_interval_ms: u64,
    /// Batches of rows that wait for the reader of a push query. Policy when full: the query waits.
    pub push_queue_batches: usize,
    /// Memory of RocksDB's block cache, for all tasks together.
    pub block_cache_bytes: usize,
    /// Memory of RocksDB's write buffers, for all tasks together.
    pub write_buffer_bytes: usize,
    /// How often records that were read are deleted from repartition topics.
    pub repartition_purge_interval_ms: u64,
}

impl EngineConfig {
    /// The defaults for a state directory.
    pub fn new(state_dir: impl Into<PathBuf>, service_id: impl Into<String>) -> EngineConfig {
        EngineConfig {
            state_dir: state_dir.into(),
            service_id: service_id.into(),
            worker_threads: std::thread::available_parallelism().map_or(1, usize::from),
            commit_interval_ms: 100,
            batch_rows_max: 8_192,
            input_bytes_max: 4 << 20,
            fetch_bytes_max: 16 << 20,
            fetch_partition_bytes_max: 2 << 20,
            first_fetch_partition_bytes_max: 256 << 10,
            fetch_wait_ms: 500,
            output_bytes_max: 32 << 20,
            uncommitted_bytes_max: 64 << 20,
            uncommitted_rows_max: 1 << 20,
            output_batch_bytes: 512 << 10,
            compression: Compression::None,
            transaction_timeout_ms: 60_000,
            restart_backoff_ms: 50,
            restart_backoff_max_ms: 30_000,
            task_step_max_ms: 30_000,
            stop_timeout_ms: 5_000,
            topic_check_interval_ms: 1_000,
            offset_renewal_interval_ms: 3_600_000,
            push_queue_batches: 64,
            block_cache_bytes: 64 << 20,
            write_buffer_bytes: 64 << 20,
            repartition_purge_interval_ms: 30_000,
        }
    }
}
