//! Statements that change the node: written to the command topic, then carried out.

use weir_sql::ast::statement::{CreateAsSelect, CreateSource, SourceKind, Statement};
use weir_sql::metastore::Metastore;
use weir_sql::parser::ParsedStatement;
use weir_sql::plan::command::DdlCommand;
use weir_sql::plan::physical::ResultKind;
use weir_sql::plan::statement::{PreparedCommand, PreparedStatement, QueryAction, unknown_query};

use crate::auth::caller::Audited;
use crate::command::record::{Command, RECORD_VERSION};
use crate::command::runner::CommandRunner;
use crate::error::ApiError;
use crate::statement::entity::CommandStatus;
use crate::statement::rights;
use crate::statement::sandbox::Sandbox;
use crate::statement::scope::{RequestScope, sql_error};
use crate::statement::script::Place;

/// Prepares the statement once more against the node as it is now, writes its command and carries it out. One at a time.
///
/// Errors: nothing of the statement is in force; see `CommandGuard::run`.
pub async fn run_command(
    commands: &CommandRunner,
    place: &Place,
    parsed: &ParsedStatement,
    scope: &RequestScope,
) -> Result<CommandStatus, ApiError> {
    let mut log = commands.lock().await.map_err(|e| with_statement(e, &parsed.text))?;
    let sandbox = Sandbox::new(commands.context(), &scope.session);
    let statement = (&parsed.statement, parsed.text.as_str());
    let prepared =
        rights::prepare(&sandbox, &scope.caller, statement, log.next_offset(), Audited::Denials, |e| {
            sql_error(&e, place, &parsed.text)
        })?;
    let actions = prepared.actions(&parsed.text, &scope.properties);
    let (id, message, query_id) = match prepared {
        PreparedStatement::Command(command) => {
            let id = command_id(&parsed.statement, &command);
            let query_id = command.query.as_ref().map(|q| q.plan.query_id.clone());
            let message = message(&parsed.statement, &command, query_id.as_deref(), &sandbox.metastore);
            (id, message, query_id)
        }
        PreparedStatement::Queries { action, ids } => {
            let (verb, word) = match action {
                QueryAction::Terminate => ("terminate", "terminated"),
                QueryAction::Pause => ("pause", "paused"),
                QueryAction::Resume => ("resume", "resumed"),
            };
            let id = format!("{verb}/{}/execute", ids.first().map_or("ALL", String::as_str));
            (id, format!("Query {word}."), None)
        }
        PreparedStatement::Skipped { message } => {
            return Ok(CommandStatus {
                command_id: skipped_id(&parsed.statement),
                message,
                query_id: None,
                sequence: -1,
            });
        }
        PreparedStatement::TerminateTransient { id, place: at } => {
            let known = sandbox.metastore.queries().map(|q| q.plan.query_id.as_str());
            return Err(sql_error(&unknown_query(&id, at, known), place, &parsed.text));
        }
        PreparedStatement::InsertValues(_)
        | PreparedStatement::Pull(_)
        | PreparedStatement::Push(_)
        | PreparedStatement::PassThrough(_) => {
            return Err(ApiError::statement("this statement is no command", &parsed.text));
        }
    };
    let command =
        Command { version: RECORD_VERSION, id: id.clone(), statement: parsed.text.clone(), actions };
    // A change of the metastore copies it while another owner has it.
    drop(sandbox);
    let sequence = log.run(&command, &message).await.map_err(|e| with_statement(e, &parsed.text))?;
    Ok(CommandStatus { command_id: id, message, query_id, sequence })
}

fn with_statement(mut error: ApiError, text: &str) -> ApiError {
    error.statement.get_or_insert_with(|| text.to_owned());
    error
}

/// ksqlDB's command id: "stream/`S`/create", "table/T/drop". An INSERT INTO … SELECT creates, too.
fn command_id(statement: &Statement, command: &PreparedCommand) -> String {
    match &command.ddl {
        Some(DdlCommand::CreateSource(create)) => {
            let kind = if create.kind == ResultKind::Stream { "stream" } else { "table" };
            format!("{kind}/`{}`/create", create.name)
        }
        Some(DdlCommand::DropSource { name }) => format!("{}/{name}/drop", drop_kind(statement)),
        Some(DdlCommand::AlterSource { name, .. }) => format!("{}/{name}/alter", drop_kind(statement)),
        Some(DdlCommand::RegisterType { name, .. }) => format!("type/{name}/create"),
        Some(DdlCommand::DropType { name }) => format!("type/{name}/drop"),
        None => match &command.query {
            Some(query) => format!("stream/`{}`/create", query.plan.sink.as_deref().unwrap_or_default()),
            None => "statement/none/execute".to_owned(),
        },
    }
}

fn drop_kind(statement: &Statement) -> &'static str {
    let kind = match statement {
        Statement::DropSource(drop) => Some(drop.kind),
        Statement::AlterSource(alter) => Some(alter.kind),
        _ => None,
    };
    if kind == Some(SourceKind::Table) { "table" } else { "stream" }
}

fn skipped_id(statement: &Statement) -> String {
    match statement {
        Statement::DropSource(drop) => format!("{}/{}/drop", drop_kind(statement), drop.name.name),
        Statement::CreateSource(CreateSource { kind, name, .. })
        | Statement::CreateAsSelect(CreateAsSelect { kind, name, .. }) => {
            let kind = if *kind == SourceKind::Stream { "stream" } else { "table" };
            format!("{kind}/`{}`/create", name.name)
        }
        Statement::CreateType { name, .. } => format!("type/{}/create", name.name),
        Statement::DropType { name, .. } => format!("type/{}/drop", name.name),
        _ => "statement/none/execute".to_owned(),
    }
}

/// ksqlDB's message of a command that was carried out. `before`: the metastore without the command.
fn message(
    statement: &Statement,
    command: &PreparedCommand,
    query_id: Option<&str>,
    before: &Metastore,
) -> String {
    match (statement, query_id) {
        (_, Some(id)) => format!("Created query with ID {id}"),
        (Statement::CreateSource(create), None) => match create.kind {
            SourceKind::Stream => "Stream created".to_owned(),
            SourceKind::Table => "Table created".to_owned(),
        },
        (Statement::DropSource(drop), None) => {
            let topic = before.source(&drop.name.name).map(|source| source.topic.as_str());
            format!("Source `{}` (topic: {}) was dropped.", drop.name.name, topic.unwrap_or_default())
        }
        (Statement::AlterSource(alter), None) => match alter.kind {
            SourceKind::Stream => format!("Stream {} altered.", alter.name.name),
            SourceKind::Table => format!("Table {} altered.", alter.name.name),
        },
        (Statement::CreateType { name, .. }, None) => match &command.ddl {
            Some(DdlCommand::RegisterType { sql_type, .. }) => {
                format!("Registered custom type with name '{}' and SQL type {sql_type}", name.name)
            }
            _ => format!("Registered custom type with name '{}'", name.name),
        },
        (Statement::DropType { name, .. }, None) => format!("Dropped type '{}'", name.name),
        _ => "Statement executed".to_owned(),
    }
}
