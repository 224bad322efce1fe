//! One command: what a statement does to every node, planned and checked before it was written.

use serde::{Deserialize, Serialize};
use weir_sql::plan::action::Action;
use weir_sql::plan::command::DdlCommand;

/// Version of the record's shape. Readers refuse higher ones: they would apply half of what was meant.
pub const RECORD_VERSION: u32 = 1;

/// The value of a record of the command topic, as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Command {
    pub version: u32,
    /// "stream/`X`/create": ksqlDB's command id, under which `/status` knows it.
    pub id: String,
    /// The text it came from, for people.
    pub statement: String,
    /// Carried out in order.
    pub actions: Vec<Action>,
}

/// Where a command is stored. Invariant: no two commands have the same key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub offset: i64,
    pub key: String,
}

impl Command {
    /// The stream or table that it creates, drops or alters, if it does.
    pub fn source(&self) -> Option<&str> {
        self.actions.iter().find_map(|action| match action {
            Action::Ddl(DdlCommand::CreateSource(create)) => Some(create.name.as_str()),
            Action::Ddl(DdlCommand::DropSource { name } | DdlCommand::AlterSource { name, .. }) => Some(name),
            _ => None,
        })
    }
}
