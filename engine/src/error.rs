//! What can stop a query. Bad rows never do: they go to the processing log.

use weir_sql::expr::compile::CompileError;
use weir_sql::functions::error::FunctionError;

/// A failure of a task or of building it.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("expression of step {step} cannot be compiled")]
    Compile { step: String, source: CompileError },
    #[error("function of step {step} cannot be built")]
    Function { step: String, source: FunctionError },
    #[error("columns of step {step} cannot be computed")]
    Evaluate { step: String, source: datafusion_common::DataFusionError },
    #[error("columns cannot be combined")]
    Arrow(#[from] arrow::error::ArrowError),
    #[error("plan is not valid: {reason}")]
    Plan { reason: String },
    #[error("store {store} cannot be used: {reason}")]
    Store { store: String, reason: String },
    #[error("row of store {store} cannot be read: {reason}")]
    CorruptRow { store: String, reason: String },
    #[error("format of topic \"{topic}\" cannot be used: {reason}")]
    Format { topic: String, reason: String },
    #[error("Fatal user code error in TimestampExtractor callback for record: {reason}")]
    Timestamp { reason: String },
    #[error("record of topic \"{topic}\" cannot be read: {reason}")]
    Unreadable { topic: String, reason: String },
    #[error("output to {target} failed: {reason}")]
    Output { target: String, reason: String },
    /// The query is being stopped.
    #[error("query was stopped")]
    Interrupted,
}

impl EngineError {
    /// True if records are to blame that the query was told not to skip.
    pub fn is_about_records(&self) -> bool {
        matches!(self, EngineError::Timestamp { .. } | EngineError::Unreadable { .. })
    }
}

pub type Result<T> = std::result::Result<T, EngineError>;
