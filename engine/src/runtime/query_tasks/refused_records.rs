//! Records that their topic cannot take: reported to the processing log and left out, or the end of the query, as
//! `ksql.fail.on.production.error` says.

use std::collections::BTreeSet;
use std::sync::Arc;

use weir_broker::client::error::ClientError;
use weir_broker::client::producer::careful::RefusedRecord;
use weir_broker::protocol::error_code::ErrorCode;

use crate::error::query::{Result, RuntimeError, TopicChange};
use crate::processing_log::ProcessingError;
use crate::query::handle::QueryHandle;
use crate::runtime::query_tasks::QueryTasks;
use crate::runtime::transaction::Refusals;
use crate::task::collector::RecordCollector;

/// Reports records that were too large to be sent.
///
/// Errors: the query is not to go on without them.
pub(super) fn report_oversized(query: &QueryHandle, collector: &mut RecordCollector) -> Result<()> {
    for record in collector.take_oversized() {
        let reason = format!(
            "{}: record of {} bytes, the topic takes {}",
            ErrorCode::MessageTooLarge,
            record.bytes,
            record.bytes_max
        );
        let topic = record.partition.topic.to_string();
        if query.settings.fail_on_production_error {
            return Err(RuntimeError::Production { topic, reason });
        }
        let error = ProcessingError::Production {
            topic,
            partition: record.partition.partition,
            timestamp: record.timestamp,
            key: record.key,
            message: reason,
        };
        report(query, error);
    }
    Ok(())
}

fn report(query: &QueryHandle, error: ProcessingError) {
    query.factory.processing_log().report(&query.query_id, error);
}

impl QueryTasks {
    /// Reports records that the broker did not take.
    pub(super) fn report_refused(&self, records: &[RefusedRecord]) {
        for record in records {
            let detail = record.refusal.message.as_deref().map(|m| format!(": {m}")).unwrap_or_default();
            let error = ProcessingError::Production {
                topic: record.partition.topic.to_string(),
                partition: record.partition.partition,
                timestamp: record.timestamp,
                key: record.key.as_ref().map(|key| key.to_vec()),
                message: format!("{}{detail}", record.refusal.code),
            };
            report(&self.query, error);
        }
    }

    /// The next attempt leaves out what the broker refuses, except from changelogs: state would not fit them.
    pub(super) fn leave_out_refused(&mut self) {
        let targets = self.query.factory.sub_topologies().iter().flat_map(|spec| &spec.targets);
        let topics: BTreeSet<Arc<str>> = targets.map(|target| target.topic.clone()).collect();
        self.refusals = Refusals::LeaveOut(Arc::new(topics));
    }

    /// Why a transaction was not committed.
    pub(super) fn commit_failed(&self, source: ClientError) -> RuntimeError {
        let ClientError::Refused { code: ErrorCode::UnknownTopicId, resource, .. } = &source else {
            return RuntimeError::Client { action: "commit", source };
        };
        // The longest name that fits: one may be the beginning of another.
        let named = |topic: &&Arc<str>| resource.contains(&format!("\"{topic}-"));
        let topic = self.query.topics.ids.keys().filter(named).max_by_key(|topic| topic.len());
        match topic {
            Some(topic) => self.query.topic_changed(topic, TopicChange::Gone),
            None => RuntimeError::Client { action: "commit", source },
        }
    }
}
