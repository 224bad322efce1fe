//! Quotas of HTTP clients: bytes of bodies, and time. A client that is to pause is refused with 429; a body that is
//! under way is held back instead. Source: KIP-13, KIP-124, RFC 6585.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::Request;
use axum::http::header::{HeaderValue, RETRY_AFTER};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::{Instant, Sleep};

use crate::auth::caller::Caller;
use crate::error::{ApiError, ErrorCode};
use crate::http::api::{NodeApi, Used};
use crate::http::observed_body::{BodyObserver, observed};

/// Runs the request under the quotas of its client.
pub(crate) async fn run(node: &Arc<dyn NodeApi>, caller: &Caller, request: Request, next: Next) -> Response {
    let Some(pause) = node.charge(caller, Used::Nothing) else { return next.run(request).await };
    if !pause.is_zero() {
        return refuse(pause);
    }
    let metered = |body, used: fn(usize) -> Used| {
        let (node, caller) = (Arc::clone(node), caller.clone());
        observed(body, Meter { node, caller, used, pause: None })
    };
    let request = request.map(|body| metered(body, Used::BytesIn));
    let mut running = std::pin::pin!(next.run(request));
    let mut spent = Duration::ZERO;
    let response = std::future::poll_fn(|cx| {
        let started = Instant::now();
        let polled = running.as_mut().poll(cx);
        spent += started.elapsed();
        polled
    })
    .await;
    // The pause that follows from it holds for the next request.
    let _ = node.charge(caller, Used::Time(spent));
    response.map(|body| metered(body, Used::BytesOut))
}

fn refuse(pause: Duration) -> Response {
    let message = format!("quota exceeded: retry in {} ms", pause.as_millis());
    let mut response = ApiError::new(ErrorCode::TooManyRequests, message).into_response();
    let seconds = pause.as_secs() + u64::from(pause.subsec_nanos() > 0);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    response
}

/// Charges the bytes of a body, and holds it back while the client is to pause.
struct Meter {
    node: Arc<dyn NodeApi>,
    caller: Caller,
    used: fn(usize) -> Used,
    pause: Option<Pin<Box<Sleep>>>,
}

impl BodyObserver for Meter {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        Poll::Ready(())
    }

    fn passed(&mut self, bytes: usize) {
        let pause = self.node.charge(&self.caller, (self.used)(bytes)).filter(|pause| !pause.is_zero());
        self.pause = pause.map(|pause| Box::pin(tokio::time::sleep(pause)));
    }
}
