//! The command topic applied from its beginning, when a node starts.

use std::collections::BTreeSet;
use std::sync::Arc;

use indexmap::IndexMap;
use weir_broker::env::spawn;
use weir_sql::catalog::MemoryTopics;
use weir_sql::metastore::Metastore;
use weir_sql::metastore::apply::ApplyError;
use weir_sql::plan::action::Action;
use weir_sql::plan::dry_run::dry_run;
use weir_sql::plan::physical::QueryPlan;

use crate::command::apply::create_topic;
use crate::command::garbage_collect::topics_made;
use crate::command::log::topic_name;
use crate::command::record::Command;
use crate::command::runner::CommandRunner;
use crate::command::scan::{Commands, Degradation};
use crate::context::Context;
use crate::error::ApiError;
use crate::queries::start;
use crate::query_starts::StartRequest;

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

/// Applies the commands in their order, then begins to start what should run.
///
/// Errors: a topic of the commands cannot be made.
pub(crate) async fn replay(runner: &CommandRunner, commands: &Commands) -> Result<(), ApiError> {
    let context = runner.context();
    let readable = commands.replayed.iter().chain(&commands.held_back);
    for (name, (partitions, configs)) in topics_made(readable) {
        create_topic(context, name, partitions, configs).await?;
    }
    let mut metastore = Metastore::new();
    let mut queries = Queries::default();
    for (at, stored) in commands.replayed.iter().enumerate() {
        if let Err(error) = apply(&mut metastore, &stored.command) {
            let held_back = commands.replayed.len() - at - 1 + commands.held_back.len();
            runner.degrade(misfit(context, stored.place.offset, &error, held_back));
            break;
        }
        queries.follow(&stored.command);
        runner.statuses().record(&stored.command.id, &Ok(()), "Statement executed");
    }
    context.change_metastore(|current| *current = metastore);
    start_queries(context, &queries, &superseded(commands));
    if runner.degradation().is_none() {
        index_commands(runner, commands).await;
    }
    Ok(())
}

/// A command that does not fit those before it: what comes after it may depend on it.
fn misfit(context: &Context, offset: i64, error: &ApplyError, held_back: usize) -> Degradation {
    let topic = topic_name(&context.session().service_id);
    let reason = format!("it does not fit the commands before it: {error}");
    Degradation { topic, offset: Some(offset), reason, held_back }
}

fn start_queries(context: &Context, queries: &Queries<'_>, superseded: &BTreeSet<&str>) {
    for (id, (plan, properties)) in &queries.running {
        if superseded.contains(id) {
            let reason = "a later command, which is not in force, stops or replaces it".to_owned();
            start::note_failure(context, id, reason, (*properties).clone());
            continue;
        }
        let request = StartRequest {
            plan: Arc::new((*plan).clone()),
            properties: (*properties).clone(),
            paused: queries.paused.contains(id),
        };
        start::begin(context, request);
    }
}

/// Commands without effect are deleted beside the work of the started node.
async fn index_commands(runner: &CommandRunner, commands: &Commands) {
    let mut guard = runner.guard().await;
    for stored in &commands.replayed {
        guard.note_replayed(&stored.place, &stored.command);
    }
    if guard.garbage_count() > 0 {
        let runner = runner.clone();
        spawn::task("command-compaction", async move { runner.compact().await });
    }
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
