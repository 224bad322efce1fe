//! Applying commands to the metastore, and taking them back.

use std::sync::Arc;

use crate::metastore::Metastore;
use crate::metastore::source::Source;
use crate::plan::command::DdlCommand;
use crate::types::SqlType;

/// Why a command does not fit the metastore. Commands are checked when prepared, so on replay this means that the
/// command topic was written by something else.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    #[error("a stream or table named `{name}` exists already")]
    SourceExists { name: String },
    #[error("no stream or table is named `{name}`")]
    SourceMissing { name: String },
    #[error("a type named {name} exists already")]
    TypeExists { name: String },
    #[error("no type is named {name}")]
    TypeMissing { name: String },
}

/// What a command replaced.
#[derive(Clone, Debug)]
#[must_use = "keep it to undo the command, or drop it on purpose"]
pub enum Undo {
    Source { name: String, before: Option<Arc<Source>> },
    Type { name: String, before: Option<SqlType> },
}

impl Metastore {
    /// Carries out a command.
    ///
    /// Errors: see [`ApplyError`]; the metastore is unchanged then.
    pub fn apply(&mut self, command: &DdlCommand) -> Result<Undo, ApplyError> {
        match command {
            DdlCommand::CreateSource(create) => {
                if self.sources.contains_key(&create.name) && !create.or_replace {
                    return Err(ApplyError::SourceExists { name: create.name.clone() });
                }
                let before = self.sources.insert(create.name.clone(), Arc::new(Source::from(create)));
                Ok(Undo::Source { name: create.name.clone(), before })
            }
            DdlCommand::DropSource { name } => match self.sources.remove(name) {
                Some(before) => Ok(Undo::Source { name: name.clone(), before: Some(before) }),
                None => Err(ApplyError::SourceMissing { name: name.clone() }),
            },
            DdlCommand::AlterSource { name, columns, sql } => {
                let Some(before) = self.sources.get(name).cloned() else {
                    return Err(ApplyError::SourceMissing { name: name.clone() });
                };
                let mut altered = (*before).clone();
                altered.schema.value.extend(columns.iter().cloned());
                altered.sql.clone_from(sql);
                self.sources.insert(name.clone(), Arc::new(altered));
                Ok(Undo::Source { name: name.clone(), before: Some(before) })
            }
            DdlCommand::RegisterType { name, sql_type } => {
                if self.types.contains_key(name) {
                    return Err(ApplyError::TypeExists { name: name.clone() });
                }
                self.types.insert(name.clone(), sql_type.clone());
                Ok(Undo::Type { name: name.clone(), before: None })
            }
            DdlCommand::DropType { name } => match self.types.remove(name) {
                Some(before) => Ok(Undo::Type { name: name.clone(), before: Some(before) }),
                None => Err(ApplyError::TypeMissing { name: name.clone() }),
            },
        }
    }

    /// Takes back the last command applied.
    pub fn undo(&mut self, undo: Undo) {
        match undo {
            Undo::Source { name, before: Some(source) } => {
                self.sources.insert(name, source);
            }
            Undo::Source { name, before: None } => {
                self.sources.remove(&name);
            }
            Undo::Type { name, before: Some(sql_type) } => {
                self.types.insert(name, sql_type);
            }
            Undo::Type { name, before: None } => {
                self.types.remove(&name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{Format, FormatInfo};
    use crate::plan::command::CreateSourceCommand;
    use crate::plan::physical::ResultKind;
    use crate::schema::{Column, LogicalSchema};

    fn create(name: &str) -> DdlCommand {
        DdlCommand::CreateSource(CreateSourceCommand {
            name: name.to_owned(),
            kind: ResultKind::Stream,
            topic: "t".to_owned(),
            schema: LogicalSchema::new(vec![], vec![Column::new("A", SqlType::Integer)]),
            key_format: FormatInfo::key(Format::Kafka),
            value_format: FormatInfo::new(Format::Json),
            window: None,
            timestamp: None,
            read_only: false,
            or_replace: false,
            from_query: false,
            sql: String::new(),
        })
    }

    #[test]
    fn commands_are_applied_and_taken_back() {
        let mut metastore = Metastore::new();
        let created = metastore.apply(&create("S")).expect("new name");
        assert!(matches!(metastore.apply(&create("S")), Err(ApplyError::SourceExists { .. })));
        let alter = DdlCommand::AlterSource {
            name: "S".to_owned(),
            columns: vec![Column::new("B", SqlType::String)],
            sql: String::new(),
        };
        let altered = metastore.apply(&alter).expect("known name");
        assert_eq!(metastore.source("S").expect("created").schema.value.len(), 2);
        metastore.undo(altered);
        assert_eq!(metastore.source("S").expect("created").schema.value.len(), 1);
        metastore.undo(created);
        assert!(metastore.source("S").is_none());
    }
}
