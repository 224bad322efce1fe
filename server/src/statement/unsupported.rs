//! Statements of the language that a node refuses, whatever their arguments.

use weir_sql::ast::statement::{Describe, Show, Statement};

use crate::error::ApiError;

/// The refusal of every statement on connectors.
pub fn no_connectors(text: &str) -> ApiError {
    let message = "connectors are not available: no Connect worker is configured (ksql.connect.url)";
    ApiError::statement(message, text)
}

/// The refusal of a statement that no node carries out; None for all others.
pub fn refusal(statement: &Statement, text: &str) -> Option<ApiError> {
    match statement {
        Statement::CreateConnector { .. }
        | Statement::DropConnector { .. }
        | Statement::Show(Show::Connectors { .. } | Show::ConnectorPlugins)
        | Statement::Describe(Describe::Connector { .. }) => Some(no_connectors(text)),
        Statement::AlterSystem(_) => Some(ApiError::server(
            "ALTER SYSTEM needs ksql.runtime.feature.shared.enabled, which is off; SET changes a property for a session",
        )),
        Statement::RunScript { .. } => {
            Some(ApiError::statement("RUN SCRIPT is a command of the shell, not of the server", text))
        }
        Statement::CreateSource(_)
        | Statement::CreateAsSelect(_)
        | Statement::InsertSelect(_)
        | Statement::InsertValues(_)
        | Statement::Query(_)
        | Statement::DropSource(_)
        | Statement::AlterSource(_)
        | Statement::Terminate(_)
        | Statement::Pause(_)
        | Statement::Resume(_)
        | Statement::CreateType { .. }
        | Statement::DropType { .. }
        | Statement::Set(_)
        | Statement::Unset { .. }
        | Statement::Define { .. }
        | Statement::Undefine { .. }
        | Statement::Show(_)
        | Statement::Describe(_)
        | Statement::Explain(_)
        | Statement::Print(_)
        | Statement::Assert(_) => None,
    }
}
