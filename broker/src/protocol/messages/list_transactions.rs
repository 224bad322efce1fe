//! The `ListTransactions` API.

use crate::protocol::error_code::ErrorCode;
use crate::protocol::message::message;

message! {
    flexible 0;

    /// The `ListTransactions` request, versions 0 to 2.
    pub struct ListTransactionsRequest {
        state_filters: Vec<String>,
        producer_id_filters: Vec<i64>,
        duration_filter: i64 [since(1).required()] = -1,
        transactional_id_pattern: Option<String> [since(2).required()],
    }

    /// The `ListTransactions` response, versions 0 to 2.
    pub struct ListTransactionsResponse {
        throttle_time_ms: i32,
        error_code: ErrorCode,
        unknown_state_filters: Vec<String>,
        transaction_states: Vec<TransactionState>,
    }

    /// An element of [`ListTransactionsResponse::transaction_states`].
    pub struct TransactionState {
        transactional_id: String,
        producer_id: i64,
        transaction_state: String,
    }
}
