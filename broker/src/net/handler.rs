//! The seam between carriers of requests (sockets, the local transport) and their handlers.

use std::sync::Arc;

use futures::future::BoxFuture;

use crate::net::session::Session;
use crate::protocol::request::Request;
use crate::protocol::response::Response;

/// Answers requests.
pub trait RequestHandler: Send + Sync + 'static {
    /// Answers `request`; `None` when there is no answer (a produce request with `acks = 0`).
    ///
    /// Invariant: on one connection, `handle` is called in the order of the requests, and the future of a request is
    /// polled at least once before the future of any later request is. What must happen in request order (appending a
    /// batch, joining a group) is therefore done before the future first waits. Several futures of a connection may be
    /// waiting at once; their responses are sent in request order whatever the order in which they become ready.
    fn handle(&self, context: RequestContext, request: Request) -> BoxFuture<'static, Option<Response>>;
}

/// Context of a request: version, client and connection.
#[derive(Debug, Clone)]
pub struct RequestContext {
    /// Version of the request, and of the response that is expected.
    pub api_version: i16,
    /// Bytes of the request; 0 for in-process callers.
    pub request_bytes: usize,
    /// Client id from the request header.
    pub client_id: Option<Arc<str>>,
    /// The connection the request came on.
    pub session: Arc<Session>,
}
