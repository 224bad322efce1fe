//! The node behind its HTTP front.

use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Map, Value, json};
use weir_broker::auth::quota::QuotaKey;
use weir_broker::env::spawn;

use crate::audit::AuditCounters;
use crate::auth::authenticator::Authenticator;
use crate::auth::caller::Caller;
use crate::auth::credentials::Credentials;
use crate::command::runner::CommandRunner;
use crate::context::Context;
use crate::error::ApiError;
use crate::health;
use crate::http::api::{Answer, MetricsFormat, NodeApi, QueryRequest, RunningQuery, Used};
use crate::metrics::http::HttpMetrics;
use crate::metrics::{self, NodeCounters};
use crate::statement::{dispatch, insert, properties, query, terminate};
use crate::wire::request::StatementRequest;

/// The client id under which quotas of client ids hold for HTTP.
const HTTP_CLIENT_ID: &str = "http";

/// The node as its HTTP front sees it.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) commands: CommandRunner,
    pub(crate) authenticator: Authenticator,
    /// None: there is no audit.
    pub(crate) audit: Option<AuditCounters>,
    pub(crate) http_metrics: HttpMetrics,
    /// When the node was started, on the monotonic clock.
    pub(crate) started: Duration,
}

impl Api {
    pub(crate) fn context(&self) -> &Context {
        self.commands.context()
    }
}

impl NodeApi for Api {
    fn authenticate(&self, credentials: Credentials) -> BoxFuture<'_, Result<Caller, ApiError>> {
        self.authenticator.authenticate(credentials).boxed()
    }

    fn is_open_to_all(&self, path: &str) -> bool {
        self.context().config().http.open_paths.iter().any(|open| open == path)
    }

    fn charge(&self, caller: &Caller, used: Used) -> Option<Duration> {
        let security = self.authenticator.security();
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
        self.context().config().http.request_timeout
    }

    fn execute(
        &self,
        caller: &Caller,
        request: StatementRequest,
    ) -> BoxFuture<'_, Result<Vec<Value>, ApiError>> {
        // A client that goes away must not leave a command half carried out.
        let (commands, caller) = (self.commands.clone(), caller.clone());
        async move {
            let running =
                spawn::task("statement", async move { dispatch::execute(&commands, &caller, request).await });
            running.await.unwrap_or_else(|e| Err(ApiError::server(format!("the statement panicked: {e}"))))
        }
        .boxed()
    }

    fn query(&self, caller: &Caller, request: QueryRequest) -> BoxFuture<'_, Result<RunningQuery, ApiError>> {
        // As above; and a panic costs the request alone.
        let (commands, caller) = (self.commands.clone(), caller.clone());
        async move {
            let starting =
                spawn::task("query-start", async move { query::start(&commands, &caller, request).await });
            starting.await.unwrap_or_else(|e| Err(ApiError::server(format!("the query panicked: {e}"))))
        }
        .boxed()
    }

    fn terminate(&self, caller: &Caller, topics: Vec<String>) -> BoxFuture<'_, Result<Value, ApiError>> {
        let (commands, caller) = (self.commands.clone(), caller.clone());
        async move {
            let running = spawn::task("cluster-termination", async move {
                terminate::terminate(&commands, &caller, &topics).await
            });
            running.await.unwrap_or_else(|e| Err(ApiError::server(format!("the statement panicked: {e}"))))
        }
        .boxed()
    }

    fn close_query(&self, caller: &Caller, query_id: &str) -> bool {
        self.context().pushes().close(caller, query_id)
    }

    fn insert_target(&self, caller: &Caller, name: &str) -> Result<String, ApiError> {
        insert::check_target(self.context(), caller, name)
    }

    fn insert_rows(
        &self,
        caller: &Caller,
        target: &str,
        rows: Vec<Map<String, Value>>,
    ) -> BoxFuture<'_, Vec<Result<(), ApiError>>> {
        let (caller, target) = (caller.clone(), target.to_owned());
        async move { insert::insert_objects(self.context(), &caller, &target, rows).await }.boxed()
    }

    fn info(&self) -> Value {
        let mut info = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "kafkaClusterId": self.context().broker().cluster_id(),
            "ksqlServiceId": self.context().session().service_id,
            "serverStatus": health::server_status(&self.commands),
        });
        if let Some(degradation) = self.commands.degradation() {
            info["degradedReason"] = json!(degradation.to_string());
        }
        json!({"KsqlServerInfo": info})
    }

    fn health(&self) -> BoxFuture<'_, Answer> {
        std::future::ready(health::check_health(&self.commands)).boxed()
    }

    fn command_statuses(&self) -> Value {
        self.commands.statuses().all()
    }

    fn command_status(&self, caller: &Caller, command_id: &str) -> Result<Option<Value>, ApiError> {
        self.commands.statuses().find(caller, &self.context().metastore(), command_id)
    }

    fn check_property(&self, name: &str) -> Result<(), ApiError> {
        properties::check(name)
    }

    fn cluster_metadata(&self) -> Value {
        let (kafka, ksql) = (self.context().broker().cluster_id(), &self.context().session().service_id);
        let clusters = json!({"kafka-cluster": kafka, "ksql-cluster": ksql});
        let scope = json!({"path": [], "clusters": clusters});
        json!({"version": env!("CARGO_PKG_VERSION"), "clusterId": {"scope": scope, "id": ""}})
    }

    fn metrics(&self, format: MetricsFormat) -> String {
        let uptime = self.context().clock().monotonic().saturating_sub(self.started);
        let counters = NodeCounters { http: &self.http_metrics, audit: self.audit.as_ref(), uptime };
        let page = metrics::render(self.context(), &counters);
        match format {
            MetricsFormat::OpenMetrics => page,
            MetricsFormat::Text => metrics::text::plain(&page),
        }
    }

    fn count_request(&self, path: &str, status: u16, elapsed: Duration) {
        self.http_metrics.record(path, status, elapsed);
    }

    fn is_ready(&self) -> bool {
        health::is_ready(self.context())
    }
}
