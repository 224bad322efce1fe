//! Common to handlers: the node that they ask, and JSON answers.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use crate::http::api::NodeApi;

/// ksqlDB's own JSON type, which `/query` answers even to `application/json`.
pub(crate) const KSQL_JSON: &str = "application/vnd.ksql.v1+json";

/// The node, as handlers take it.
pub(crate) type Node = State<Arc<dyn NodeApi>>;

/// A JSON body. ksqlDB answers `application/json` here whatever the request accepts.
pub(crate) fn json_answer(status: StatusCode, body: &Value) -> Response {
    let mut response = (status, body.to_string()).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
