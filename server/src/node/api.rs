//! The node behind its HTTP front.

use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Map, Value, json};
use weir_broker::auth::quota::QuotaKey;

use crate::auth::caller::Caller;
use crate::auth::credentials::Credentials;
use crate::error::ApiError;
use crate::http::api::{Answer, MetricsFormat, NodeApi, QueryRequest, RunningQuery, Used};
use crate::metrics;
use crate::node::Node;
use crate::statement::{execute, insert, properties, query, terminate};
use crate::wire::request::StatementRequest;

/// The client id under which quotas of client ids hold for HTTP.
const HTTP_CLIENT_ID: &str = "http";

impl NodeApi for Node {
    fn authenticate(&self, credentials: Credentials) -> BoxFuture<'_, Result<Caller, ApiError>> {
        self.shared.authenticator.authenticate(credentials).boxed()
    }

    fn is_open_to_all(&self, path: &str) -> bool {
        self.shared.config.http.open_paths.iter().any(|open| open == path)
    }

    fn charge(&self, caller: &Caller, used: Used) -> Option<Duration> {
        let security = self.shared.authenticator.security();
        if caller.address().is_none() || !security.has_quotas() {
            return None;
        }
        let charge = |key, amount| security.charge(caller.principal(), HTTP_CLIENT_ID, key, amount);
        Some(match used {
            Used::Nothing => QuotaKey::ALL.into_iter().map(|key| charge(key, 0.0)).max().unwrap_or_default(),
            Used::BytesIn(bytes) => charge(QuotaKey::ProducerByteRate, bytes as f64),
            Used::BytesOut(bytes) => charge(QuotaKey::ConsumerByteRate, bytes as f64),
            Used::Time(time) => charge(QuotaKey::RequestPercentage, time.as_secs_f64() * 100.0),
        })
    }

    fn request_timeout(&self) -> Duration {
        self.shared.config.http.request_timeout
    }

    fn execute(
        &self,
        caller: &Caller,
        request: StatementRequest,
    ) -> BoxFuture<'_, Result<Vec<Value>, ApiError>> {
        // A client that goes away must not leave a command half carried out.
        let (node, caller) = (self.clone(), caller.clone());
        async move {
            let running = tokio::spawn(async move { execute::execute(&node, &caller, request).await });
            running.await.unwrap_or_else(|e| Err(ApiError::server(format!("the statement panicked: {e}"))))
        }
        .boxed()
    }

    fn query(&self, caller: &Caller, request: QueryRequest) -> BoxFuture<'_, Result<RunningQuery, ApiError>> {
        // As above; and a panic costs the request alone.
        let (node, caller) = (self.clone(), caller.clone());
        async move {
            let starting = tokio::spawn(async move { query::start(&node, &caller, request).await });
            starting.await.unwrap_or_else(|e| Err(ApiError::server(format!("the query panicked: {e}"))))
        }
        .boxed()
    }

    fn terminate(&self, caller: &Caller, topics: Vec<String>) -> BoxFuture<'_, Result<Value, ApiError>> {
        let (node, caller) = (self.clone(), caller.clone());
        async move {
            let running = tokio::spawn(async move { terminate::terminate(&node, &caller, &topics).await });
            running.await.unwrap_or_else(|e| Err(ApiError::server(format!("the statement panicked: {e}"))))
        }
        .boxed()
    }

    fn close_query(&self, caller: &Caller, query_id: &str) -> bool {
        self.close_push(caller, query_id)
    }

    fn insert_target(&self, caller: &Caller, name: &str) -> Result<String, ApiError> {
        insert::check_target(self, caller, name)
    }

    fn insert_rows(
        &self,
        caller: &Caller,
        target: &str,
        rows: Vec<Map<String, Value>>,
    ) -> BoxFuture<'_, Vec<Result<(), ApiError>>> {
        let (caller, target) = (caller.clone(), target.to_owned());
        async move { insert::insert_objects(self, &caller, &target, rows).await }.boxed()
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

    fn command_status(&self, caller: &Caller, command_id: &str) -> Result<Option<Value>, ApiError> {
        self.status_of(caller, command_id)
    }

    fn check_property(&self, name: &str) -> Result<(), ApiError> {
        properties::check(name)
    }

    fn cluster_metadata(&self) -> Value {
        let clusters = json!({"kafka-cluster": self.cluster_id(), "ksql-cluster": self.session().service_id});
        let scope = json!({"path": [], "clusters": clusters});
        json!({"version": env!("CARGO_PKG_VERSION"), "clusterId": {"scope": scope, "id": ""}})
    }

    fn metrics(&self, format: MetricsFormat) -> String {
        let page = metrics::render(self);
        match format {
            MetricsFormat::OpenMetrics => page,
            MetricsFormat::Text => metrics::text::plain(&page),
        }
    }

    fn count_request(&self, path: &str, status: u16, elapsed: Duration) {
        self.http_metrics().record(path, status, elapsed);
    }

    fn is_ready(&self) -> bool {
        self.check_ready()
    }
}
