//! The `PushTelemetry` API (KIP-714).

use bytes::Bytes;
use uuid::Uuid;

use crate::protocol::error_code::ErrorCode;
use crate::protocol::message::message;

message! {
    flexible 0;

    /// The `PushTelemetry` request, version 0.
    pub struct PushTelemetryRequest {
        client_instance_id: Uuid,
        subscription_id: i32,
        /// Is this the client's last push?
        terminating: bool,
        compression_type: i8,
        /// OpenTelemetry's `MetricsData`, compressed.
        metrics: Bytes,
    }

    /// The `PushTelemetry` response, version 0.
    pub struct PushTelemetryResponse {
        throttle_time_ms: i32,
        error_code: ErrorCode,
    }
}
