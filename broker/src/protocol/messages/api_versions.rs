//! The `ApiVersions` API.

use crate::protocol::api_key::ApiKey;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::message::message;

message! {
    flexible 3;

    /// The `ApiVersions` request, versions 0 to 4.
    pub struct ApiVersionsRequest {
        client_software_name: String [since(3)],
        client_software_version: String [since(3)],
    }

    /// The `ApiVersions` response, versions 0 to 4.
    pub struct ApiVersionsResponse {
        error_code: ErrorCode,
        api_keys: Vec<ApiVersion>,
        throttle_time_ms: i32 [since(1)],
        supported_features: Vec<SupportedFeatureKey> [since(3).tag(0)],
        finalized_features_epoch: i64 [since(3).tag(1)] = -1,
        finalized_features: Vec<FinalizedFeatureKey> [since(3).tag(2)],
        zk_migration_ready: bool [since(3).tag(3)],
    }

    /// An element of [`ApiVersionsResponse::api_keys`].
    pub struct ApiVersion {
        api_key: i16,
        min_version: i16,
        max_version: i16,
    }

    /// An element of [`ApiVersionsResponse::supported_features`].
    pub struct SupportedFeatureKey {
        name: String,
        min_version: i16,
        max_version: i16,
    }

    /// An element of [`ApiVersionsResponse::finalized_features`].
    pub struct FinalizedFeatureKey {
        name: String,
        max_version_level: i16,
        min_version_level: i16,
    }
}

impl ApiVersion {
    /// What the broker advertises: an entry for every API it serves.
    pub fn served() -> Vec<Self> {
        let entry = |api_key: &ApiKey| {
            api_key.served_versions().map(|served| Self {
                api_key: api_key.code(),
                min_version: served.min,
                max_version: served.max,
            })
        };
        ApiKey::ALL.iter().filter_map(entry).collect()
    }
}
