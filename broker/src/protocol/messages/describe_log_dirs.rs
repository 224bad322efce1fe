//! The `DescribeLogDirs` API.

use crate::protocol::error_code::ErrorCode;
use crate::protocol::message::message;

message! {
    flexible 2;

    /// The `DescribeLogDirs` request, versions 1 to 4.
    pub struct DescribeLogDirsRequest {
        topics: Option<Vec<DescribableLogDirTopic>>,
    }

    /// An element of [`DescribeLogDirsRequest::topics`].
    pub struct DescribableLogDirTopic {
        topic: String,
        partitions: Vec<i32>,
    }

    /// The `DescribeLogDirs` response, versions 1 to 4.
    pub struct DescribeLogDirsResponse {
        throttle_time_ms: i32,
        error_code: ErrorCode [since(3)],
        results: Vec<DescribeLogDirsResult>,
    }

    /// An element of [`DescribeLogDirsResponse::results`].
    pub struct DescribeLogDirsResult {
        error_code: ErrorCode,
        log_dir: String,
        topics: Vec<DescribeLogDirsTopic>,
        total_bytes: i64 [since(4)] = -1,
        usable_bytes: i64 [since(4)] = -1,
    }

    /// An element of [`DescribeLogDirsResult::topics`].
    pub struct DescribeLogDirsTopic {
        name: String,
        partitions: Vec<DescribeLogDirsPartition>,
    }

    /// An element of [`DescribeLogDirsTopic::partitions`].
    pub struct DescribeLogDirsPartition {
        partition_index: i32,
        partition_size: i64,
        offset_lag: i64,
        is_future_key: bool,
    }
}
