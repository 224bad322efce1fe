//! The endpoints over one node. A known path with another method is 405, anything else 404.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, MatchedPath, Path, Request, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, LOCATION};
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Extension, Router};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::auth::caller::Caller;
use crate::error::{ApiError, ErrorCode};
use crate::http::accept::weight;
use crate::http::admission::admit;
use crate::http::answer::{Node, json_answer};
use crate::http::api::{Answer, MetricsFormat, NodeApi};
use crate::http::endpoint::Endpoint;
use crate::http::guard::{Guard, guard};
use crate::http::{inserts_stream, peer, queries, statements, terminate, ws};
use crate::wire::request::BODY_BYTES_MAX;

/// How the paths of a Schema Registry begin.
const REGISTRY_PATHS: [&str; 5] = ["subjects", "schemas", "config", "mode", "compatibility"];

/// All endpoints over one node.
pub fn router(node: Arc<dyn NodeApi>, requests: Guard) -> Router {
    let routes = Endpoint::ALL.into_iter().fold(Router::new(), |router, endpoint| {
        let limit = match endpoint {
            // Read line by line.
            Endpoint::InsertsStream => DefaultBodyLimit::disable(),
            _ => DefaultBodyLimit::max(BODY_BYTES_MAX),
        };
        router.route(endpoint.path(), handler(endpoint).layer(limit))
    });
    routes
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        .layer(from_fn_with_state(Arc::clone(&node), admit))
        .layer(from_fn_with_state(Arc::new(requests), guard))
        .layer(from_fn_with_state(Arc::clone(&node), count))
        .layer(from_fn(peer::follow))
        .with_state(node)
}

fn handler(endpoint: Endpoint) -> MethodRouter<Arc<dyn NodeApi>> {
    match endpoint {
        Endpoint::Root => get(root),
        Endpoint::Info => get(info),
        Endpoint::Healthcheck => get(healthcheck),
        Endpoint::Healthz => get(async || StatusCode::OK),
        Endpoint::Readyz => get(async |node: Node| readiness(&node)),
        Endpoint::Live => get(async || json_answer(StatusCode::OK, &json!({}))),
        Endpoint::Ready => get(async |node: Node| json_answer(readiness(&node), &json!({}))),
        Endpoint::Metrics => get(metrics),
        Endpoint::Statuses => get(statuses),
        Endpoint::Status => get(status),
        Endpoint::IsValidProperty => get(is_valid_property),
        Endpoint::Metadata => get(metadata),
        Endpoint::MetadataId => get(metadata_id),
        Endpoint::Ksql => post(statements::execute),
        Endpoint::Terminate => post(terminate::terminate),
        Endpoint::WsQuery => get(ws::query),
        Endpoint::Query => post(queries::query),
        Endpoint::QueryStream => post(queries::query_stream),
        Endpoint::CloseQuery => post(queries::close_query),
        Endpoint::InsertsStream => post(inserts_stream::insert),
    }
}

/// Counts requests by the pattern of their route: paths that are not served count as one.
async fn count(State(node): Node, path: Option<MatchedPath>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let response = next.run(request).await;
    let path = path.as_ref().map_or("other", MatchedPath::as_str);
    node.count_request(path, response.status().as_u16(), started.elapsed());
    response
}

async fn not_found(uri: Uri) -> ApiError {
    let first = uri.path().split('/').nth(1).unwrap_or_default();
    let cause = match REGISTRY_PATHS.contains(&first) {
        true => ": this is no Schema Registry",
        false => "",
    };
    ApiError::new(ErrorCode::NotFound, format!("no endpoint at \"{}\"{cause}", uri.path()))
}

/// The router adds the header Allow.
async fn method_not_allowed(method: Method, uri: Uri) -> ApiError {
    let message =
        format!("{method} is not a method of \"{}\"; the header Allow lists those that are", uri.path());
    ApiError::new(ErrorCode::MethodNotAllowed, message)
}

async fn root() -> Response {
    (StatusCode::TEMPORARY_REDIRECT, [(LOCATION, "/info")]).into_response()
}

async fn info(State(node): Node) -> Response {
    json_answer(StatusCode::OK, &node.info())
}

async fn healthcheck(State(node): Node) -> Response {
    let Answer { status, body } = node.health().await;
    json_answer(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), &body)
}

fn readiness(node: &Arc<dyn NodeApi>) -> StatusCode {
    if node.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

/// OpenMetrics for clients that prefer it, else the text format that all of them read.
async fn metrics(State(node): Node, headers: HeaderMap) -> Response {
    let open = weight(&headers, "application/openmetrics-text");
    let format = match headers.contains_key(ACCEPT) && open > 0.0 && open >= weight(&headers, "text/plain") {
        true => MetricsFormat::OpenMetrics,
        false => MetricsFormat::Text,
    };
    let content_type = match format {
        MetricsFormat::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        MetricsFormat::Text => "text/plain; version=0.0.4; charset=utf-8",
    };
    ([(CONTENT_TYPE, content_type)], node.metrics(format)).into_response()
}

async fn statuses(State(node): Node) -> Response {
    json_answer(StatusCode::OK, &json!({"commandStatuses": node.command_statuses()}))
}

async fn status(
    State(node): Node,
    Extension(caller): Extension<Caller>,
    Path((kind, entity, action)): Path<(String, String, String)>,
) -> Response {
    let id = format!("{kind}/{entity}/{action}");
    match node.command_status(&caller, &id) {
        Ok(Some(status)) => json_answer(StatusCode::OK, &status),
        Ok(None) => ApiError::new(ErrorCode::NotFound, format!("no command \"{id}\"")).into_response(),
        Err(error) => error.into_response(),
    }
}

async fn is_valid_property(State(node): Node, Path(name): Path<String>) -> Response {
    match node.check_property(&name) {
        Ok(()) => json_answer(StatusCode::OK, &Value::Bool(true)),
        Err(error) => error.into_response(),
    }
}

async fn metadata(State(node): Node) -> Response {
    json_answer(StatusCode::OK, &node.cluster_metadata())
}

async fn metadata_id(State(node): Node) -> Response {
    json_answer(StatusCode::OK, &node.cluster_metadata()["clusterId"])
}
