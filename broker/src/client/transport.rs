//! How requests reach a broker.

use std::fmt;
use std::sync::Arc;
use std::task::Poll;

use futures::future::BoxFuture;
use thiserror::Error;

use crate::net::handler::{RequestContext, RequestHandler};
use crate::net::session::Session;
use crate::protocol::api_key::ApiKey;
use crate::protocol::messages::produce::ProduceResponse;
use crate::protocol::primitive::{DecodeError, EncodeError};
use crate::protocol::request::Request;
use crate::protocol::response::Response;

/// A response on its way.
pub type Answer = BoxFuture<'static, Result<Response, TransportError>>;

/// Carries requests to one broker.
pub trait Transport: Send + Sync {
    /// Hands `request` over: when the future resolves, the broker gets it before any that is handed over later. What it
    /// resolves to waits for the response, which is of the same API.
    ///
    /// A produce request with `acks = 0` gets an empty response as soon as it is sent.
    fn hand_over(&self, request: Request) -> BoxFuture<'_, Result<Answer, TransportError>>;

    /// Hands `request` over and waits for the response.
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, TransportError>> {
        Box::pin(async move { self.hand_over(request).await?.await })
    }
}

/// Why there is no response.
#[derive(Debug, Clone, Error)]
pub enum TransportError {
    /// No connection could be made.
    #[error("connecting to broker {address} failed: {reason}")]
    Connect { address: String, reason: String },
    /// Broker and client do not accept each other's certificate or password.
    #[error("broker {address} and this client do not accept each other: {reason}")]
    Authentication { address: String, reason: String },
    /// The connection ended before the response came; the broker may or may not have acted on the request.
    #[error("connection to broker {address} was lost: {reason}")]
    Disconnected { address: String, reason: String },
    /// No response in time; the broker may or may not have acted on the request.
    #[error("broker {address} did not answer {api} within {timeout_ms} ms")]
    Timeout { address: String, api: ApiKey, timeout_ms: u64 },
    /// The broker and this client have no version of the API in common that can carry the request.
    #[error("broker does not support {api} in a version that can carry the request")]
    UnsupportedVersion { api: ApiKey },
    /// The request cannot be encoded.
    #[error("{api} request cannot be encoded")]
    Encode { api: ApiKey, source: EncodeError },
    /// The response is malformed.
    #[error("{api} response is malformed")]
    Decode { api: ApiKey, source: DecodeError },
    /// The handler gave no answer where one is due.
    #[error("{api} request was not answered")]
    NoResponse { api: ApiKey },
    /// The transport was closed.
    #[error("transport is closed")]
    Closed,
}

impl TransportError {
    /// Whether sending the request again may succeed.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Disconnected { .. } | Self::Timeout { .. } => true,
            Self::Authentication { .. }
            | Self::UnsupportedVersion { .. }
            | Self::Encode { .. }
            | Self::Decode { .. }
            | Self::NoResponse { .. }
            | Self::Closed => false,
        }
    }
}

/// Calls a handler in this process with typed values; nothing is encoded.
#[derive(Clone)]
pub struct LocalTransport {
    handler: Arc<dyn RequestHandler>,
    session: Arc<Session>,
    client_id: Option<Arc<str>>,
}

impl LocalTransport {
    /// A transport to `handler` for a client called `client_id`.
    pub fn new(handler: Arc<dyn RequestHandler>, client_id: Option<&str>) -> Self {
        Self { handler, session: Arc::new(Session::internal()), client_id: client_id.map(Arc::from) }
    }

    /// The version local requests are answered in: the highest the broker serves that can carry the request.
    fn version(request: &Request) -> i16 {
        let api_key = request.api_key();
        let served = api_key.served_versions().unwrap_or(api_key.known_versions());
        served.max.min(request.version_max())
    }
}

impl fmt::Debug for LocalTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalTransport").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

impl Transport for LocalTransport {
    fn hand_over(&self, request: Request) -> BoxFuture<'_, Result<Answer, TransportError>> {
        Box::pin(async move {
            let api = request.api_key();
            let answered = request.expects_response();
            let context = RequestContext {
                api_version: Self::version(&request),
                request_bytes: 0,
                client_id: self.client_id.clone(),
                session: self.session.clone(),
            };
            let handled = self.handler.handle(context, request);
            let mut answer: Answer = Box::pin(async move {
                match handled.await {
                    Some(response) => Ok(response),
                    None if !answered => Ok(Response::Produce(ProduceResponse::default())),
                    None => Err(TransportError::NoResponse { api }),
                }
            });
            // Handlers do what must be in order before they first wait.
            match futures::poll!(answer.as_mut()) {
                Poll::Ready(answer) => Ok(Box::pin(std::future::ready(answer)) as Answer),
                Poll::Pending => Ok(answer),
            }
        })
    }
}
