//! Commands carried out, right after they were written; and taken back if they cannot be.

use std::collections::BTreeMap;
use std::sync::Arc;

use indexmap::IndexMap;
use weir_broker::client::admin::Admin;
use weir_broker::protocol::error_code::ErrorCode as KafkaError;
use weir_engine::engine::StopMode;
use weir_engine::query::handle::QueryHandle;
use weir_engine::query::options::QueryOptions;
use weir_engine::query::settings::QuerySettings;
use weir_engine::query::status::QueryState;
use weir_engine::runtime::error::{Fault, Retry, RuntimeError};
use weir_sql::metastore::apply::Undo as DdlUndo;
use weir_sql::metastore::source::QueryEntry;
use weir_sql::plan::action::{Action, NewTopic, QueryStart, StatementEffects, apply};
use weir_sql::plan::command::DdlCommand;
use weir_sql::plan::physical::QueryPlan;

use crate::command::record::Command;
use crate::error::ApiError;
use crate::node::Node;
use crate::node::query_starts::StartRequest;

/// Why a command was not carried out.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The node is as it was before.
    Undone(ApiError),
    /// The command ended queries or deleted topics, which nothing brings back; what could be done of it was done.
    Partial(ApiError),
}

/// What one action changed.
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
    node: &'a Node,
    /// What was changed so far, in order.
    changes: Vec<Change>,
}

impl StatementEffects for NodeEffects<'_> {
    type Error = ApiError;

    /// Topics are made before the command is written.
    async fn create_topic(&mut self, _topic: NewTopic<'_>) -> Result<(), ApiError> {
        Ok(())
    }

    async fn change_metastore(&mut self, ddl: &DdlCommand) -> Result<(), ApiError> {
        let undo = self.node.change_metastore(|metastore| metastore.apply(ddl));
        self.changes.push(Change::Ddl(undo.map_err(|e| ApiError::server(e.to_string()))?));
        Ok(())
    }

    async fn start_query(&mut self, query: QueryStart<'_>) -> Result<(), ApiError> {
        self.node.start_or_replace(query, &mut self.changes).await
    }

    async fn stop_query(&mut self, id: &str) -> Result<(), ApiError> {
        let entry = self.node.change_metastore(|metastore| metastore.remove_query(id));
        self.node.drop_query(id, entry.as_deref()).await
    }

    async fn pause_query(&mut self, id: &str) -> Result<(), ApiError> {
        self.node.pause(id, &mut self.changes)
    }

    async fn resume_query(&mut self, id: &str) -> Result<(), ApiError> {
        self.node.resume(id, &mut self.changes).await
    }

    async fn delete_topic(&mut self, name: &str) -> Result<(), ApiError> {
        match Admin::new(self.node.transport()).delete_topics(&[name]).await {
            Ok(()) => Ok(()),
            Err(error) if error.code() == Some(KafkaError::UnknownTopicOrPartition) => Ok(()),
            Err(error) => Err(ApiError::server(format!("topic \"{name}\" cannot be deleted: {error}"))),
        }
    }
}

impl Node {
    /// The properties of a statement, with the node's for those that it does not set.
    pub(crate) fn query_options(&self, properties: &IndexMap<String, String>, paused: bool) -> QueryOptions {
        let mut merged: BTreeMap<String, String> =
            properties.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        for (name, value) in self.query_defaults() {
            if !properties.keys().any(|set| short_name(set) == short_name(name)) {
                merged.insert(name.clone(), value.clone());
            }
        }
        // A value that a property cannot have is refused when the query is compiled.
        let settings = QuerySettings::from_properties(&merged).unwrap_or_default();
        QueryOptions {
            auto_offset_reset: settings.auto_offset_reset.unwrap_or_default(),
            properties: merged,
            paused,
        }
    }

    /// Errors: a query of the command could not run, for a reason that is known before anything is changed.
    pub(crate) fn check_queries(&self, command: &Command) -> Result<(), ApiError> {
        for action in &command.actions {
            if let Action::StartQuery { plan, properties, .. } = action {
                self.engine()
                    .check_query(plan, &self.query_options(properties, false))
                    .map_err(engine_error)?;
            }
        }
        Ok(())
    }

    /// Makes the topics of a command that do not exist yet; gives the names of those it made.
    ///
    /// Errors: one cannot be made; those before are gone again.
    pub(crate) async fn create_topics(&self, command: &Command) -> Result<Vec<String>, ApiError> {
        let mut made = Vec::new();
        for action in &command.actions {
            let Action::CreateTopic { name, partitions, configs, .. } = action else { continue };
            match self.create_topic(name, *partitions, configs).await {
                Ok(true) => made.push(name.clone()),
                Ok(false) => {}
                Err(error) => {
                    self.delete_topics(&made).await;
                    return Err(error);
                }
            }
        }
        Ok(made)
    }

    /// False if the topic exists already.
    pub(crate) async fn create_topic(
        &self,
        name: &str,
        partitions: i32,
        configs: &BTreeMap<String, String>,
    ) -> Result<bool, ApiError> {
        if self.topic_info(name).is_some() {
            return Ok(false);
        }
        match Admin::new(self.transport()).create_topic(name, partitions, configs).await {
            Ok(()) => Ok(true),
            Err(error) if error.code() == Some(KafkaError::TopicAlreadyExists) => Ok(false),
            Err(error) => Err(ApiError::bad_request(format!("topic \"{name}\" cannot be created: {error}"))),
        }
    }

    /// Deletes topics that a command made before it failed.
    pub(crate) async fn delete_topics(&self, names: &[String]) {
        for name in names {
            if let Err(error) = Admin::new(self.transport()).delete_topics(&[name]).await {
                tracing::error!(topic = name, %error, "the topic of a failed statement cannot be deleted");
            }
        }
    }

    /// Carries out the actions of a command that was written.
    pub(crate) async fn carry_out(&self, command: &Command) -> Result<(), Failure> {
        let ends = |action: &Action| matches!(action, Action::StopQuery { .. } | Action::DeleteTopic { .. });
        if command.actions.iter().any(ends) {
            return self.carry_out_all(command).await.map_err(Failure::Partial);
        }
        let mut effects = NodeEffects { node: self, changes: Vec::new() };
        for action in &command.actions {
            if let Err(error) = apply(&mut effects, action).await {
                self.undo(effects.changes).await;
                return Err(Failure::Undone(error));
            }
        }
        Ok(())
    }

    /// Carries out every action, also after one that failed. Errors: of the first.
    async fn carry_out_all(&self, command: &Command) -> Result<(), ApiError> {
        let mut first = Ok(());
        let mut effects = NodeEffects { node: self, changes: Vec::new() };
        for action in &command.actions {
            let outcome = apply(&mut effects, action).await;
            first = first.and(outcome);
        }
        first
    }

    async fn start_or_replace(
        &self,
        start: QueryStart<'_>,
        changes: &mut Vec<Change>,
    ) -> Result<(), ApiError> {
        let id = &start.plan.query_id;
        let interrupted = self.cancel_start(id).await.or_else(|| self.failed_start(id));
        let running = self.engine().query(id);
        let before = self.change_metastore(|metastore| metastore.add_query(start.entry()));
        changes.push(Change::Query { id: id.clone(), before, running: running.clone(), start: interrupted });
        if running.is_some() {
            self.stop_query(id).await?;
        }
        self.start_query(start.plan, start.properties, false).await
    }

    fn pause(&self, id: &str, changes: &mut Vec<Change>) -> Result<(), ApiError> {
        if let Some(before) = self.pause_start(id, true) {
            changes.push(Change::Paused { id: id.to_owned(), before });
            return Ok(());
        }
        let before = self.query_status(id).is_some_and(|status| status.state == QueryState::Paused);
        match self.engine().pause(id) {
            Ok(()) => {
                changes.push(Change::Paused { id: id.to_owned(), before });
                Ok(())
            }
            // It did not start; the next start will find it paused.
            Err(RuntimeError::UnknownQuery { .. }) => Ok(()),
            Err(error) => Err(engine_error(error)),
        }
    }

    /// A query that did not start when the node did is tried again.
    async fn resume(&self, id: &str, changes: &mut Vec<Change>) -> Result<(), ApiError> {
        if self.start_waits(id) {
            if let Some(start) = self.cancel_start(id).await {
                return self.start_again(StartRequest { paused: false, ..start }).await;
            }
        } else if let Some(before) = self.pause_start(id, false) {
            changes.push(Change::Paused { id: id.to_owned(), before });
            return Ok(());
        }
        let before = self.query_status(id).is_some_and(|status| status.state == QueryState::Paused);
        match self.engine().resume(id).await {
            Ok(()) => {
                changes.push(Change::Paused { id: id.to_owned(), before });
                Ok(())
            }
            Err(RuntimeError::UnknownQuery { .. }) => match self.failed_start(id) {
                Some(start) => self.start_again(start).await,
                None => Ok(()),
            },
            Err(error) => Err(engine_error(error)),
        }
    }

    /// Tries a start at once. If it fails, it is tried again later as before.
    async fn start_again(&self, start: StartRequest) -> Result<(), ApiError> {
        match self.try_start(&start).await {
            Ok(()) => {
                self.set_start_failure(&start.plan.query_id, None);
                Ok(())
            }
            Err(error) => {
                let failure = (error.chain(), start.properties.clone());
                self.set_start_failure(&start.plan.query_id, Some(failure));
                if error.retry() == Retry::Backoff {
                    self.begin_start(start);
                }
                Err(engine_error(error))
            }
        }
    }

    /// Takes changes back, the last one first.
    async fn undo(&self, changes: Vec<Change>) {
        for change in changes.into_iter().rev() {
            match change {
                Change::Ddl(undo) => self.change_metastore(|metastore| metastore.undo(undo)),
                Change::Query { id, before, running, start } => {
                    self.set_start_failure(&id, None);
                    self.change_metastore(|metastore| match before {
                        Some(before) => _ = metastore.add_query((*before).clone()),
                        None => _ = metastore.remove_query(&id),
                    });
                    if let Some(handle) = running {
                        self.restart(&handle).await;
                    } else if let Some(start) = start {
                        self.begin_start(start);
                    }
                }
                Change::Paused { id, before } => {
                    if self.pause_start(&id, before).is_some() {
                        continue;
                    }
                    let back =
                        if before { self.engine().pause(&id) } else { self.engine().resume(&id).await };
                    if let Err(error) = back {
                        tracing::error!(query_id = id, error = %error.chain(), "the query's state is not as before");
                    }
                }
            }
        }
    }

    /// Starts a query again that was stopped for one that did not start.
    async fn restart(&self, handle: &QueryHandle) {
        let (plan, options) = ((*handle.plan).clone(), handle.options.clone());
        let properties = options.properties.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        if let Err(error) = self.engine().start_query(plan, options).await {
            tracing::error!(query_id = handle.query_id, error = %error.chain(), "query did not start again");
            self.set_start_failure(&handle.query_id, Some((error.chain(), properties)));
        }
    }

    /// Starts a query. A failure is remembered until it starts or is stopped.
    async fn start_query(
        &self,
        plan: &QueryPlan,
        properties: &IndexMap<String, String>,
        paused: bool,
    ) -> Result<(), ApiError> {
        let request = StartRequest { plan: Arc::new(plan.clone()), properties: properties.clone(), paused };
        let started = self.try_start(&request).await;
        let failure = started.as_ref().err().map(|error| (error.chain(), request.properties));
        self.set_start_failure(&plan.query_id, failure);
        started.map_err(engine_error)
    }

    /// Stops a query and keeps its state.
    async fn stop_query(&self, id: &str) -> Result<(), ApiError> {
        self.set_start_failure(id, None);
        match self.engine().stop_query(id, StopMode::Keep).await {
            Ok(()) => Ok(()),
            // The node stopped between the command and the query.
            Err(RuntimeError::UnknownQuery { .. }) => Ok(()),
            Err(error) => Err(engine_error(error)),
        }
    }

    /// Stops a query and deletes its state, also if it did not start. `entry`: what the metastore
    /// had of it.
    async fn drop_query(&self, id: &str, entry: Option<&QueryEntry>) -> Result<(), ApiError> {
        let start = self.cancel_start(id).await;
        self.set_start_failure(id, None);
        match (self.engine().stop_query(id, StopMode::Delete).await, entry) {
            (Ok(()), _) | (Err(RuntimeError::UnknownQuery { .. }), None) => Ok(()),
            (Err(RuntimeError::UnknownQuery { .. }), Some(entry)) => {
                let properties = start.map(|start| start.properties).unwrap_or_default();
                let options = self.query_options(&properties, false);
                if let Err(error) = self.engine().discard_query(&entry.plan, options).await {
                    tracing::error!(query_id = id, error = %error.chain(), "traces of a query that did not start are left");
                }
                Ok(())
            }
            (Err(error), _) => Err(engine_error(error)),
        }
    }
}

/// A property with and without the prefix of Kafka Streams is the same one.
fn short_name(name: &str) -> &str {
    name.strip_prefix("ksql.streams.").unwrap_or(name)
}

fn engine_error(error: RuntimeError) -> ApiError {
    match error.fault() {
        Fault::User => ApiError::bad_request(error.chain()),
        _ => ApiError::server(error.chain()),
    }
}
