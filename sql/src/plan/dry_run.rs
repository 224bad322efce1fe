//! Statements without a node: they change a metastore and topics in memory, queries do not run.

use crate::catalog::{MemoryTopics, TopicInfo};
use crate::metastore::Metastore;
use crate::metastore::apply::ApplyError;
use crate::plan::action::{Action, NewTopic, QueryStart};

/// The metastore and the topics that a dry run changes.
pub trait DryRunTarget {
    fn metastore(&mut self) -> &mut Metastore;

    fn insert_topic(&mut self, name: &str, info: TopicInfo);

    fn remove_topic(&mut self, name: &str);
}

impl DryRunTarget for (&mut Metastore, &mut MemoryTopics) {
    fn metastore(&mut self) -> &mut Metastore {
        self.0
    }

    fn insert_topic(&mut self, name: &str, info: TopicInfo) {
        self.1.insert(name, info);
    }

    fn remove_topic(&mut self, name: &str) {
        self.1.remove(name);
    }
}

/// Carries actions out on metastore and topics, in order.
///
/// Errors: an action that does not fit the metastore. It ends the run; those before it stay.
pub fn dry_run(target: &mut impl DryRunTarget, actions: &[Action]) -> Result<(), ApplyError> {
    for action in actions {
        match action {
            Action::CreateTopic { name, partitions, replicas, configs } => {
                let topic = NewTopic { name, partitions: *partitions, replicas: *replicas, configs };
                target.insert_topic(name, topic.info());
            }
            Action::Ddl(ddl) => target.metastore().apply(ddl).map(drop)?,
            Action::StartQuery { plan, kind, sql, properties } => {
                let query = QueryStart { plan, kind: *kind, sql, properties };
                target.metastore().add_query(query.entry());
            }
            Action::StopQuery { id } => {
                target.metastore().remove_query(id);
            }
            Action::PauseQuery { .. } | Action::ResumeQuery { .. } => {}
            Action::DeleteTopic { name } => target.remove_topic(name),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::catalog::TopicCatalog;

    #[test]
    fn topics_come_and_go() {
        let (mut metastore, mut topics) = (Metastore::new(), MemoryTopics::default());
        let create = Action::CreateTopic {
            name: "t".to_owned(),
            partitions: 3,
            replicas: Some(1),
            configs: BTreeMap::from([("retention.ms".to_owned(), "7".to_owned())]),
        };
        dry_run(&mut (&mut metastore, &mut topics), std::slice::from_ref(&create)).expect("it fits");
        let info = TopicInfo { partitions: 3, replicas: Some(1), retention_ms: Some(7) };
        assert_eq!(topics.topic("t"), Some(info));
        let delete = Action::DeleteTopic { name: "t".to_owned() };
        dry_run(&mut (&mut metastore, &mut topics), &[create, delete]).expect("it fits");
        assert_eq!(topics.topic("t"), None);
    }
}
