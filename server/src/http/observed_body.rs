//! Bodies of requests and answers with an observer of what passes.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};

/// Follows the frames of a body, and may hold them back.
pub(crate) trait BodyObserver: Send + Unpin + 'static {
    /// Pending while the next frame must wait.
    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    /// Bytes of data have passed.
    fn passed(&mut self, _bytes: usize) {}

    /// The body has passed whole, or its connection has failed.
    fn ended(&mut self) {}
}

/// A body whose observer is dropped with it.
struct ObservedBody<O> {
    inner: Body,
    observer: O,
}

/// The body, with an observer.
pub(crate) fn observed(inner: Body, mut observer: impl BodyObserver) -> Body {
    if inner.is_end_stream() {
        observer.ended();
    }
    Body::new(ObservedBody { inner, observer })
}

impl<O: BodyObserver> HttpBody for ObservedBody<O> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        ready!(self.observer.poll_ready(cx));
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        if let Some(data) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()) {
            self.observer.passed(data.len());
        }
        if frame.is_none() || self.inner.is_end_stream() {
            self.observer.ended();
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
