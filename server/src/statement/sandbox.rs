//! A copy of what statements change, in which a batch is checked as a whole before anything of it runs.

use std::sync::Arc;

use weir_sql::ast::statement::Statement;
use weir_sql::functions::registry::FunctionRegistry;
use weir_sql::metastore::Metastore;
use weir_sql::metastore::source::QueryEntry;
use weir_sql::plan::statement::{PreparedCommand, PreparedStatement, QueryAction};
use weir_sql::planner::statement::prepare;
use weir_sql::session::{Context, NoRegistry, Session, TopicInfo};

use crate::node::topics::NodeTopics;

/// Metastore, topics and session as the statements before have left them.
#[derive(Clone, Debug)]
pub struct Sandbox {
    /// Copied at the first change.
    pub metastore: Arc<Metastore>,
    pub topics: NodeTopics,
    pub session: Session,
}

impl Sandbox {
    /// Analyses and plans a statement against the present state. `number`: the offset its command would get.
    pub fn prepare(
        &self,
        statement: &Statement,
        sql: &str,
        number: i64,
    ) -> weir_sql::error::Result<PreparedStatement> {
        let context = Context {
            metastore: &self.metastore,
            session: &self.session,
            topics: &self.topics,
            schemas: &NoRegistry,
            functions: FunctionRegistry::standard(),
        };
        prepare(&context, statement, sql, number.max(0).unsigned_abs())
    }

    /// Does to the copy what the statement would do to the node.
    pub fn apply(&mut self, prepared: &PreparedStatement, sql: &str) {
        match prepared {
            PreparedStatement::Command(command) => self.apply_command(command, sql),
            PreparedStatement::Queries { action: QueryAction::Terminate, ids } => {
                for id in ids {
                    Arc::make_mut(&mut self.metastore).remove_query(id);
                }
            }
            PreparedStatement::Queries { .. }
            | PreparedStatement::TerminateTransient { .. }
            | PreparedStatement::Skipped { .. }
            | PreparedStatement::InsertValues(_)
            | PreparedStatement::Pull(_)
            | PreparedStatement::Push(_)
            | PreparedStatement::PassThrough(_) => {}
        }
    }

    fn apply_command(&mut self, command: &PreparedCommand, sql: &str) {
        if let Some(topic) = &command.topic {
            let info = TopicInfo {
                partitions: topic.partitions,
                replicas: topic.replicas,
                retention_ms: topic.retention_ms,
            };
            self.topics.insert(topic.name.clone(), info);
        }
        for id in &command.terminates {
            Arc::make_mut(&mut self.metastore).remove_query(id);
        }
        if let Some(ddl) = &command.ddl {
            // It was prepared against this very metastore; a failure shows when it is carried out.
            let _ = Arc::make_mut(&mut self.metastore).apply(ddl);
        }
        if let Some(query) = &command.query {
            Arc::make_mut(&mut self.metastore).add_query(QueryEntry {
                kind: query.kind,
                plan: query.plan.clone(),
                sql: sql.to_owned(),
            });
        }
        if let Some(topic) = &command.delete_topic {
            self.topics.remove(topic);
        }
    }
}
