//! The node behind its HTTP front.

use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Map, Value, json};

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
        let mut info = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "kafkaClusterId": self.cluster_id(),
            "ksqlServiceId": self.session().service_id,
            "serverStatus": self.server_status(),
        });
        if let Some(degradation) = self.degradation() {
            info["degradedReason"] = json!(degradation.to_string());
        }
        json!({"KsqlServerInfo": info})
    }

    fn health(&self) -> BoxFuture<'_, Answer> {
        std::future::ready(self.check_health()).boxed()
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
        let scope = json!({"path": [], "clusters": clusters});
        json!({"version": env!("CARGO_PKG_VERSION"), "clusterId": {"scope": scope, "id": ""}})
    }

    fn metrics(&self) -> String {
        metrics::render(self)
    }

    fn count_request(&self, path: &str, status: u16, elapsed: Duration) {
        self.http_metrics().record(path, status, elapsed);
    }

    fn is_ready(&self) -> bool {
        self.check_ready()
    }
}
