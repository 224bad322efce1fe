//! The `DescribeClientQuotas` API.

use crate::protocol::error_code::ErrorCode;
use crate::protocol::message::message;

message! {
    flexible 1;

    /// The `DescribeClientQuotas` request, versions 0 to 1.
    pub struct DescribeClientQuotasRequest {
        components: Vec<ComponentData>,
        strict: bool,
    }

    /// An element of [`DescribeClientQuotasRequest::components`].
    pub struct ComponentData {
        entity_type: String,
        /// 0: the name in `match_name`; 1: the default; 2: any name.
        match_type: i8,
        /// The field `match` of the protocol.
        match_name: Option<String>,
    }

    /// The `DescribeClientQuotas` response, versions 0 to 1.
    pub struct DescribeClientQuotasResponse {
        throttle_time_ms: i32,
        error_code: ErrorCode,
        error_message: Option<String>,
        entries: Option<Vec<EntryData>>,
    }

    /// An element of [`DescribeClientQuotasResponse::entries`].
    pub struct EntryData {
        entity: Vec<EntityData>,
        values: Vec<ValueData>,
    }

    /// An element of [`EntryData::entity`].
    pub struct EntityData {
        entity_type: String,
        /// Null is the default.
        entity_name: Option<String>,
    }

    /// An element of [`EntryData::values`].
    pub struct ValueData {
        key: String,
        value: f64,
    }
}
