//! `/query`: which kind of query a request asks for.

use weir_engine::settings::{OffsetReset, QuerySettings};
use weir_sql::ast;
use weir_sql::ast::kind::StatementKind;
use weir_sql::ast::query::{Emit, SelectKind};
use weir_sql::ast::statement::Statement;
use weir_sql::metastore::Metastore;
use weir_sql::plan::statement::PreparedStatement;
use weir_sql::schema::{ROWOFFSET, ROWPARTITION};

use crate::auth::access_watch::AccessWatch;
use crate::auth::caller::{Audited, Caller};
use crate::command::runner::CommandRunner;
use crate::error::ApiError;
use crate::http::api::{QueryEndpoint, QueryRequest, RunningQuery};
use crate::queries::start::query_options;
use crate::statement::sandbox::Sandbox;
use crate::statement::scope::{RequestScope, sql_error};
use crate::statement::script::{RequestStatement, request_statements};
use crate::statement::{print, pull, push, rights};

/// `/query`: starts the one query of the request.
pub async fn start(
    commands: &CommandRunner,
    caller: &Caller,
    request: QueryRequest,
) -> Result<RunningQuery, ApiError> {
    commands.wait_applied(request.command_sequence_number).await?;
    let context = commands.context();
    let variables =
        request.variables.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
    let scope = RequestScope::new(caller, context.session(), request.properties, variables)?;
    let statements = request_statements(&request.sql, &scope.variables)?;
    let refused = |message: String, text: &str| match request.endpoint {
        QueryEndpoint::Query => ApiError::bad_request(message),
        QueryEndpoint::QueryStream => ApiError::statement(message, text),
    };
    let [RequestStatement { parsed, place }] = statements.as_slice() else {
        let message = format!("Expected exactly one KSQL statement; found {} instead", statements.len());
        return Err(refused(message, &request.sql));
    };
    let sandbox = Sandbox::new(context, &scope.session);
    let action = rights::action(&parsed.statement);
    let needed = rights::named(&parsed.statement, &sandbox.metastore);
    if let Statement::Print(what) = &parsed.statement {
        caller.require(action, &needed, Audited::All)?;
        let access = AccessWatch::new(caller, action, needed);
        return print::start(context, what, request.endpoint, access).await;
    }
    let number = context.next_transient_number();
    let statement = (&parsed.statement, parsed.text.as_str());
    let prepared = rights::prepare(&sandbox, caller, statement, number, Audited::All, |e| {
        let error = sql_error(&e, place, &parsed.text);
        // ksqlDB answers so when the analysis of a push query fails.
        let is_push = parsed.statement.kind() == StatementKind::PushQuery;
        if is_push { ApiError::bad_request(error.message) } else { error }
    })?;
    let access = AccessWatch::new(caller, action, needed);
    match prepared {
        PreparedStatement::Pull(plan) => pull::start(context, &plan, number, &parsed.text, access).await,
        PreparedStatement::Push(mut query) => {
            let options = query_options(context, &scope.properties, false);
            // A value that a property cannot have is refused when the query is compiled.
            let settings = QuerySettings::from_properties(&options.properties).unwrap_or_default();
            let reset = settings.auto_offset_reset;
            if taps_query(&parsed.statement, &sandbox.metastore, reset) {
                query.plan.query_id = format!("SCALABLE_PUSH_QUERY_{number}");
            }
            push::start(context, caller, *query, options, &parsed.text, access).await
        }
        PreparedStatement::Command(_)
        | PreparedStatement::Skipped { .. }
        | PreparedStatement::InsertValues(_)
        | PreparedStatement::Queries { .. }
        | PreparedStatement::TerminateTransient { .. }
        | PreparedStatement::PassThrough(_) => {
            let message = "this endpoint takes SELECT and PRINT; send other statements to /ksql";
            Err(refused(message.to_owned(), &parsed.text))
        }
    }
}

/// True if all that the query does could be done to the output of one running query: a filter and a projection, from now
/// on. ksqlDB calls that a scalable push query and its ids tell.
fn taps_query(statement: &Statement, metastore: &Metastore, reset: OffsetReset) -> bool {
    let Statement::Query(query) = statement else { return false };
    let plain = query.joins.is_empty()
        && query.group_by.is_none()
        && query.window.is_none()
        && query.having.is_none()
        && query.partition_by.is_none()
        && query.emit == Some(Emit::Changes);
    let writers = metastore.writers(&query.from.name.name).count();
    let reads_origin = |expr: &ast::expr::Expr| {
        let mut found = false;
        expr.visit(&mut |e| {
            if let ast::expr::ExprKind::Column { name, .. } = &e.kind {
                found |= [ROWPARTITION, ROWOFFSET].contains(&name.name.as_str());
            }
        });
        found
    };
    let projected = query.projection.iter().filter_map(|item| match &item.kind {
        SelectKind::Expr { expr, .. } | SelectKind::Fields(expr) => Some(expr),
        SelectKind::All | SelectKind::AllOf(_) => None,
    });
    plain && writers == 1 && reset == OffsetReset::Latest && !projected.chain(&query.filter).any(reads_origin)
}
