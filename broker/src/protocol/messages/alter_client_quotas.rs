//! The `AlterClientQuotas` API.

use crate::protocol::error_code::ErrorCode;
use crate::protocol::message::message;

message! {
    flexible 1;

    /// The `AlterClientQuotas` request, versions 0 to 1.
    pub struct AlterClientQuotasRequest {
        entries: Vec<EntryData>,
        validate_only: bool,
    }

    /// An element of [`AlterClientQuotasRequest::entries`].
    pub struct EntryData {
        entity: Vec<EntityData>,
        ops: Vec<OpData>,
    }

    /// Part of what a quota is for.
    pub struct EntityData {
        entity_type: String,
        /// Null is the default.
        entity_name: Option<String>,
    }

    /// An element of [`EntryData::ops`].
    pub struct OpData {
        key: String,
        value: f64,
        remove: bool,
    }

    /// The `AlterClientQuotas` response, versions 0 to 1.
    pub struct AlterClientQuotasResponse {
        throttle_time_ms: i32,
        entries: Vec<EntryResult>,
    }

    /// An element of [`AlterClientQuotasResponse::entries`].
    pub struct EntryResult {
        error_code: ErrorCode,
        error_message: Option<String>,
        entity: Vec<EntityData>,
    }
}
