//! What keeps queries from their work, as the answers of the API show it.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use weir_engine::query::condition::QueryCondition;
use weir_engine::query::status::QueryStatus;
use weir_sql::metastore::Metastore;
use weir_sql::metastore::source::QueryEntry;

use crate::node::Node;

impl Node {
    /// The conditions of every persistent query that is in any, by id.
    pub(crate) fn conditions(&self) -> BTreeMap<String, Vec<QueryCondition>> {
        let metastore = self.metastore();
        let mut statuses: BTreeMap<String, QueryStatus> =
            self.engine().queries().into_iter().map(|status| (status.query_id.clone(), status)).collect();
        let of_query = |query: &QueryEntry| {
            let id = &query.plan.query_id;
            let status = statuses.remove(id);
            let conditions = self.query_conditions(query, &metastore, status.as_ref());
            (!conditions.is_empty()).then(|| (id.clone(), conditions))
        };
        metastore.queries().map(|query| &**query).filter_map(of_query).collect()
    }

    /// The conditions of a persistent query. `status`: as the engine knows it.
    pub(crate) fn query_conditions(
        &self,
        query: &QueryEntry,
        metastore: &Metastore,
        status: Option<&QueryStatus>,
    ) -> Vec<QueryCondition> {
        let mut conditions = status.map_or_else(Vec::new, |status| status.conditions.clone());
        conditions.extend(self.start_back_off(&query.plan.query_id));
        let topics = self.missing_topics(query, metastore);
        if !topics.is_empty() {
            conditions.push(QueryCondition::TopicsMissing { topics });
        }
        conditions
    }

    /// Topics that the query reads or writes and that do not exist.
    fn missing_topics(&self, query: &QueryEntry, metastore: &Metastore) -> Vec<String> {
        let mut topics: Vec<String> = match self.engine().query(&query.plan.query_id) {
            Some(running) => running.topic_names().map(str::to_owned).collect(),
            None => {
                let names = query.plan.sources.iter().chain(&query.plan.sink);
                names.filter_map(|name| metastore.source(name)).map(|source| source.topic.clone()).collect()
            }
        };
        let mut missing = Vec::new();
        self.with_broker(|broker| {
            let image = broker.metadata_image();
            topics.retain(|topic| image.topic(topic).is_none());
            missing = topics;
        });
        missing.sort_unstable();
        missing.dedup();
        missing
    }
}

/// A condition as a JSON object. Units: ms since epoch.
fn condition(condition: &QueryCondition) -> Value {
    let mut members = json!({"type": condition.kind(), "message": condition.to_string()});
    if let Some(since_ms) = condition.since_ms() {
        members["since"] = json!(since_ms);
    }
    match condition {
        QueryCondition::BackOff { failures, cause, retry_at_ms, .. } => {
            members["failures"] = json!(failures);
            members["cause"] = json!(cause);
            members["nextAttempt"] = json!(retry_at_ms);
        }
        QueryCondition::WritePending { cause, .. } | QueryCondition::CommitPending { cause, .. } => {
            members["cause"] = json!(cause);
        }
        QueryCondition::TopicsMissing { topics } => members["topics"] = json!(topics),
        QueryCondition::StepOverdue { .. } => {}
    }
    members
}

/// Conditions as a JSON array.
pub(crate) fn list(conditions: &[QueryCondition]) -> Value {
    conditions.iter().map(condition).collect()
}
