//! Request bodies, read whole.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;

use crate::error::{ApiError, ErrorCode};

/// The time that a body has to arrive, in the extensions of each request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyTimeout(pub(crate) Duration);

/// A body within the limit of its route.
#[derive(Debug)]
pub(crate) struct RequestBody(pub(crate) Bytes);

impl<S: Send + Sync> FromRequest<S> for RequestBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<RequestBody, ApiError> {
        let timeout = request.extensions().get::<BodyTimeout>().map_or(Duration::MAX, |timeout| timeout.0);
        let reading = tokio::time::timeout(timeout, Bytes::from_request(request, state));
        let Ok(read) = reading.await else {
            let message = format!("the request body did not arrive within {} ms", timeout.as_millis());
            return Err(ApiError::new(ErrorCode::RequestTimeout, message));
        };
        read.map(RequestBody).map_err(|rejection| {
            let code = match rejection.status() {
                StatusCode::PAYLOAD_TOO_LARGE => ErrorCode::TooLarge,
                _ => ErrorCode::BadRequest,
            };
            ApiError::new(code, format!("the request body cannot be read: {}", rejection.body_text()))
        })
    }
}
