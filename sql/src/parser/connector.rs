//! CREATE CONNECTOR, DROP CONNECTOR.

use crate::ast::statement::{ConnectorKind, Statement};
use crate::error::Result;
use crate::parser::cursor::Cursor;
use crate::parser::properties::NameCase;

impl Cursor<'_> {
    /// At `SOURCE CONNECTOR` or `SINK CONNECTOR`, n tokens ahead.
    pub(super) fn connector_kind(&self, n: usize) -> Option<ConnectorKind> {
        if self.is_keyword(n, "SOURCE") {
            Some(ConnectorKind::Source)
        } else if self.is_keyword(n, "SINK") {
            Some(ConnectorKind::Sink)
        } else {
            None
        }
    }

    /// After CREATE, at `SOURCE|SINK CONNECTOR`.
    pub(super) fn create_connector(&mut self, kind: ConnectorKind) -> Result<Statement> {
        self.advance();
        self.expect_keyword("CONNECTOR")?;
        let if_not_exists = self.if_not_exists()?;
        let name = self.name()?;
        self.expect_keyword("WITH")?;
        let properties = self.properties(NameCase::Sensitive)?;
        Ok(Statement::CreateConnector { kind, if_not_exists, name, properties })
    }

    /// After `DROP CONNECTOR`.
    pub(super) fn drop_connector(&mut self) -> Result<Statement> {
        let if_exists = self.if_exists();
        Ok(Statement::DropConnector { if_exists, name: self.name()? })
    }
}
