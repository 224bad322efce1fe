//! The `DescribeTransactions` API.

use crate::protocol::error_code::ErrorCode;
use crate::protocol::message::message;

message! {
    flexible 0;

    /// The `DescribeTransactions` request, version 0.
    pub struct DescribeTransactionsRequest {
        transactional_ids: Vec<String>,
    }

    /// The `DescribeTransactions` response, version 0.
    pub struct DescribeTransactionsResponse {
        throttle_time_ms: i32,
        transaction_states: Vec<TransactionState>,
    }

    /// An element of [`DescribeTransactionsResponse::transaction_states`].
    pub struct TransactionState {
        error_code: ErrorCode,
        transactional_id: String,
        transaction_state: String,
        transaction_timeout_ms: i32,
        transaction_start_time_ms: i64,
        producer_id: i64,
        producer_epoch: i16,
        topics: Vec<TopicData>,
    }

    /// An element of [`TransactionState::topics`].
    pub struct TopicData {
        topic: String,
        partitions: Vec<i32>,
    }
}
