//! `GET /ws/query`: a query over a WebSocket. The first frame is the schema, each further one a row, the last message or
//! an error.
//!
//! Source: ksqlDB's WebSocket endpoint: `request` holds the JSON body that `/query` would take.

use std::sync::Arc;

use axum::Extension;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::auth::caller::Caller;
use crate::error::ApiError;
use crate::http::answer::Node;
use crate::http::api::{NodeApi, QueryKind, RunningQuery};
use crate::http::peer::Peer;
use crate::http::queries::query_request;
use crate::http::statements::parse_body;
use crate::wire::request::StatementRequest;
use crate::wire::rows::RowEvent;

/// Bytes that a client may send in one message: it has nothing to say.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// RFC 6455, 7.4.1.
const CLOSE_NORMAL: u16 = 1000;
const CLOSE_POLICY: u16 = 1008;

#[derive(Debug, Deserialize)]
pub(crate) struct WsParameters {
    request: Option<String>,
}

pub(crate) async fn query(
    State(node): Node,
    Extension(caller): Extension<Caller>,
    peer: Option<Extension<Peer>>,
    Query(parameters): Query<WsParameters>,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Response {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => return ApiError::bad_request(rejection.to_string()).into_response(),
    };
    upgrade.max_message_size(MESSAGE_BYTES_MAX).on_upgrade(move |socket| async move {
        // The connection keeps its place in the table, and does not give way.
        let _answering = peer.as_ref().map(|Extension(peer)| peer.slot.activity.answering());
        run(node, caller, parameters, socket).await;
    })
}

async fn run(node: Arc<dyn NodeApi>, caller: Caller, parameters: WsParameters, mut socket: WebSocket) {
    let started = match start(&node, &caller, &parameters).await {
        Ok(started) => started,
        Err(error) => return close(&mut socket, Some(&error)).await,
    };
    // What the client sends is read so that its pings are answered and its going away is seen.
    if let Some(failure) = answer(started, &mut socket).await {
        close(&mut socket, failure.as_ref()).await;
    }
}

async fn start(
    node: &Arc<dyn NodeApi>,
    caller: &Caller,
    parameters: &WsParameters,
) -> Result<RunningQuery, ApiError> {
    let text = parameters
        .request
        .as_deref()
        .ok_or_else(|| ApiError::bad_request("the parameter request is missing"))?;
    let request: StatementRequest = parse_body(text.as_bytes())?;
    node.query(caller, query_request(request)).await
}

/// Sends the answer. None: the client went away; otherwise the error that ended the query, if one did.
async fn answer(mut running: RunningQuery, socket: &mut WebSocket) -> Option<Option<ApiError>> {
    if running.kind != QueryKind::Print {
        let schema: Vec<Value> =
            running.header.columns.iter().map(|c| json!({"name": c.name, "schema": c.schema})).collect();
        send(socket, &Value::Array(schema)).await?;
    }
    loop {
        let events = tokio::select! {
            events = running.events.next() => events,
            message = socket.recv() => match message {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => continue,
            },
        };
        let Some(events) = events else { return Some(None) };
        for event in events {
            match event {
                RowEvent::Row { columns, .. } if running.kind == QueryKind::Print => {
                    socket.send(Message::text(columns)).await.ok()?;
                }
                RowEvent::Row { columns, tombstone } => {
                    let mark = if tombstone { ",\"tombstone\":true" } else { "" };
                    let frame = format!("{{\"row\":{{\"columns\":{columns}{mark}}}}}");
                    socket.send(Message::text(frame)).await.ok()?;
                }
                RowEvent::Final(text) => send(socket, &json!({"finalMessage": text})).await?,
                RowEvent::Failed(error) => return Some(Some(error)),
            }
        }
    }
}

/// None: the client went away.
async fn send(socket: &mut WebSocket, value: &Value) -> Option<()> {
    socket.send(Message::text(value.to_string())).await.ok()
}

async fn close(socket: &mut WebSocket, error: Option<&ApiError>) {
    let (code, reason) = match error {
        None => (CLOSE_NORMAL, "done"),
        Some(error) => {
            let _ = send(socket, &json!({"error": error.to_json()})).await;
            (CLOSE_POLICY, "query failed")
        }
    };
    // A client that is gone cannot be told.
    let _ = socket.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await;
}
