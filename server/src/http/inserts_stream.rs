//! `POST /inserts-stream`: a line with the target, then one JSON object per line; one acknowledgement per line.
//!
//! ksqlDB asks for HTTP/2 here. HTTP/1.1 is served as well: acknowledgements are sent as the lines are read.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Extension;
use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, stream};
use serde_json::{Map, Value, json};

use crate::auth::caller::Caller;
use crate::error::ApiError;
use crate::http::answer::Node;
use crate::http::api::NodeApi;
use crate::http::peer::Peer;
use crate::http::statements::parse_body;
use crate::wire::request::InsertsTarget;

/// Bytes one line may have.
const LINE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Rows handed to the node at once.
const BATCH_ROWS_MAX: usize = 1_000;

pub(crate) async fn insert(
    State(node): Node,
    Extension(caller): Extension<Caller>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let as_array = headers.get(ACCEPT).is_some_and(|a| a.as_bytes() == b"application/json");
    let mut lines = Lines { stream: body.into_data_stream(), buffer: Vec::new(), ended: false };
    let target = match read_target(&node, &caller, &mut lines).await {
        Ok(target) => target,
        Err(error) => return error.into_response(),
    };
    let peer = peer.map(|Extension(peer)| peer);
    let state =
        Inserting { node, caller, peer, lines, target, sequence: 0, as_array, opened: false, ended: false };
    let mut response = Response::new(Body::from_stream(stream::unfold(state, Inserting::step)));
    let content_type = if as_array { "application/json" } else { "application/vnd.ksqlapi.delimited.v1" };
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

async fn read_target(
    node: &Arc<dyn NodeApi>,
    caller: &Caller,
    lines: &mut Lines,
) -> Result<String, ApiError> {
    let line =
        lines.next().await?.ok_or_else(|| ApiError::bad_request("the first line must name the target"))?;
    let target: InsertsTarget = parse_body(&line)?;
    node.insert_target(caller, &target.target)
}

struct Inserting {
    node: Arc<dyn NodeApi>,
    caller: Caller,
    peer: Option<Peer>,
    lines: Lines,
    target: String,
    sequence: u64,
    as_array: bool,
    opened: bool,
    ended: bool,
}

impl Inserting {
    /// Reads the lines that are there, inserts them in one go, and answers for each.
    async fn step(mut self) -> Option<(Result<Bytes, Infallible>, Inserting)> {
        if self.ended {
            return None;
        }
        let mut rows: Vec<Result<Map<String, Value>, ApiError>> = Vec::new();
        while rows.len() < BATCH_ROWS_MAX && (rows.is_empty() || self.lines.has_line()) {
            match self.lines.next().await {
                Ok(Some(line)) if line.is_empty() => continue,
                Ok(Some(line)) => rows.push(parse_body(&line)),
                Ok(None) => {
                    self.ended = true;
                    break;
                }
                Err(error) => {
                    rows.push(Err(error));
                    self.ended = true;
                    break;
                }
            }
        }
        // A client that sends rows is not one that gives way to others.
        if let Some(peer) = &self.peer {
            peer.slot.activity.touch();
        }
        let answers = self.insert(rows).await;
        let mut out = String::new();
        if self.as_array && !self.opened {
            out.push('[');
        }
        for answer in answers {
            if self.as_array && self.opened {
                out.push_str(",\n");
            }
            self.opened = true;
            out.push_str(&answer.to_string());
            if !self.as_array {
                out.push('\n');
            }
        }
        self.opened = true;
        if self.ended && self.as_array {
            out.push(']');
        }
        Some((Ok(Bytes::from(out)), self))
    }

    async fn insert(&mut self, rows: Vec<Result<Map<String, Value>, ApiError>>) -> Vec<Value> {
        let valid: Vec<Map<String, Value>> = rows.iter().filter_map(|r| r.as_ref().ok().cloned()).collect();
        let mut inserted = self.node.insert_rows(&self.caller, &self.target, valid).await.into_iter();
        rows.into_iter()
            .map(|row| {
                let result = row.and_then(|_| {
                    inserted.next().unwrap_or_else(|| Err(ApiError::server("the row was not answered for")))
                });
                let sequence = self.sequence;
                self.sequence += 1;
                match result {
                    Ok(()) => json!({"status": "ok", "seq": sequence}),
                    Err(e) => json!({
                        "@type": "InsertError", "status": "error", "seq": sequence, "error_code": e.code.code(), "message": e.message,
                    }),
                }
            })
            .collect()
    }
}

/// Lines of a request body, bounded in length.
struct Lines {
    stream: BodyDataStream,
    buffer: Vec<u8>,
    ended: bool,
}

impl Lines {
    fn has_line(&self) -> bool {
        self.buffer.contains(&b'\n')
    }

    /// The next line without its end; None at the end of the body. Errors: the line is too long, or the client went away.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, ApiError> {
        loop {
            if let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
                let mut line: Vec<u8> = self.buffer.drain(..=end).collect();
                line.pop();
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return Ok(Some(line));
            }
            if self.ended {
                return Ok((!self.buffer.is_empty()).then(|| std::mem::take(&mut self.buffer)));
            }
            if self.buffer.len() > LINE_BYTES_MAX {
                return Err(ApiError::bad_request(format!("a line has over {LINE_BYTES_MAX} bytes")));
            }
            match self.stream.next().await {
                Some(Ok(chunk)) => self.buffer.extend_from_slice(&chunk),
                Some(Err(error)) => {
                    return Err(ApiError::bad_request(format!("the request broke off: {error}")));
                }
                None => self.ended = true,
            }
        }
    }
}
