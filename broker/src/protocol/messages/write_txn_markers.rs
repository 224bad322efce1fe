//! The `WriteTxnMarkers` API.

use crate::protocol::error_code::ErrorCode;
use crate::protocol::message::message;

message! {
    flexible 0;

    /// The `WriteTxnMarkers` request, version 1.
    pub struct WriteTxnMarkersRequest {
        markers: Vec<WritableTxnMarker>,
    }

    /// An element of [`WriteTxnMarkersRequest::markers`].
    pub struct WritableTxnMarker {
        producer_id: i64,
        producer_epoch: i16,
        transaction_result: bool,
        topics: Vec<WritableTxnMarkerTopic>,
        coordinator_epoch: i32,
    }

    /// An element of [`WritableTxnMarker::topics`].
    pub struct WritableTxnMarkerTopic {
        name: String,
        partition_indexes: Vec<i32>,
    }

    /// The `WriteTxnMarkers` response, version 1.
    pub struct WriteTxnMarkersResponse {
        markers: Vec<WritableTxnMarkerResult>,
    }

    /// An element of [`WriteTxnMarkersResponse::markers`].
    pub struct WritableTxnMarkerResult {
        producer_id: i64,
        topics: Vec<WritableTxnMarkerTopicResult>,
    }

    /// An element of [`WritableTxnMarkerResult::topics`].
    pub struct WritableTxnMarkerTopicResult {
        name: String,
        partitions: Vec<WritableTxnMarkerPartitionResult>,
    }

    /// An element of [`WritableTxnMarkerTopicResult::partitions`].
    pub struct WritableTxnMarkerPartitionResult {
        partition_index: i32,
        error_code: ErrorCode,
    }
}
