//! Failing rows, as log lines.

use weir_engine::processing_log::{ProcessingError, ProcessingLog};

/// Tells every failing row at DEBUG level. The counter of row errors tells how many there are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TracingLog;

impl ProcessingLog for TracingLog {
    fn report(&self, logger: &str, error: ProcessingError) {
        match error {
            ProcessingError::Deserialization { topic, message, .. } => {
                tracing::debug!(logger, topic, message, "record cannot be read");
            }
            ProcessingError::RecordProcessing { message } => tracing::debug!(logger, message, "row failed"),
            ProcessingError::Production { topic, message } => {
                tracing::debug!(logger, topic, message, "record cannot be produced");
            }
            ProcessingError::Serialization { topic, message, .. } => {
                tracing::debug!(logger, topic, message, "row cannot be written");
            }
            ProcessingError::LateRows { rows, message } => {
                tracing::debug!(logger, rows, message, "late rows")
            }
        }
    }
}
