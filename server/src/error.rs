//! What a request can be refused with, in ksqlDB's shape.

use axum::http::StatusCode;
use axum::http::header::{CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// ksqlDB's `error_code`. The first three digits are the HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    BadRequest,
    BadStatement,
    QueryOnStatementEndpoint,
    TooManyPushQueries,
    NeedsHttp2,
    /// The client has not proven who it is.
    Unauthenticated,
    /// A page of another site, or a host name that is not this node's.
    Forbidden,
    /// The client does not have the rights that the request needs.
    AccessDenied,
    NotFound,
    MethodNotAllowed,
    NotAcceptable,
    /// The request did not arrive in time.
    RequestTimeout,
    TooLarge,
    UnsupportedMediaType,
    AssertionFailed,
    NoSchemaRegistry,
    TooManyRequests,
    Server,
    /// All connections are taken.
    Busy,
    CommandTimeout,
    NotReady,
    ShuttingDown,
}

impl ErrorCode {
    pub fn code(self) -> u32 {
        match self {
            ErrorCode::BadRequest => 40000,
            ErrorCode::BadStatement => 40001,
            ErrorCode::QueryOnStatementEndpoint => 40002,
            ErrorCode::TooManyPushQueries => 40003,
            ErrorCode::NeedsHttp2 => 40004,
            ErrorCode::Unauthenticated => 40100,
            ErrorCode::Forbidden => 40300,
            ErrorCode::AccessDenied => 40301,
            ErrorCode::NotFound => 40400,
            ErrorCode::MethodNotAllowed => 40500,
            ErrorCode::NotAcceptable => 40600,
            ErrorCode::RequestTimeout => 40800,
            ErrorCode::TooLarge => 41300,
            ErrorCode::UnsupportedMediaType => 41500,
            ErrorCode::AssertionFailed => 41700,
            ErrorCode::NoSchemaRegistry => 42801,
            ErrorCode::TooManyRequests => 42900,
            ErrorCode::Server => 50000,
            ErrorCode::Busy => 50300,
            ErrorCode::CommandTimeout => 50301,
            ErrorCode::NotReady => 50302,
            ErrorCode::ShuttingDown => 50303,
        }
    }

    pub fn status(self) -> StatusCode {
        StatusCode::from_u16((self.code() / 100) as u16).expect("every code begins with an HTTP status")
    }
}

/// A refused request. With `statement` it is a `statement_error`, without a `generic_error`.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    pub code: ErrorCode,
    pub message: String,
    /// The text of the statement that was refused.
    pub statement: Option<String>,
    /// What the statements before it answered: they stay applied.
    pub entities: Vec<Value>,
}

impl ApiError {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> ApiError {
        ApiError { code, message: message.into(), statement: None, entities: Vec::new() }
    }

    pub fn bad_request(message: impl Into<String>) -> ApiError {
        ApiError::new(ErrorCode::BadRequest, message)
    }

    pub fn statement(message: impl Into<String>, statement: impl Into<String>) -> ApiError {
        ApiError { statement: Some(statement.into()), ..ApiError::new(ErrorCode::BadStatement, message) }
    }

    pub fn server(message: impl Into<String>) -> ApiError {
        ApiError::new(ErrorCode::Server, message)
    }

    /// The body, also used for errors inside a stream of rows.
    pub fn to_json(&self) -> Value {
        match &self.statement {
            None => {
                json!({"@type": "generic_error", "error_code": self.code.code(), "message": self.message})
            }
            Some(text) => json!({
                "@type": "statement_error",
                "error_code": self.code.code(),
                "message": self.message,
                "statementText": text,
                "entities": self.entities,
            }),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.code.status(), self.to_json().to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        match self.code {
            ErrorCode::NotReady => _ = headers.insert(RETRY_AFTER, HeaderValue::from_static("10")),
            ErrorCode::Busy => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            ErrorCode::Unauthenticated => {
                let basic = HeaderValue::from_static("Basic realm=\"weir\", charset=\"UTF-8\"");
                headers.append(WWW_AUTHENTICATE, basic);
                headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"weir\""));
            }
            _ => {}
        }
        response
    }
}
