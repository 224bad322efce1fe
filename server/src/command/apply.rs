//! Commands carried out, right after they were written; and taken back if they cannot be.

use std::collections::BTreeMap;
use std::sync::Arc;

use indexmap::IndexMap;
use weir_broker::protocol::error_code::ErrorCode as KafkaError;
use weir_engine::engine::StopMode;
use weir_engine::error::query::{Fault, Retry, RuntimeError};
use weir_engine::query::handle::QueryHandle;
use weir_engine::query::status::QueryState;
use weir_sql::metastore::apply::Undo as DdlUndo;
use weir_sql::metastore::source::QueryEntry;
use weir_sql::plan::action::{Action, NewTopic, QueryStart, StatementEffects, apply};
use weir_sql::plan::command::DdlCommand;
use weir_sql::plan::physical::QueryPlan;

use crate::command::record::Command;
use crate::context::Context;
use crate::error::ApiError;
use crate::queries::start::{self, query_options};
use crate::query_starts::StartRequest;

/// Why a command was not carried out.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The node is as it was before.
    Undone(ApiError),
    /// The command ended queries or deleted topics, which nothing brings back; what could be done of it was done.
    Partial(ApiError),
}

/// The change that one action made.
#[derive(Debug)]
enum Change {
    Ddl(DdlUndo),
    Query {
        id: String,
        before: Option<Arc<QueryEntry>>,
        running: Option<Arc<QueryHandle>>,
        /// It was not running: its start was under way, or had failed.
        start: Option<StartRequest>,
    },
    Paused {
        id: String,
        before: bool,
    },
}

/// A node that carries out a command.
struct NodeEffects<'a> {
    context: &'a Context,
    /// Changes so far, in order.
    changes: Vec<Change>,
}

impl StatementEffects for NodeEffects<'_> {
    type Error = ApiError;

    /// Topics are made before the command is written.
    async fn create_topic(&mut self, _topic: NewTopic<'_>) -> Result<(), ApiError> {
        Ok(())
    }

    async fn change_metastore(&mut self, ddl: &DdlCommand) -> Result<(), ApiError> {
        let undo = self.context.change_metastore(|metastore| metastore.apply(ddl));
        self.changes.push(Change::Ddl(undo.map_err(|e| ApiError::server(e.to_string()))?));
        Ok(())
    }

    async fn start_query(&mut self, query: QueryStart<'_>) -> Result<(), ApiError> {
        self.start_or_replace(query).await
    }

    async fn stop_query(&mut self, id: &str) -> Result<(), ApiError> {
        let entry = self.context.change_metastore(|metastore| metastore.remove_query(id));
        drop_query(self.context, id, entry.as_deref()).await
    }

    async fn pause_query(&mut self, id: &str) -> Result<(), ApiError> {
        self.pause(id)
    }

    async fn resume_query(&mut self, id: &str) -> Result<(), ApiError> {
        self.resume(id).await
    }

    async fn delete_topic(&mut self, name: &str) -> Result<(), ApiError> {
        match self.context.admin().delete_topics(&[name]).await {
            Ok(()) => Ok(()),
            Err(error) if error.code() == Some(KafkaError::UnknownTopicOrPartition) => Ok(()),
            Err(error) => Err(ApiError::server(format!("topic \"{name}\" cannot be deleted: {error}"))),
        }
    }
}

/// Errors: a query of the command could not run, for a reason that is known before anything is changed.
pub(crate) fn check_queries(context: &Context, command: &Command) -> Result<(), ApiError> {
    for action in &command.actions {
        if let Action::StartQuery { plan, properties, .. } = action {
            let options = query_options(context, properties, false);
            context.engine().check_query(plan, &options).map_err(engine_error)?;
        }
    }
    Ok(())
}

/// Makes the topics of a command that do not exist yet; gives the names of those it made.
///
/// Errors: one cannot be made; those before are gone again.
pub(crate) async fn create_topics(context: &Context, command: &Command) -> Result<Vec<String>, ApiError> {
    let mut made = Vec::new();
    for action in &command.actions {
        let Action::CreateTopic { name, partitions, configs, .. } = action else { continue };
        match create_topic(context, name, *partitions, configs).await {
            Ok(true) => made.push(name.clone()),
            Ok(false) => {}
            Err(error) => {
                delete_topics(context, &made).await;
                return Err(error);
            }
        }
    }
    Ok(made)
}

/// False if the topic exists already.
pub(crate) async fn create_topic(
    context: &Context,
    name: &str,
    partitions: i32,
    configs: &BTreeMap<String, String>,
) -> Result<bool, ApiError> {
    if context.broker().topic(name).is_some() {
        return Ok(false);
    }
    match context.admin().create_topic(name, partitions, configs).await {
        Ok(()) => Ok(true),
        Err(error) if error.code() == Some(KafkaError::TopicAlreadyExists) => Ok(false),
        Err(error) => Err(ApiError::bad_request(format!("topic \"{name}\" cannot be created: {error}"))),
    }
}

/// Deletes topics that a command made before it failed.
pub(crate) async fn delete_topics(context: &Context, names: &[String]) {
    for name in names {
        if let Err(error) = context.admin().delete_topics(&[name]).await {
            tracing::error!(topic = name, %error, "the topic of a failed statement cannot be deleted");
        }
    }
}

/// Carries out the actions of a command that was written.
pub(crate) async fn carry_out(context: &Context, command: &Command) -> Result<(), Failure> {
    let ends = |action: &Action| matches!(action, Action::StopQuery { .. } | Action::DeleteTopic { .. });
    if command.actions.iter().any(ends) {
        return carry_out_all(context, command).await.map_err(Failure::Partial);
    }
    let mut effects = NodeEffects { context, changes: Vec::new() };
    for action in &command.actions {
        if let Err(error) = apply(&mut effects, action).await {
            effects.undo().await;
            return Err(Failure::Undone(error));
        }
    }
    Ok(())
}

/// Carries out every action, also after one that failed. Errors: of the first.
async fn carry_out_all(context: &Context, command: &Command) -> Result<(), ApiError> {
    let mut first = Ok(());
    let mut effects = NodeEffects { context, changes: Vec::new() };
    for action in &command.actions {
        let outcome = apply(&mut effects, action).await;
        first = first.and(outcome);
    }
    first
}

impl NodeEffects<'_> {
    async fn start_or_replace(&mut self, start: QueryStart<'_>) -> Result<(), ApiError> {
        let (context, id) = (self.context, &start.plan.query_id);
        let interrupted = context.starts().cancel(id).await.or_else(|| start::failed(context, id));
        let running = context.engine().query(id);
        let before = context.change_metastore(|metastore| metastore.add_query(start.entry()));
        let is_running = running.is_some();
        self.changes.push(Change::Query { id: id.clone(), before, running, start: interrupted });
        if is_running {
            stop_query(context, id).await?;
        }
        start_query(context, start.plan, start.properties).await
    }

    fn pause(&mut self, id: &str) -> Result<(), ApiError> {
        if let Some(before) = self.context.starts().set_paused(id, true) {
            self.changes.push(Change::Paused { id: id.to_owned(), before });
            return Ok(());
        }
        let before = is_paused(self.context, id);
        match self.context.engine().pause(id) {
            Ok(()) => {
                self.changes.push(Change::Paused { id: id.to_owned(), before });
                Ok(())
            }
            // It did not start; the next start will find it paused.
            Err(RuntimeError::UnknownQuery { .. }) => Ok(()),
            Err(error) => Err(engine_error(error)),
        }
    }

    /// A query that did not start when the node did is tried again.
    async fn resume(&mut self, id: &str) -> Result<(), ApiError> {
        let context = self.context;
        if context.starts().waits(id) {
            if let Some(start) = context.starts().cancel(id).await {
                return start_again(context, StartRequest { paused: false, ..start }).await;
            }
        } else if let Some(before) = context.starts().set_paused(id, false) {
            self.changes.push(Change::Paused { id: id.to_owned(), before });
            return Ok(());
        }
        let before = is_paused(context, id);
        match context.engine().resume(id).await {
            Ok(()) => {
                self.changes.push(Change::Paused { id: id.to_owned(), before });
                Ok(())
            }
            Err(RuntimeError::UnknownQuery { .. }) => match start::failed(context, id) {
                Some(start) => start_again(context, start).await,
                None => Ok(()),
            },
            Err(error) => Err(engine_error(error)),
        }
    }

    /// Takes the changes back, the last one first.
    async fn undo(self) {
        let context = self.context;
        for change in self.changes.into_iter().rev() {
            match change {
                Change::Ddl(undo) => context.change_metastore(|metastore| metastore.undo(undo)),
                Change::Query { id, before, running, start } => {
                    context.starts().set_failure(&id, None);
                    context.change_metastore(|metastore| match before {
                        Some(before) => _ = metastore.add_query((*before).clone()),
                        None => _ = metastore.remove_query(&id),
                    });
                    if let Some(handle) = running {
                        restart(context, &handle).await;
                    } else if let Some(start) = start {
                        start::begin(context, start);
                    }
                }
                Change::Paused { id, before } => {
                    if context.starts().set_paused(&id, before).is_some() {
                        continue;
                    }
                    let engine = context.engine();
                    let back = if before { engine.pause(&id) } else { engine.resume(&id).await };
                    if let Err(error) = back {
                        tracing::error!(query_id = id, error = %error.chain(), "the query's state is not as before");
                    }
                }
            }
        }
    }
}

fn is_paused(context: &Context, id: &str) -> bool {
    context.engine().query_status(id).is_some_and(|status| status.state == QueryState::Paused)
}

/// Tries a start at once. If it fails, it is tried again later as before.
async fn start_again(context: &Context, request: StartRequest) -> Result<(), ApiError> {
    match start::attempt(context, &request).await {
        Ok(()) => {
            context.starts().set_failure(&request.plan.query_id, None);
            Ok(())
        }
        Err(error) => {
            let properties = request.properties.clone();
            start::note_failure(context, &request.plan.query_id, error.chain(), properties);
            if error.retry() == Retry::Backoff {
                start::begin(context, request);
            }
            Err(engine_error(error))
        }
    }
}

/// Starts a query again that was stopped for one that did not start.
async fn restart(context: &Context, handle: &QueryHandle) {
    let (plan, options) = ((*handle.plan).clone(), handle.options.clone());
    let properties = options.properties.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    if let Err(error) = context.engine().start_query(plan, options).await {
        tracing::error!(query_id = handle.query_id, error = %error.chain(), "query did not start again");
        start::note_failure(context, &handle.query_id, error.chain(), properties);
    }
}

/// Starts a query. A failure is remembered until it starts or is stopped.
async fn start_query(
    context: &Context,
    plan: &QueryPlan,
    properties: &IndexMap<String, String>,
) -> Result<(), ApiError> {
    let (plan, properties) = (Arc::new(plan.clone()), properties.clone());
    let request = StartRequest { plan, properties, paused: false };
    let started = start::attempt(context, &request).await;
    match &started {
        Ok(()) => context.starts().set_failure(&request.plan.query_id, None),
        Err(error) => {
            start::note_failure(context, &request.plan.query_id, error.chain(), request.properties);
        }
    }
    started.map_err(engine_error)
}

/// Stops a query and keeps its state.
async fn stop_query(context: &Context, id: &str) -> Result<(), ApiError> {
    context.starts().set_failure(id, None);
    match context.engine().stop_query(id, StopMode::Keep).await {
        Ok(()) => Ok(()),
        // The node stopped between the command and the query.
        Err(RuntimeError::UnknownQuery { .. }) => Ok(()),
        Err(error) => Err(engine_error(error)),
    }
}

/// Stops a query and deletes its state, also if it did not start. `entry`: what the metastore
/// had of it.
async fn drop_query(context: &Context, id: &str, entry: Option<&QueryEntry>) -> Result<(), ApiError> {
    let start = context.starts().cancel(id).await;
    context.starts().set_failure(id, None);
    match (context.engine().stop_query(id, StopMode::Delete).await, entry) {
        (Ok(()), _) | (Err(RuntimeError::UnknownQuery { .. }), None) => Ok(()),
        (Err(RuntimeError::UnknownQuery { .. }), Some(entry)) => {
            let properties = start.map(|start| start.properties).unwrap_or_default();
            let options = query_options(context, &properties, false);
            if let Err(error) = context.engine().discard_query(&entry.plan, options).await {
                tracing::error!(query_id = id, error = %error.chain(), "traces of a query that did not start are left");
            }
            Ok(())
        }
        (Err(error), _) => Err(engine_error(error)),
    }
}

fn engine_error(error: RuntimeError) -> ApiError {
    match error.fault() {
        Fault::User => ApiError::bad_request(error.chain()),
        _ => ApiError::server(error.chain()),
    }
}
