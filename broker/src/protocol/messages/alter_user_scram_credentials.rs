//! The `AlterUserScramCredentials` API.

use bytes::Bytes;

use crate::protocol::error_code::ErrorCode;
use crate::protocol::message::message;

message! {
    flexible 0;

    /// The `AlterUserScramCredentials` request, version 0.
    pub struct AlterUserScramCredentialsRequest {
        deletions: Vec<ScramCredentialDeletion>,
        upsertions: Vec<ScramCredentialUpsertion>,
    }

    /// An element of [`AlterUserScramCredentialsRequest::deletions`].
    pub struct ScramCredentialDeletion {
        name: String,
        mechanism: i8,
    }

    /// An element of [`AlterUserScramCredentialsRequest::upsertions`].
    pub struct ScramCredentialUpsertion {
        name: String,
        /// 1: SCRAM-SHA-256; 2: SCRAM-SHA-512.
        mechanism: i8,
        iterations: i32,
        salt: Bytes,
        salted_password: Bytes,
    }

    /// The `AlterUserScramCredentials` response, version 0.
    pub struct AlterUserScramCredentialsResponse {
        throttle_time_ms: i32,
        results: Vec<AlterUserScramCredentialsResult>,
    }

    /// An element of [`AlterUserScramCredentialsResponse::results`].
    pub struct AlterUserScramCredentialsResult {
        user: String,
        error_code: ErrorCode,
        error_message: Option<String>,
    }
}
