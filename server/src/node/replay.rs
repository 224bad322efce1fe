//! The command topic applied from its beginning, when a node starts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use indexmap::IndexMap;
use weir_sql::catalog::MemoryTopics;
use weir_sql::metastore::Metastore;
use weir_sql::metastore::apply::ApplyError;
use weir_sql::plan::action::Action;
use weir_sql::plan::dry_run::dry_run;
use weir_sql::plan::physical::QueryPlan;

use crate::command::compact::topics_made;
use crate::command::log::topic_name;
use crate::command::record::Command;
use crate::command::scan::{Commands, Degradation};
use crate::node::query_starts::StartRequest;
use crate::node::{Node, NodeError};

/// The queries that are to run after a replay, in the order in which they were started.
#[derive(Debug, Default)]
struct Queries<'c> {
    running: IndexMap<&'c str, (&'c QueryPlan, &'c IndexMap<String, String>)>,
    paused: BTreeSet<&'c str>,
}

impl<'c> Queries<'c> {
    fn follow(&mut self, command: &'c Command) {
        for action in &command.actions {
            match action {
                Action::StartQuery { plan, properties, .. } => {
                    self.running.insert(&plan.query_id, (plan, properties));
                    // Also a paused query that is replaced runs.
                    self.paused.remove(plan.query_id.as_str());
                }
                Action::StopQuery { id } => {
                    self.running.shift_remove(id.as_str());
                    self.paused.remove(id.as_str());
                }
                Action::PauseQuery { id } => _ = self.paused.insert(id),
                Action::ResumeQuery { id } => _ = self.paused.remove(id.as_str()),
                Action::CreateTopic { .. } | Action::Ddl(_) | Action::DeleteTopic { .. } => {}
            }
        }
    }
}

/// Does to the metastore what a command did when it was carried out.
///
/// Errors: the command does not fit; parts of it may be applied.
fn apply(metastore: &mut Metastore, command: &Command) -> Result<(), ApplyError> {
    let mut topics = MemoryTopics::default();
    for action in &command.actions {
        match dry_run(&mut (&mut *metastore, &mut topics), std::slice::from_ref(action)) {
            Ok(()) => {}
            // Compaction was interrupted after it had deleted the creation and before it deleted the drop.
            Err(ApplyError::SourceMissing { .. } | ApplyError::TypeMissing { .. }) if is_drop(action) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn is_drop(action: &Action) -> bool {
    use weir_sql::plan::command::DdlCommand;
    matches!(action, Action::Ddl(DdlCommand::DropSource { .. } | DdlCommand::DropType { .. }))
}

/// Queries that commands which are not in force stop or replace: they must not run as they were before.
fn superseded(commands: &Commands) -> BTreeSet<&str> {
    let ids = commands.held_back.iter().flat_map(|c| &c.command.actions).filter_map(|action| match action {
        Action::StopQuery { id } => Some(id.as_str()),
        Action::StartQuery { plan, .. } => Some(plan.query_id.as_str()),
        Action::CreateTopic { .. }
        | Action::Ddl(_)
        | Action::PauseQuery { .. }
        | Action::ResumeQuery { .. }
        | Action::DeleteTopic { .. } => None,
    });
    ids.collect()
}

impl Node {
    /// Applies the commands in their order, then begins to start what should run.
    pub(crate) async fn replay(&self, commands: &Commands) -> Result<(), NodeError> {
        let readable = commands.replayed.iter().chain(&commands.held_back);
        for (name, (partitions, configs)) in topics_made(readable) {
            let made = self.create_topic(name, partitions, configs).await;
            made.map_err(|error| NodeError::Replay { message: error.message })?;
        }
        let mut metastore = Metastore::new();
        let mut queries = Queries::default();
        for (at, stored) in commands.replayed.iter().enumerate() {
            if let Err(error) = apply(&mut metastore, &stored.command) {
                let held_back = commands.replayed.len() - at - 1 + commands.held_back.len();
                self.degrade(stored.place.offset, &error, held_back);
                break;
            }
            queries.follow(&stored.command);
            self.record_status(&stored.command.id, &Ok(()), "Statement executed");
        }
        self.change_metastore(|current| *current = metastore);
        self.start_queries(&queries, &superseded(commands));
        if self.degradation().is_none() {
            self.index_commands(commands).await;
        }
        Ok(())
    }

    /// A command that does not fit those before it: what comes after it may depend on it.
    fn degrade(&self, offset: i64, error: &ApplyError, held_back: usize) {
        let topic = topic_name(&self.session().service_id);
        let reason = format!("it does not fit the commands before it: {error}");
        let degradation = Degradation { topic, offset: Some(offset), reason, held_back };
        // A record that cannot be read is the first cause, and stays.
        let _ = self.shared.degradation.set(degradation);
    }

    fn start_queries(&self, queries: &Queries<'_>, superseded: &BTreeSet<&str>) {
        for (id, (plan, properties)) in &queries.running {
            if superseded.contains(id) {
                let reason = "a later command, which is not in force, stops or replaces it".to_owned();
                self.set_start_failure(id, Some((reason, (*properties).clone())));
                continue;
            }
            self.begin_start(StartRequest {
                plan: Arc::new((*plan).clone()),
                properties: (*properties).clone(),
                paused: queries.paused.contains(id),
            });
        }
    }

    /// Commands without effect are deleted beside the work of the started node.
    async fn index_commands(&self, commands: &Commands) {
        let mut guard = self.command_guard().await;
        for stored in &commands.replayed {
            guard.note_replayed(&stored.place, &stored.command);
        }
        if guard.garbage_count() > 0 {
            let node = self.clone();
            tokio::spawn(async move { node.compact_commands().await });
        }
    }

    /// Queries that should run and did not start: time (ms since epoch) and reason, by id.
    pub fn start_failures(&self) -> BTreeMap<String, (i64, String)> {
        let failures = self.shared.start_failures.lock();
        failures.iter().map(|(id, failure)| (id.clone(), (failure.at_ms, failure.reason.clone()))).collect()
    }

    /// What failed to start, if it did.
    pub(crate) fn failed_start(&self, id: &str) -> Option<StartRequest> {
        let plan = Arc::new(self.metastore().query(id)?.plan.clone());
        let failures = self.shared.start_failures.lock();
        let properties = failures.get(id)?.properties.clone();
        Some(StartRequest { plan, properties, paused: false })
    }

    pub(crate) fn set_start_failure(&self, id: &str, failure: Option<(String, IndexMap<String, String>)>) {
        let mut failures = self.shared.start_failures.lock();
        match failure {
            Some((reason, properties)) => {
                let at_ms = self.now_ms();
                failures.insert(id.to_owned(), StartFailure { at_ms, reason, properties });
            }
            None => _ = failures.remove(id),
        }
    }
}

/// Why a query did not start, and with which properties it is to be tried again.
#[derive(Debug)]
pub(crate) struct StartFailure {
    /// Units: ms since epoch.
    at_ms: i64,
    reason: String,
    properties: IndexMap<String, String>,
}

#[cfg(test)]
mod tests {
    use weir_sql::plan::command::DdlCommand;

    use super::*;
    use crate::command::record::RECORD_VERSION;

    fn applied(ddl: DdlCommand) -> Result<(), ApplyError> {
        let (id, statement) = ("c".to_owned(), String::new());
        let command = Command { version: RECORD_VERSION, id, statement, actions: vec![Action::Ddl(ddl)] };
        apply(&mut Metastore::new(), &command)
    }

    /// The tombstones of many commands take several batches, and a node may die between two of them.
    #[test]
    fn drops_without_a_creation_are_what_an_interrupted_compaction_leaves() {
        let name = || "S".to_owned();
        assert_eq!(applied(DdlCommand::DropSource { name: name() }), Ok(()));
        assert_eq!(applied(DdlCommand::DropType { name: name() }), Ok(()));
        let alter = DdlCommand::AlterSource { name: name(), columns: Vec::new(), sql: String::new() };
        assert!(applied(alter).is_err());
    }
}
