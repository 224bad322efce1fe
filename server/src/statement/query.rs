//! SELECT: push and pull queries, and what streams them to the client.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use weir_engine::pull::freshness::Freshness;
use weir_engine::push::subscription::{PushRows, PushSubscription};
use weir_engine::query::options::{OffsetReset, QueryOptions};
use weir_engine::serde::json_value::row_to_json;
use weir_sql::ast;
use weir_sql::ast::kind::StatementKind;
use weir_sql::ast::query::{Emit, SelectKind};
use weir_sql::ast::statement::Statement;
use weir_sql::metastore::Metastore;
use weir_sql::plan::physical::ResultKind;
use weir_sql::plan::pull::{PullNode, PullPlan};
use weir_sql::plan::statement::{OutputColumn, PreparedStatement, PushQuery};
use weir_sql::schema::{Column, ROWOFFSET, ROWPARTITION, ROWTIME, WINDOWEND, WINDOWSTART};

use crate::auth::access_watch::AccessWatch;
use crate::auth::caller::{Audited, Caller};
use crate::error::{ApiError, ErrorCode};
use crate::http::api::{QueryEndpoint, QueryEvents, QueryKind, QueryRequest, RunningQuery};
use crate::node::Node;
use crate::node::push::PushQueryInfo;
use crate::statement::execute::{RequestScope, sql_error};
use crate::statement::rows::{RowSender, channel};
use crate::statement::script::{RequestStatement, request_statements};
use crate::statement::{entity, print, rights};
use crate::wire::rows::{HeaderColumn, RowEvent, RowsHeader};

const LIMIT_REACHED: Cow<'static, str> = Cow::Borrowed("Limit Reached");
const QUERY_COMPLETED: Cow<'static, str> = Cow::Borrowed("Query Completed");

/// Rows rendered into one batch of events.
const EVENT_ROWS_MAX: usize = 1_000;

/// `/query`: starts the one query of the request.
pub async fn start(node: &Node, caller: &Caller, request: QueryRequest) -> Result<RunningQuery, ApiError> {
    node.wait_applied(request.command_sequence_number).await?;
    let variables =
        request.variables.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
    let scope = RequestScope::new(caller, node.session(), request.properties, variables)?;
    let statements = request_statements(&request.sql, &scope.variables)?;
    let refused = |message: String, text: &str| match request.endpoint {
        QueryEndpoint::Query => ApiError::bad_request(message),
        QueryEndpoint::QueryStream => ApiError::statement(message, text),
    };
    let [RequestStatement { parsed, place }] = statements.as_slice() else {
        let message = format!("Expected exactly one KSQL statement; found {} instead", statements.len());
        return Err(refused(message, &request.sql));
    };
    let sandbox = node.sandbox(&scope.session).await?;
    let action = rights::action(&parsed.statement);
    let needed = rights::named(&parsed.statement, &sandbox.metastore);
    if let Statement::Print(what) = &parsed.statement {
        caller.require(action, &needed, Audited::All)?;
        let access = AccessWatch::new(caller, action, needed);
        return print::start(node, what, request.endpoint, access).await;
    }
    let number = node.next_transient_number();
    let statement = (&parsed.statement, parsed.text.as_str());
    let prepared = rights::prepare(&sandbox, caller, statement, number, Audited::All, |e| {
        let error = sql_error(&e, place, &parsed.text);
        // ksqlDB answers so when the analysis of a push query fails.
        let is_push = parsed.statement.kind() == StatementKind::PushQuery;
        if is_push { ApiError::bad_request(error.message) } else { error }
    })?;
    let access = AccessWatch::new(caller, action, needed);
    match prepared {
        PreparedStatement::Pull(plan) => pull(node, &plan, number, &parsed.text, access).await,
        PreparedStatement::Push(mut push) => {
            let options = node.query_options(&scope.properties, false);
            if taps_query(&parsed.statement, &sandbox.metastore, options.auto_offset_reset) {
                push.plan.query_id = format!("SCALABLE_PUSH_QUERY_{number}");
            }
            start_push(node, caller, *push, options, &parsed.text, access).await
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

/// A pull query on a table answers with the rows alone; one on a stream reads its topic as a transient query does, and
/// says how it ended.
async fn pull(
    node: &Node,
    plan: &PullPlan,
    number: i64,
    text: &str,
    access: AccessWatch,
) -> Result<RunningQuery, ApiError> {
    let freshness = node.wait_for_inserts(plan, &node.metastore()).await;
    let rows = node.pull(plan).await.map_err(|e| ApiError::statement(error_chain(&e), text))?;
    let of_stream = reads_stream(&plan.root);
    let ending = match freshness {
        Freshness::Behind { query_id } => Ending::Stale { query_id },
        Freshness::Current if of_stream => Ending::Told { limit: limit(&plan.root) },
        Freshness::Current => Ending::Silent,
    };
    let columns: Vec<Column> =
        plan.columns.iter().map(|c| Column::new(c.name.as_str(), c.sql_type.clone())).collect();
    let header = RowsHeader {
        query_id: Some(match plan.sources.first() {
            Some(source) if of_stream => format!("transient_{source}_{number}"),
            Some(_) | None => format!("query_{}", node.now_ms()),
        }),
        columns: plan
            .columns
            .iter()
            .map(|c| HeaderColumn {
                name: c.name.clone(),
                sql_type: c.sql_type.to_string(),
                schema: entity::schema(&c.sql_type),
                is_key: c.is_key && !of_stream,
            })
            .collect(),
    };
    let (sender, (events, dropped)) = channel(node.slow_reader_timeout());
    let task = tokio::spawn(stream_pull(rows, columns, ending, sender));
    let events = QueryEvents::new(events, dropped, access);
    Ok(RunningQuery { kind: QueryKind::Pull, header, events, guard: Box::new(AbortOnDrop(task)) })
}

/// What a pull query says after its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Ending {
    Silent,
    /// Whether all rows came, or as many as were asked for.
    Told {
        limit: Option<u64>,
    },
    /// Rows inserted before the query may be missing: this query had not processed them in time.
    Stale {
        query_id: String,
    },
}

fn reads_stream(node: &PullNode) -> bool {
    match node {
        PullNode::Scan(scan) => scan.kind == ResultKind::Stream,
        PullNode::Filter { input, .. }
        | PullNode::Aggregate { input, .. }
        | PullNode::Project { input, .. }
        | PullNode::Distinct { input }
        | PullNode::Sort { input, .. }
        | PullNode::Limit { input, .. } => reads_stream(input),
        PullNode::Join(join) => reads_stream(&join.left) || reads_stream(&join.right),
    }
}

/// A limit is the last step of a plan.
fn limit(node: &PullNode) -> Option<u64> {
    match node {
        PullNode::Limit { limit, .. } => *limit,
        _ => None,
    }
}

/// An error with its causes.
fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Ends a background loop with its query.
pub(crate) struct AbortOnDrop(pub(crate) tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn stream_pull(
    mut rows: SendableRecordBatchStream,
    columns: Vec<Column>,
    ending: Ending,
    sender: RowSender,
) {
    let mut count = 0;
    while let Some(batch) = rows.next().await {
        let batch: RecordBatch = match batch {
            Ok(batch) => batch,
            Err(error) => {
                let _ = sender.send(vec![RowEvent::Failed(ApiError::server(error.to_string()))]).await;
                return;
            }
        };
        count += batch.num_rows() as u64;
        for start in (0..batch.num_rows()).step_by(EVENT_ROWS_MAX) {
            let end = (start + EVENT_ROWS_MAX).min(batch.num_rows());
            let events = (start..end)
                .map(|row| RowEvent::Row {
                    columns: serde_json::Value::Array(row_to_json(&columns, batch.columns(), row))
                        .to_string(),
                    tombstone: false,
                })
                .collect();
            if !sender.send(events).await {
                return;
            }
        }
    }
    match ending {
        Ending::Silent => {}
        Ending::Told { limit: Some(limit) } if count >= limit => {
            let _ = sender.send(vec![RowEvent::Final(LIMIT_REACHED)]).await;
        }
        Ending::Told { .. } => {
            let _ = sender.send(vec![RowEvent::Final(QUERY_COMPLETED)]).await;
        }
        Ending::Stale { query_id } => {
            let message = format!(
                "Rows inserted a short time ago may be missing: query {query_id} has not processed them yet"
            );
            let _ = sender.send(vec![RowEvent::Final(message.into())]).await;
        }
    }
}

async fn start_push(
    node: &Node,
    caller: &Caller,
    push: PushQuery,
    options: QueryOptions,
    text: &str,
    access: AccessWatch,
) -> Result<RunningQuery, ApiError> {
    let slot = node.push_slot().ok_or_else(|| {
        ApiError::new(
            ErrorCode::TooManyPushQueries,
            "maximum number of push queries exceeded (ksql.max.push.queries)",
        )
    })?;
    let query_id = push.plan.query_id.clone();
    let info = PushQueryInfo {
        id: query_id.clone(),
        sql: text.to_owned(),
        plan: push.plan.clone(),
        properties: options.properties.clone(),
    };
    let subscription = node
        .engine()
        .push_query(push.plan, options, push.limit)
        .await
        .map_err(|e| ApiError::statement(e.chain(), text))?;
    let header = RowsHeader {
        query_id: Some(query_id.clone()),
        columns: push
            .columns
            .iter()
            .map(|c| HeaderColumn {
                name: c.name.clone(),
                sql_type: c.sql_type.to_string(),
                schema: entity::schema(&c.sql_type),
                is_key: false,
            })
            .collect(),
    };
    let (sender, (events, dropped)) = channel(node.slow_reader_timeout());
    let mut entry = node.register_push(caller, info);
    let limited = push.limit.is_some();
    let task = tokio::spawn(async move {
        tokio::select! {
            () = stream_push(subscription, push.columns, &sender, limited) => {}
            closing = entry.closed() => {
                // A client that reads slowly does not keep it in lists.
                drop(entry);
                let _ = sender.send(vec![RowEvent::Final(closing.message().into())]).await;
            }
        }
        drop(slot);
    });
    let events = QueryEvents::new(events, dropped, access);
    Ok(RunningQuery { kind: QueryKind::Push, header, events, guard: Box::new(AbortOnDrop(task)) })
}

async fn stream_push(
    mut subscription: PushSubscription,
    columns: Vec<OutputColumn>,
    sender: &RowSender,
    limited: bool,
) {
    let picks = picks(&subscription, &columns);
    while let Some(rows) = subscription.next().await {
        for start in (0..rows.len()).step_by(EVENT_ROWS_MAX) {
            let part = rows.slice(start, EVENT_ROWS_MAX.min(rows.len() - start));
            if !sender.send(render(&part, &columns, &picks)).await {
                return;
            }
        }
    }
    let last = match subscription.failure() {
        Some(message) => RowEvent::Failed(ApiError::server(message)),
        None if limited => RowEvent::Final(LIMIT_REACHED),
        None => RowEvent::Final(QUERY_COMPLETED),
    };
    let _ = sender.send(vec![last]).await;
}

/// Where in a row an output column is found.
#[derive(Clone, Copy, Debug)]
enum Pick {
    Key(usize),
    Value(usize),
    Rowtime,
    WindowStart,
    WindowEnd,
}

fn picks(subscription: &PushSubscription, columns: &[OutputColumn]) -> Vec<Pick> {
    let schema = subscription.schema();
    let windowed = subscription.is_windowed();
    columns
        .iter()
        .map(|c| {
            // The bounds of a window belong to the key: a row that is gone has them as well.
            if c.column == WINDOWSTART && windowed {
                Pick::WindowStart
            } else if c.column == WINDOWEND && windowed {
                Pick::WindowEnd
            } else if let Some(at) = schema.key.iter().position(|k| k.name == c.column) {
                Pick::Key(at)
            } else if let Some(at) = schema.value.iter().position(|v| v.name == c.column) {
                Pick::Value(at)
            } else {
                match c.column.as_str() {
                    WINDOWSTART => Pick::WindowStart,
                    WINDOWEND => Pick::WindowEnd,
                    name => {
                        debug_assert_eq!(name, ROWTIME, "the planner projects every other column");
                        Pick::Rowtime
                    }
                }
            }
        })
        .collect()
}

fn render(rows: &PushRows, columns: &[OutputColumn], picks: &[Pick]) -> Vec<RowEvent> {
    let types: Vec<Column> =
        columns.iter().map(|c| Column::new(c.name.as_str(), c.sql_type.clone())).collect();
    let longs = |values: &[i64]| Arc::new(arrow::array::Int64Array::from(values.to_vec())) as ArrayRef;
    let arrays: Vec<ArrayRef> = picks
        .iter()
        .map(|pick| match pick {
            Pick::Key(at) => rows.key[*at].clone(),
            Pick::Value(at) => rows.value[*at].clone(),
            Pick::Rowtime => longs(&rows.rowtime),
            Pick::WindowStart => {
                rows.window.as_ref().map_or_else(|| longs(&rows.rowtime), |w| longs(&w.start))
            }
            Pick::WindowEnd => rows.window.as_ref().map_or_else(|| longs(&rows.rowtime), |w| longs(&w.end)),
        })
        .collect();
    (0..rows.len())
        .map(|row| RowEvent::Row {
            columns: serde_json::Value::Array(row_to_json(&types, &arrays, row)).to_string(),
            tombstone: rows.is_absent(row),
        })
        .collect()
}
