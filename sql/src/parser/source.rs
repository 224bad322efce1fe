//! Statements about streams and tables: CREATE, CREATE … AS SELECT, ALTER, DROP, INSERT INTO.

use sqlparser::tokenizer::Token;

use crate::ast::place::Place;
use crate::ast::statement::{
    AlterSource, ColumnDefinition, ColumnRole, CreateAsSelect, CreateSource, DropSource, InsertSelect,
    InsertValues, SourceKind, Statement,
};
use crate::ast::types::TypeName;
use crate::ast::{expr::Expr, ident::Ident};
use crate::error::{Result, SqlError};
use crate::parser::cursor::Cursor;
use crate::parser::properties::NameCase;
use crate::parser::syntax_error::syntax_error;

impl Cursor<'_> {
    pub(super) fn source_kind(&mut self) -> Result<SourceKind> {
        if self.eat_keyword("STREAM") {
            return Ok(SourceKind::Stream);
        }
        self.expect_keyword("TABLE")?;
        Ok(SourceKind::Table)
    }

    pub(super) fn if_not_exists(&mut self) -> Result<bool> {
        if !self.eat_keywords("IF", "NOT") {
            return Ok(false);
        }
        self.expect_keyword("EXISTS")?;
        Ok(true)
    }

    pub(super) fn if_exists(&mut self) -> bool {
        self.eat_keywords("IF", "EXISTS")
    }

    /// After `CREATE [OR REPLACE] [SOURCE]`.
    pub(super) fn create_source(&mut self, or_replace: bool, read_only: bool) -> Result<Statement> {
        let kind = self.source_kind()?;
        let if_not_exists = self.if_not_exists()?;
        let name = self.source_name()?;
        let columns = self.columns_opt(kind)?;
        let properties = self.properties_opt(NameCase::Insensitive)?;
        if columns.is_empty() && !read_only && self.eat_keyword("AS") {
            let query = Box::new(self.query()?);
            return Ok(Statement::CreateAsSelect(CreateAsSelect {
                kind,
                or_replace,
                if_not_exists,
                name,
                properties,
                query,
            }));
        }
        Ok(Statement::CreateSource(CreateSource {
            kind,
            or_replace,
            read_only,
            if_not_exists,
            name,
            columns,
            properties,
        }))
    }

    /// `[(column, …)]`
    pub(super) fn columns_opt(&mut self, kind: SourceKind) -> Result<Vec<ColumnDefinition>> {
        if !self.eat(&Token::LParen) {
            return Ok(Vec::new());
        }
        let columns = self.comma_separated(|cursor| cursor.column(kind))?;
        self.expect_closer(&Token::RParen)?;
        Ok(columns)
    }

    fn column(&mut self, kind: SourceKind) -> Result<ColumnDefinition> {
        let start = self.span();
        if self.is_keyword(0, "PRIMARY") && self.is_keyword(1, "KEY") && *self.peek_nth(2) == Token::LParen {
            return Err(syntax_error("PRIMARY KEY (…) after the columns is not supported", start)
                .with_hint("Write it behind each column of the key: id INT PRIMARY KEY."));
        }
        let name = self.name()?;
        let type_name = self.type_name()?;
        let role = if self.eat_keyword("KEY") {
            ColumnRole::Key
        } else if self.eat_keyword("PRIMARY") {
            self.expect_keyword("KEY")?;
            ColumnRole::PrimaryKey
        } else if self.eat_keyword("HEADERS") {
            ColumnRole::Headers
        } else if self.eat_keyword("HEADER") {
            self.expect(&Token::LParen)?;
            let key = self.string()?;
            self.expect_closer(&Token::RParen)?;
            ColumnRole::Header(key)
        } else {
            ColumnRole::Value
        };
        let (wrong, right) = match (kind, &role) {
            (SourceKind::Table, ColumnRole::Key) => ("KEY", "PRIMARY KEY' for tables"),
            (SourceKind::Stream, ColumnRole::PrimaryKey) => ("PRIMARY KEY", "KEY' for streams"),
            _ if self.is_keyword(0, "NOT") && self.is_keyword(1, "NULL") => {
                return Err(syntax_error("NOT NULL is not supported: every column may be NULL", self.span())
                    .with_hint("Filter in a query: WHERE column IS NOT NULL."));
            }
            _ => return Ok(ColumnDefinition { name, type_name, role, place: Place(self.span_since(start)) }),
        };
        let at = name.span().start;
        Err(SqlError::syntax(
            format!(
                "Line: {}, Col: {}: Column `{}` is a '{wrong}' column: please use '{right}.",
                at.line, at.column, name.name
            ),
            self.span_since(start),
        ))
    }

    /// After ALTER.
    pub(super) fn alter_source(&mut self) -> Result<Statement> {
        let kind = self.source_kind()?;
        let name = self.source_name()?;
        let columns = self.comma_separated(Self::added_column)?;
        Ok(Statement::AlterSource(AlterSource { kind, name, columns }))
    }

    /// `ADD [COLUMN] name type`
    fn added_column(&mut self) -> Result<(Ident, TypeName)> {
        if ["DROP", "RENAME", "MODIFY", "ALTER"].iter().any(|word| self.is_keyword(0, word)) {
            return Err(syntax_error("ALTER can only ADD columns", self.span()).with_hint(
                "Make another stream or table: CREATE … AS SELECT with the columns that it should have.",
            ));
        }
        self.expect_keyword("ADD")?;
        // `ADD COLUMN INT` adds a column that is called COLUMN.
        if self.is_keyword(0, "COLUMN") && self.is_name(1) && matches!(self.peek_nth(2), Token::Word(_)) {
            self.advance();
        }
        Ok((self.name()?, self.type_name()?))
    }

    /// After DROP.
    pub(super) fn drop_source(&mut self) -> Result<Statement> {
        let kind = self.source_kind()?;
        let if_exists = self.if_exists();
        let name = self.source_name()?;
        let delete_topic = self.eat_keyword("DELETE");
        if delete_topic {
            self.expect_keyword("TOPIC")?;
        }
        Ok(Statement::DropSource(DropSource { kind, if_exists, name, delete_topic }))
    }

    /// After INSERT.
    pub(super) fn insert(&mut self) -> Result<Statement> {
        self.expect_keyword("INTO")?;
        let target = self.source_name()?;
        if self.is_keyword(0, "WITH") || self.is_keyword(0, "SELECT") {
            let properties = self.properties_opt(NameCase::Insensitive)?;
            let query = Box::new(self.query()?);
            return Ok(Statement::InsertSelect(InsertSelect { target, properties, query }));
        }
        for alternative in ["SELECT", "WITH"] {
            self.note_expected(alternative);
        }
        let columns = self.names_opt()?;
        self.expect_keyword("VALUES")?;
        let values = self.values()?;
        if *self.peek() == Token::Comma {
            return Err(self
                .unexpected()
                .with_hint("INSERT INTO takes one row of VALUES; write one statement per row."));
        }
        Ok(Statement::InsertValues(InsertValues { target, columns, values }))
    }

    /// `[(name, …)]`
    pub(super) fn names_opt(&mut self) -> Result<Vec<Ident>> {
        if !self.eat(&Token::LParen) {
            return Ok(Vec::new());
        }
        let names = self.comma_separated(Self::name)?;
        self.expect_closer(&Token::RParen)?;
        Ok(names)
    }

    /// `(value, …)`
    pub(super) fn values(&mut self) -> Result<Vec<Expr>> {
        self.expect(&Token::LParen)?;
        let values = self.comma_separated(Self::expr)?;
        self.expect_closer(&Token::RParen)?;
        Ok(values)
    }
}
