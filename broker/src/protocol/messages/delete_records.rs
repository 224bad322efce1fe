//! The `DeleteRecords` API.

use crate::protocol::error_code::ErrorCode;
use crate::protocol::message::message;

message! {
    flexible 2;

    /// The `DeleteRecords` request, versions 0 to 2.
    pub struct DeleteRecordsRequest {
        topics: Vec<DeleteRecordsTopic>,
        timeout_ms: i32,
    }

    /// An element of [`DeleteRecordsRequest::topics`].
    pub struct DeleteRecordsTopic {
        name: String,
        partitions: Vec<DeleteRecordsPartition>,
    }

    /// An element of [`DeleteRecordsTopic::partitions`].
    pub struct DeleteRecordsPartition {
        partition_index: i32,
        offset: i64,
    }

    /// The `DeleteRecords` response, versions 0 to 2.
    pub struct DeleteRecordsResponse {
        throttle_time_ms: i32,
        topics: Vec<DeleteRecordsTopicResult>,
    }

    /// An element of [`DeleteRecordsResponse::topics`].
    pub struct DeleteRecordsTopicResult {
        name: String,
        partitions: Vec<DeleteRecordsPartitionResult>,
    }

    /// An element of [`DeleteRecordsTopicResult::partitions`].
    pub struct DeleteRecordsPartitionResult {
        partition_index: i32,
        low_watermark: i64,
        error_code: ErrorCode,
    }
}
