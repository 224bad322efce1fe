//! Which statement begins with which words, and the small ones.

use sqlparser::tokenizer::Token;

use crate::ast::statement::{Assert, InsertValues, QueryTarget, SetProperty, Statement};
use crate::error::{Result, SqlError};
use crate::parser::cursor::Cursor;
use crate::parser::properties::NameCase;
use crate::parser::syntax_error::unknown_statement;

impl Cursor<'_> {
    /// A statement without its semicolon.
    pub(super) fn statement(&mut self) -> Result<Statement> {
        let first = self.word(0).map(|word| word.value.to_ascii_uppercase()).unwrap_or_default();
        match first.as_str() {
            "SELECT" => return Ok(Statement::Query(Box::new(self.query()?))),
            "RUN" if !self.config().test_statements => return Err(self.unknown_statement()),
            _ => {}
        }
        let rule: fn(&mut Self) -> Result<Statement> = match first.as_str() {
            "CREATE" => Self::create,
            "INSERT" => Self::insert,
            "DROP" => Self::drop_statement,
            "ALTER" => Self::alter,
            "TERMINATE" => |cursor| Ok(Statement::Terminate(cursor.query_target()?)),
            "PAUSE" => |cursor| Ok(Statement::Pause(cursor.query_target()?)),
            "RESUME" => |cursor| Ok(Statement::Resume(cursor.query_target()?)),
            "SET" => |cursor| Ok(Statement::Set(cursor.set_property()?)),
            "UNSET" => |cursor| Ok(Statement::Unset { name: cursor.string()? }),
            "DEFINE" => Self::define,
            "UNDEFINE" => |cursor| Ok(Statement::Undefine { name: cursor.name_as_typed()? }),
            "SHOW" | "LIST" => Self::show,
            "DESCRIBE" => Self::describe,
            "EXPLAIN" => Self::explain,
            "PRINT" => Self::print,
            "ASSERT" => Self::assert_statement,
            "RUN" => Self::run_script,
            _ => return Err(self.unknown_statement()),
        };
        self.advance();
        rule(self)
    }

    fn unknown_statement(&self) -> SqlError {
        self.unsupported_verb().unwrap_or_else(|| unknown_statement(self.peek(), self.span()))
    }

    fn create(&mut self) -> Result<Statement> {
        let or_replace = self.eat_keywords("OR", "REPLACE");
        if !or_replace {
            if self.is_keyword(1, "CONNECTOR")
                && let Some(kind) = self.connector_kind(0)
            {
                return self.create_connector(kind);
            }
            if self.eat_keyword("TYPE") {
                let if_not_exists = self.if_not_exists()?;
                let name = self.name()?;
                self.expect_keyword("AS")?;
                return Ok(Statement::CreateType { if_not_exists, name, definition: self.type_name()? });
            }
        }
        if let Some(refusal) = self.unsupported_object() {
            return Err(refusal);
        }
        let read_only = self.eat_keyword("SOURCE");
        self.create_source(or_replace, read_only)
    }

    fn drop_statement(&mut self) -> Result<Statement> {
        if self.eat_keyword("TYPE") {
            let if_exists = self.if_exists();
            return Ok(Statement::DropType { if_exists, name: self.name()? });
        }
        if self.eat_keyword("CONNECTOR") {
            return self.drop_connector();
        }
        match self.unsupported_object() {
            Some(refusal) => Err(refusal),
            None => self.drop_source(),
        }
    }

    fn alter(&mut self) -> Result<Statement> {
        if self.eat_keyword("SYSTEM") {
            return Ok(Statement::AlterSystem(self.set_property()?));
        }
        match self.unsupported_object() {
            Some(refusal) => Err(refusal),
            None => self.alter_source(),
        }
    }

    fn query_target(&mut self) -> Result<QueryTarget> {
        if self.eat_keyword("ALL") {
            return Ok(QueryTarget::All);
        }
        Ok(QueryTarget::Query(self.name()?))
    }

    /// `'name' = 'value'`
    fn set_property(&mut self) -> Result<SetProperty> {
        let name = self.string()?;
        self.expect(&Token::Eq)?;
        Ok(SetProperty { name, value: self.string()? })
    }

    fn define(&mut self) -> Result<Statement> {
        let name = self.name_as_typed()?;
        self.expect(&Token::Eq)?;
        Ok(Statement::Define { name, value: self.string()? })
    }

    fn run_script(&mut self) -> Result<Statement> {
        self.expect_keyword("SCRIPT")?;
        Ok(Statement::RunScript { path: self.string()? })
    }

    fn assert_statement(&mut self) -> Result<Statement> {
        Ok(Statement::Assert(self.assertion()?))
    }

    fn assertion(&mut self) -> Result<Assert> {
        if self.config().test_statements
            && let Some(assertion) = self.test_assertion()?
        {
            return Ok(assertion);
        }
        let exists = !self.eat_keywords("NOT", "EXISTS");
        if self.eat_keyword("TOPIC") {
            let topic = self.name_or_string()?.name;
            let properties = self.properties_opt(NameCase::Insensitive)?;
            let timeout = if self.eat_keyword("TIMEOUT") { Some(self.duration()?) } else { None };
            return Ok(Assert::Topic { exists, topic, properties, timeout });
        }
        self.expect_keyword("SCHEMA")?;
        let subject = if self.eat_keyword("SUBJECT") { Some(self.name_or_string()?.name) } else { None };
        let id = if self.eat_keyword("ID") { Some(self.unsigned()?) } else { None };
        let timeout = if self.eat_keyword("TIMEOUT") { Some(self.duration()?) } else { None };
        Ok(Assert::Schema { exists, subject, id, timeout })
    }

    /// The assertions that only SQL tests know.
    fn test_assertion(&mut self) -> Result<Option<Assert>> {
        if self.eat_keyword("VALUES") {
            let target = self.source_name()?;
            let columns = self.names_opt()?;
            self.expect_keyword("VALUES")?;
            let values = self.values()?;
            return Ok(Some(Assert::Values(InsertValues { target, columns, values })));
        }
        if self.eat_keywords("NULL", "VALUES") {
            let target = self.source_name()?;
            let columns = self.names_opt()?;
            self.expect_keyword("KEY")?;
            let values = self.values()?;
            return Ok(Some(Assert::Tombstone(InsertValues { target, columns, values })));
        }
        if !self.is_keyword(0, "STREAM") && !self.is_keyword(0, "TABLE") {
            return Ok(None);
        }
        let kind = self.source_kind()?;
        let name = self.source_name()?;
        let columns = self.columns_opt(kind)?;
        let properties = self.properties_opt(NameCase::Insensitive)?;
        Ok(Some(Assert::Source { kind, name, columns, properties }))
    }
}
