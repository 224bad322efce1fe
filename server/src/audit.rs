//! The audit topic: every access decision of the Kafka and HTTP listeners as a JSON record.
//!
//! `{"time":ms,"principal":"User:ada","client":"10.0.0.1","interface":"http","action":"SELECT","operation":"READ",`
//! `"resourceType":"TOPIC","resourceName":"orders","allowed":true,"repetitions":0}`

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use tokio::sync::mpsc;
use weir_broker::auth::audit::{AuditEvent, AuditQueue};
use weir_broker::client::admin::Admin;
use weir_broker::client::error::ClientError;
use weir_broker::client::producer::idempotent::IdempotentProducer;
use weir_broker::client::transport::Transport;
use weir_broker::env::spawn;
use weir_broker::ids::TopicPartition;
use weir_broker::protocol::error_code::ErrorCode;
use weir_broker::record::builder::{BatchOptions, RecordBatchBuilder};

/// Events that wait to be written. Policy when full: further ones are dropped and counted.
const EVENTS_MAX: usize = 10_000;
/// Events of one batch.
const BATCH_EVENTS_MAX: usize = 500;

/// The audit of a node, before its topic is written.
#[derive(Debug)]
pub(crate) struct Audit {
    topic: String,
    queue: Arc<AuditQueue>,
    events: mpsc::Receiver<AuditEvent>,
}

/// Counters of the audit.
#[derive(Debug, Clone)]
pub(crate) struct AuditCounters {
    queue: Arc<AuditQueue>,
    written: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
}

impl Audit {
    pub(crate) fn new(topic: String) -> Audit {
        let (queue, events) = AuditQueue::new(EVENTS_MAX);
        Audit { topic, queue, events }
    }

    /// Where decisions are reported.
    pub(crate) fn sink(&self) -> Arc<AuditQueue> {
        Arc::clone(&self.queue)
    }

    /// Makes the topic unless it is there, and writes to it until the node stops.
    pub(crate) async fn start(self, transport: Arc<dyn Transport>) -> Result<AuditCounters, ClientError> {
        let admin = Admin::new(Arc::clone(&transport));
        match admin.create_topic(&self.topic, 1, &BTreeMap::new()).await {
            Err(error) if error.code() != Some(ErrorCode::TopicAlreadyExists) => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let (written, failed) = (Arc::default(), Arc::default());
        let counters = AuditCounters { queue: self.queue, written, failed };
        spawn::task("audit-writer", write(transport, self.topic, self.events, counters.clone()));
        Ok(counters)
    }
}

impl AuditCounters {
    /// Decisions whose records are durable.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Decisions without a record: too many waited, or the topic could not be written.
    pub(crate) fn dropped(&self) -> u64 {
        self.queue.dropped() + self.failed.load(Ordering::Relaxed)
    }
}

async fn write(
    transport: Arc<dyn Transport>,
    topic: String,
    mut events: mpsc::Receiver<AuditEvent>,
    counters: AuditCounters,
) {
    let partition = TopicPartition::new(topic.as_str(), 0);
    let mut producer: Option<IdempotentProducer> = None;
    let mut batch = Vec::new();
    while events.recv_many(&mut batch, BATCH_EVENTS_MAX).await > 0 {
        let count = batch.len() as u64;
        match append(&transport, &mut producer, &partition, &batch).await {
            Ok(()) => _ = counters.written.fetch_add(count, Ordering::Relaxed),
            Err(error) => {
                // Its sequences are unknown now.
                producer = None;
                counters.failed.fetch_add(count, Ordering::Relaxed);
                tracing::error!(%error, topic, events = count, "the audit topic cannot be written");
            }
        }
        batch.clear();
    }
}

async fn append(
    transport: &Arc<dyn Transport>,
    producer: &mut Option<IdempotentProducer>,
    partition: &TopicPartition,
    events: &[AuditEvent],
) -> Result<(), ClientError> {
    let mut builder = RecordBatchBuilder::new(BatchOptions::default());
    for event in events {
        let value = record(event).to_string();
        builder.append(event.time_ms, None, Some(value.as_bytes()), &[]);
    }
    let Ok(batch) = builder.build() else { return Ok(()) };
    let producer = match producer {
        Some(producer) => producer,
        None => producer.insert(IdempotentProducer::init(Arc::clone(transport)).await?),
    };
    producer.send(vec![(partition.clone(), vec![batch])]).await.map(drop)
}

fn record(event: &AuditEvent) -> Value {
    let kind = event.resource.as_ref().map(|resource| upper(&format!("{:?}", resource.kind)));
    json!({
        "time": event.time_ms,
        "principal": &*event.principal,
        "client": event.client.map(|client| client.to_string()),
        "interface": event.interface.name(),
        "action": event.action,
        "operation": event.operation.map(|operation| upper(&format!("{operation:?}"))),
        "resourceType": kind,
        "resourceName": event.resource.as_ref().map(|resource| &resource.name),
        "allowed": event.allowed,
        "repetitions": event.repetitions,
    })
}

/// `DescribeConfigs` as Kafka writes it: `DESCRIBE_CONFIGS`.
fn upper(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 2);
    for (at, letter) in name.char_indices() {
        if at > 0 && letter.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(letter.to_ascii_uppercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use weir_broker::auth::acl::{Operation, ResourceType};
    use weir_broker::auth::audit::{AuditResource, Interface};

    use super::*;

    #[test]
    fn records_name_all_parts_of_a_decision() {
        let event = AuditEvent {
            time_ms: 7,
            principal: "User:ada".into(),
            client: Some([10, 0, 0, 1].into()),
            interface: Interface::Http,
            action: Cow::Borrowed("SELECT"),
            operation: Some(Operation::DescribeConfigs),
            resource: Some(AuditResource { kind: ResourceType::TransactionalId, name: "t".to_owned() }),
            allowed: false,
            repetitions: 0,
        };
        let wanted = json!({
            "time": 7, "principal": "User:ada", "client": "10.0.0.1", "interface": "http", "action": "SELECT",
            "operation": "DESCRIBE_CONFIGS", "resourceType": "TRANSACTIONAL_ID", "resourceName": "t",
            "allowed": false, "repetitions": 0,
        });
        assert_eq!(record(&event), wanted);
    }
}
