//! SHOW, LIST, DESCRIBE, EXPLAIN, PRINT.

use sqlparser::tokenizer::Token;

use crate::ast::place::Place;
use crate::ast::statement::{Describe, ExplainTarget, Print, Show, Statement};
use crate::error::Result;
use crate::parser::cursor::Cursor;

impl Cursor<'_> {
    /// After SHOW or LIST.
    pub(super) fn show(&mut self) -> Result<Statement> {
        let shown = self.shown()?;
        match self.is_keyword(0, "LIKE") || self.is_keyword(0, "WHERE") {
            true => Err(self.show_filter()),
            false => Ok(Statement::Show(shown)),
        }
    }

    fn shown(&mut self) -> Result<Show> {
        if let Some(kind) = self.connector_kind(0) {
            self.advance();
            self.expect_keyword("CONNECTORS")?;
            return Ok(Show::Connectors { kind: Some(kind) });
        }
        if self.eat_keyword("STREAMS") {
            return Ok(Show::Streams { extended: self.eat_keyword("EXTENDED") });
        }
        if self.eat_keyword("TABLES") {
            return Ok(Show::Tables { extended: self.eat_keyword("EXTENDED") });
        }
        if self.eat_keyword("TOPICS") {
            return Ok(Show::Topics { all: false, extended: self.eat_keyword("EXTENDED") });
        }
        if self.eat_keyword("QUERIES") {
            return Ok(Show::Queries { extended: self.eat_keyword("EXTENDED") });
        }
        if self.eat_keyword("ALL") {
            self.expect_keyword("TOPICS")?;
            return Ok(Show::Topics { all: true, extended: self.eat_keyword("EXTENDED") });
        }
        if self.eat_keyword("CONNECTOR") {
            self.expect_keyword("PLUGINS")?;
            return Ok(Show::ConnectorPlugins);
        }
        let rest = [
            ("FUNCTIONS", Show::Functions),
            ("TYPES", Show::Types),
            ("PROPERTIES", Show::Properties),
            ("VARIABLES", Show::Variables),
            ("CONNECTORS", Show::Connectors { kind: None }),
        ];
        for (keyword, show) in rest {
            if self.eat_keyword(keyword) {
                return Ok(show);
            }
        }
        Err(self.unsupported_list().unwrap_or_else(|| self.unexpected()))
    }

    /// After DESCRIBE.
    pub(super) fn describe(&mut self) -> Result<Statement> {
        Ok(Statement::Describe(self.described()?))
    }

    fn described(&mut self) -> Result<Describe> {
        // FUNCTION and TABLES are no reserved words: `DESCRIBE FUNCTION;` describes a source of that name.
        if self.is_keyword(0, "FUNCTION") && self.is_name(1) {
            self.advance();
            return Ok(Describe::Function { name: self.name()? });
        }
        if self.eat_keyword("CONNECTOR") {
            return Ok(Describe::Connector { name: self.name()? });
        }
        if self.eat_keyword("STREAMS") {
            return Ok(Describe::Streams { extended: self.eat_keyword("EXTENDED") });
        }
        if self.eat_keyword("TABLES") {
            return Ok(Describe::Tables { extended: self.eat_keyword("EXTENDED") });
        }
        self.clear_expected();
        let name = self.source_name()?;
        Ok(Describe::Source { name, extended: self.eat_keyword("EXTENDED") })
    }

    /// After EXPLAIN.
    pub(super) fn explain(&mut self) -> Result<Statement> {
        let ends = matches!(self.peek_nth(1), Token::SemiColon | Token::EOF);
        if self.is_name(0) && ends {
            return Ok(Statement::Explain(ExplainTarget::Query(self.name()?)));
        }
        if self.is_keyword(0, "ANALYZE") {
            return Err(self.explain_analyze());
        }
        let start = self.span();
        let statement = Box::new(self.nested(Self::statement)?);
        Ok(Statement::Explain(ExplainTarget::Statement { statement, place: Place(self.span_since(start)) }))
    }

    /// After PRINT.
    pub(super) fn print(&mut self) -> Result<Statement> {
        let topic = self.name_or_string()?;
        let from_beginning = self.eat_keyword("FROM");
        if from_beginning {
            self.expect_keyword("BEGINNING")?;
        }
        let interval = if self.eat_keyword("INTERVAL") || self.eat_keyword("SAMPLE") {
            Some(self.row_count("INTERVAL")?)
        } else {
            None
        };
        let limit = if self.eat_keyword("LIMIT") { Some(self.row_count("LIMIT")?) } else { None };
        Ok(Statement::Print(Print {
            topic_place: topic.place,
            topic: topic.name,
            from_beginning,
            interval,
            limit,
        }))
    }
}
