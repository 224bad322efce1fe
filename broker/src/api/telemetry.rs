//! GetTelemetrySubscriptions and PushTelemetry (KIP-714).

use crate::api::node::Node;
use crate::net::handler::RequestContext;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::get_telemetry_subscriptions::{
    GetTelemetrySubscriptionsRequest, GetTelemetrySubscriptionsResponse,
};
use crate::protocol::messages::push_telemetry::{PushTelemetryRequest, PushTelemetryResponse};
use crate::record::compression::Compression;
use crate::telemetry::client::Client;
use crate::telemetry::series::shortened;
use crate::telemetry::service::{CODECS, ClientPush, PUSH_BYTES_MAX};

fn client(context: &RequestContext) -> Client {
    let software = context.session.software();
    let peer = context.session.peer;
    Client {
        client_id: shortened(context.client_id.as_deref().unwrap_or_default()).into(),
        software_name: software.name,
        software_version: software.version,
        address: peer.map(|peer| peer.ip().to_canonical().to_string()).unwrap_or_default(),
        port: peer.map(|peer| peer.port().to_string()).unwrap_or_default(),
    }
}

pub(crate) fn get(
    node: &Node,
    context: &RequestContext,
    request: &GetTelemetrySubscriptionsRequest,
) -> GetTelemetrySubscriptionsResponse {
    let image = node.metadata().image();
    let now = node.clock().monotonic();
    let outcome =
        node.telemetry().subscribe(&client(context), request.client_instance_id, &image, now, node.rng());
    let (client_instance_id, wanted) = match outcome {
        Ok(told) => told,
        Err(error_code) => {
            return GetTelemetrySubscriptionsResponse {
                error_code,
                ..GetTelemetrySubscriptionsResponse::default()
            };
        }
    };
    GetTelemetrySubscriptionsResponse {
        throttle_time_ms: 0,
        error_code: ErrorCode::None,
        client_instance_id,
        subscription_id: wanted.subscription_id,
        accepted_compression_types: CODECS.map(|codec| Compression::id(codec).cast_signed()).into(),
        push_interval_ms: wanted.interval_ms,
        telemetry_max_bytes: i32::try_from(PUSH_BYTES_MAX).unwrap_or(i32::MAX),
        // Values since the client's start survive a push that is lost, or sent twice.
        delta_temporality: false,
        requested_metrics: wanted.metrics,
    }
}

pub(crate) async fn push(
    node: &Node,
    context: &RequestContext,
    request: PushTelemetryRequest,
) -> PushTelemetryResponse {
    let image = node.metadata().image();
    let now = node.clock().monotonic();
    let push = ClientPush {
        subscription_id: request.subscription_id,
        terminating: request.terminating,
        codec: request.compression_type,
        metrics: request.metrics,
    };
    let outcome =
        node.telemetry().push(&client(context), request.client_instance_id, push, &image, now).await;
    PushTelemetryResponse { throttle_time_ms: 0, error_code: outcome.err().unwrap_or(ErrorCode::None) }
}
