//! The one way in: a statement as written becomes something to store, to run or to answer.

use crate::analyzer::pull;
use crate::ast::statement::{ExplainTarget, Statement};
use crate::context::Context;
use crate::error::Result;
use crate::plan::statement::{PreparedStatement, QueryAction};
use crate::planner::{create_as, ddl, insert};

/// Analyses and plans a statement.
///
/// `sql` is its text, kept with what it makes. `number` makes generated query ids unique: the offset that the
/// command will have in the command topic.
///
/// Errors: everything that makes the statement invalid against this context.
pub fn prepare(
    context: &Context<'_>,
    statement: &Statement,
    sql: &str,
    number: u64,
) -> Result<PreparedStatement> {
    let prepared = dispatch(context, statement, sql, number);
    // Errors that know no better place are shown at the name of what is made or filled.
    let name = match statement {
        Statement::CreateSource(create) => &create.name,
        Statement::CreateAsSelect(create) => &create.name,
        Statement::InsertSelect(insert) => &insert.target,
        Statement::InsertValues(insert) => &insert.target,
        Statement::AlterSource(alter) => &alter.name,
        Statement::Explain(ExplainTarget::Statement { statement: explained, .. }) => {
            // What cannot be prepared cannot be explained.
            prepare(context, explained, sql, number)?;
            return prepared;
        }
        _ => return prepared,
    };
    prepared.map_err(|error| error.at(name.span()))
}

fn dispatch(
    context: &Context<'_>,
    statement: &Statement,
    sql: &str,
    number: u64,
) -> Result<PreparedStatement> {
    match statement {
        Statement::CreateSource(create) => ddl::create_source(context, create, sql, number),
        Statement::CreateAsSelect(create) => create_as::create_as_select(context, create, sql, number),
        Statement::InsertSelect(insert) => create_as::insert_select(context, insert, number),
        Statement::InsertValues(values) => {
            insert::insert_values(context, values).map(|row| PreparedStatement::InsertValues(Box::new(row)))
        }
        Statement::Query(query) if query.is_push() => {
            create_as::push(context, query, number).map(|push| PreparedStatement::Push(Box::new(push)))
        }
        Statement::Query(query) => {
            pull::analyze(*context, query).map(|plan| PreparedStatement::Pull(Box::new(plan)))
        }
        Statement::DropSource(drop) => ddl::drop_source(context, drop),
        Statement::AlterSource(alter) => ddl::alter_source(context, alter, sql),
        Statement::Terminate(target) => ddl::queries(context, target, QueryAction::Terminate),
        Statement::Pause(target) => ddl::queries(context, target, QueryAction::Pause),
        Statement::Resume(target) => ddl::queries(context, target, QueryAction::Resume),
        Statement::CreateType { if_not_exists, name, definition } => {
            ddl::create_type(context, name, definition, *if_not_exists)
        }
        Statement::DropType { if_exists, name } => ddl::drop_type(context, name, *if_exists),
        Statement::Explain(_)
        | Statement::AlterSystem(_)
        | Statement::Set(_)
        | Statement::Unset { .. }
        | Statement::Define { .. }
        | Statement::Undefine { .. }
        | Statement::Show(_)
        | Statement::Describe(_)
        | Statement::Print(_)
        | Statement::Assert(_)
        | Statement::CreateConnector { .. }
        | Statement::DropConnector { .. }
        | Statement::RunScript { .. } => Ok(PreparedStatement::PassThrough(Box::new(statement.clone()))),
    }
}
