//! The rights that each statement needs: Kafka's operations on the topics, and the cluster, that it touches.
//!
//! | statement | rights |
//! |---|---|
//! | SELECT, PRINT | READ of the topics read |
//! | INSERT VALUES | WRITE to the topic |
//! | CREATE … AS SELECT, INSERT … SELECT | READ of the topics read, WRITE to the sink, CREATE if it is new |
//! | CREATE STREAM, TABLE | READ of the topic, or CREATE if it is new; OR REPLACE also WRITE |
//! | DROP, ALTER | WRITE to the topic; DELETE TOPIC also DELETE |
//! | TERMINATE, PAUSE, RESUME | WRITE to the sink |
//! | DESCRIBE, EXPLAIN, ASSERT TOPIC | DESCRIBE of the topics; SHOW leaves out what may not be described |
//! | CREATE TYPE, DROP TYPE, ALTER SYSTEM, connectors | CREATE, ALTER, ALTER_CONFIGS, ALTER on the cluster |

use weir_broker::auth::acl::Operation;
use weir_sql::ast::statement::{Assert, Describe, ExplainTarget, Statement};
use weir_sql::catalog::TopicCatalog;
use weir_sql::error::SqlError;
use weir_sql::metastore::Metastore;
use weir_sql::metastore::source::{QueryEntry, Source};
use weir_sql::plan::command::DdlCommand;
use weir_sql::plan::statement::{PreparedCommand, PreparedStatement};

use crate::auth::caller::{Audited, Caller, Right};
use crate::error::ApiError;
use crate::statement::sandbox::Sandbox;

/// Prepares a statement for a client. The rights to what the statement names are checked before it is analysed, so
/// that messages of the analysis show nothing of foreign streams; those to what it changes afterwards.
///
/// Errors: `refuse` of the analysis' error, or a right that the client does not have.
pub fn prepare(
    sandbox: &Sandbox,
    caller: &Caller,
    (statement, text): (&Statement, &str),
    number: i64,
    audited: Audited,
    refuse: impl FnOnce(SqlError) -> ApiError,
) -> Result<PreparedStatement, ApiError> {
    let denied = |mut error: ApiError| {
        error.statement.get_or_insert_with(|| text.to_owned());
        error
    };
    let action = action(statement);
    let rights = named(statement, &sandbox.metastore);
    caller.require(action, &rights, audited).map_err(denied)?;
    let prepared = sandbox.prepare(statement, text, number).map_err(refuse)?;
    let further = caused(&prepared, &sandbox.metastore, &sandbox.topics);
    caller.require(action, &further, audited).map_err(denied)?;
    if rights.is_empty() && further.is_empty() && audited == Audited::All {
        caller.note(action);
    }
    Ok(prepared)
}

/// The kind of a statement, as refusals and the audit name it.
pub fn action(statement: &Statement) -> &'static str {
    match statement {
        Statement::CreateSource(_) => "CREATE",
        Statement::CreateAsSelect(_) => "CREATE AS SELECT",
        Statement::InsertSelect(_) => "INSERT INTO SELECT",
        Statement::InsertValues(_) => "INSERT VALUES",
        Statement::Query(_) => "SELECT",
        Statement::DropSource(_) => "DROP",
        Statement::AlterSource(_) => "ALTER",
        Statement::AlterSystem(_) => "ALTER SYSTEM",
        Statement::Terminate(_) => "TERMINATE",
        Statement::Pause(_) => "PAUSE",
        Statement::Resume(_) => "RESUME",
        Statement::CreateType { .. } => "CREATE TYPE",
        Statement::DropType { .. } => "DROP TYPE",
        Statement::Set(_) => "SET",
        Statement::Unset { .. } => "UNSET",
        Statement::Define { .. } => "DEFINE",
        Statement::Undefine { .. } => "UNDEFINE",
        Statement::Show(_) => "SHOW",
        Statement::Describe(_) => "DESCRIBE",
        Statement::Explain(_) => "EXPLAIN",
        Statement::Print(_) => "PRINT",
        Statement::Assert(_) => "ASSERT",
        Statement::CreateConnector { .. } => "CREATE CONNECTOR",
        Statement::DropConnector { .. } => "DROP CONNECTOR",
        Statement::RunScript { .. } => "RUN SCRIPT",
    }
}

/// Rights to what a statement names. Sources that do not exist need none: the analysis refuses them.
pub fn named(statement: &Statement, metastore: &Metastore) -> Vec<Right> {
    let topic_of = |source: &str| metastore.source(source).map(|s| s.topic.clone());
    let on_source = |operation, source: &str| {
        topic_of(source).map(|topic| Right::topic(operation, topic)).into_iter().collect()
    };
    let read = |operation| -> Vec<Right> {
        let sources = statement.query().map(|q| (&q.from, &q.joins)).into_iter();
        let names = sources.flat_map(|(from, joins)| {
            std::iter::once(&from.name.name).chain(joins.iter().map(|join| &join.source.name.name))
        });
        names.filter_map(|name| topic_of(name)).map(|topic| Right::topic(operation, topic)).collect()
    };
    match statement {
        Statement::Query(_) => read(Operation::Read),
        Statement::CreateAsSelect(create) => {
            let mut rights = read(Operation::Read);
            if create.or_replace {
                rights.extend(on_source(Operation::Write, &create.name.name));
            }
            rights
        }
        Statement::InsertSelect(insert) => {
            let mut rights = read(Operation::Read);
            rights.extend(topic_of(&insert.target.name).map(|topic| Right::topic(Operation::Write, topic)));
            rights
        }
        Statement::InsertValues(insert) => on_source(Operation::Write, &insert.target.name),
        Statement::CreateSource(create) if create.or_replace => {
            on_source(Operation::Write, &create.name.name)
        }
        // The topic is known once the statement is analysed.
        Statement::CreateSource(_) => Vec::new(),
        Statement::DropSource(drop) => on_source(Operation::Write, &drop.name.name),
        Statement::AlterSource(alter) => on_source(Operation::Write, &alter.name.name),
        Statement::AlterSystem(_) => vec![Right::cluster(Operation::AlterConfigs)],
        // The queries are known once the statement is analysed.
        Statement::Terminate(_) | Statement::Pause(_) | Statement::Resume(_) => Vec::new(),
        Statement::CreateType { .. } => vec![Right::cluster(Operation::Create)],
        Statement::DropType { .. } => vec![Right::cluster(Operation::Alter)],
        // They change the request alone.
        Statement::Set(_)
        | Statement::Unset { .. }
        | Statement::Define { .. }
        | Statement::Undefine { .. } => Vec::new(),
        // Lists leave out what the client may not describe.
        Statement::Show(_) => Vec::new(),
        Statement::Describe(Describe::Source { name, .. }) => on_source(Operation::Describe, &name.name),
        Statement::Describe(
            Describe::Streams { .. }
            | Describe::Tables { .. }
            | Describe::Function { .. }
            | Describe::Connector { .. },
        ) => Vec::new(),
        Statement::Explain(ExplainTarget::Query(id)) => {
            let query = metastore.query(&id.name).or_else(|| metastore.query(&id.name.to_uppercase()));
            let names = query.iter().flat_map(|q| q.plan.sources.iter().chain(&q.plan.sink));
            names.filter_map(|n| topic_of(n)).map(|t| Right::topic(Operation::Describe, t)).collect()
        }
        Statement::Explain(ExplainTarget::Statement { statement, .. }) => {
            let rights = named(statement, metastore).into_iter();
            rights.map(|right| Right { operation: Operation::Describe, ..right }).collect()
        }
        Statement::Print(print) => vec![Right::topic(Operation::Read, print.topic.clone())],
        Statement::Assert(Assert::Topic { topic, .. }) => {
            vec![Right::topic(Operation::Describe, topic.clone())]
        }
        // Refused on a server.
        Statement::Assert(
            Assert::Schema { .. } | Assert::Values(_) | Assert::Tombstone(_) | Assert::Source { .. },
        ) => Vec::new(),
        Statement::CreateConnector { .. } | Statement::DropConnector { .. } => {
            vec![Right::cluster(Operation::Alter)]
        }
        // The shell's; a server refuses it.
        Statement::RunScript { .. } => Vec::new(),
    }
}

/// The right to insert rows into a stream or table.
pub fn insertion(source: &Source) -> Right {
    Right::topic(Operation::Write, source.topic.clone())
}

/// True if lists may name the query: the client may describe the topics that it reads and writes.
pub fn sees_query(caller: &Caller, metastore: &Metastore, query: &QueryEntry) -> bool {
    let names = query.plan.sources.iter().chain(&query.plan.sink);
    names.filter_map(|name| metastore.source(name)).all(|s| caller.sees_topic(&s.topic))
}

/// Rights to what an analysed statement changes.
fn caused(prepared: &PreparedStatement, metastore: &Metastore, topics: &dyn TopicCatalog) -> Vec<Right> {
    match prepared {
        PreparedStatement::Command(command) => commanded(command, metastore, topics),
        PreparedStatement::Queries { action: _, ids } => {
            ids.iter().flat_map(|id| sink_rights(id, metastore)).collect()
        }
        // A push query is its owner's: the node looks for it among those that the client controls.
        PreparedStatement::TerminateTransient { .. } => Vec::new(),
        PreparedStatement::Skipped { .. }
        | PreparedStatement::InsertValues(_)
        | PreparedStatement::Pull(_)
        | PreparedStatement::Push(_)
        | PreparedStatement::PassThrough(_) => Vec::new(),
    }
}

fn sink_rights(query_id: &str, metastore: &Metastore) -> Option<Right> {
    let sink = metastore.query(query_id)?.plan.sink.as_ref()?;
    Some(Right::topic(Operation::Write, metastore.source(sink)?.topic.clone()))
}

fn commanded(command: &PreparedCommand, metastore: &Metastore, topics: &dyn TopicCatalog) -> Vec<Right> {
    let mut rights = Vec::new();
    let made = command.topic.as_ref().filter(|topic| topics.topic(&topic.name).is_none());
    rights.extend(made.map(|topic| Right::topic(Operation::Create, topic.name.clone())));
    if let Some(DdlCommand::CreateSource(create)) = &command.ddl {
        if command.query.is_some() {
            rights.push(Right::topic(Operation::Write, create.topic.clone()));
        } else if made.is_none() {
            rights.push(Right::topic(Operation::Read, create.topic.clone()));
        }
    }
    rights.extend(command.delete_topic.iter().map(|topic| Right::topic(Operation::Delete, topic.clone())));
    rights.extend(command.terminates.iter().filter_map(|id| sink_rights(id, metastore)));
    rights
}

#[cfg(test)]
mod tests;
