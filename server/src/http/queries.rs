//! `POST /query`, `/query-stream` and `/close-query`.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde_json::{Value, json};

use crate::auth::caller::Caller;
use crate::error::{ApiError, ErrorCode};
use crate::http::accept::items;
use crate::http::answer::{KSQL_JSON, Node};
use crate::http::api::{NodeApi, QueryEndpoint, QueryKind, QueryRequest, RunningQuery, SHUTTING_DOWN};
use crate::http::body::RequestBody;
use crate::http::statements::parse_body;
use crate::wire::request::{CloseQueryRequest, QueryStreamRequest, StatementRequest, property_texts};
use crate::wire::rows::{RowEvent, RowsShape, RowsWriter};

const DELIMITED: &str = "application/vnd.ksqlapi.delimited.v1";
const JSON: &str = "application/json";

/// Rows of a batch that are sent in a chunk each, as ksqlDB does: some clients take a chunk for a row. Larger batches
/// come under load, and share chunks.
const CHUNKS_MAX: usize = 64;

pub(crate) async fn query(
    State(node): Node,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    RequestBody(body): RequestBody,
) -> Response {
    let (shape, content_type) = match accepted(&headers, KSQL_JSON) {
        Some(JSON) | Some(KSQL_JSON) => (RowsShape::StreamedRows, KSQL_JSON),
        Some(_) => (RowsShape::Delimited, DELIMITED),
        None => return not_acceptable(),
    };
    let request: StatementRequest = match parse_body(&body) {
        Ok(request) => request,
        Err(error) => return error.into_response(),
    };
    answer(&node, &caller, query_request(request), shape, content_type).await
}

/// The query of a body of `/query`.
pub(crate) fn query_request(request: StatementRequest) -> QueryRequest {
    QueryRequest {
        endpoint: QueryEndpoint::Query,
        sql: request.ksql,
        properties: property_texts(request.streams_properties.as_ref()),
        variables: texts(request.session_variables),
        command_sequence_number: request.command_sequence_number,
    }
}

pub(crate) async fn query_stream(
    State(node): Node,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    RequestBody(body): RequestBody,
) -> Response {
    let (shape, content_type) = match accepted(&headers, DELIMITED) {
        Some(JSON) => (RowsShape::JsonArray, JSON),
        Some(KSQL_JSON) => (RowsShape::StreamedRows, KSQL_JSON),
        Some(_) => (RowsShape::Delimited, DELIMITED),
        None => return not_acceptable(),
    };
    let request: QueryStreamRequest = match parse_body(&body) {
        Ok(request) => request,
        Err(error) => return error.into_response(),
    };
    let request = QueryRequest {
        endpoint: QueryEndpoint::QueryStream,
        sql: request.sql,
        properties: property_texts(request.properties.as_ref()),
        variables: texts(request.session_variables),
        command_sequence_number: None,
    };
    answer(&node, &caller, request, shape, content_type).await
}

pub(crate) async fn close_query(
    State(node): Node,
    Extension(caller): Extension<Caller>,
    RequestBody(body): RequestBody,
) -> Response {
    let request: CloseQueryRequest = match parse_body(&body) {
        Ok(request) => request,
        Err(error) => return error.into_response(),
    };
    if node.close_query(&caller, &request.query_id) {
        StatusCode::OK.into_response()
    } else {
        ApiError::bad_request(format!("No query with id {}", request.query_id)).into_response()
    }
}

fn texts(variables: Option<indexmap::IndexMap<String, Value>>) -> indexmap::IndexMap<String, String> {
    let text = |value: Value| match value {
        Value::String(s) => s,
        other => other.to_string(),
    };
    variables.unwrap_or_default().into_iter().map(|(name, value)| (name, text(value))).collect()
}

fn not_acceptable() -> Response {
    let message = format!("the answer can be {KSQL_JSON}, {DELIMITED} or {JSON}");
    ApiError::new(ErrorCode::NotAcceptable, message).into_response()
}

/// The best of the three content types by the Accept header's q-weights; `default` without one. `*/*` means delimited.
fn accepted(headers: &HeaderMap, default: &'static str) -> Option<&'static str> {
    if !headers.contains_key(ACCEPT) {
        return Some(default);
    }
    let mut best: Option<(&'static str, f32)> = None;
    for (name, weight) in items(headers) {
        let known = match name {
            KSQL_JSON => KSQL_JSON,
            DELIMITED | "*/*" | "application/*" => DELIMITED,
            JSON => JSON,
            _ => continue,
        };
        if weight > 0.0 && best.is_none_or(|(_, w)| weight > w) {
            best = Some((known, weight));
        }
    }
    best.map(|(known, _)| known)
}

async fn answer(
    node: &Arc<dyn NodeApi>,
    caller: &Caller,
    request: QueryRequest,
    shape: RowsShape,
    content_type: &'static str,
) -> Response {
    let endpoint = request.endpoint;
    let running = match node.query(caller, request).await {
        Ok(running) => running,
        Err(error) => return error.into_response(),
    };
    let (body, content_type) = match (running.kind, endpoint) {
        (QueryKind::Print, QueryEndpoint::Query) => (print_body(running), JSON),
        (QueryKind::Print, QueryEndpoint::QueryStream) if shape != RowsShape::Delimited => {
            return StatusCode::NOT_ACCEPTABLE.into_response();
        }
        (QueryKind::Print, QueryEndpoint::QueryStream) => (print_body(running), "text/plain; charset=utf-8"),
        (QueryKind::Pull | QueryKind::Push, _) => (rows_body(running, shape), content_type),
    };
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// The query, the writer of its rows, chunks that wait to be sent, and whether no more will come.
type RowsState = (RunningQuery, RowsWriter, VecDeque<String>, bool);

/// The rows as they come. The client going away drops the query.
fn rows_body(running: RunningQuery, shape: RowsShape) -> Body {
    let mut writer = RowsWriter::new(shape);
    let mut head = String::new();
    writer.header(&running.header, &mut head);
    let state = (running, writer, VecDeque::from([head]), false);
    Body::from_stream(stream::unfold(
        state,
        move |(mut running, mut writer, mut ready, ended): RowsState| async move {
            if let Some(chunk) = ready.pop_front() {
                return Some((Ok::<_, Infallible>(Bytes::from(chunk)), (running, writer, ready, ended)));
            }
            if ended {
                return None;
            }
            let mut chunk = String::new();
            let events = running.events.next().await;
            let ended = events.is_none();
            if let Some(events) = events {
                let is_few = events.len() <= CHUNKS_MAX;
                for event in &events {
                    writer.event(&told(event, shape), &mut chunk);
                    if is_few && !chunk.is_empty() {
                        ready.push_back(std::mem::take(&mut chunk));
                    }
                }
            } else {
                writer.end(&mut chunk);
            }
            if !chunk.is_empty() {
                ready.push_back(chunk);
            }
            // Rows that have no place in the shape give no bytes; a chunk without any is not sent.
            let first = ready.pop_front().unwrap_or_default();
            Some((Ok(Bytes::from(first)), (running, writer, ready, ended)))
        },
    ))
}

/// The shapes of `/query-stream` have no final message: a query that the node's stop ends is an error there, so that
/// clients do not take it for complete.
fn told(event: &RowEvent, shape: RowsShape) -> Cow<'_, RowEvent> {
    match event {
        RowEvent::Final(text) if text == SHUTTING_DOWN && shape != RowsShape::StreamedRows => {
            Cow::Owned(RowEvent::Failed(ApiError::new(ErrorCode::ShuttingDown, SHUTTING_DOWN)))
        }
        other => Cow::Borrowed(other),
    }
}

fn print_body(running: RunningQuery) -> Body {
    Body::from_stream(stream::unfold(running, async |mut running| {
        let events = running.events.next().await?;
        let mut chunk = String::new();
        for event in &events {
            match event {
                RowEvent::Row { columns, .. } => {
                    chunk.push_str(columns);
                    chunk.push('\n');
                }
                RowEvent::Failed(error) => chunk.push_str(&json!(error.to_json()).to_string()),
                RowEvent::Final(_) => {}
            }
        }
        Some((Ok::<_, Infallible>(Bytes::from(chunk)), running))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(value: &str) -> Option<&'static str> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_str(value).expect("valid header"));
        accepted(&headers, KSQL_JSON)
    }

    #[test]
    fn the_highest_weight_wins() {
        assert_eq!(accept("application/json;q=0.5, application/vnd.ksqlapi.delimited.v1"), Some(DELIMITED));
        assert_eq!(accept("application/json"), Some(JSON));
        assert_eq!(accept("*/*"), Some(DELIMITED));
        assert_eq!(accept("text/html"), None);
        assert_eq!(accepted(&HeaderMap::new(), KSQL_JSON), Some(KSQL_JSON));
    }
}
