//! Push queries: SELECT with EMIT.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use weir_broker::env::spawn;
use weir_engine::push::subscription::{PushRows, PushSubscription};
use weir_engine::settings::QueryOptions;
use weir_sql::plan::statement::{OutputColumn, PushQuery};
use weir_sql::schema::{Column, ROWTIME, WINDOWEND, WINDOWSTART};

use crate::auth::access_watch::AccessWatch;
use crate::auth::caller::Caller;
use crate::context::Context;
use crate::error::{ApiError, ErrorCode};
use crate::http::api::{QueryEvents, QueryKind, RunningQuery};
use crate::push_queries::PushQueryInfo;
use crate::statement::entity;
use crate::statement::render::{AbortOnDrop, EVENT_ROWS_MAX, LIMIT_REACHED, QUERY_COMPLETED, render};
use crate::statement::rows::{RowSender, channel};
use crate::wire::rows::{HeaderColumn, RowEvent, RowsHeader};

pub(crate) async fn start(
    context: &Context,
    caller: &Caller,
    push: PushQuery,
    options: QueryOptions,
    text: &str,
    access: AccessWatch,
) -> Result<RunningQuery, ApiError> {
    let slot = context.pushes().slot().ok_or_else(|| {
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
    let subscription = context
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
    let (sender, (events, dropped)) = channel(context.config().slow_reader_timeout);
    let mut entry = context.pushes().register(caller, info);
    let limited = push.limit.is_some();
    let task = spawn::task("push-query", async move {
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
    let sources = column_sources(&subscription, &columns);
    let types: Vec<Column> =
        columns.iter().map(|c| Column::new(c.name.as_str(), c.sql_type.clone())).collect();
    while let Some(rows) = subscription.next().await {
        for start in (0..rows.len()).step_by(EVENT_ROWS_MAX) {
            let part = rows.slice(start, EVENT_ROWS_MAX.min(rows.len() - start));
            let arrays = columns_of(&part, &sources);
            let events = render(&types, &arrays, 0..part.len(), |row| part.is_absent(row));
            if !sender.send(events).await {
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
enum ColumnSource {
    Key(usize),
    Value(usize),
    Rowtime,
    WindowStart,
    WindowEnd,
}

fn column_sources(subscription: &PushSubscription, columns: &[OutputColumn]) -> Vec<ColumnSource> {
    let schema = subscription.schema();
    let windowed = subscription.is_windowed();
    columns
        .iter()
        .map(|c| {
            // The bounds of a window belong to the key: a row that is gone has them as well.
            if c.column == WINDOWSTART && windowed {
                ColumnSource::WindowStart
            } else if c.column == WINDOWEND && windowed {
                ColumnSource::WindowEnd
            } else if let Some(at) = schema.key.iter().position(|k| k.name == c.column) {
                ColumnSource::Key(at)
            } else if let Some(at) = schema.value.iter().position(|v| v.name == c.column) {
                ColumnSource::Value(at)
            } else {
                match c.column.as_str() {
                    WINDOWSTART => ColumnSource::WindowStart,
                    WINDOWEND => ColumnSource::WindowEnd,
                    name => {
                        debug_assert_eq!(name, ROWTIME, "the planner projects every other column");
                        ColumnSource::Rowtime
                    }
                }
            }
        })
        .collect()
}

/// The output columns of some rows.
fn columns_of(rows: &PushRows, sources: &[ColumnSource]) -> Vec<ArrayRef> {
    let longs = |values: &[i64]| Arc::new(Int64Array::from(values.to_vec())) as ArrayRef;
    let column = |source: &ColumnSource| match source {
        ColumnSource::Key(at) => rows.key[*at].clone(),
        ColumnSource::Value(at) => rows.value[*at].clone(),
        ColumnSource::Rowtime => longs(&rows.rowtime),
        ColumnSource::WindowStart => {
            rows.window.as_ref().map_or_else(|| longs(&rows.rowtime), |w| longs(&w.start))
        }
        ColumnSource::WindowEnd => {
            rows.window.as_ref().map_or_else(|| longs(&rows.rowtime), |w| longs(&w.end))
        }
    };
    sources.iter().map(column).collect()
}
