//! Writes reports to the topic, in batches.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use weir_broker::client::admin::Admin;
use weir_broker::client::error::ClientError;
use weir_broker::client::producer::idempotent::IdempotentProducer;
use weir_broker::client::transport::Transport;
use weir_broker::ids::TopicPartition;
use weir_broker::protocol::error_code::ErrorCode;
use weir_broker::record::builder::{BatchOptions, RecordBatchBuilder};

use crate::config::ProcessingLogConfig;
use crate::processing_log::entry::entry;
use crate::processing_log::{Report, ReportQueue};

/// Reports written at once.
const BATCH_REPORTS_MAX: usize = 500;

/// Makes the topic unless it is there.
pub async fn create_topic(
    transport: &Arc<dyn Transport>,
    config: &ProcessingLogConfig,
) -> Result<(), ClientError> {
    let admin = Admin::new(Arc::clone(transport));
    match admin.create_topic(&config.topic_name, config.partitions, &BTreeMap::new()).await {
        Err(error) if error.code() != Some(ErrorCode::TopicAlreadyExists) => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes until the node stops. What cannot be written is dropped and counted.
pub async fn run(transport: Arc<dyn Transport>, config: ProcessingLogConfig, mut queue: ReportQueue) {
    let mut producer: Option<IdempotentProducer> = None;
    let mut reports = Vec::new();
    let mut turn = 0;
    while queue.reports.recv_many(&mut reports, BATCH_REPORTS_MAX).await > 0 {
        let count = reports.len() as u64;
        let partition = TopicPartition::new(config.topic_name.as_str(), turn % config.partitions.max(1));
        turn = turn.wrapping_add(1) & i32::MAX;
        match write(&transport, &mut producer, partition, &reports, config.rows_include).await {
            Ok(()) => _ = queue.counters.written.fetch_add(count, Ordering::Relaxed),
            Err(error) => {
                // Its sequences are unknown now.
                producer = None;
                queue.counters.dropped.fetch_add(count, Ordering::Relaxed);
                tracing::warn!(%error, topic = config.topic_name, "the processing log cannot be written");
            }
        }
        reports.clear();
    }
}

async fn write(
    transport: &Arc<dyn Transport>,
    producer: &mut Option<IdempotentProducer>,
    partition: TopicPartition,
    reports: &[Report],
    rows_include: bool,
) -> Result<(), ClientError> {
    let mut builder = RecordBatchBuilder::new(BatchOptions::default());
    for report in reports {
        let value = entry(report, rows_include).to_string();
        builder.append(report.at_ms, None, Some(value.as_bytes()), &[]);
    }
    let Ok(batch) = builder.build() else { return Ok(()) };
    let producer = match producer {
        Some(producer) => producer,
        None => producer.insert(IdempotentProducer::init(Arc::clone(transport)).await?),
    };
    producer.send(vec![(partition, vec![batch])]).await.map(drop)
}
