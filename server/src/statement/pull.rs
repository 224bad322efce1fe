//! Pull queries: SELECT without EMIT.

use std::time::Duration;

use arrow::array::RecordBatch;
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use weir_broker::env::spawn;
use weir_broker::error::chain;
use weir_engine::pull::executor::PullError;
use weir_engine::pull::freshness::{Freshness, ReadSource, wait_until_read};
use weir_engine::query::status::QueryState;
use weir_sql::metastore::Metastore;
use weir_sql::plan::physical::ResultKind;
use weir_sql::plan::pull::{PullNode, PullPlan};
use weir_sql::schema::Column;

use crate::auth::access_watch::AccessWatch;
use crate::context::Context;
use crate::error::ApiError;
use crate::http::api::{QueryEvents, QueryKind, RunningQuery};
use crate::queries::start;
use crate::statement::entity;
use crate::statement::render::{AbortOnDrop, EVENT_ROWS_MAX, LIMIT_REACHED, QUERY_COMPLETED, render};
use crate::statement::rows::{RowSender, channel};
use crate::wire::rows::{HeaderColumn, RowEvent, RowsHeader};

/// How long a pull query waits for rows that were inserted before it.
const READ_OWN_INSERTS_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a pull query waits for the start of the queries that it depends on.
const STARTED_WITHIN: Duration = Duration::from_secs(10);

/// A pull query on a table answers with the rows alone; one on a stream reads its topic as a transient query does, and
/// says how it ended.
pub(crate) async fn start(
    context: &Context,
    plan: &PullPlan,
    number: i64,
    text: &str,
    access: AccessWatch,
) -> Result<RunningQuery, ApiError> {
    let freshness = wait_for_inserts(context, plan, &context.metastore()).await;
    let rows = run(context, plan).await.map_err(|e| ApiError::statement(chain(&e), text))?;
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
            Some(_) | None => format!("query_{}", context.now_ms()),
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
    let (sender, (events, dropped)) = channel(context.config().slow_reader_timeout);
    let task = spawn::task("pull-query", stream_pull(rows, columns, ending, sender));
    let events = QueryEvents::new(events, dropped, access);
    Ok(RunningQuery { kind: QueryKind::Pull, header, events, guard: Box::new(AbortOnDrop(task)) })
}

/// Waits until the state that a pull query reads includes the rows inserted through this node before it.
async fn wait_for_inserts(context: &Context, plan: &PullPlan, metastore: &Metastore) -> Freshness {
    let written = context.inserts().recent_ends();
    if written.is_empty() {
        return Freshness::Current;
    }
    let unstarted = start::wait_for(context, &plan.sources, READ_OWN_INSERTS_TIMEOUT).await;
    if let Some(query_id) = unstarted {
        return Freshness::Behind { query_id };
    }
    let sources = plan.sources.iter().filter_map(|name| metastore.source(name));
    let sources: Vec<ReadSource<'_>> = sources
        .map(|s| ReadSource { name: s.name.as_str(), topic: s.topic.as_str(), kind: s.kind })
        .collect();
    wait_until_read(context.engine(), &sources, &written, READ_OWN_INSERTS_TIMEOUT).await
}

/// Starts a pull query. Waits for queries that are starting, for a while.
async fn run(context: &Context, plan: &PullPlan) -> Result<SendableRecordBatchStream, PullError> {
    let starting = start::wait_for(context, &plan.sources, STARTED_WITHIN).await;
    let rows = context.pull_executor().run(plan, context.engine(), &context.metastore()).await;
    rows.map_err(|error| match (error, starting) {
        (PullError::NotMaterialized { table }, Some(_)) => {
            PullError::NotReady { table, state: QueryState::Starting.name() }
        }
        (error, _) => error,
    })
}

/// The message that follows the rows of a pull query.
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

fn reads_stream(step: &PullNode) -> bool {
    match step {
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
fn limit(step: &PullNode) -> Option<u64> {
    match step {
        PullNode::Limit { limit, .. } => *limit,
        _ => None,
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
            if !sender.send(render(&columns, batch.columns(), start..end, |_| false)).await {
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
