//! The `InitProducerId` API.

use crate::protocol::error_code::ErrorCode;
use crate::protocol::message::message;

message! {
    flexible 2;

    /// The `InitProducerId` request, versions 0 to 6.
    pub struct InitProducerIdRequest {
        transactional_id: Option<String>,
        transaction_timeout_ms: i32,
        producer_id: i64 [since(3).required()] = -1,
        producer_epoch: i16 [since(3).required()] = -1,
        enable_2_pc: bool [since(6).required()],
        keep_prepared_txn: bool [since(6).required()],
    }

    /// The `InitProducerId` response, versions 0 to 6.
    pub struct InitProducerIdResponse {
        throttle_time_ms: i32,
        error_code: ErrorCode,
        producer_id: i64 = -1,
        producer_epoch: i16,
        ongoing_txn_producer_id: i64 [since(6).required()] = -1,
        ongoing_txn_producer_epoch: i16 [since(6).required()] = -1,
    }
}
