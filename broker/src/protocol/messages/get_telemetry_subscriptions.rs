//! The `GetTelemetrySubscriptions` API (KIP-714).

use uuid::Uuid;

use crate::protocol::error_code::ErrorCode;
use crate::protocol::message::message;

message! {
    flexible 0;

    /// The `GetTelemetrySubscriptions` request, version 0.
    pub struct GetTelemetrySubscriptionsRequest {
        /// Nil: the client has no id yet and wants one.
        client_instance_id: Uuid,
    }

    /// The `GetTelemetrySubscriptions` response, version 0.
    pub struct GetTelemetrySubscriptionsResponse {
        throttle_time_ms: i32,
        error_code: ErrorCode,
        client_instance_id: Uuid,
        subscription_id: i32,
        /// Ids of codecs, the ones to be preferred first.
        accepted_compression_types: Vec<i8>,
        push_interval_ms: i32,
        telemetry_max_bytes: i32,
        /// Are sums to be told as differences from the last push?
        delta_temporality: bool,
        /// Beginnings of names; `*` means every metric.
        requested_metrics: Vec<String>,
    }
}
