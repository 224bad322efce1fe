//! The `DescribeUserScramCredentials` API.

use crate::protocol::error_code::ErrorCode;
use crate::protocol::message::message;

message! {
    flexible 0;

    /// The `DescribeUserScramCredentials` request, version 0.
    pub struct DescribeUserScramCredentialsRequest {
        /// Null or empty asks for all users.
        users: Option<Vec<UserName>>,
    }

    /// An element of [`DescribeUserScramCredentialsRequest::users`].
    pub struct UserName {
        name: String,
    }

    /// The `DescribeUserScramCredentials` response, version 0.
    pub struct DescribeUserScramCredentialsResponse {
        throttle_time_ms: i32,
        error_code: ErrorCode,
        error_message: Option<String>,
        results: Vec<DescribeUserScramCredentialsResult>,
    }

    /// An element of [`DescribeUserScramCredentialsResponse::results`].
    pub struct DescribeUserScramCredentialsResult {
        user: String,
        error_code: ErrorCode,
        error_message: Option<String>,
        credential_infos: Vec<CredentialInfo>,
    }

    /// An element of [`DescribeUserScramCredentialsResult::credential_infos`].
    pub struct CredentialInfo {
        /// 1: SCRAM-SHA-256; 2: SCRAM-SHA-512.
        mechanism: i8,
        iterations: i32,
    }
}
