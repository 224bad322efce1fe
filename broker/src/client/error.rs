//! What can go wrong for a client.

use crate::client::transport::TransportError;
use crate::error::Error;
use crate::protocol::api_key::ApiKey;
use crate::protocol::error_code::ErrorCode;

/// Result of client calls.
pub type Result<T, E = ClientError> = std::result::Result<T, E>;

/// A failed call. Cheap to clone.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ClientError {
    /// No response, or none that can be read.
    #[error("request was not answered")]
    Transport(#[from] TransportError),
    /// The broker refused.
    #[error("{api} of {resource} failed: {code}{}", detail(message.as_deref()))]
    Refused { api: ApiKey, resource: String, code: ErrorCode, message: Option<String> },
    /// The response is of another API or leaves out what was asked for.
    #[error("{api} response lacks {missing}")]
    Incomplete { api: ApiKey, missing: String },
    /// Record batches cannot be sent or read.
    #[error("record batch is unusable")]
    Batch(#[from] Error),
    /// An earlier failure left the transaction such that it can only be aborted.
    #[error("transaction \"{transactional_id}\" must be aborted after an earlier failure")]
    MustAbort { transactional_id: String },
}

fn detail(message: Option<&str>) -> String {
    message.map(|message| format!(": {message}")).unwrap_or_default()
}

/// Whether a request refused with this code may be sent again. Kafka's clients wait for the end of the former
/// transaction as well, though the code does not count as retriable.
pub(crate) fn may_retry(code: ErrorCode) -> bool {
    code.is_retriable() || code == ErrorCode::ConcurrentTransactions
}

impl ClientError {
    pub(crate) fn refused(api: ApiKey, resource: impl Into<String>, code: ErrorCode) -> Self {
        Self::Refused { api, resource: resource.into(), code, message: None }
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Transport(error) => error.is_retriable(),
            Self::Refused { code, .. } => may_retry(*code),
            Self::Incomplete { .. } | Self::Batch(_) | Self::MustAbort { .. } => false,
        }
    }

    /// The broker's code, if it answered with one.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            Self::Transport(_) | Self::Incomplete { .. } | Self::Batch(_) | Self::MustAbort { .. } => None,
        }
    }

    /// Whether another producer with the same transactional id has taken over.
    #[must_use]
    pub fn is_fenced(&self) -> bool {
        matches!(self.code(), Some(ErrorCode::ProducerFenced | ErrorCode::InvalidProducerEpoch))
    }
}
