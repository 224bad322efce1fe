//! Which commands have no effect any more.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use weir_sql::plan::command::DdlCommand;

use crate::command::log::StoredCommand;
use crate::command::record::Action;

/// Commands about streams and tables that were dropped later: the creation, every change, and the drop itself.
///
/// A drop is only accepted when nothing reads the source any more, so no command outside this set depends on them.
/// Commands that also touch something else (a topic to delete, say) have done that already.
pub fn without_effect(commands: &[StoredCommand]) -> Vec<&StoredCommand> {
    let mut dead = vec![false; commands.len()];
    for (at, stored) in commands.iter().enumerate() {
        for dropped in dropped_sources(stored) {
            for (earlier, other) in commands[..at].iter().enumerate() {
                if other.command.source() == Some(dropped)
                    || is_about_query_of(other, dropped, &commands[..at])
                {
                    dead[earlier] = true;
                }
            }
            dead[at] = true;
        }
    }
    commands.iter().zip(dead).filter(|(_, dead)| *dead).map(|(stored, _)| stored).collect()
}

fn dropped_sources(stored: &StoredCommand) -> impl Iterator<Item = &str> {
    stored.command.actions.iter().filter_map(|action| match action {
        Action::Ddl(DdlCommand::DropSource { name }) => Some(name.as_str()),
        _ => None,
    })
}

/// Topics that commands made and none deleted later: name, partitions and settings.
pub fn topics_made(commands: &[StoredCommand]) -> IndexMap<&str, (i32, &BTreeMap<String, String>)> {
    let mut topics = IndexMap::new();
    for action in commands.iter().flat_map(|c| &c.command.actions) {
        match action {
            Action::CreateTopic { name, partitions, configs } => {
                topics.entry(name.as_str()).or_insert((*partitions, configs));
            }
            Action::DeleteTopic { name } => _ = topics.shift_remove(name.as_str()),
            Action::Ddl(_)
            | Action::StartQuery { .. }
            | Action::StopQuery { .. }
            | Action::PauseQuery { .. }
            | Action::ResumeQuery { .. } => {}
        }
    }
    topics
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::record::{Command, RECORD_VERSION};

    fn stored(offset: i64, actions: Vec<Action>) -> StoredCommand {
        let command = Command {
            version: RECORD_VERSION,
            id: format!("c/{offset}/execute"),
            statement: String::new(),
            actions,
        };
        StoredCommand { offset, command }
    }

    fn create(name: &str) -> Action {
        Action::CreateTopic { name: name.to_owned(), partitions: 1, configs: BTreeMap::new() }
    }

    fn drop_source(name: &str) -> Action {
        Action::Ddl(DdlCommand::DropSource { name: name.to_owned() })
    }

    #[test]
    fn a_deleted_topic_is_not_made_again() {
        let delete = Action::DeleteTopic { name: "a".to_owned() };
        let commands = [stored(0, vec![create("a")]), stored(1, vec![create("b")]), stored(2, vec![delete])];
        assert_eq!(topics_made(&commands).into_keys().collect::<Vec<_>>(), ["b"]);
        let again = [commands.as_slice(), &[stored(3, vec![create("a")])]].concat();
        assert_eq!(topics_made(&again).into_keys().collect::<Vec<_>>(), ["b", "a"]);
    }

    #[test]
    fn a_command_that_drops_several_sources_takes_all_of_theirs_along() {
        // A drop stands for every command about its source here.
        let commands = [
            stored(0, vec![drop_source("A")]),
            stored(1, vec![create("t")]),
            stored(2, vec![drop_source("B")]),
            stored(3, vec![drop_source("A"), drop_source("B")]),
        ];
        let dead: Vec<i64> = without_effect(&commands).iter().map(|c| c.offset).collect();
        assert_eq!(dead, [0, 2, 3]);
    }
}
