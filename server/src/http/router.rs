//! Paths and methods. Anything else is 404, also a known path with another method.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Path, Request, State};
use axum::http::header::{CONTENT_TYPE, HeaderValue, LOCATION};
use axum::http::{StatusCode, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::error::{ApiError, ErrorCode};
use crate::http::api::{Answer, NodeApi};
use crate::http::{inserts_stream, queries, statements, terminate, ws};
use crate::wire::request::BODY_BYTES_MAX;

/// ksqlDB's own JSON type, which it answers even to `application/json`.
pub(crate) const KSQL_JSON: &str = "application/vnd.ksql.v1+json";

pub(crate) type Node = State<Arc<dyn NodeApi>>;

/// All endpoints over one node.
pub fn router(node: Arc<dyn NodeApi>) -> Router {
    Router::new()
        .route("/", get(root))
        .route("/info", get(info))
        .route("/healthcheck", get(healthcheck))
        .route("/healthz", get(async || StatusCode::OK))
        .route("/readyz", get(ready))
        .route("/chc/live", get(async || StatusCode::OK))
        .route("/chc/ready", get(ready))
        .route("/metrics", get(metrics))
        .route("/status", get(statuses))
        .route("/status/{kind}/{entity}/{action}", get(status))
        .route("/is_valid_property/{name}", get(is_valid_property))
        .route("/v1/metadata", get(metadata))
        .route("/v1/metadata/id", get(metadata_id))
        .route("/ksql", post(statements::execute))
        .route("/ksql/terminate", post(terminate::terminate))
        .route("/ws/query", get(ws::query))
        .route("/query", post(queries::query))
        .route("/query-stream", post(queries::query_stream))
        .route("/close-query", post(queries::close_query))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .route("/inserts-stream", post(inserts_stream::insert).layer(DefaultBodyLimit::disable()))
        .method_not_allowed_fallback(not_found)
        .fallback(not_found)
        .layer(from_fn_with_state(Arc::clone(&node), count))
        .with_state(node)
}

/// Counts requests by the pattern of their route: paths that nobody serves count as one.
async fn count(State(node): Node, path: Option<MatchedPath>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let response = next.run(request).await;
    let path = path.as_ref().map_or("other", MatchedPath::as_str);
    node.count_request(path, response.status().as_u16(), started.elapsed());
    response
}

/// A JSON body under ksqlDB's content type.
pub(crate) fn json_answer(status: StatusCode, body: &Value) -> Response {
    let mut response = (status, body.to_string()).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(KSQL_JSON));
    response
}

async fn not_found(uri: Uri) -> ApiError {
    ApiError::new(ErrorCode::NotFound, format!("no endpoint at \"{}\" for this method", uri.path()))
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

async fn ready(State(node): Node) -> StatusCode {
    if node.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

async fn metrics(State(node): Node) -> Response {
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, content_type)], node.metrics()).into_response()
}

async fn statuses(State(node): Node) -> Response {
    json_answer(StatusCode::OK, &json!({"commandStatuses": node.command_statuses()}))
}

async fn status(State(node): Node, Path((kind, entity, action)): Path<(String, String, String)>) -> Response {
    let id = format!("{kind}/{entity}/{action}");
    match node.command_status(&id) {
        Some(status) => json_answer(StatusCode::OK, &status),
        None => ApiError::new(ErrorCode::NotFound, format!("no command \"{id}\"")).into_response(),
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
