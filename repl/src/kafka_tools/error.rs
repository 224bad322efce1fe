//! Errors of the tools.

use weir_broker::client::error::ClientError;
use weir_broker::client::transport::TransportError;
use weir_broker::protocol::error_code::ErrorCode;
use weir_server::command::backup::BackupError;

/// A failed command.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// The arguments contradict each other or cannot be understood.
    #[error("{0}")]
    Usage(String),
    #[error("cannot reach a broker at {addresses}: {source}{}", hint(source))]
    Unreachable { addresses: String, source: TransportError },
    #[error("topic \"{topic}\" does not exist; \"weir topic list\" shows those that do")]
    NoTopic { topic: String },
    #[error("topic \"{topic}\" has partitions 0 to {last}, not {partition}")]
    NoPartition { topic: String, partition: i32, last: i32 },
    #[error("group \"{group}\" does not exist; \"weir group list\" shows those that do")]
    NoGroup { group: String },
    #[error("group \"{group}\" has members; stop them first")]
    GroupInUse { group: String },
    #[error("{what} failed: {}{}", code.name(), message.as_deref().map(|m| format!(": {m}")).unwrap_or_default())]
    Refused { what: String, code: ErrorCode, message: Option<String> },
    #[error("{}", client_message(.0))]
    Client(#[from] ClientError),
    #[error("{}", .0)]
    Transport(#[from] TransportError),
    #[error("the broker's answer lacks {missing}")]
    Incomplete { missing: &'static str },
    #[error("{place}: {message}")]
    Input { place: String, message: String },
    #[error("cannot {action} {path}: {source}")]
    Io { action: &'static str, path: String, source: std::io::Error },
    #[error("{count} damaged place(s)")]
    Damaged { count: usize },
    /// A record does not fit into a batch of its own.
    #[error(
        "{place}: the record makes a batch of {bytes} bytes, topic \"{topic}\" takes {bytes_max}; \
         \"weir topic alter {topic} --set max.message.bytes=...\" raises that"
    )]
    TooLarge { place: String, bytes: usize, topic: String, bytes_max: usize },
    #[error("the transaction was aborted: nothing was written")]
    Aborted,
    #[error("{}", crate::render::error::chain(.0))]
    CommandTopic(#[from] BackupError),
    #[error("the cluster is not well: {count} finding(s)")]
    Unhealthy { count: usize },
    #[error("{failed} of {of} failed")]
    Some { failed: usize, of: usize },
}

impl ToolError {
    /// Exit code: 1 failed, 2 wrong usage.
    pub fn exit_code(&self) -> u8 {
        match self {
            ToolError::Usage(_) => 2,
            ToolError::Unreachable { .. }
            | ToolError::NoTopic { .. }
            | ToolError::NoPartition { .. }
            | ToolError::NoGroup { .. }
            | ToolError::GroupInUse { .. }
            | ToolError::Refused { .. }
            | ToolError::Client(_)
            | ToolError::Transport(_)
            | ToolError::Incomplete { .. }
            | ToolError::Input { .. }
            | ToolError::Io { .. }
            | ToolError::Damaged { .. }
            | ToolError::TooLarge { .. }
            | ToolError::Aborted
            | ToolError::CommandTopic(_)
            | ToolError::Unhealthy { .. }
            | ToolError::Some { .. } => 1,
        }
    }
}

/// Likely cause of a connection that is closed at once.
fn hint(error: &TransportError) -> &'static str {
    if !matches!(error, TransportError::Disconnected { .. }) {
        return "";
    }
    "\nHint: a listener with TLS or SASL closes connections that lack them: add -X security.protocol=SASL_SSL, \
     -X sasl.username=NAME and so on."
}

/// A refusal in the broker's words; anything else with its cause.
fn client_message(error: &ClientError) -> String {
    match error {
        ClientError::Refused { resource, code, message, .. } => {
            let message = message.as_deref().map(|m| format!(": {m}")).unwrap_or_default();
            format!("{resource}: {}{message}", code.name())
        }
        ClientError::Transport(error) => error.to_string(),
        ClientError::Incomplete { .. } | ClientError::Batch(_) | ClientError::MustAbort { .. } => {
            crate::render::error::chain(error)
        }
    }
}

/// Result of tools.
pub type Result<T, E = ToolError> = std::result::Result<T, E>;

/// `Ok` for code `None`, otherwise what failed and why.
pub fn check(what: impl FnOnce() -> String, code: ErrorCode, message: Option<String>) -> Result<()> {
    if code == ErrorCode::None { Ok(()) } else { Err(ToolError::Refused { what: what(), code, message }) }
}
