//! The `OffsetDelete` API.

use crate::protocol::error_code::ErrorCode;
use crate::protocol::message::{NEVER, message};

message! {
    flexible NEVER;

    /// The `OffsetDelete` request, version 0.
    pub struct OffsetDeleteRequest {
        group_id: String,
        topics: Vec<OffsetDeleteRequestTopic>,
    }

    /// An element of [`OffsetDeleteRequest::topics`].
    pub struct OffsetDeleteRequestTopic {
        name: String,
        partitions: Vec<OffsetDeleteRequestPartition>,
    }

    /// An element of [`OffsetDeleteRequestTopic::partitions`].
    pub struct OffsetDeleteRequestPartition {
        partition_index: i32,
    }

    /// The `OffsetDelete` response, version 0.
    pub struct OffsetDeleteResponse {
        error_code: ErrorCode,
        throttle_time_ms: i32,
        topics: Vec<OffsetDeleteResponseTopic>,
    }

    /// An element of [`OffsetDeleteResponse::topics`].
    pub struct OffsetDeleteResponseTopic {
        name: String,
        partitions: Vec<OffsetDeleteResponsePartition>,
    }

    /// An element of [`OffsetDeleteResponseTopic::partitions`].
    pub struct OffsetDeleteResponsePartition {
        partition_index: i32,
        error_code: ErrorCode,
    }
}
