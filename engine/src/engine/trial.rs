//! Queries that are checked before they are started, and traces of queries that did not start.

use std::sync::Arc;

use weir_broker::client::admin::Admin;
use weir_sql::plan::physical::QueryPlan;

use crate::engine::Engine;
use crate::error::query::{Result, RuntimeError};
use crate::query::handle::{Predecessors, QueryHandle};
use crate::query::naming::application_id;
use crate::query::topic_notes::QueryTopics;
use crate::query::topics;
use crate::settings::QueryOptions;

impl Engine {
    /// Builds what a query would run as, and starts nothing.
    ///
    /// Errors: a property has an invalid value, the plan cannot be built.
    pub fn check_query(&self, plan: &QueryPlan, options: &QueryOptions) -> Result<()> {
        let application_id = application_id(&self.config.service_id, &plan.query_id);
        let compiled = self.compile(plan, &application_id, options, Arc::default())?;
        compiled.factory.describe().map(drop).map_err(RuntimeError::task("build the topology"))
    }

    /// Deletes internal topics, committed offsets and local state of a query that is not running.
    ///
    /// Errors: the query runs; the broker or the disk fails.
    pub async fn discard_query(&self, plan: &QueryPlan, options: QueryOptions) -> Result<()> {
        if self.query(&plan.query_id).is_some() {
            return Err(RuntimeError::QueryExists { query_id: plan.query_id.clone() });
        }
        let application_id = application_id(&self.config.service_id, &plan.query_id);
        let compiled = self.compile(plan, &application_id, &options, Arc::default())?;
        let topics = QueryTopics::default();
        let query = QueryHandle::new(Arc::new(plan.clone()), application_id, options, compiled, topics);
        self.delete_state(&query).await
    }

    /// Takes back a start that not every worker has taken part in. A query that never ran before leaves nothing, topics
    /// that were not `made` by this start excepted; another one keeps what it needs to go on.
    pub(super) async fn withdraw(&self, query: &QueryHandle, made: &[Arc<str>]) {
        query.interrupt();
        self.stop_tasks(query).await;
        self.queries.write().remove(&query.query_id);
        let withdrawn = match query.predecessors {
            Predecessors::None => {
                let deleted = topics::delete(&Admin::new(self.io.transport.clone()), made).await;
                deleted.and(self.delete_progress(query).await)
            }
            Predecessors::Possible => self.release(query).await,
        };
        if let Err(left) = withdrawn {
            log_traces(&query.query_id, &left);
        }
    }
}

/// Logs that a start has failed and could not be taken back altogether.
pub(super) fn log_traces(query_id: &str, cause: &RuntimeError) {
    tracing::error!(query_id, error = cause.chain(), "query did not start, and its topics or state are left");
}
