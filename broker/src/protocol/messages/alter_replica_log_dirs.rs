//! The `AlterReplicaLogDirs` API.

use crate::protocol::error_code::ErrorCode;
use crate::protocol::message::message;

message! {
    flexible 2;

    /// The `AlterReplicaLogDirs` request, versions 1 to 2.
    pub struct AlterReplicaLogDirsRequest {
        dirs: Vec<AlterReplicaLogDir>,
    }

    /// An element of [`AlterReplicaLogDirsRequest::dirs`].
    pub struct AlterReplicaLogDir {
        path: String,
        topics: Vec<AlterReplicaLogDirTopic>,
    }

    /// An element of [`AlterReplicaLogDir::topics`].
    pub struct AlterReplicaLogDirTopic {
        name: String,
        partitions: Vec<i32>,
    }

    /// The `AlterReplicaLogDirs` response, versions 1 to 2.
    pub struct AlterReplicaLogDirsResponse {
        throttle_time_ms: i32,
        results: Vec<AlterReplicaLogDirTopicResult>,
    }

    /// An element of [`AlterReplicaLogDirsResponse::results`].
    pub struct AlterReplicaLogDirTopicResult {
        topic_name: String,
        partitions: Vec<AlterReplicaLogDirPartitionResult>,
    }

    /// An element of [`AlterReplicaLogDirTopicResult::partitions`].
    pub struct AlterReplicaLogDirPartitionResult {
        partition_index: i32,
        error_code: ErrorCode,
    }
}
