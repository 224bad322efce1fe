//! `/ksql`: a batch of statements, checked as a whole, then run one by one.

use serde_json::Value;
use weir_sql::ast::kind::StatementKind;
use weir_sql::ast::statement::{QueryTarget, Statement};
use weir_sql::parser::ParsedStatement;
use weir_sql::plan::statement::{InsertRow, PreparedStatement, unknown_query};

use crate::auth::caller::{Audited, Caller};
use crate::command::runner::CommandRunner;
use crate::context::Context;
use crate::error::{ApiError, ErrorCode};
use crate::statement::sandbox::Sandbox;
use crate::statement::scope::{RequestScope, sql_error};
use crate::statement::script::{RequestStatement, define, request_statements};
use crate::statement::{
    apply, assert, describe, entity, explain, insert, properties, rights, show, unsupported,
};
use crate::wire::request::{StatementRequest, property_texts};

/// Runs a request; gives an entity for each statement that answers.
pub async fn execute(
    commands: &CommandRunner,
    caller: &Caller,
    request: StatementRequest,
) -> Result<Vec<Value>, ApiError> {
    commands.wait_applied(request.command_sequence_number).await?;
    let context = commands.context();
    let variables = request
        .session_variables
        .iter()
        .flatten()
        .map(|(name, value)| {
            (name.to_ascii_lowercase(), value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        })
        .collect();
    let properties = property_texts(request.streams_properties.as_ref());
    let mut scope = RequestScope::new(caller, context.session(), properties, variables)?;
    let statements = request_statements(&request.ksql, &scope.variables)?;
    validate(commands, &statements, scope.clone())?;
    let mut entities = Vec::new();
    let mut at = 0;
    while let Some(statement) = statements.get(at) {
        let inserts = statements[at..].iter().take_while(|s| is_insert(&s.parsed)).count();
        let answered = if inserts > 0 {
            run_inserts(context, &statements[at..at + inserts], &scope).await.map(|()| None)
        } else {
            run(commands, statement, &mut scope).await
        };
        match answered {
            Ok(answer) => entities.extend(answer),
            Err(error) => return Err(ApiError { entities, ..error }),
        }
        at += inserts.max(1);
    }
    Ok(entities)
}

/// Refuses the whole batch if any of its statements could not run after those before it.
fn validate(
    commands: &CommandRunner,
    statements: &[RequestStatement],
    mut scope: RequestScope,
) -> Result<(), ApiError> {
    let context = commands.context();
    let mut sandbox = Sandbox::new(context, &scope.session);
    let first = commands.next_offset();
    for (number, statement) in statements.iter().enumerate() {
        let parsed = &statement.parsed;
        if let Statement::Set(set) = &parsed.statement {
            scope.set(set).map_err(|e| in_statement(e, &parsed.text))?;
        }
        sandbox.session = scope.session.clone();
        let prepared = rights::prepare(
            &sandbox,
            &scope.caller,
            (&parsed.statement, parsed.text.as_str()),
            first + number as i64,
            Audited::All,
            |e| sql_error(&e, &statement.place, &parsed.text),
        )?;
        if let PreparedStatement::TerminateTransient { id, place } = &prepared {
            if context.pushes().find(&scope.caller, id).is_some() {
                continue;
            }
            let known = sandbox.metastore.queries().map(|q| q.plan.query_id.as_str());
            let error = unknown_query(id, *place, known);
            return Err(sql_error(&error, &statement.place, &parsed.text));
        }
        if let Some(error) = unsupported::refusal(&parsed.statement, &parsed.text) {
            return Err(error);
        }
        if parsed.statement.kind().is_query() {
            return Err(ApiError {
                statement: Some(parsed.text.clone()),
                ..ApiError::new(
                    ErrorCode::QueryOnStatementEndpoint,
                    "SELECT and PRINT queries must be sent to the /query or /query-stream endpoint",
                )
            });
        }
        sandbox.apply(&prepared, &parsed.text);
    }
    Ok(())
}

/// The error as one of a statement.
fn in_statement(error: ApiError, text: &str) -> ApiError {
    ApiError { code: ErrorCode::BadStatement, statement: Some(text.to_owned()), ..error }
}

fn is_insert(parsed: &ParsedStatement) -> bool {
    parsed.statement.kind() == StatementKind::InsertValues
}

/// Runs INSERT statements that follow each other; those into the same source are written together.
async fn run_inserts(
    context: &Context,
    statements: &[RequestStatement],
    scope: &RequestScope,
) -> Result<(), ApiError> {
    let sandbox = Sandbox::new(context, &scope.session);
    let mut rows: Vec<InsertRow> = Vec::new();
    for statement in statements {
        let prepared = sandbox.prepare(&statement.parsed.statement, &statement.parsed.text, 0);
        let row = match prepared {
            Ok(PreparedStatement::InsertValues(row)) => row,
            Ok(_) => continue,
            Err(error) => {
                insert::insert(context, &rows).await?;
                return Err(sql_error(&error, &statement.place, &statement.parsed.text));
            }
        };
        if rows.last().is_some_and(|last| last.source != row.source) {
            insert::insert(context, &rows).await?;
            rows.clear();
        }
        rows.push(*row);
    }
    insert::insert(context, &rows).await
}

async fn run(
    commands: &CommandRunner,
    request: &RequestStatement,
    scope: &mut RequestScope,
) -> Result<Option<Value>, ApiError> {
    let (context, parsed) = (commands.context(), &request.parsed);
    let text = &parsed.text;
    match &parsed.statement {
        Statement::Set(set) => {
            scope.set(set).map_err(|e| in_statement(e, text))?;
            return Ok(None);
        }
        Statement::Unset { name } => {
            scope.unset(context.session(), name)?;
            return Ok(None);
        }
        Statement::Undefine { name } if !scope.variables.contains_key(&name.name.to_ascii_lowercase()) => {
            let message = format!("Cannot undefine variable '{}' which was never defined.", name.name);
            return Ok(Some(entity::warning(text, &message)));
        }
        Statement::Define { .. } | Statement::Undefine { .. } => {
            define(&mut scope.variables, &parsed.statement);
            return Ok(None);
        }
        Statement::Show(what) => return show::show(context, what, scope, text).await.map(Some),
        Statement::Describe(what) => return describe::describe(context, what, scope, text).await.map(Some),
        Statement::Explain(target) => {
            return explain::explain(context, target, scope, request).await.map(Some);
        }
        Statement::Assert(what) => return assert::assert(context, what, text).await.map(Some),
        Statement::Terminate(QueryTarget::Query(typed)) => {
            let metastore = context.metastore();
            let is_persistent = metastore.query(&typed.name).is_some()
                || metastore.query(&typed.name.to_uppercase()).is_some();
            let push = if is_persistent { None } else { context.pushes().find(&scope.caller, &typed.name) };
            if let Some(push) = push {
                context.pushes().close(&scope.caller, &push.id);
                return Ok(Some(entity::terminated(text, &typed.name)));
            }
        }
        _ => {}
    }
    let status = apply::run_command(commands, &request.place, parsed, scope).await?;
    let creates = matches!(parsed.statement, Statement::CreateSource(_) | Statement::CreateAsSelect(_));
    // IF NOT EXISTS of what exists.
    if creates && status.sequence < 0 {
        return Ok(Some(entity::warning(text, &status.message)));
    }
    let warnings =
        if status.query_id.is_some() { properties::warnings(&scope.properties) } else { Vec::new() };
    Ok(Some(entity::current_status(text, &status, &warnings)))
}
