//! The `SaslHandshake` API.

use crate::protocol::error_code::ErrorCode;
use crate::protocol::message::{NEVER, message};

message! {
    flexible NEVER;

    /// The `SaslHandshake` request, versions 0 to 1.
    pub struct SaslHandshakeRequest {
        mechanism: String,
    }

    /// The `SaslHandshake` response, versions 0 to 1.
    pub struct SaslHandshakeResponse {
        error_code: ErrorCode,
        mechanisms: Vec<String>,
    }
}
