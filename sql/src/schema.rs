//! Row schemas: which columns a stream, table or step has, and in which role.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::types::{SqlType, quote_identifier};

pub const ROWTIME: &str = "ROWTIME";
pub const ROWPARTITION: &str = "ROWPARTITION";
pub const ROWOFFSET: &str = "ROWOFFSET";
pub const WINDOWSTART: &str = "WINDOWSTART";
pub const WINDOWEND: &str = "WINDOWEND";

/// Columns that every row has without declaring them, or that windowed keys have.
pub const SYSTEM_COLUMNS: [&str; 5] = [ROWTIME, ROWPARTITION, ROWOFFSET, WINDOWSTART, WINDOWEND];

/// The type of a system column: BIGINT, but INTEGER for ROWPARTITION. None for any other name.
pub fn system_column_type(name: &str) -> Option<SqlType> {
    match name {
        ROWTIME | ROWOFFSET | WINDOWSTART | WINDOWEND => Some(SqlType::Bigint),
        ROWPARTITION => Some(SqlType::Integer),
        _ => None,
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Column {
    pub name: String,
    pub sql_type: SqlType,
}

impl Column {
    pub fn new(name: impl Into<String>, sql_type: SqlType) -> Column {
        Column { name: name.into(), sql_type }
    }
}

/// A column filled from record headers. `key` None: all headers, ARRAY<STRUCT<KEY STRING, VALUE BYTES>>;
/// Some: the last header of that key, BYTES.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HeaderColumn {
    pub column: Column,
    pub key: Option<String>,
}

/// The columns of a row by role. Names are unique across all three lists, except that the value of a topic may
/// repeat a key name only where the planner made it so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LogicalSchema {
    pub key: Vec<Column>,
    pub value: Vec<Column>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HeaderColumn>,
}

impl LogicalSchema {
    pub fn new(key: Vec<Column>, value: Vec<Column>) -> LogicalSchema {
        LogicalSchema { key, value, headers: Vec::new() }
    }

    /// Key, value and header columns, in this order. It is the order of columns in an engine batch.
    pub fn columns(&self) -> impl Iterator<Item = &Column> {
        self.key.iter().chain(&self.value).chain(self.headers.iter().map(|h| &h.column))
    }

    /// The column of that name, in any role.
    pub fn find(&self, name: &str) -> Option<&Column> {
        self.columns().find(|c| c.name == name)
    }

    pub fn is_key(&self, name: &str) -> bool {
        self.key.iter().any(|c| c.name == name)
    }
}

/// "`ID` BIGINT KEY, `NAME` STRING", the form that ksqlDB's messages and responses use.
impl fmt::Display for LogicalSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (column, suffix) in self
            .key
            .iter()
            .map(|c| (c, " KEY".to_owned()))
            .chain(self.value.iter().map(|c| (c, String::new())))
            .chain(self.headers.iter().map(|h| {
                let suffix = match &h.key {
                    None => " HEADERS".to_owned(),
                    Some(key) => format!(" HEADER('{key}')"),
                };
                (&h.column, suffix)
            }))
        {
            write!(f, "{separator}{} {}{suffix}", quote_identifier(&column.name), column.sql_type)?;
            separator = ", ";
        }
        Ok(())
    }
}
