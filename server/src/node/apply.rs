//! Commands carried out, right after they were written; and taken back if they cannot be.

use std::collections::BTreeMap;
use std::sync::Arc;

use indexmap::IndexMap;
use weir_broker::client::admin::Admin;
use weir_broker::protocol::error_code::ErrorCode as KafkaError;
use weir_engine::engine::StopMode;
use weir_engine::query::handle::QueryHandle;
use weir_engine::query::options::{OffsetReset, QueryOptions};
use weir_engine::query::status::QueryState;
use weir_engine::runtime::error::{Fault, RuntimeError};
use weir_sql::metastore::apply::Undo as DdlUndo;
use weir_sql::metastore::source::QueryEntry;
use weir_sql::plan::action::{Action, NewTopic, QueryStart, StatementEffects, apply};
use weir_sql::plan::command::DdlCommand;
use weir_sql::plan::physical::QueryPlan;

use crate::command::record::Command;
use crate::error::ApiError;
use crate::node::Node;

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
    Query { id: String, before: Option<Arc<QueryEntry>>, running: Option<Arc<QueryHandle>> },
    Paused { id: String, before: bool },
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
        self.node.change_metastore(|metastore| metastore.remove_query(id));
        self.node.stop_query(id, StopMode::Delete).await
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
        let reset = merged.get("auto.offset.reset").or_else(|| merged.get("ksql.streams.auto.offset.reset"));
        QueryOptions {
            auto_offset_reset: match reset {
                Some(value) if value.eq_ignore_ascii_case("earliest") => OffsetReset::Earliest,
                _ => OffsetReset::Latest,
            },
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
        let running = self.engine().query(id);
        let before = self.change_metastore(|metastore| metastore.add_query(start.entry()));
        changes.push(Change::Query { id: id.clone(), before, running: running.clone() });
        if running.is_some() {
            self.stop_query(id, StopMode::Keep).await?;
        }
        let started = self.start_query(start.plan, start.properties, false).await;
        if started.is_err() && running.is_none() {
            let options = self.query_options(start.properties, false);
            if let Err(error) = self.engine().discard_query(start.plan, options).await {
                tracing::error!(query_id = id, error = %error.chain(), "traces of a failed query are left");
            }
        }
        started
    }

    fn pause(&self, id: &str, changes: &mut Vec<Change>) -> Result<(), ApiError> {
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
        let before = self.query_status(id).is_some_and(|status| status.state == QueryState::Paused);
        match self.engine().resume(id).await {
            Ok(()) => {
                changes.push(Change::Paused { id: id.to_owned(), before });
                Ok(())
            }
            Err(RuntimeError::UnknownQuery { .. }) => {
                let metastore = self.metastore();
                let failure = self.shared.start_failures.lock().get(id).map(|f| f.properties.clone());
                match (metastore.query(id), failure) {
                    (Some(query), Some(properties)) => {
                        self.start_query(&query.plan, &properties, false).await
                    }
                    _ => Ok(()),
                }
            }
            Err(error) => Err(engine_error(error)),
        }
    }

    /// Takes changes back, the last one first.
    async fn undo(&self, changes: Vec<Change>) {
        for change in changes.into_iter().rev() {
            match change {
                Change::Ddl(undo) => self.change_metastore(|metastore| metastore.undo(undo)),
                Change::Query { id, before, running } => {
                    self.set_start_failure(&id, None);
                    self.change_metastore(|metastore| match before {
                        Some(before) => _ = metastore.add_query((*before).clone()),
                        None => _ = metastore.remove_query(&id),
                    });
                    if let Some(handle) = running {
                        self.restart(&handle).await;
                    }
                }
                Change::Paused { id, before } => {
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
    pub(crate) async fn start_query(
        &self,
        plan: &QueryPlan,
        properties: &IndexMap<String, String>,
        paused: bool,
    ) -> Result<(), ApiError> {
        let injected = weir_broker::failpoint!("query.start.before");
        let started = match injected {
            Err(error) => Err(ApiError::server(format!("query {} did not start: {error}", plan.query_id))),
            Ok(()) => {
                let options = self.query_options(properties, paused);
                self.engine().start_query(plan.clone(), options).await.map(drop).map_err(engine_error)
            }
        };
        let failure = started.as_ref().err().map(|error| (error.message.clone(), properties.clone()));
        self.set_start_failure(&plan.query_id, failure);
        started
    }

    async fn stop_query(&self, id: &str, mode: StopMode) -> Result<(), ApiError> {
        self.set_start_failure(id, None);
        match self.engine().stop_query(id, mode).await {
            Ok(()) => Ok(()),
            // It failed to start, or the node stopped between the command and the query.
            Err(RuntimeError::UnknownQuery { .. }) => Ok(()),
            Err(error) => Err(engine_error(error)),
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
