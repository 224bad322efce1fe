//! Use of a client's quotas by its requests, and throttling. Source: KIP-13, KIP-124, KIP-219.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::time::Instant;

use crate::api::node::Node;
use crate::auth::quota::{QuotaKey, QuotaSet};
use crate::net::handler::RequestContext;
use crate::protocol::api_key::ApiKey;
use crate::protocol::messages::fetch::FetchResponse;
use crate::protocol::response::Response;

/// Adds up the time a future is polled: the time of a thread, without what it waits for.
pub(crate) struct Metered {
    inner: BoxFuture<'static, Option<Response>>,
    spent: Duration,
}

impl Metered {
    pub(crate) fn new(inner: BoxFuture<'static, Option<Response>>) -> Self {
        Self { inner, spent: Duration::ZERO }
    }
}

impl Future for Metered {
    type Output = (Option<Response>, Duration);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let started = Instant::now();
        let polled = self.inner.as_mut().poll(cx);
        self.spent += started.elapsed();
        let spent = self.spent;
        polled.map(|response| (response, spent))
    }
}

/// Notes what a request has used. If that is more than a quota allows, the client is told, and nothing more is read from
/// its connection for a while.
pub(crate) fn charge(
    node: &Node,
    quotas: &QuotaSet,
    context: &RequestContext,
    api_key: ApiKey,
    response: &mut Option<Response>,
    spent: Duration,
) {
    let principal = context.session.principal();
    let user = principal.strip_prefix("User:").unwrap_or(&principal);
    let client_id = context.client_id.as_deref().unwrap_or_default();
    let now = node.clock().monotonic();
    let record = |key: QuotaKey, amount: f64| match quotas.resolve(key, user, client_id) {
        Some((rate, bucket)) => node.throttle().record(bucket, rate, amount, now),
        None => Duration::ZERO,
    };
    let bytes = match (api_key, &*response) {
        (ApiKey::Produce, _) => record(QuotaKey::ProducerByteRate, context.request_bytes as f64),
        (ApiKey::Fetch, Some(Response::Fetch(fetched))) => {
            record(QuotaKey::ConsumerByteRate, record_bytes(fetched) as f64)
        }
        _ => Duration::ZERO,
    };
    let time = record(QuotaKey::RequestPercentage, spent.as_secs_f64() * 100.0);
    let pause = bytes.max(time);
    if pause.is_zero() {
        return;
    }
    node.metrics().requests_throttled.increment();
    context.session.mute_until(Instant::now() + pause);
    if let Some(response) = response {
        response.set_throttle_time_ms(i32::try_from(pause.as_millis()).unwrap_or(i32::MAX).max(1));
    }
}

fn record_bytes(response: &FetchResponse) -> usize {
    let partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
    partitions.map(|partition| partition.records.as_ref().map_or(0, Bytes::len)).sum()
}
