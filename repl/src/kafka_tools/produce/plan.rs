//! How input becomes records, and where they go.

use std::path::PathBuf;

use weir_broker::record::compression::Compression;

use crate::kafka_tools::client_properties::ClientProperties;
use crate::kafka_tools::error::{Result, ToolError};
use crate::kafka_tools::produce::line_format::LineFormat;

/// As that of Kafka's clients.
const TRANSACTION_TIMEOUT_MS: i32 = 60_000;

/// Where records go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionChoice {
    ByKey,
    Random,
    Only(i32),
}

/// How input becomes records.
#[derive(Clone, Debug)]
pub struct WritePlan {
    pub topic: String,
    /// None: standard input.
    pub files: Vec<PathBuf>,
    pub pieces: Pieces,
    pub format: LineFormat,
    pub partition: PartitionChoice,
    pub compression: Compression,
    pub count: Option<u64>,
    /// Pieces without any bytes are passed over, as kcat does it.
    pub skip_empty: bool,
    /// Records are printed as they came.
    pub tee: bool,
    /// All records, or none.
    pub transaction: Option<Transaction>,
    pub quiet: bool,
}

/// A transaction that all records are written in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    pub id: String,
    /// How long it may stay open.
    pub timeout_ms: i32,
}

impl Transaction {
    /// As `transactional.id` and `transaction.timeout.ms` say.
    pub fn of(properties: &ClientProperties) -> Result<Option<Transaction>> {
        let Some(id) = properties.get("transactional.id") else { return Ok(None) };
        let timeout_ms = match properties.get("transaction.timeout.ms") {
            None => TRANSACTION_TIMEOUT_MS,
            Some(text) => {
                let wrong = |_| ToolError::Usage(format!("transaction.timeout.ms \"{text}\" is no number"));
                text.parse().map_err(wrong)?
            }
        };
        Ok(Some(Transaction { id: id.to_owned(), timeout_ms }))
    }
}

/// Pieces of the input that become records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pieces {
    /// Up to these bytes, which are left out.
    Delimited(Vec<u8>),
    /// Each file.
    Whole,
}

/// A codec by its name.
pub fn parse_codec(name: &str) -> Result<Compression> {
    let unknown = || ToolError::Usage(format!("codec \"{name}\" is none of none, gzip, snappy, lz4, zstd"));
    name.to_ascii_lowercase().parse().map_err(|_| unknown())
}
