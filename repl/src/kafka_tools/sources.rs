//! Streams and tables over topics, read from the command topics of the nodes.

use std::collections::BTreeMap;
use std::time::Duration;

use weir_server::command::log::topic_name;
use weir_server::command::record::Command;
use weir_server::command::scan::{Commands, scan};
use weir_sql::plan::action::Action;
use weir_sql::plan::command::DdlCommand;
use weir_sql::plan::physical::ResultKind;

use crate::kafka_tools::connection::Connection;

/// Command topics that take longer to read are left out.
const READ_WITHIN: Duration = Duration::from_secs(5);

/// `stream CLICKS`, `table PER_USER`: by topic. Without what may not be read.
pub async fn sources_by_topic(connection: &Connection) -> BTreeMap<String, Vec<String>> {
    let mut sources: BTreeMap<String, Vec<String>> = BTreeMap::new();
    // Any service id.
    let whole_name = topic_name("");
    let (prefix, suffix) = whole_name.split_at(whole_name.len() - "_command_topic".len());
    let listed = connection.admin.list_topics().await.unwrap_or_default();
    for topic in listed.iter().filter(|t| t.name.starts_with(prefix) && t.name.ends_with(suffix)) {
        let scanned = tokio::time::timeout(READ_WITHIN, scan(&connection.transport, &topic.name)).await;
        let Ok(Ok(scanned)) = scanned else { continue };
        let commands = Commands::decode(scanned);
        for (source, over) in fold(commands.replayed.iter().map(|stored| &stored.command)) {
            sources.entry(over).or_default().push(source);
        }
    }
    sources
}

/// The sources that are left after all commands, each with its topic.
fn fold<'c>(commands: impl Iterator<Item = &'c Command>) -> Vec<(String, String)> {
    let mut left: BTreeMap<&str, (String, String)> = BTreeMap::new();
    for action in commands.flat_map(|command| &command.actions) {
        let Action::Ddl(command) = action else { continue };
        match command {
            DdlCommand::CreateSource(create) => {
                let kind = match create.kind {
                    ResultKind::Stream => "stream",
                    ResultKind::Table => "table",
                };
                left.insert(&create.name, (format!("{kind} {}", create.name), create.topic.clone()));
            }
            DdlCommand::DropSource { name } => _ = left.remove(name.as_str()),
            DdlCommand::AlterSource { .. }
            | DdlCommand::RegisterType { .. }
            | DdlCommand::DropType { .. } => {}
        }
    }
    left.into_values().collect()
}
