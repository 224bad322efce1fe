//! The `AddOffsetsToTxn` API.

use crate::protocol::error_code::ErrorCode;
use crate::protocol::message::message;

message! {
    flexible 3;

    /// The `AddOffsetsToTxn` request, versions 0 to 4.
    pub struct AddOffsetsToTxnRequest {
        transactional_id: String,
        producer_id: i64,
        producer_epoch: i16,
        group_id: String,
    }

    /// The `AddOffsetsToTxn` response, versions 0 to 4.
    pub struct AddOffsetsToTxnResponse {
        throttle_time_ms: i32,
        error_code: ErrorCode,
    }
}
