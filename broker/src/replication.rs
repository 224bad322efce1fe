//! Partitions as clients see them.
//!
//! ```text
//! ReplicaManager::open(LogManagerConfig, LogEnv) -> Result<Arc<ReplicaManager>>
//!     .create_partition(TopicPartition, TopicId, LogConfig) -> Result<Arc<Partition>>
//!     .partition(&TopicPartition) -> Option<Arc<Partition>>      .partitions() -> Vec<Arc<Partition>>
//!     .delete_partition(&TopicPartition) -> Result<()>           .shutdown() -> Result<()>
//! Partition
//!     .append(Bytes /* one or more batches */, AppendOrigin) -> Result<Appended>      then appended.flush.wait().await
//!     .read(&ReadRequest) -> Result<FetchData>     .offsets() -> LogOffsets
//!     .lookup(OffsetSpec, Isolation) -> Result<Option<TimestampedOffset>>
//!     .delete_records_before(Offset) -> Result<Offset>
//!     .register_waiter(&Arc<Notify>)   one shot: notified when more becomes visible
//!     .set_config(LogConfig)  .leader_epoch()  .topic_id()  .check_leader_epoch(i32)
//! ```
