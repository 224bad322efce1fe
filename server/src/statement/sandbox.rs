//! A copy of what statements change, in which a batch is checked as a whole before anything of it runs.

use std::sync::Arc;

use indexmap::IndexMap;
use weir_sql::ast::statement::Statement;
use weir_sql::functions::registry::FunctionRegistry;
use weir_sql::metastore::Metastore;
use weir_sql::metastore::apply::ApplyError;
use weir_sql::plan::action::{NewTopic, QueryStart, StatementEffects, apply_all_now};
use weir_sql::plan::command::DdlCommand;
use weir_sql::plan::statement::PreparedStatement;
use weir_sql::planner::statement::prepare;
use weir_sql::session::{Context, NoRegistry, Session};

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
        // It was prepared against this very metastore; a failure shows when it is carried out.
        let _ = apply_all_now(self, &prepared.actions(sql, &IndexMap::new()));
    }
}

impl StatementEffects for Sandbox {
    type Error = ApplyError;

    async fn create_topic(&mut self, topic: NewTopic<'_>) -> Result<(), ApplyError> {
        self.topics.insert(topic.name, topic.info());
        Ok(())
    }

    async fn change_metastore(&mut self, ddl: &DdlCommand) -> Result<(), ApplyError> {
        Arc::make_mut(&mut self.metastore).apply(ddl).map(drop)
    }

    async fn start_query(&mut self, query: QueryStart<'_>) -> Result<(), ApplyError> {
        Arc::make_mut(&mut self.metastore).add_query(query.entry());
        Ok(())
    }

    async fn stop_query(&mut self, id: &str) -> Result<(), ApplyError> {
        Arc::make_mut(&mut self.metastore).remove_query(id);
        Ok(())
    }

    async fn pause_query(&mut self, _id: &str) -> Result<(), ApplyError> {
        Ok(())
    }

    async fn resume_query(&mut self, _id: &str) -> Result<(), ApplyError> {
        Ok(())
    }

    async fn delete_topic(&mut self, name: &str) -> Result<(), ApplyError> {
        self.topics.remove(name);
        Ok(())
    }
}
