//! Changes to the metastore, as the command topic stores them.
//!
//! Together with [`crate::plan::physical::QueryPlan`] this is the whole content of a command. Later versions must read
//! it: only add optional fields or new variants, and raise [`COMMAND_VERSION`] when old readers would misread.

use serde::{Deserialize, Serialize};

use crate::format::FormatInfo;
use crate::plan::physical::{ResultKind, TimestampColumn};
use crate::schema::{Column, LogicalSchema};
use crate::types::SqlType;
use crate::window::WindowInfo;

pub const COMMAND_VERSION: u32 = 1;

// One per statement: its size does not matter, a box would only be in the way.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum DdlCommand {
    CreateSource(CreateSourceCommand),
    DropSource {
        name: String,
    },
    /// Appends value columns.
    AlterSource {
        name: String,
        columns: Vec<Column>,
        sql: String,
    },
    RegisterType {
        name: String,
        sql_type: SqlType,
    },
    DropType {
        name: String,
    },
}

/// A stream or table comes into being, or replaces one of the same name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CreateSourceCommand {
    pub name: String,
    pub kind: ResultKind,
    pub topic: String,
    pub schema: LogicalSchema,
    pub key_format: FormatInfo,
    pub value_format: FormatInfo,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<WindowInfo>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<TimestampColumn>,
    /// SOURCE: read-only.
    #[serde(default)]
    pub read_only: bool,
    #[serde(default)]
    pub or_replace: bool,
    /// True for the sink of CREATE … AS SELECT.
    #[serde(default)]
    pub from_query: bool,
    /// The statement text.
    pub sql: String,
}
