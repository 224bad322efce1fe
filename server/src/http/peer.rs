//! The connection that a request came over.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::Extension;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use hyper::body::{Frame, SizeHint};
use parking_lot::Mutex;

use crate::http::connections::{Slot, Stage};

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
    let answering: Arc<Mutex<Option<Stage>>> = Arc::default();
    let request = request.map(|inner| {
        let receiving = Some(peer.slot.activity.receiving());
        let mut body = ArrivingBody { inner, receiving, answering: Arc::clone(&answering), peer };
        if body.inner.is_end_stream() {
            body.arrived();
        }
        Body::new(body)
    });
    let response = next.run(request).await;
    response.map(|inner| Body::new(AnswerBody { inner, _answering: answering }))
}

/// The body of a request.
struct ArrivingBody {
    inner: Body,
    receiving: Option<Stage>,
    answering: Arc<Mutex<Option<Stage>>>,
    peer: Peer,
}

impl ArrivingBody {
    fn arrived(&mut self) {
        if self.receiving.is_some() {
            *self.answering.lock() = Some(self.peer.slot.activity.answering());
            self.receiving = None;
        }
    }
}

impl HttpBody for ArrivingBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        if frame.is_none() || self.inner.is_end_stream() {
            self.arrived();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The body of an answer, during which the connection does not give way to others.
struct AnswerBody {
    inner: Body,
    _answering: Arc<Mutex<Option<Stage>>>,
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
