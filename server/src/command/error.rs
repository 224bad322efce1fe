//! Errors of the command topic.

use weir_broker::client::error::ClientError;
use weir_broker::protocol::error_code::ErrorCode;

/// Why the command topic cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CommandLogError {
    #[error("command topic \"{topic}\" cannot be used")]
    Broker {
        topic: String,
        #[source]
        source: ClientError,
    },
    #[error("a record of command topic \"{topic}\" cannot be encoded")]
    Encode {
        topic: String,
        #[source]
        source: weir_broker::error::Error,
    },
    #[error("command topic \"{topic}\" cannot be written")]
    Storage {
        topic: String,
        #[source]
        source: weir_broker::error::Error,
    },
    #[error("the command topic's log is damaged; statements cannot be stored")]
    Damaged,
}

impl CommandLogError {
    /// The broker's answer, if that is why.
    pub(crate) fn broker_code(&self) -> Option<ErrorCode> {
        match self {
            CommandLogError::Broker { source, .. } => source.code(),
            CommandLogError::Encode { .. } | CommandLogError::Storage { .. } | CommandLogError::Damaged => {
                None
            }
        }
    }
}

pub(crate) type Result<T> = std::result::Result<T, CommandLogError>;
