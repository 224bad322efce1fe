//! `/ksql`: a batch of statements, checked as a whole, then run one by one.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde_json::Value;
use weir_engine::query::settings::QuerySettings;
use weir_sql::ast::statement::Statement;
use weir_sql::error::{ErrorKind, SqlError};
use weir_sql::parser::{ParsedStatement, parse_statements};
use weir_sql::plan::statement::PreparedStatement;
use weir_sql::session::Session;
use weir_sql::variables::substitute;

use crate::auth::caller::{Audited, Caller};
use crate::error::{ApiError, ErrorCode};
use crate::node::Node;
use crate::statement::{apply, assert, describe, entity, explain, insert, properties, rights, show};
use crate::wire::request::{StatementRequest, property_texts};

/// Statements one request may have.
const STATEMENTS_MAX: usize = 1_000;

/// What a request carries into each of its statements, and what SET and DEFINE change on the way.
#[derive(Clone, Debug)]
pub struct RequestScope {
    pub properties: IndexMap<String, String>,
    pub variables: BTreeMap<String, String>,
    pub session: Session,
    /// The client whose rights are checked.
    pub caller: Caller,
}

impl RequestScope {
    pub fn new(
        caller: &Caller,
        base: &Session,
        properties: IndexMap<String, String>,
        variables: BTreeMap<String, String>,
    ) -> Result<RequestScope, ApiError> {
        let mut session = base.clone();
        for (name, value) in &properties {
            properties::check(name)?;
            let known = QuerySettings::default().set(name, value);
            known.map_err(|e| ApiError::bad_request(e.to_string()))?;
            session.set(name, value).map_err(|e| ApiError::bad_request(e.message))?;
        }
        Ok(RequestScope { properties, variables, session, caller: caller.clone() })
    }
}

/// The error of a statement with its place, as the answer carries it.
pub fn sql_error(error: &SqlError, request: &str, statement: &str) -> ApiError {
    let message = error.render(request);
    match error.kind {
        ErrorKind::Syntax | ErrorKind::Analysis | ErrorKind::Unsupported => {
            ApiError::statement(message, statement)
        }
        ErrorKind::Missing => ApiError::bad_request(message),
        ErrorKind::NoSchemaRegistry => ApiError::new(ErrorCode::NoSchemaRegistry, message),
    }
}

/// Parses the text of a request after its variables are filled in.
pub fn parse(text: &str, scope: &RequestScope) -> Result<(String, Vec<ParsedStatement>), ApiError> {
    let text = substitute(text, &scope.variables).map_err(|e| sql_error(&e, text, text))?;
    let statements = parse_statements(&text).map_err(|e| sql_error(&e, &text, &text))?;
    if statements.len() > STATEMENTS_MAX {
        let message =
            format!("a request may have {STATEMENTS_MAX} statements, this has {}", statements.len());
        return Err(ApiError::bad_request(message));
    }
    Ok((text, statements))
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
    let (text, statements) = parse(&request.ksql, &scope)?;
    validate(node, &text, &statements, scope.clone()).await?;
    let mut entities = Vec::new();
    for parsed in &statements {
        match run(node, &text, parsed, &mut scope).await {
            Ok(Some(answer)) => entities.push(answer),
            Ok(None) => {}
            Err(mut error) => {
                error.entities = entities;
                error.statement.get_or_insert_with(|| parsed.text.clone());
                return Err(error);
            }
        }
    }
    Ok(entities)
}

/// Refuses the whole batch if any of its statements could not run after those before it.
async fn validate(
    node: &Node,
    text: &str,
    statements: &[ParsedStatement],
    mut scope: RequestScope,
) -> Result<(), ApiError> {
    let mut sandbox = node.sandbox(&scope.session).await?;
    let first = node.next_command_offset();
    for (number, parsed) in statements.iter().enumerate() {
        if let Statement::Set(set) = &parsed.statement {
            properties::set(&mut scope, set)?;
        }
        sandbox.session = scope.session.clone();
        let statement = (&parsed.statement, parsed.text.as_str());
        let prepared =
            rights::prepare(&sandbox, &scope.caller, statement, first + number as i64, Audited::All, |e| {
                sql_error(&e, text, &parsed.text)
            })?;
        let is_query = matches!(prepared, PreparedStatement::Pull(_) | PreparedStatement::Push(_))
            || matches!(parsed.statement, Statement::Print(_));
        if is_query {
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

async fn run(
    node: &Node,
    text: &str,
    parsed: &ParsedStatement,
    scope: &mut RequestScope,
) -> Result<Option<Value>, ApiError> {
    match &parsed.statement {
        Statement::Set(set) => {
            properties::set(scope, set)?;
            return Ok(None);
        }
        Statement::Unset { name } => {
            properties::unset(scope, node.session(), name)?;
            return Ok(None);
        }
        Statement::Define { name, value } => {
            scope.variables.insert(name.name.to_ascii_lowercase(), value.clone());
            return Ok(None);
        }
        Statement::Undefine { name } => {
            scope.variables.remove(&name.name.to_ascii_lowercase());
            return Ok(None);
        }
        Statement::Show(what) => return show::show(node, what, scope, &parsed.text).await.map(Some),
        Statement::Describe(what) => {
            return describe::describe(node, what, scope, &parsed.text).await.map(Some);
        }
        Statement::Explain(target) => {
            return explain::explain(node, target, scope, &parsed.text).await.map(Some);
        }
        Statement::Assert(what) => return assert::assert(node, what, &parsed.text).await.map(Some),
        Statement::InsertValues(_) => {
            let sandbox = node.sandbox(&scope.session).await?;
            let prepared = sandbox
                .prepare(&parsed.statement, &parsed.text, 0)
                .map_err(|e| sql_error(&e, text, &parsed.text))?;
            if let PreparedStatement::InsertValues(row) = prepared {
                insert::insert(node, &row).await?;
            }
            return Ok(None);
        }
        Statement::CreateConnector { .. } | Statement::DropConnector { .. } => {
            return Err(ApiError::statement(
                "connectors are not available: no Connect worker is configured",
                &parsed.text,
            ));
        }
        Statement::AlterSystem(_) => {
            let message = "ALTER SYSTEM needs ksql.runtime.feature.shared.enabled, which is off";
            return Err(ApiError::server(message));
        }
        Statement::RunScript { .. } => {
            return Err(ApiError::statement(
                "RUN SCRIPT is a command of the shell, not of the server",
                &parsed.text,
            ));
        }
        _ => {}
    }
    let status = apply::run_command(node, text, parsed, scope).await?;
    let creates = matches!(
        parsed.statement,
        Statement::CreateSource(_) | Statement::CreateAsSelect(_) | Statement::CreateType { .. }
    );
    // IF NOT EXISTS of what exists.
    if creates && status.sequence < 0 {
        return Ok(Some(entity::warning(&parsed.text, &status.message)));
    }
    Ok(Some(entity::current_status(&parsed.text, &status)))
}
