//! The seam between carriers of requests (sockets, the local transport) and whoever answers them.

use std::net::SocketAddr;
use std::sync::Arc;

use futures::future::BoxFuture;
use parking_lot::Mutex;

use crate::protocol::request::Request;
use crate::protocol::response::Response;

/// Who a connection speaks for until it authenticates.
pub const ANONYMOUS: &str = "User:ANONYMOUS";

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

/// What is known about a request besides the request.
#[derive(Debug, Clone)]
pub struct RequestContext {
    /// Version of the request, and of the response that is expected.
    pub api_version: i16,
    /// What the client calls itself.
    pub client_id: Option<Arc<str>>,
    /// The connection the request came on.
    pub session: Arc<Session>,
}

/// One connection, as request handlers see it.
#[derive(Debug)]
pub struct Session {
    /// Unique within the process; 0 for in-process callers.
    pub connection_id: u64,
    /// `None` for in-process callers.
    pub peer: Option<SocketAddr>,
    principal: Mutex<Arc<str>>,
}

impl Session {
    /// A connection that has not authenticated.
    pub fn new(connection_id: u64, peer: Option<SocketAddr>) -> Self {
        Self { connection_id, peer, principal: Mutex::new(Arc::from(ANONYMOUS)) }
    }

    /// Who the connection speaks for, as `User:name`.
    pub fn principal(&self) -> Arc<str> {
        self.principal.lock().clone()
    }

    /// Records a completed authentication; holds for requests read afterwards.
    pub fn authenticate(&self, principal: &str) {
        *self.principal.lock() = Arc::from(principal);
    }

    /// The address to show for the peer, as Kafka's `client_host` fields want it.
    pub fn client_host(&self) -> String {
        self.peer.map_or_else(|| "/local".to_owned(), |peer| format!("/{}", peer.ip()))
    }
}
