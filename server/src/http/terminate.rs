//! `POST /ksql/terminate`: ends every query and drops every stream and table.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use crate::auth::caller::Caller;
use crate::http::answer::{Node, json_answer};
use crate::http::body::RequestBody;
use crate::http::statements::parse_body;
use crate::wire::request::TerminateRequest;

pub(crate) async fn terminate(
    State(node): Node,
    Extension(caller): Extension<Caller>,
    RequestBody(body): RequestBody,
) -> Response {
    let body: &[u8] = if body.is_empty() { b"{}" } else { &body };
    let request: TerminateRequest = match parse_body(body) {
        Ok(request) => request,
        Err(error) => return error.into_response(),
    };
    match node.terminate(&caller, request.delete_topic_list).await {
        Ok(entity) => json_answer(StatusCode::OK, &Value::Array(vec![entity])),
        Err(error) => error.into_response(),
    }
}
