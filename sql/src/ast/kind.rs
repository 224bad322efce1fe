//! The kind of a statement: who carries it out, and how its answer ends.

use crate::ast::statement::{Show, Statement};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StatementKind {
    /// SELECT without EMIT: it ends at the present end of its sources.
    PullQuery,
    /// SELECT with EMIT: it ends at its limit, or when it is closed.
    PushQuery,
    Print,
    InsertValues,
    /// SHOW, LIST, DESCRIBE and EXPLAIN, without [`StatementKind::ShowVariables`].
    Show,
    ShowVariables,
    Set,
    Unset,
    Define,
    Undefine,
    RunScript,
    Assert,
    /// Statements with a lasting effect: definitions, INSERT SELECT, and those about running queries.
    Command,
}

impl StatementKind {
    /// True if the answer is rows instead of one entity.
    pub fn is_query(self) -> bool {
        matches!(self, StatementKind::PullQuery | StatementKind::PushQuery | StatementKind::Print)
    }
}

impl Statement {
    pub fn kind(&self) -> StatementKind {
        match self {
            Statement::Query(query) if query.is_push() => StatementKind::PushQuery,
            Statement::Query(_) => StatementKind::PullQuery,
            Statement::Print(_) => StatementKind::Print,
            Statement::InsertValues(_) => StatementKind::InsertValues,
            Statement::Show(Show::Variables) => StatementKind::ShowVariables,
            Statement::Show(_) | Statement::Describe(_) | Statement::Explain(_) => StatementKind::Show,
            Statement::Set(_) => StatementKind::Set,
            Statement::Unset { .. } => StatementKind::Unset,
            Statement::Define { .. } => StatementKind::Define,
            Statement::Undefine { .. } => StatementKind::Undefine,
            Statement::RunScript { .. } => StatementKind::RunScript,
            Statement::Assert(_) => StatementKind::Assert,
            Statement::CreateSource(_)
            | Statement::CreateAsSelect(_)
            | Statement::InsertSelect(_)
            | Statement::DropSource(_)
            | Statement::AlterSource(_)
            | Statement::AlterSystem(_)
            | Statement::Terminate(_)
            | Statement::Pause(_)
            | Statement::Resume(_)
            | Statement::CreateType { .. }
            | Statement::DropType { .. }
            | Statement::CreateConnector { .. }
            | Statement::DropConnector { .. } => StatementKind::Command,
        }
    }
}
