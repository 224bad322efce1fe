//! `weir migrate new | create | apply | info | validate`.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use indexmap::IndexMap;
use serde_json::Value;
use weir_sql::parser::split::split_statements;

use crate::client::{ClientError, RequestContext, ServerClient};
use crate::migrate::files::{self, Migration, ProjectConfig, ProjectError};
use crate::migrate::metadata::{Claim, Metadata, NONE, VersionInfo};
use crate::render::table::{TableStyle, table};
use crate::session::classify::first_words;
use crate::session::script::placed;
use crate::session::strings::quoted;

const DEFAULT_SERVER: &str = "http://localhost:8088";

#[derive(Debug, Args)]
pub struct MigrateArgs {
    /// Folder of the project
    #[arg(long, short = 'p', default_value = ".", global = true)]
    pub project: PathBuf,
    /// Configuration file; its folder is the project's
    #[arg(long, short = 'c', value_name = "FILE", global = true, conflicts_with = "project")]
    pub config_file: Option<PathBuf>,
    /// Server; default: ksql.server.url of the project's ksql-migrations.properties, else http://localhost:8088
    #[arg(long, short = 's', global = true)]
    pub server: Option<String>,
    #[command(subcommand)]
    pub command: MigrateCommand,
}

#[derive(Debug, Subcommand)]
pub enum MigrateCommand {
    /// Make the folders of a new project
    #[command(alias = "new-project")]
    New {
        path: PathBuf,
        #[arg(default_value = DEFAULT_SERVER)]
        server: String,
    },
    /// Make an empty file for the next version
    Create {
        description: String,
        /// Version instead of the next one
        #[arg(short, long)]
        version: Option<u32>,
    },
    /// Make the metadata stream and table (apply does it when needed)
    #[command(alias = "initialize-metadata")]
    Initialize,
    /// Apply files that the server has not seen
    Apply(ApplyArgs),
    /// Show every version and its state
    Info,
    /// Check that applied files have not changed
    Validate,
    /// Drop the metadata stream and table with their topics: the server forgets what was applied
    #[command(alias = "destroy-metadata")]
    Destroy,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Selection {
    /// All versions not yet applied
    #[arg(short, long)]
    pub all: bool,
    /// The next version
    #[arg(short, long)]
    pub next: bool,
    /// All versions up to this one
    #[arg(short, long)]
    pub until: Option<u32>,
    /// This version, which must be the next
    #[arg(short, long)]
    pub version: Option<u32>,
}

#[derive(Debug, Args)]
pub struct ApplyArgs {
    #[command(flatten)]
    pub selection: Selection,
    /// Variable for the files: NAME=VALUE
    #[arg(short, long = "define", value_name = "NAME=VALUE")]
    pub define: Vec<String>,
    /// Print the statements, run nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Why a migration command failed.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    #[error(transparent)]
    Project(#[from] ProjectError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("version {version} is {state} on the server; let it end, or mend it, before applying others")]
    NotSettled { version: String, state: String },
    #[error("the file of applied version {version} is missing")]
    Missing { version: String },
    #[error(
        "\"{path}\" has changed since version {version} was applied: its checksum is {actual}, was {expected}"
    )]
    Changed { version: String, path: String, expected: String, actual: String },
    #[error("there is no file for version {version}")]
    NoSuchVersion { version: u32 },
    #[error("version {version} is not after version {current}, which is applied")]
    NotNext { version: u32, current: u32 },
    #[error("{path}:{line}: {message}")]
    Statement { path: String, line: u32, message: String },
    #[error("version {version} is being applied by somebody else")]
    Taken { version: String },
    #[error("version {version} was written by somebody else while this began")]
    Moved { version: String },
    #[error("variable \"{text}\" is not NAME=VALUE")]
    Define { text: String },
}

/// Runs the command; what it did is printed.
pub async fn run(args: MigrateArgs) -> Result<(), MigrateError> {
    if let MigrateCommand::New { path, server } = &args.command {
        files::create_project(path, server)?;
        println!("Created migration project {}", path.display());
        return Ok(());
    }
    let config = ProjectConfig::load(&args.project, args.config_file.as_deref())?;
    if let MigrateCommand::Create { description, version } = &args.command {
        let path = files::create_migration(&config, description, *version)?;
        println!("Created {}", path.display());
        return Ok(());
    }
    let server = args.server.or_else(|| config.server.clone());
    let client = ServerClient::new(server.as_deref().unwrap_or(DEFAULT_SERVER))?;
    let metadata = Metadata::new(&client, &config);
    match args.command {
        MigrateCommand::New { .. } | MigrateCommand::Create { .. } => {}
        MigrateCommand::Initialize => {
            metadata.initialize().await?;
            println!("Metadata stream and table are there");
        }
        MigrateCommand::Destroy => {
            metadata.destroy().await?;
            println!("Metadata stream and table are gone");
        }
        MigrateCommand::Apply(ref apply_args) => apply(&config, &client, &metadata, apply_args).await?,
        MigrateCommand::Info => info(&config, &metadata).await?,
        MigrateCommand::Validate => {
            let (migrations, _) = files::load(&config)?;
            let current = if metadata.exists().await? { metadata.current().await? } else { None };
            let count = validate(&metadata, current.as_ref(), &migrations).await?;
            println!("{count} applied migration(s) unchanged");
        }
    }
    Ok(())
}

/// Follows the chain of applied versions from the newest back and compares checksums. Gives their number.
async fn validate(
    metadata: &Metadata<'_>,
    current: Option<&VersionInfo>,
    migrations: &[Migration],
) -> Result<usize, MigrateError> {
    let mut next =
        current.map(|c| if c.state == "MIGRATED" { c.version.clone() } else { c.previous.clone() });
    let mut count = 0;
    while let Some(version) = next.filter(|v| v != NONE && !v.is_empty()) {
        let applied = metadata
            .version(&version)
            .await?
            .ok_or_else(|| MigrateError::Missing { version: version.clone() })?;
        let file = migrations
            .iter()
            .find(|m| m.version.to_string() == version)
            .ok_or_else(|| MigrateError::Missing { version: version.clone() })?;
        if applied.state != "MIGRATED" {
            return Err(MigrateError::NotSettled { version, state: applied.state });
        }
        if applied.checksum != file.checksum {
            return Err(MigrateError::Changed {
                version,
                path: file.path.display().to_string(),
                expected: applied.checksum,
                actual: file.checksum.clone(),
            });
        }
        count += 1;
        next = Some(applied.previous);
    }
    Ok(count)
}

async fn apply(
    config: &ProjectConfig,
    client: &ServerClient,
    metadata: &Metadata<'_>,
    args: &ApplyArgs,
) -> Result<(), MigrateError> {
    let variables = variables(&args.define)?;
    let (migrations, ignored) = files::load(config)?;
    for file in ignored {
        eprintln!("Warning: \"{file}\" is not named V000000__name.sql and is passed over");
    }
    // A dry run leaves no traces.
    let is_known = if args.dry_run { metadata.exists().await? } else { true };
    if !args.dry_run {
        metadata.initialize().await?;
    }
    let events = if is_known { metadata.events().await? } else { Vec::new() };
    let current = events.last().cloned();
    if let Some(c) = current.as_ref().filter(|c| c.state == "RUNNING") {
        return Err(MigrateError::NotSettled { version: c.version.clone(), state: c.state.clone() });
    }
    validate(metadata, current.as_ref(), &migrations).await?;
    // After an error the same version is applied again.
    let last = current.as_ref().map_or(NONE.to_owned(), |c| {
        if c.state == "MIGRATED" { c.version.clone() } else { c.previous.clone() }
    });
    let applied: u32 = last.parse().unwrap_or(0);
    let chosen = select(&migrations, applied, &args.selection)?;
    if chosen.is_empty() {
        println!("Nothing to apply: the server is at version {last}");
    }
    let mut run = Run { metadata, client, variables, previous: last, events: events.len() };
    for migration in chosen {
        println!("Applying version {} - {}", migration.version, migration.name);
        if args.dry_run {
            println!("{}", migration.text);
        } else {
            run.apply_one(migration).await?;
        }
    }
    Ok(())
}

fn variables(define: &[String]) -> Result<IndexMap<String, String>, MigrateError> {
    let variable = |text: &String| {
        let error = || MigrateError::Define { text: text.clone() };
        let (name, value) = text.split_once('=').ok_or_else(error)?;
        Ok((name.trim().to_ascii_lowercase(), value.to_owned()))
    };
    define.iter().map(variable).collect()
}

/// The files to apply, in order.
fn select<'m>(
    migrations: &'m [Migration],
    applied: u32,
    selection: &Selection,
) -> Result<Vec<&'m Migration>, MigrateError> {
    let pending: Vec<&Migration> = migrations.iter().filter(|m| m.version > applied).collect();
    let known = |version: u32| {
        if !migrations.iter().any(|m| m.version == version) {
            return Err(MigrateError::NoSuchVersion { version });
        }
        if version <= applied {
            return Err(MigrateError::NotNext { version, current: applied });
        }
        Ok(version)
    };
    Ok(match (selection.until, selection.version) {
        (Some(until), _) => {
            let until = known(until)?;
            pending.into_iter().filter(|m| m.version <= until).collect()
        }
        (None, Some(version)) => {
            let version = known(version)?;
            pending.into_iter().filter(|m| m.version == version).collect()
        }
        (None, None) if selection.next => pending.into_iter().take(1).collect(),
        (None, None) => pending,
    })
}

/// Migrations being applied one after the other.
struct Run<'r> {
    metadata: &'r Metadata<'r>,
    client: &'r ServerClient,
    variables: IndexMap<String, String>,
    /// The version applied last.
    previous: String,
    /// Events that are known to be written.
    events: usize,
}

impl Run<'_> {
    async fn apply_one(&mut self, migration: &Migration) -> Result<(), MigrateError> {
        let mut info = VersionInfo {
            version: migration.version.to_string(),
            name: migration.name.clone(),
            state: "RUNNING".to_owned(),
            checksum: migration.checksum.clone(),
            started_on: now_ms(),
            completed_on: String::new(),
            previous: self.previous.clone(),
            error_reason: format!("run {:016x}", rand::random::<u64>()),
        };
        if let Claim::Taken(by) = self.metadata.claim(&info, self.events).await? {
            let version = by.version;
            return Err(match by.state.as_str() {
                "RUNNING" => MigrateError::Taken { version },
                _ => MigrateError::Moved { version },
            });
        }
        let result = run_file(self.client, migration, self.variables.clone()).await;
        info.completed_on = now_ms();
        info.error_reason.clear();
        match result {
            Ok(()) => info.state = "MIGRATED".to_owned(),
            Err(ref error) => {
                info.state = "ERROR".to_owned();
                info.error_reason = error.to_string();
            }
        }
        self.metadata.record(&info).await?;
        self.events = self.metadata.events().await?.len();
        self.previous = info.version;
        result
    }
}

/// SET, UNSET, DEFINE and UNDEFINE hold until the end of the file.
async fn run_file(
    client: &ServerClient,
    migration: &Migration,
    variables: IndexMap<String, String>,
) -> Result<(), MigrateError> {
    let mut context = RequestContext { variables, ..RequestContext::default() };
    let script = split_statements(&migration.text);
    let path = migration.path.display().to_string();
    let error_at = |line: u32, message: String| MigrateError::Statement { path: path.clone(), line, message };
    if let Some(rest) = &script.rest {
        return Err(error_at(rest.start.line, "the last statement does not end with \";\"".to_owned()));
    }
    // What does not belong here is found before anything is changed.
    for statement in &script.statements {
        let word = first_words(statement.text, 1).into_iter().next().unwrap_or_default();
        if ["SELECT", "PRINT", "DESCRIBE", "EXPLAIN", "SHOW", "LIST", "RUN"].contains(&word.as_str()) {
            let message = format!("{word} statements do not belong in migrations");
            return Err(error_at(statement.start.line, message));
        }
    }
    for statement in &script.statements {
        let error = |message: String| error_at(statement.start.line, message);
        let word = first_words(statement.text, 1).into_iter().next().unwrap_or_default();
        if !session_statement(&word, statement.text, &mut context).map_err(error)? {
            let text = placed(&migration.text[..statement.offset], statement.text);
            client.execute(&text, &context).await.map_err(|e| error(e.to_string()))?;
        }
    }
    Ok(())
}

/// Applies SET, UNSET, DEFINE and UNDEFINE to the context; false for other statements.
fn session_statement(word: &str, text: &str, context: &mut RequestContext) -> Result<bool, String> {
    let strings: Vec<String> = quoted(text);
    let second = || {
        let word = text.split_whitespace().nth(1).unwrap_or_default();
        word.split('=').next().unwrap_or_default().trim_end_matches(';').to_ascii_lowercase()
    };
    match (word, strings.as_slice()) {
        ("SET", [name, value]) => {
            context.properties.insert(name.clone(), value.clone());
        }
        ("UNSET", [name]) => {
            context.properties.shift_remove(name);
        }
        ("DEFINE", [value]) => {
            context.variables.insert(second(), value.clone());
        }
        ("UNDEFINE", []) => {
            context.variables.shift_remove(&second());
        }
        ("SET" | "UNSET" | "DEFINE" | "UNDEFINE", _) => return Err(format!("this {word} is not understood")),
        _ => return Ok(false),
    }
    Ok(true)
}

async fn info(config: &ProjectConfig, metadata: &Metadata<'_>) -> Result<(), MigrateError> {
    let (migrations, _) = files::load(config)?;
    let is_known = metadata.exists().await?;
    let mut rows = Vec::new();
    for migration in &migrations {
        let version = migration.version.to_string();
        let seen = if is_known { metadata.version(&version).await? } else { None };
        let cell = |text: Option<&String>| {
            Value::from(text.cloned().filter(|t| !t.is_empty()).unwrap_or("N/A".into()))
        };
        rows.push(vec![
            Value::from(migration.version),
            Value::from(migration.name.as_str()),
            Value::from(seen.as_ref().map_or("PENDING", |s| s.state.as_str())),
            cell(seen.as_ref().map(|s| &s.previous)),
            cell(seen.as_ref().map(|s| &s.started_on)),
            cell(seen.as_ref().map(|s| &s.completed_on)),
            cell(seen.as_ref().filter(|s| s.state == "ERROR").map(|s| &s.error_reason)),
        ]);
    }
    let header =
        ["Version", "Name", "State", "Previous Version", "Started On", "Completed On", "Error Reason"];
    println!("{}", table(&header.map(str::to_owned), &rows, TableStyle::detect(false)));
    Ok(())
}

/// ms since epoch. The only use of the wall clock here: what people see as the time of a migration.
#[allow(clippy::disallowed_methods)]
fn now_ms() -> String {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn migration(version: u32) -> Migration {
        Migration {
            version,
            name: String::new(),
            path: PathBuf::new(),
            text: String::new(),
            checksum: String::new(),
        }
    }

    fn versions(applied: u32, selection: Selection) -> Result<Vec<u32>, MigrateError> {
        let all = [migration(1), migration(2), migration(4)];
        Ok(select(&all, applied, &selection)?.into_iter().map(|m| m.version).collect())
    }

    #[test]
    fn selections_choose_what_is_after_the_applied_version() {
        let none = || Selection { all: false, next: false, until: None, version: None };
        assert_eq!(versions(1, Selection { all: true, ..none() }).expect("valid"), [2, 4]);
        assert_eq!(versions(1, Selection { next: true, ..none() }).expect("valid"), [2]);
        assert_eq!(versions(0, Selection { until: Some(2), ..none() }).expect("valid"), [1, 2]);
        assert!(matches!(
            versions(2, Selection { version: Some(1), ..none() }),
            Err(MigrateError::NotNext { version: 1, current: 2 })
        ));
        assert!(matches!(
            versions(0, Selection { version: Some(3), ..none() }),
            Err(MigrateError::NoSuchVersion { version: 3 })
        ));
    }

    #[test]
    fn set_and_define_stay_in_the_file() {
        let mut context = RequestContext::default();
        assert!(session_statement("SET", "SET 'a' = 'b';", &mut context).expect("valid"));
        assert!(session_statement("DEFINE", "DEFINE Topic = 'x';", &mut context).expect("valid"));
        assert_eq!(context.properties["a"], "b");
        assert_eq!(context.variables["topic"], "x");
        assert!(!session_statement("CREATE", "CREATE STREAM s;", &mut context).expect("valid"));
    }
}
