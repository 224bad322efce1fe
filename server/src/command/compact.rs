//! Which commands have no effect any more.

use crate::command::log::StoredCommand;
use crate::command::record::Action;
use weir_sql::plan::command::DdlCommand;

/// Commands about streams and tables that were dropped later: the creation, every change, and the drop itself.
///
/// A drop is only accepted when nothing reads the source any more, so no command outside this set depends on them.
/// Commands that also touch something else (a topic to delete, say) have done that already.
pub fn without_effect(commands: &[StoredCommand]) -> Vec<&StoredCommand> {
    let mut dead = vec![false; commands.len()];
    for (at, stored) in commands.iter().enumerate() {
        let Some(dropped) = dropped_source(stored) else { continue };
        for (earlier, other) in commands[..at].iter().enumerate() {
            if other.command.source() == Some(dropped) || is_about_query_of(other, dropped, &commands[..at]) {
                dead[earlier] = true;
            }
        }
        dead[at] = true;
    }
    commands.iter().zip(dead).filter(|(_, dead)| *dead).map(|(stored, _)| stored).collect()
}

fn dropped_source(stored: &StoredCommand) -> Option<&str> {
    stored.command.actions.iter().find_map(|action| match action {
        Action::Ddl(DdlCommand::DropSource { name }) => Some(name.as_str()),
        _ => None,
    })
}

/// INSERT INTO queries that write the source, and pauses, resumes and stops of any of its queries.
fn is_about_query_of(stored: &StoredCommand, source: &str, commands: &[StoredCommand]) -> bool {
    let writes = |id: &str| {
        commands.iter().flat_map(|c| &c.command.actions).any(|action| match action {
            Action::StartQuery { plan, .. } => plan.query_id == id && plan.sink.as_deref() == Some(source),
            _ => false,
        })
    };
    let mut ids = stored.command.actions.iter().map(|action| match action {
        Action::StartQuery { plan, .. } => Some(plan.query_id.as_str()),
        Action::StopQuery { id } | Action::PauseQuery { id } | Action::ResumeQuery { id } => {
            Some(id.as_str())
        }
        Action::CreateTopic { .. } | Action::Ddl(_) | Action::DeleteTopic { .. } => None,
    });
    stored.command.source().is_none()
        && !stored.command.actions.is_empty()
        && ids.all(|id| id.is_some_and(writes))
}
