//! Request bodies, read whole.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;

use crate::error::{ApiError, ErrorCode};

/// A body within the limit of its route.
#[derive(Debug)]
pub(crate) struct RequestBody(pub(crate) Bytes);

impl<S: Send + Sync> FromRequest<S> for RequestBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<RequestBody, ApiError> {
        Bytes::from_request(request, state).await.map(RequestBody).map_err(|rejection| {
            let code = match rejection.status() {
                StatusCode::PAYLOAD_TOO_LARGE => ErrorCode::TooLarge,
                _ => ErrorCode::BadRequest,
            };
            ApiError::new(code, format!("the request body cannot be read: {}", rejection.body_text()))
        })
    }
}
