//! Effects of a statement, step by step: one list of actions, which a node and the workbench of test cases carry out with
//! [`apply`], and [`crate::plan::dry_run`] on a metastore alone.

use std::collections::BTreeMap;
use std::future::Future;
use std::task::{Context, Poll, Waker};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::catalog::TopicInfo;
use crate::metastore::source::{QueryEntry, QueryKind};
use crate::plan::command::DdlCommand;
use crate::plan::physical::QueryPlan;
use crate::plan::statement::{PreparedCommand, PreparedStatement, QueryAction, TopicSpec};

/// One step of a statement. Replay repeats them all: each says what is, not what to try.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Action {
    /// Makes the topic unless it exists.
    CreateTopic {
        name: String,
        partitions: i32,
        /// None: the broker's default.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        replicas: Option<u16>,
        configs: BTreeMap<String, String>,
    },
    Ddl(DdlCommand),
    /// Starts a query, or replaces the running one of that id and keeps its state.
    StartQuery {
        plan: Box<QueryPlan>,
        kind: QueryKind,
        sql: String,
        properties: IndexMap<String, String>,
    },
    /// Stops a query and deletes its state and internal topics.
    StopQuery {
        id: String,
    },
    PauseQuery {
        id: String,
    },
    ResumeQuery {
        id: String,
    },
    DeleteTopic {
        name: String,
    },
}

/// A topic to make, as its action says.
#[derive(Clone, Copy, Debug)]
pub struct NewTopic<'a> {
    pub name: &'a str,
    pub partitions: i32,
    pub replicas: Option<u16>,
    pub configs: &'a BTreeMap<String, String>,
}

impl NewTopic<'_> {
    /// The topic as later statements see it.
    pub fn info(&self) -> TopicInfo {
        TopicInfo {
            partitions: u32::try_from(self.partitions).unwrap_or(0),
            replicas: self.replicas,
            retention_ms: self.configs.get("retention.ms").and_then(|ms| ms.parse().ok()),
        }
    }
}

/// A query to start, as its action says.
#[derive(Clone, Copy, Debug)]
pub struct QueryStart<'a> {
    pub plan: &'a QueryPlan,
    pub kind: QueryKind,
    pub sql: &'a str,
    pub properties: &'a IndexMap<String, String>,
}

impl QueryStart<'_> {
    /// The query as the metastore knows it.
    pub fn entry(&self) -> QueryEntry {
        QueryEntry { kind: self.kind, plan: self.plan.clone(), sql: self.sql.to_owned() }
    }
}

/// The effects that statements can have on something. Each is carried out by [`apply`] when its action comes.
pub trait StatementEffects {
    type Error;

    fn create_topic(&mut self, topic: NewTopic<'_>) -> impl Future<Output = Result<(), Self::Error>> + Send;

    fn change_metastore(&mut self, ddl: &DdlCommand) -> impl Future<Output = Result<(), Self::Error>> + Send;

    fn start_query(&mut self, query: QueryStart<'_>) -> impl Future<Output = Result<(), Self::Error>> + Send;

    fn stop_query(&mut self, id: &str) -> impl Future<Output = Result<(), Self::Error>> + Send;

    fn pause_query(&mut self, id: &str) -> impl Future<Output = Result<(), Self::Error>> + Send;

    fn resume_query(&mut self, id: &str) -> impl Future<Output = Result<(), Self::Error>> + Send;

    fn delete_topic(&mut self, name: &str) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// Carries an action out.
///
/// Errors: those of the effects.
pub async fn apply<E: StatementEffects>(effects: &mut E, action: &Action) -> Result<(), E::Error> {
    match action {
        Action::CreateTopic { name, partitions, replicas, configs } => {
            let topic = NewTopic { name, partitions: *partitions, replicas: *replicas, configs };
            effects.create_topic(topic).await
        }
        Action::Ddl(ddl) => effects.change_metastore(ddl).await,
        Action::StartQuery { plan, kind, sql, properties } => {
            effects.start_query(QueryStart { plan, kind: *kind, sql, properties }).await
        }
        Action::StopQuery { id } => effects.stop_query(id).await,
        Action::PauseQuery { id } => effects.pause_query(id).await,
        Action::ResumeQuery { id } => effects.resume_query(id).await,
        Action::DeleteTopic { name } => effects.delete_topic(name).await,
    }
}

/// The same for effects that never wait.
///
/// Errors: those of the effects. The first action that fails ends it.
pub fn apply_all_now<E: StatementEffects>(effects: &mut E, actions: &[Action]) -> Result<(), E::Error> {
    for action in actions {
        let applied = std::pin::pin!(apply(effects, action));
        match applied.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => outcome?,
            Poll::Pending => unreachable!("effects in memory do not wait"),
        }
    }
    Ok(())
}

impl PreparedStatement {
    /// What the statement does, in order; empty if it changes nothing that lasts. `properties` are those that it was run with.
    pub fn actions(&self, sql: &str, properties: &IndexMap<String, String>) -> Vec<Action> {
        match self {
            PreparedStatement::Command(command) => command.actions(sql, properties),
            PreparedStatement::Queries { action, ids } => {
                ids.iter().map(|id| action.on(id.clone())).collect()
            }
            PreparedStatement::TerminateTransient { .. }
            | PreparedStatement::Skipped { .. }
            | PreparedStatement::InsertValues(_)
            | PreparedStatement::Pull(_)
            | PreparedStatement::Push(_)
            | PreparedStatement::PassThrough(_) => Vec::new(),
        }
    }
}

impl QueryAction {
    fn on(self, id: String) -> Action {
        match self {
            QueryAction::Terminate => Action::StopQuery { id },
            QueryAction::Pause => Action::PauseQuery { id },
            QueryAction::Resume => Action::ResumeQuery { id },
        }
    }
}

impl PreparedCommand {
    /// What the command does, in order.
    pub fn actions(&self, sql: &str, properties: &IndexMap<String, String>) -> Vec<Action> {
        let mut actions: Vec<Action> = self.topic.iter().map(create_topic).collect();
        actions.extend(self.terminates.iter().map(|id| Action::StopQuery { id: id.clone() }));
        actions.extend(self.ddl.clone().map(Action::Ddl));
        actions.extend(self.query.as_ref().map(|query| Action::StartQuery {
            plan: Box::new(query.plan.clone()),
            kind: query.kind,
            sql: sql.to_owned(),
            properties: properties.clone(),
        }));
        actions.extend(self.delete_topic.iter().map(|name| Action::DeleteTopic { name: name.clone() }));
        actions
    }
}

fn create_topic(topic: &TopicSpec) -> Action {
    let mut configs = BTreeMap::from([("cleanup.policy".to_owned(), topic.cleanup.as_str().to_owned())]);
    if let Some(retention) = topic.retention_ms {
        configs.insert("retention.ms".to_owned(), retention.to_string());
    }
    Action::CreateTopic {
        name: topic.name.clone(),
        partitions: i32::try_from(topic.partitions).unwrap_or(i32::MAX),
        replicas: topic.replicas,
        configs,
    }
}
