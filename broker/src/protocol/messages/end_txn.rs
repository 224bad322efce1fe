//! The `EndTxn` API.

use crate::protocol::error_code::ErrorCode;
use crate::protocol::message::message;

message! {
    flexible 3;

    /// The `EndTxn` request, versions 0 to 5.
    pub struct EndTxnRequest {
        transactional_id: String,
        producer_id: i64,
        producer_epoch: i16,
        /// Whether to commit; otherwise the transaction is aborted.
        committed: bool,
    }

    /// The `EndTxn` response, versions 0 to 5.
    pub struct EndTxnResponse {
        throttle_time_ms: i32,
        error_code: ErrorCode,
        producer_id: i64 [since(5)] = -1,
        producer_epoch: i16 [since(5)] = -1,
    }
}
