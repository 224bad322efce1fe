//! Commands carried out: live, right after they were written, and again when a node starts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use indexmap::IndexMap;
use tokio::sync::MutexGuard;
use weir_broker::client::admin::Admin;
use weir_broker::protocol::error_code::ErrorCode as KafkaError;
use weir_engine::engine::StopMode;
use weir_engine::query::options::{OffsetReset, QueryOptions};
use weir_sql::metastore::source::QueryEntry;
use weir_sql::plan::physical::QueryPlan;

use crate::command::compact::{topics_made, without_effect};
use crate::command::log::{CommandLog, StoredCommand};
use crate::command::record::{Action, Command};
use crate::error::ApiError;
use crate::node::{Node, NodeError};

impl Node {
    /// Holds off every other command until dropped.
    pub async fn lock_commands(&self) -> CommandGuard<'_> {
        CommandGuard { node: self, log: self.shared.commands.lock().await }
    }

    /// Makes the topics of a command that do not exist yet.
    pub async fn create_topics(&self, command: &Command) -> Result<(), ApiError> {
        for action in &command.actions {
            if let Action::CreateTopic { name, partitions, configs } = action {
                self.create_topic(name, *partitions, configs).await?;
            }
        }
        Ok(())
    }

    async fn create_topic(
        &self,
        name: &str,
        partitions: i32,
        configs: &BTreeMap<String, String>,
    ) -> Result<(), ApiError> {
        match Admin::new(self.transport()).create_topic(name, partitions, configs).await {
            Ok(()) => Ok(()),
            Err(error) if error.code() == Some(KafkaError::TopicAlreadyExists) => Ok(()),
            Err(error) => Err(ApiError::bad_request(format!("topic \"{name}\" cannot be created: {error}"))),
        }
    }

    /// Carries out the actions of a command. `replaying`: queries are not started yet, nor topics deleted again.
    pub async fn apply(&self, command: &Command, replaying: bool) -> Result<(), ApiError> {
        for action in &command.actions {
            self.apply_action(action, replaying).await?;
        }
        Ok(())
    }

    async fn apply_action(&self, action: &Action, replaying: bool) -> Result<(), ApiError> {
        match action {
            // Made before the command was written.
            Action::CreateTopic { .. } => {}
            Action::Ddl(ddl) => {
                let undo = self.shared.metastore.write().apply(ddl);
                undo.map(drop).map_err(|e| ApiError::server(e.to_string()))?;
            }
            Action::StartQuery { plan, kind, sql, properties } => {
                let entry = QueryEntry { kind: *kind, plan: (**plan).clone(), sql: sql.clone() };
                let replaced = self.shared.metastore.write().add_query(entry);
                if !replaying {
                    if replaced.is_some() {
                        self.stop_query(&plan.query_id, StopMode::Keep).await?;
                    }
                    self.start_query(plan, properties, false).await?;
                }
            }
            Action::StopQuery { id } => {
                self.shared.metastore.write().remove_query(id);
                if !replaying {
                    self.stop_query(id, StopMode::Delete).await?;
                }
            }
            Action::PauseQuery { id } if !replaying => self.engine().pause(id).map_err(engine_error)?,
            Action::ResumeQuery { id } if !replaying => self.engine().resume(id).map_err(engine_error)?,
            Action::PauseQuery { .. } | Action::ResumeQuery { .. } => {}
            Action::DeleteTopic { name } if !replaying => {
                match Admin::new(self.transport()).delete_topics(&[name]).await {
                    Ok(()) => {}
                    Err(error) if error.code() == Some(KafkaError::UnknownTopicOrPartition) => {}
                    Err(error) => {
                        return Err(ApiError::server(format!("topic \"{name}\" cannot be deleted: {error}")));
                    }
                }
            }
            Action::DeleteTopic { .. } => {}
        }
        Ok(())
    }

    async fn start_query(
        &self,
        plan: &QueryPlan,
        properties: &IndexMap<String, String>,
        paused: bool,
    ) -> Result<(), ApiError> {
        let reset =
            properties.get("auto.offset.reset").or_else(|| properties.get("ksql.streams.auto.offset.reset"));
        let options = QueryOptions {
            auto_offset_reset: match reset {
                Some(value) if value.eq_ignore_ascii_case("earliest") => OffsetReset::Earliest,
                _ => OffsetReset::Latest,
            },
            properties: properties.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
            paused,
        };
        let started = self.engine().start_query(plan.clone(), options).await.map(drop).map_err(engine_error);
        self.set_start_failure(&plan.query_id, started.as_ref().err().map(|e| e.message.clone()));
        started
    }

    async fn stop_query(&self, id: &str, mode: StopMode) -> Result<(), ApiError> {
        self.set_start_failure(id, None);
        match self.engine().stop_query(id, mode).await {
            Ok(()) => Ok(()),
            // It failed to start, or the node stopped between the command and the query.
            Err(weir_engine::runtime::error::RuntimeError::UnknownQuery { .. }) => Ok(()),
            Err(error) => Err(engine_error(error)),
        }
    }

    /// Applies the command topic from its beginning, then starts what should run.
    pub(crate) async fn replay(&self, stored: Vec<StoredCommand>) -> Result<(), NodeError> {
        let mut running: IndexMap<&str, (&QueryPlan, &IndexMap<String, String>)> = IndexMap::new();
        let mut paused: BTreeSet<&str> = BTreeSet::new();
        for (name, (partitions, configs)) in topics_made(&stored) {
            self.create_topic(name, partitions, configs).await.map_err(replay_error)?;
        }
        for command in &stored {
            self.apply(&command.command, true).await.map_err(replay_error)?;
            for action in &command.command.actions {
                match action {
                    Action::StartQuery { plan, properties, .. } => {
                        running.insert(&plan.query_id, (plan, properties));
                    }
                    Action::StopQuery { id } => {
                        running.shift_remove(id.as_str());
                        paused.remove(id.as_str());
                    }
                    Action::PauseQuery { id } => {
                        paused.insert(id);
                    }
                    Action::ResumeQuery { id } => {
                        paused.remove(id.as_str());
                    }
                    Action::CreateTopic { .. } | Action::Ddl(_) | Action::DeleteTopic { .. } => {}
                }
            }
            self.record_status(&command.command.id, &Ok(()), "Statement executed");
        }
        for (id, (plan, properties)) in running {
            if let Err(error) = self.start_query(plan, properties, paused.contains(id)).await {
                // The other queries go on; SHOW QUERIES tells ERROR for this one.
                tracing::error!(query_id = id, error = %error.message, "query did not start");
            }
        }
        let dead = without_effect(&stored);
        if !dead.is_empty() {
            let now_ms = self.now_ms();
            let mut log = self.lock_commands().await;
            log.forget(&dead, now_ms).await?;
        }
        Ok(())
    }
}

fn engine_error(error: weir_engine::runtime::error::RuntimeError) -> ApiError {
    match error.fault() {
        weir_engine::runtime::error::Fault::User => ApiError::bad_request(error.chain()),
        _ => ApiError::server(error.chain()),
    }
}

fn replay_error(error: ApiError) -> NodeError {
    NodeError::Replay { message: error.message }
}

/// The command topic, locked. Keeps the node's idea of the next offset true.
#[derive(Debug)]
pub struct CommandGuard<'n> {
    node: &'n Node,
    log: MutexGuard<'n, CommandLog>,
}

impl CommandGuard<'_> {
    pub fn next_offset(&self) -> i64 {
        self.log.next_offset()
    }

    /// Writes a command; it is durable when this returns its offset.
    pub async fn append(
        &mut self,
        command: &Command,
        now_ms: i64,
    ) -> Result<i64, crate::command::log::CommandLogError> {
        drop(weir_broker::failpoint!("command.append.before"));
        let appended = self.log.append(command, now_ms).await;
        drop(weir_broker::failpoint!("command.append.after"));
        self.node.shared.next_command_offset.store(self.log.next_offset(), Ordering::Release);
        appended
    }

    pub(crate) async fn forget(
        &mut self,
        commands: &[&StoredCommand],
        now_ms: i64,
    ) -> Result<(), crate::command::log::CommandLogError> {
        drop(weir_broker::failpoint!("command.forget.before"));
        let forgotten = self.log.forget(commands, now_ms).await;
        drop(weir_broker::failpoint!("command.forget.after"));
        self.node.shared.next_command_offset.store(self.log.next_offset(), Ordering::Release);
        forgotten
    }
}
