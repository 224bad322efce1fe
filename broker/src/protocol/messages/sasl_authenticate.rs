//! The `SaslAuthenticate` API.

use bytes::Bytes;

use crate::protocol::error_code::ErrorCode;
use crate::protocol::message::message;

message! {
    flexible 2;

    /// The `SaslAuthenticate` request, versions 0 to 2.
    pub struct SaslAuthenticateRequest {
        auth_bytes: Bytes,
    }

    /// The `SaslAuthenticate` response, versions 0 to 2.
    pub struct SaslAuthenticateResponse {
        error_code: ErrorCode,
        error_message: Option<String>,
        auth_bytes: Bytes,
        session_lifetime_ms: i64 [since(1)],
    }
}
