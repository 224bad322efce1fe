//! What became of commands, for `/status`.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use weir_broker::auth::acl::Operation;
use weir_sql::metastore::Metastore;

use crate::auth::caller::{Audited, Caller, Right};
use crate::error::ApiError;

/// Commands that are remembered; older ones are forgotten.
const STATUSES_MAX: usize = 10_000;

/// The outcomes of commands. Threads: any.
#[derive(Debug, Default)]
pub(crate) struct CommandStatuses {
    outcomes: Mutex<Outcomes>,
}

#[derive(Debug, Default)]
struct Outcomes {
    /// By id without back quotes, which ksqlDB's clients leave out of paths.
    statuses: HashMap<String, CommandOutcome>,
    /// Ids without back quotes, oldest first; those of repeated commands occur again.
    order: VecDeque<(String, u64)>,
    recorded: u64,
}

#[derive(Debug)]
struct CommandOutcome {
    id: String,
    status: &'static str,
    message: String,
    /// The number of the entry in `order` that stands for this outcome.
    number: u64,
}

fn plain(id: &str) -> String {
    id.replace('`', "")
}

impl Outcomes {
    fn record(&mut self, id: &str, status: &'static str, message: String) {
        self.recorded += 1;
        let outcome = CommandOutcome { id: id.to_owned(), status, message, number: self.recorded };
        self.statuses.insert(plain(id), outcome);
        self.order.push_back((plain(id), self.recorded));
        while self.order.len() > STATUSES_MAX {
            let Some((oldest, number)) = self.order.pop_front() else { break };
            if self.statuses.get(&oldest).is_some_and(|outcome| outcome.number == number) {
                self.statuses.remove(&oldest);
            }
        }
    }
}

impl CommandStatuses {
    /// `message`: of a command that was carried out.
    pub(crate) fn record(&self, id: &str, outcome: &Result<(), ApiError>, message: &str) {
        let mut outcomes = self.outcomes.lock();
        match outcome {
            Ok(()) => outcomes.record(id, "SUCCESS", message.to_owned()),
            Err(error) => outcomes.record(id, "ERROR", error.message.clone()),
        }
    }

    /// `{"stream/`S`/create": "SUCCESS"}`
    pub(crate) fn all(&self) -> Value {
        let outcomes = self.outcomes.lock();
        let map: Map<String, Value> =
            outcomes.statuses.values().map(|outcome| (outcome.id.clone(), json!(outcome.status))).collect();
        Value::Object(map)
    }

    /// None: no such command.
    ///
    /// Errors: the client may not describe the topic of the stream or table that the command is about.
    pub(crate) fn find(
        &self,
        caller: &Caller,
        metastore: &Metastore,
        id: &str,
    ) -> Result<Option<Value>, ApiError> {
        let id = plain(id);
        let entity = id.split('/').nth(1).unwrap_or_default();
        if let Some(source) = metastore.source(entity) {
            let right = Right::topic(Operation::Describe, source.topic.clone());
            caller.require("/status", &[right], Audited::Denials)?;
        }
        let outcomes = self.outcomes.lock();
        let found = outcomes.statuses.get(&id);
        Ok(found.map(|CommandOutcome { status, message, .. }| {
            json!({"status": status, "message": message, "queryId": null})
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oldest_outcomes_are_forgotten() {
        let mut statuses = Outcomes::default();
        statuses.record("stream/`A`/create", "SUCCESS", String::new());
        statuses.record("stream/`B`/create", "ERROR", String::new());
        for number in 0..STATUSES_MAX - 1 {
            statuses.record(&format!("stream/`S{number}`/create"), "SUCCESS", String::new());
        }
        assert!(!statuses.statuses.contains_key("stream/A/create"));
        statuses.record("stream/`B`/create", "SUCCESS", String::new());
        assert_eq!(statuses.statuses["stream/B/create"].status, "SUCCESS");
        assert!(statuses.statuses.len() <= STATUSES_MAX);
    }
}
