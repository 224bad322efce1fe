//! Reads assigned partitions, whole batches at a time.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::client::call::call;
use crate::client::error::{ClientError, Result};
use crate::client::transport::Transport;
use crate::ids::{Offset, ProducerId, TopicId, TopicPartition};
use crate::log::access::Isolation;
use crate::protocol::api_key::ApiKey;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::fetch::{
    AbortedTransaction, FetchPartition, FetchRequest, FetchTopic, PartitionData,
};
use crate::record::batch::{BatchIter, RecordBatch};
use crate::record::control::{EndTxnMarker, MarkerKind};

/// How much to fetch, and how long to wait for it.
#[derive(Debug, Clone)]
pub struct FetchOptions {
    /// `LogEnd` is for brokers only and reads like `ReadUncommitted`.
    pub isolation: Isolation,
    /// Wait until there are this many bytes, but no longer than `wait_max`.
    pub bytes_min: usize,
    /// Bytes of all partitions together.
    pub bytes_max: usize,
    /// Bytes of one partition.
    pub partition_bytes_max: usize,
    pub wait_max: Duration,
}

impl Default for FetchOptions {
    fn default() -> Self {
        Self {
            isolation: Isolation::ReadCommitted,
            bytes_min: 1,
            bytes_max: 50 << 20,
            partition_bytes_max: 1 << 20,
            wait_max: Duration::from_millis(500),
        }
    }
}

/// What was read from one partition.
#[derive(Debug, Clone)]
pub struct PartitionRecords {
    pub partition: TopicPartition,
    /// Batches with records for applications: control batches and, if read committed, aborted ones are left out.
    /// The first may begin before the offset asked for: skip records with lower offsets.
    pub batches: Vec<RecordBatch>,
    /// Where to go on. Ahead of the last batch when something was left out.
    pub next_offset: Offset,
    pub high_watermark: Offset,
    /// The first offset of a transaction still open; the high watermark if there is none.
    pub last_stable_offset: Offset,
    pub log_start_offset: Offset,
}

/// A partition to read, of the topic with this id, from an offset.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FetchPosition {
    /// Nil if it is not known.
    pub topic_id: TopicId,
    pub partition: TopicPartition,
    pub offset: Offset,
}

/// An outcome for every partition asked for.
pub type FetchedPartitions = Vec<(TopicPartition, Result<PartitionRecords>)>;

/// Reads partitions it is told to read.
#[derive(Clone)]
pub struct Reader {
    transport: Arc<dyn Transport>,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

impl Reader {
    #[must_use]
    pub fn new(transport: Arc<dyn Transport>) -> Self {
        Self { transport }
    }

    /// Reads from each partition at its offset. A partition that cannot be read has its own error, for example
    /// `OffsetOutOfRange`.
    ///
    /// Errors: `Transport`, or a refusal of the request as a whole.
    pub async fn fetch(
        &self,
        assignments: &[(TopicPartition, Offset)],
        options: &FetchOptions,
    ) -> Result<FetchedPartitions> {
        let by_name = |(partition, offset): &(TopicPartition, Offset)| FetchPosition {
            topic_id: TopicId(Uuid::nil()),
            partition: partition.clone(),
            offset: *offset,
        };
        let positions: Vec<FetchPosition> = assignments.iter().map(by_name).collect();
        self.fetch_by_id(&positions, options).await
    }

    /// As [`Reader::fetch`], of topics with these ids: a topic that was deleted is refused with `UnknownTopicId`, also
    /// when there is one of the same name again. If one of the ids is nil, all topics are read by name.
    ///
    /// Shape: an outcome for each position, in their order.
    pub async fn fetch_by_id(
        &self,
        positions: &[FetchPosition],
        options: &FetchOptions,
    ) -> Result<FetchedPartitions> {
        let response = call!(self.transport.as_ref(), Fetch, request_of(positions, options))?;
        if response.error_code != ErrorCode::None {
            return Err(ClientError::refused(ApiKey::Fetch, "records", response.error_code));
        }
        let by_id = positions.iter().all(|position| !position.topic_id.0.is_nil());
        // Topics of the answer have a name or an id, as those of the request.
        let mut answers: HashMap<(String, Uuid, i32), PartitionData> = HashMap::new();
        for topic in response.responses {
            let (name, id) = if by_id { (String::new(), topic.topic_id) } else { (topic.topic, Uuid::nil()) };
            answers.extend(
                topic.partitions.into_iter().map(|data| ((name.clone(), id, data.partition_index), data)),
            );
        }
        let take = |FetchPosition { topic_id, partition, offset }: &FetchPosition| {
            let (name, id) = match by_id {
                true => (String::new(), topic_id.0),
                false => (partition.topic.to_string(), Uuid::nil()),
            };
            let answer = answers.remove(&(name, id, partition.partition));
            let missing = || ClientError::Incomplete { api: ApiKey::Fetch, missing: partition.to_string() };
            let outcome = answer
                .ok_or_else(missing)
                .and_then(|data| records_of(partition, *offset, data, options.isolation));
            (partition.clone(), outcome)
        };
        Ok(positions.iter().map(take).collect())
    }
}

fn request_of(positions: &[FetchPosition], options: &FetchOptions) -> FetchRequest {
    let bytes = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let mut topics: Vec<FetchTopic> = Vec::new();
    for FetchPosition { topic_id, partition, offset } in positions {
        let wanted = FetchPartition {
            partition: partition.partition,
            fetch_offset: *offset,
            partition_max_bytes: bytes(options.partition_bytes_max),
            ..FetchPartition::default()
        };
        match topics.last_mut() {
            Some(topic) if *topic.topic == *partition.topic && topic.topic_id == topic_id.0 => {
                topic.partitions.push(wanted);
            }
            _ => topics.push(FetchTopic {
                topic: partition.topic.to_string(),
                topic_id: topic_id.0,
                partitions: vec![wanted],
            }),
        }
    }
    FetchRequest {
        max_wait_ms: i32::try_from(options.wait_max.as_millis()).unwrap_or(i32::MAX),
        min_bytes: bytes(options.bytes_min),
        max_bytes: bytes(options.bytes_max),
        isolation_level: i8::from(options.isolation == Isolation::ReadCommitted),
        topics,
        ..FetchRequest::default()
    }
}

fn records_of(
    partition: &TopicPartition,
    offset: Offset,
    data: PartitionData,
    isolation: Isolation,
) -> Result<PartitionRecords> {
    if data.error_code != ErrorCode::None {
        return Err(ClientError::refused(
            ApiKey::Fetch,
            format!("partition \"{partition}\""),
            data.error_code,
        ));
    }
    let mut records = PartitionRecords {
        partition: partition.clone(),
        batches: Vec::new(),
        next_offset: offset,
        high_watermark: data.high_watermark,
        last_stable_offset: data.last_stable_offset,
        log_start_offset: data.log_start_offset,
    };
    let aborted = match isolation {
        Isolation::ReadCommitted => data.aborted_transactions.unwrap_or_default(),
        Isolation::ReadUncommitted | Isolation::LogEnd => Vec::new(),
    };
    let mut filter = AbortedFilter::new(aborted);
    for batch in BatchIter::new(data.records.unwrap_or_default()) {
        let batch = batch?;
        records.next_offset = records.next_offset.max(batch.header().next_offset());
        if filter.admits(&batch)? && batch.last_offset() >= offset {
            records.batches.push(batch);
        }
    }
    Ok(records)
}

/// Follows the transactions of a partition in offset order and tells their batches from aborted ones.
#[derive(Debug)]
struct AbortedFilter {
    /// Sorted, the first to begin last.
    ahead: Vec<AbortedTransaction>,
    open: HashSet<ProducerId>,
}

impl AbortedFilter {
    fn new(mut aborted: Vec<AbortedTransaction>) -> Self {
        aborted.sort_by_key(|txn| std::cmp::Reverse(txn.first_offset));
        Self { ahead: aborted, open: HashSet::new() }
    }

    /// Is the batch one with records for applications?
    fn admits(&mut self, batch: &RecordBatch) -> Result<bool> {
        while let Some(txn) = self.ahead.pop_if(|txn| txn.first_offset <= batch.last_offset()) {
            self.open.insert(ProducerId(txn.producer_id));
        }
        if batch.header().is_control() {
            if let Some(marker) = EndTxnMarker::parse(batch)?
                && marker.kind == MarkerKind::Abort
            {
                self.open.remove(&batch.producer_id());
            }
            return Ok(false);
        }
        Ok(!(batch.header().is_transactional() && self.open.contains(&batch.producer_id())))
    }
}
