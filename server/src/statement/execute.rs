//! `/ksql`: a batch of statements, checked as a whole, then run one by one.

use indexmap::IndexMap;
use serde_json::Value;
use weir_sql::ast::kind::StatementKind;
use weir_sql::ast::statement::{QueryTarget, Statement};
use weir_sql::error::{ErrorKind, SqlError};
use weir_sql::parser::ParsedStatement;
use weir_sql::plan::statement::{InsertRow, PreparedStatement, unknown_query};
use weir_sql::session::Session;

use crate::auth::caller::{Audited, Caller};
use crate::error::{ApiError, ErrorCode};
use crate::node::Node;
use crate::statement::script::{Place, RequestStatement, Variables, define, request_statements};
use crate::statement::{
    apply, assert, describe, entity, explain, insert, properties, rights, show, unsupported,
};
use crate::wire::request::{StatementRequest, property_texts};

/// What a request carries into each of its statements, and what SET and DEFINE change on the way.
#[derive(Clone, Debug)]
pub struct RequestScope {
    pub properties: IndexMap<String, String>,
    pub variables: Variables,
    pub session: Session,
    /// The client whose rights are checked.
    pub caller: Caller,
}

impl RequestScope {
    /// Errors: a property that is unknown, may not be set, or cannot have the value.
    pub fn new(
        caller: &Caller,
        base: &Session,
        properties: IndexMap<String, String>,
        variables: Variables,
    ) -> Result<RequestScope, ApiError> {
        let mut session = base.clone();
        for (name, value) in &properties {
            properties::check_value(name, value)?;
            session.set(name, value).map_err(|e| ApiError::bad_request(e.message))?;
        }
        let shown = |(name, value): (String, String)| {
            let value = properties::shown(&name, value);
            (name, value)
        };
        let properties = properties.into_iter().map(shown).collect();
        Ok(RequestScope { properties, variables, session, caller: caller.clone() })
    }
}

/// The error of a statement with its place, as the answer carries it.
pub fn sql_error(error: &SqlError, place: &Place, statement: &str) -> ApiError {
    let message = place.render(error);
    match error.kind {
        ErrorKind::Syntax | ErrorKind::Analysis | ErrorKind::Unsupported => {
            ApiError::statement(message, statement)
        }
        ErrorKind::Missing => ApiError::bad_request(message),
        ErrorKind::NoSchemaRegistry => ApiError::new(ErrorCode::NoSchemaRegistry, message),
    }
}

/// Runs a request; gives an entity for each statement that answers.
pub async fn execute(
    node: &Node,
    caller: &Caller,
    request: StatementRequest,
) -> Result<Vec<Value>, ApiError> {
    node.wait_applied(request.command_sequence_number).await?;
    let variables = request
        .session_variables
        .iter()
        .flatten()
        .map(|(name, value)| {
            (name.to_ascii_lowercase(), value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        })
        .collect();
    let properties = property_texts(request.streams_properties.as_ref());
    let mut scope = RequestScope::new(caller, node.session(), properties, variables)?;
    let statements = request_statements(&request.ksql, &scope.variables)?;
    validate(node, &statements, scope.clone()).await?;
    let mut entities = Vec::new();
    let mut at = 0;
    while let Some(statement) = statements.get(at) {
        let inserts = statements[at..].iter().take_while(|s| is_insert(&s.parsed)).count();
        let answered = if inserts > 0 {
            run_inserts(node, &statements[at..at + inserts], &scope).await.map(|()| None)
        } else {
            run(node, statement, &mut scope).await
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
async fn validate(
    node: &Node,
    statements: &[RequestStatement],
    mut scope: RequestScope,
) -> Result<(), ApiError> {
    let mut sandbox = node.sandbox(&scope.session).await?;
    let first = node.next_command_offset();
    for (number, statement) in statements.iter().enumerate() {
        let parsed = &statement.parsed;
        if let Statement::Set(set) = &parsed.statement {
            properties::set(&mut scope, set).map_err(|e| in_statement(e, &parsed.text))?;
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
            if node.push_query(&scope.caller, id).is_some() {
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
    node: &Node,
    statements: &[RequestStatement],
    scope: &RequestScope,
) -> Result<(), ApiError> {
    let sandbox = node.sandbox(&scope.session).await?;
    let mut rows: Vec<InsertRow> = Vec::new();
    for statement in statements {
        let prepared = sandbox.prepare(&statement.parsed.statement, &statement.parsed.text, 0);
        let row = match prepared {
            Ok(PreparedStatement::InsertValues(row)) => row,
            Ok(_) => continue,
            Err(error) => {
                insert::insert(node, &rows).await?;
                return Err(sql_error(&error, &statement.place, &statement.parsed.text));
            }
        };
        if rows.last().is_some_and(|last| last.source != row.source) {
            insert::insert(node, &rows).await?;
            rows.clear();
        }
        rows.push(*row);
    }
    insert::insert(node, &rows).await
}

async fn run(
    node: &Node,
    request: &RequestStatement,
    scope: &mut RequestScope,
) -> Result<Option<Value>, ApiError> {
    let parsed = &request.parsed;
    let text = &parsed.text;
    match &parsed.statement {
        Statement::Set(set) => {
            properties::set(scope, set).map_err(|e| in_statement(e, text))?;
            return Ok(None);
        }
        Statement::Unset { name } => {
            properties::unset(scope, node.session(), name)?;
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
        Statement::Show(what) => return show::show(node, what, scope, text).await.map(Some),
        Statement::Describe(what) => return describe::describe(node, what, scope, text).await.map(Some),
        Statement::Explain(target) => return explain::explain(node, target, scope, request).await.map(Some),
        Statement::Assert(what) => return assert::assert(node, what, text).await.map(Some),
        Statement::Terminate(QueryTarget::Query(typed)) => {
            let metastore = node.metastore();
            let is_persistent = metastore.query(&typed.name).is_some()
                || metastore.query(&typed.name.to_uppercase()).is_some();
            let push = if is_persistent { None } else { node.push_query(&scope.caller, &typed.name) };
            if let Some(push) = push {
                node.close_push(&scope.caller, &push.id);
                return Ok(Some(entity::terminated(text, &typed.name)));
            }
        }
        _ => {}
    }
    let status = apply::run_command(node, &request.place, parsed, scope).await?;
    let creates = matches!(parsed.statement, Statement::CreateSource(_) | Statement::CreateAsSelect(_));
    // IF NOT EXISTS of what exists.
    if creates && status.sequence < 0 {
        return Ok(Some(entity::warning(text, &status.message)));
    }
    let warnings =
        if status.query_id.is_some() { properties::warnings(&scope.properties) } else { Vec::new() };
    Ok(Some(entity::current_status(text, &status, &warnings)))
}
