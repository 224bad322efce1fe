//! What became of commands, for `/status`.

use std::collections::VecDeque;

use serde_json::{Map, Value, json};

use crate::error::ApiError;
use crate::node::Node;

/// Commands that are remembered; older ones are forgotten.
const STATUSES_MAX: usize = 10_000;

#[derive(Debug, Default)]
pub(crate) struct CommandStatuses {
    /// Oldest first: id, status, message.
    statuses: VecDeque<(String, &'static str, String)>,
}

impl CommandStatuses {
    fn record(&mut self, id: &str, status: &'static str, message: String) {
        self.statuses.retain(|(known, ..)| known != id);
        if self.statuses.len() == STATUSES_MAX {
            self.statuses.pop_front();
        }
        self.statuses.push_back((id.to_owned(), status, message));
    }
}

impl Node {
    pub fn record_status(&self, id: &str, outcome: &Result<(), ApiError>, message: &str) {
        let mut statuses = self.shared.statuses.lock();
        match outcome {
            Ok(()) => statuses.record(id, "SUCCESS", message.to_owned()),
            Err(error) => statuses.record(id, "ERROR", error.message.clone()),
        }
    }

    pub fn all_statuses(&self) -> Value {
        let statuses = self.shared.statuses.lock();
        let map: Map<String, Value> =
            statuses.statuses.iter().map(|(id, status, _)| (id.clone(), json!(status))).collect();
        Value::Object(map)
    }

    /// ksqlDB's clients leave the back quotes out of the path.
    pub fn status_of(&self, id: &str) -> Option<Value> {
        let plain = |id: &str| id.replace('`', "");
        let statuses = self.shared.statuses.lock();
        let (_, status, message) = statuses.statuses.iter().find(|(known, ..)| plain(known) == plain(id))?;
        Some(json!({"status": status, "message": message, "queryId": null}))
    }
}
