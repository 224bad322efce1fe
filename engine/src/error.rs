//! What can stop a query. Bad rows never do: they go to the processing log.

pub mod query;

use arrow::error::ArrowError;
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
    Evaluate { step: String, source: ArrowError },
    #[error("columns cannot be combined")]
    Arrow(#[from] ArrowError),
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
    /// The next attempt begins with few rows at a time.
    #[error("rows processed at a time became more than {bytes_max} bytes")]
    RunTooLarge { bytes_max: usize },
    #[error("output to {target} failed: {reason}")]
    Output { target: String, reason: String },
    /// The query is being stopped.
    #[error("query was stopped")]
    Interrupted,
}

impl EngineError {
    /// True if a step needed more memory than it may take for one batch.
    pub fn exceeds_memory(&self) -> bool {
        matches!(
            self,
            EngineError::Evaluate { source: ArrowError::MemoryError(_), .. }
                | EngineError::Arrow(ArrowError::MemoryError(_))
        )
    }

    /// True if records are to blame that the query was told not to skip.
    pub fn is_about_records(&self) -> bool {
        matches!(self, EngineError::Timestamp { .. } | EngineError::Unreadable { .. })
    }
}

pub type Result<T> = std::result::Result<T, EngineError>;
