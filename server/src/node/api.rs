//! The node behind its HTTP front.

use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Map, Value, json};
use weir_engine::query::status::QueryState;

use crate::error::ApiError;
use crate::http::api::{Answer, NodeApi, QueryRequest, RunningQuery};
use crate::metrics;
use crate::node::Node;
use crate::statement::{execute, insert, properties, query, terminate};
use crate::wire::request::StatementRequest;

impl NodeApi for Node {
    fn execute(&self, request: StatementRequest) -> BoxFuture<'_, Result<Vec<Value>, ApiError>> {
        // A client that goes away must not leave a command half carried out.
        let node = self.clone();
        async move {
            let running = tokio::spawn(async move { execute::execute(&node, request).await });
            running.await.unwrap_or_else(|e| Err(ApiError::server(format!("the statement panicked: {e}"))))
        }
        .boxed()
    }

    fn query(&self, request: QueryRequest) -> BoxFuture<'_, Result<RunningQuery, ApiError>> {
        // As above; and a panic costs the request alone.
        let node = self.clone();
        async move {
            let starting = tokio::spawn(async move { query::start(&node, request).await });
            starting.await.unwrap_or_else(|e| Err(ApiError::server(format!("the query panicked: {e}"))))
        }
        .boxed()
    }

    fn terminate(&self, topics: Vec<String>) -> BoxFuture<'_, Result<Value, ApiError>> {
        let node = self.clone();
        async move {
            let running = tokio::spawn(async move { terminate::terminate(&node, &topics).await });
            running.await.unwrap_or_else(|e| Err(ApiError::server(format!("the statement panicked: {e}"))))
        }
        .boxed()
    }

    fn close_query(&self, query_id: &str) -> bool {
        self.close_push(query_id)
    }

    fn insert_target(&self, name: &str) -> Result<String, ApiError> {
        insert::check_target(self, name)
    }

    fn insert_rows(
        &self,
        target: &str,
        rows: Vec<Map<String, Value>>,
    ) -> BoxFuture<'_, Vec<Result<(), ApiError>>> {
        let target = target.to_owned();
        async move { insert::insert_objects(self, &target, rows).await }.boxed()
    }

    fn info(&self) -> Value {
        json!({"KsqlServerInfo": {
            "version": env!("CARGO_PKG_VERSION"),
            "kafkaClusterId": self.cluster_id(),
            "ksqlServiceId": self.session().service_id,
            "serverStatus": "RUNNING",
        }})
    }

    fn health(&self) -> BoxFuture<'_, Answer> {
        async move {
            let (broker, queries) = (self.check_broker(), self.check_queries());
            let healthy = broker.is_ok() && queries.is_ok();
            let part = |checked: &Result<(), String>| match checked {
                Ok(()) => json!({"isHealthy": true}),
                Err(reason) => json!({"isHealthy": false, "reason": reason}),
            };
            let body = json!({
                "isHealthy": healthy,
                "details": {
                    "metastore": {"isHealthy": true},
                    "kafka": part(&broker),
                    "commandRunner": {"isHealthy": true},
                    "queries": part(&queries),
                },
                "serverState": "READY",
            });
            Answer { status: if healthy { 200 } else { 503 }, body }
        }
        .boxed()
    }

    fn command_statuses(&self) -> Value {
        self.all_statuses()
    }

    fn command_status(&self, command_id: &str) -> Option<Value> {
        self.status_of(command_id)
    }

    fn check_property(&self, name: &str) -> Result<(), ApiError> {
        properties::check(name)
    }

    fn cluster_metadata(&self) -> Value {
        let clusters = json!({"kafka-cluster": self.cluster_id(), "ksql-cluster": self.session().service_id});
        json!({"version": env!("CARGO_PKG_VERSION"), "clusterId": {"scope": {"path": [], "clusters": clusters}}})
    }

    fn metrics(&self) -> String {
        metrics::render(self)
    }

    fn count_request(&self, path: &str, status: u16, elapsed: Duration) {
        self.http_metrics().record(path, status, elapsed);
    }

    fn is_ready(&self) -> bool {
        self.engine().queries().iter().all(|q| q.state < QueryState::Restoring)
    }
}

impl Node {
    fn cluster_id(&self) -> String {
        "weir".to_owned()
    }

    /// Errors: a query that should run has ended, with its cause.
    fn check_queries(&self) -> Result<(), String> {
        let ended = self.engine().queries().into_iter().filter(|q| q.state == QueryState::Error);
        let ended = ended.map(|mut q| {
            let cause = q.errors.pop().map_or_else(|| "unknown cause".to_owned(), |e| e.message);
            (q.query_id, cause)
        });
        let causes: Vec<String> = ended
            .chain(self.start_failures())
            .map(|(id, cause)| format!("query {id} failed: {cause}"))
            .collect();
        if causes.is_empty() { Ok(()) } else { Err(causes.join("; ")) }
    }

    fn check_broker(&self) -> Result<(), String> {
        match self.shared.broker.read().as_ref() {
            Some(broker) => broker.check_health().map_err(|e| e.to_string()),
            None => Err("the broker is shut down".to_owned()),
        }
    }
}
