//! The connection that a request came over.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Extension;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use parking_lot::Mutex;

use crate::http::connections::{Slot, Stage};
use crate::http::observed_body::{BodyObserver, observed};

/// The client's end of a connection, in the extensions of each of its requests.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    /// The principal that the client's certificate names.
    pub(crate) certified: Option<Arc<str>>,
    /// True over TLS.
    pub(crate) is_secure: bool,
    pub(crate) slot: Arc<Slot>,
}

/// Follows a request through its stages: its body arrives, then it is answered until the answer's end.
pub(crate) async fn follow(Extension(peer): Extension<Peer>, request: Request, next: Next) -> Response {
    let answering = Answering::default();
    let receiving = Some(peer.slot.activity.receiving());
    let arriving = Arriving { receiving, answering: answering.clone(), peer };
    let response = next.run(request.map(|body| observed(body, arriving))).await;
    response.map(|body| observed(body, answering))
}

/// The stage of a request whose body has arrived. The connection does not give way to others while the answer's body
/// holds it.
#[derive(Clone, Default)]
struct Answering(Arc<Mutex<Option<Stage>>>);

impl BodyObserver for Answering {}

/// The stage of a request whose body arrives.
struct Arriving {
    receiving: Option<Stage>,
    answering: Answering,
    peer: Peer,
}

impl BodyObserver for Arriving {
    fn ended(&mut self) {
        if let Some(receiving) = self.receiving.take() {
            *self.answering.0.lock() = Some(self.peer.slot.activity.answering());
            drop(receiving);
        }
    }
}
