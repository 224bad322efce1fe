//! What can go wrong with a format, and with one record of it.

use std::fmt;

use weir_sql::format::Format;
use weir_sql::types::SqlType;

/// Why a format cannot carry some columns.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SerdeError {
    #[error("the {format} format does not support type {sql_type}, column {column}")]
    UnsupportedType { format: Format, column: String, sql_type: SqlType },
    #[error("the {format} format takes {expected} columns, got {actual}")]
    ColumnCount { format: Format, expected: usize, actual: usize },
    #[error("property {property} of the {format} format has an invalid value: \"{value}\"")]
    Property { format: Format, property: String, value: String },
    #[error("a topic of fixed windows needs its window size to read keys")]
    WindowSizeMissing,
    #[error("format {format} is not available")]
    NotAvailable { format: Format },
}

/// A record that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// Index into the batch.
    pub row: usize,
    /// Where in the record, `$.A.B[2]` or `$`.
    pub path: String,
    pub message: String,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, path {}", self.message, self.path)
    }
}

/// A row that could not be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodeError {
    /// Index into the batch.
    pub row: usize,
    pub message: String,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// What went wrong inside one record, before the row is known. Built on the failing path only, so its size and
/// allocations do not matter; the path is collected from the inside out while the error travels up.
#[derive(Debug)]
pub(crate) struct Fault {
    message: String,
    steps: Vec<Step>,
}

#[derive(Debug)]
enum Step {
    Field(String),
    Index(usize),
}

pub(crate) type Fallible<T> = Result<T, Box<Fault>>;

impl Fault {
    pub(crate) fn new(message: impl Into<String>) -> Box<Fault> {
        Box::new(Fault { message: message.into(), steps: Vec::new() })
    }

    pub(crate) fn in_field(mut self: Box<Self>, name: &str) -> Box<Fault> {
        self.steps.push(Step::Field(name.to_owned()));
        self
    }

    pub(crate) fn in_element(mut self: Box<Self>, index: usize) -> Box<Fault> {
        self.steps.push(Step::Index(index));
        self
    }

    pub(crate) fn at_row(&self, row: usize) -> DecodeError {
        let mut path = String::from("$");
        for step in self.steps.iter().rev() {
            match step {
                Step::Field(name) => {
                    path.push('.');
                    path.push_str(name);
                }
                Step::Index(index) => path.push_str(&format!("[{index}]")),
            }
        }
        DecodeError { row, path, message: self.message.clone() }
    }
}
