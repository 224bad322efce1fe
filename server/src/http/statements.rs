//! `POST /ksql`.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::auth::caller::Caller;
use crate::error::ApiError;
use crate::http::answer::{Node, json_answer};
use crate::http::body::RequestBody;
use crate::wire::request::StatementRequest;

pub(crate) async fn execute(
    State(node): Node,
    Extension(caller): Extension<Caller>,
    RequestBody(body): RequestBody,
) -> Response {
    let request: StatementRequest = match parse_body(&body) {
        Ok(request) => request,
        Err(error) => return error.into_response(),
    };
    match node.execute(&caller, request).await {
        Ok(entities) => json_answer(StatusCode::OK, &Value::Array(entities)),
        Err(error) => error.into_response(),
    }
}

/// The content type was looked at before: ksqlDB's clients send several, and curl sends a form's.
pub(crate) fn parse_body<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body)
        .map_err(|e| ApiError::bad_request(format!("the request body is not valid: {e}")))
}
