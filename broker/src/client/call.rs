//! One request, one response of the right type.

use std::time::Duration;

use crate::client::error::{ClientError, Result};
use crate::client::transport::Transport;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::request::Request;
use crate::protocol::response::Response;

/// Sends a request of one API and takes the response of the same API apart.
macro_rules! call {
    ($transport:expr, $api:ident, $request:expr) => {
        match $crate::client::call::send($transport, $crate::protocol::request::Request::$api($request)).await
        {
            Ok($crate::protocol::response::Response::$api(response)) => Ok(response),
            Ok(_) => Err($crate::client::error::ClientError::Incomplete {
                api: $crate::protocol::api_key::ApiKey::$api,
                missing: "an answer of the same API".to_owned(),
            }),
            Err(error) => Err(error),
        }
    };
}

pub(crate) use call;

pub(crate) async fn send(transport: &dyn Transport, request: Request) -> Result<Response> {
    Ok(transport.send(request).await?)
}

/// `Ok` for code `None`, otherwise the refusal.
pub(crate) fn check(
    api: crate::protocol::api_key::ApiKey,
    resource: &str,
    code: ErrorCode,
    message: Option<String>,
) -> Result<()> {
    if code == ErrorCode::None {
        return Ok(());
    }
    Err(ClientError::Refused { api, resource: resource.to_owned(), code, message })
}

/// Pauses between attempts: doubling from 10 ms to 500 ms, `ATTEMPTS_MAX` in all.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    attempts: u32,
}

/// About half a minute of attempts.
const ATTEMPTS_MAX: u32 = 64;

impl Backoff {
    /// Waits before the next attempt; `false` when there should be none.
    pub(crate) async fn pause(&mut self) -> bool {
        self.attempts += 1;
        if self.attempts >= ATTEMPTS_MAX {
            return false;
        }
        let ms = (10_u64 << self.attempts.min(6)).min(500);
        tokio::time::sleep(Duration::from_millis(ms)).await;
        true
    }
}
