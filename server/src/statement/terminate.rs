//! TERMINATE CLUSTER, which only `/ksql/terminate` gives.

use regex::Regex;
use serde_json::Value;
use weir_broker::auth::acl::Operation;
use weir_sql::plan::action::Action;
use weir_sql::plan::command::DdlCommand;

use crate::auth::caller::{Audited, Caller, Right};
use crate::command::record::{Command, RECORD_VERSION};
use crate::command::runner::CommandRunner;
use crate::error::ApiError;
use crate::statement::entity::{CommandStatus, current_status};

const STATEMENT: &str = "TERMINATE CLUSTER;";
const COMMAND_ID: &str = "cluster/TerminateCluster/terminate";
/// Compiled size of a pattern of topic names.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// Stops every query, drops every stream and table, and deletes the topics of those of them whose topic is named. Unlike
/// ksqlDB's, the node goes on taking statements. Topics that are read-only for statements stay.
///
/// Errors: a pattern is none, or the client may not alter the cluster or delete one of the topics.
pub async fn terminate(
    commands: &CommandRunner,
    caller: &Caller,
    topics: &[String],
) -> Result<Value, ApiError> {
    let patterns = topics.iter().map(|t| pattern(t)).collect::<Result<Vec<_>, _>>()?;
    caller.require(STATEMENT, &[Right::cluster(Operation::Alter)], Audited::All)?;
    let mut log = commands.lock().await?;
    let context = commands.context();
    let metastore = context.metastore();
    let mut actions: Vec<Action> =
        metastore.queries().map(|q| Action::StopQuery { id: q.plan.query_id.clone() }).collect();
    actions.extend(metastore.sources().map(|s| Action::Ddl(DdlCommand::DropSource { name: s.name.clone() })));
    let mut deleted: Vec<&str> = metastore
        .sources()
        .map(|s| s.topic.as_str())
        .filter(|topic| patterns.iter().any(|p| p.is_match(topic)))
        .filter(|topic| !context.topic_policy().is_read_only(topic))
        .collect();
    deleted.sort_unstable();
    deleted.dedup();
    let deletions: Vec<Right> = deleted.iter().map(|topic| Right::topic(Operation::Delete, *topic)).collect();
    caller.require(STATEMENT, &deletions, Audited::All)?;
    actions.extend(deleted.into_iter().map(|name| Action::DeleteTopic { name: name.to_owned() }));
    let command = Command {
        version: RECORD_VERSION,
        id: COMMAND_ID.to_owned(),
        statement: STATEMENT.to_owned(),
        actions,
    };
    let message = "Cluster terminated.";
    let sequence = log.run(&command, message).await?;
    let status = CommandStatus {
        command_id: COMMAND_ID.to_owned(),
        message: message.to_owned(),
        query_id: None,
        sequence,
    };
    Ok(current_status(STATEMENT, &status, &[]))
}

/// The whole name must match, and case counts.
fn pattern(text: &str) -> Result<Regex, ApiError> {
    regex::RegexBuilder::new(&format!("^(?:{text})$"))
        .size_limit(PATTERN_BYTES_MAX)
        .build()
        .map_err(|_| ApiError::bad_request(format!("\"{text}\" is no pattern of topic names")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_names() {
        let matches = |text: &str, topic: &str| pattern(text).map(|p| p.is_match(topic)).ok();
        assert_eq!(matches("foo", "foo"), Some(true));
        assert_eq!(matches("foo", "foobar"), Some(false));
        assert_eq!(matches("bar.*", "bar-1"), Some(true));
        assert_eq!(matches("a|b", "xb"), Some(false));
        assert_eq!(matches("(", "x"), None);
        assert_eq!(matches("(a{1000}){1000}", "x"), None);
    }
}
