//! A copy of what statements change, in which a batch is checked as a whole before anything of it runs.

use std::sync::Arc;

use indexmap::IndexMap;
use weir_sql::ast::statement::Statement;
use weir_sql::catalog::{NoRegistry, TopicInfo};
use weir_sql::context::Context;
use weir_sql::functions::registry::FunctionRegistry;
use weir_sql::metastore::Metastore;
use weir_sql::plan::dry_run::{DryRunTarget, dry_run};
use weir_sql::plan::statement::PreparedStatement;
use weir_sql::planner::statement::prepare;
use weir_sql::session::Session;

use crate::context::Context as NodeContext;
use crate::statement::topics::NodeTopics;

/// Metastore, topics and session as the statements before have left them.
#[derive(Clone, Debug)]
pub struct Sandbox {
    /// Copied at the first change.
    pub metastore: Arc<Metastore>,
    pub topics: NodeTopics,
    pub session: Session,
}

impl Sandbox {
    /// The node as it is now. Topics are looked up by name, none are listed.
    pub(crate) fn new(context: &NodeContext, session: &Session) -> Sandbox {
        Sandbox { metastore: context.metastore(), topics: NodeTopics::new(context), session: session.clone() }
    }

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
        let _ = dry_run(self, &prepared.actions(sql, &IndexMap::new()));
    }
}

impl DryRunTarget for Sandbox {
    fn metastore(&mut self) -> &mut Metastore {
        Arc::make_mut(&mut self.metastore)
    }

    fn insert_topic(&mut self, name: &str, info: TopicInfo) {
        self.topics.insert(name, info);
    }

    fn remove_topic(&mut self, name: &str) {
        self.topics.remove(name);
    }
}
