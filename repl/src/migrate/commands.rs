//! `weir migrate new | create | apply | info | validate`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::client::connect::{ConnectArgs, ConnectError};
use crate::client::{ClientError, ServerClient};
use crate::migrate::apply::apply;
use crate::migrate::files::{self, Migration, ProjectConfig, ProjectError};
use crate::migrate::info::info;
use crate::migrate::metadata::{Metadata, NONE, VersionInfo};
use crate::render::line;

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
    #[command(flatten)]
    pub connect: ConnectArgs,
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
    Info(InfoArgs),
    /// Check that applied files have not changed and that no version is in ERROR
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
    /// Check the statements and print them, run nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Run a version that failed from its first statement, not from the one that failed
    #[arg(long)]
    pub from_start: bool,
}

#[derive(Debug, Args)]
pub struct InfoArgs {
    /// Exit code 1 unless every version is applied and its file unchanged
    #[arg(long)]
    pub check: bool,
}

/// Why a migration command failed.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    #[error(transparent)]
    Project(#[from] ProjectError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Connect(#[from] ConnectError),
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
    #[error("{error}{}", resume_hint(*applied))]
    File { error: Box<MigrateError>, applied: usize },
    #[error("version {version} is in ERROR: correct its file and apply it again")]
    Failed { version: String },
    #[error("the statements cannot be checked: the scratch node failed: {reason}")]
    Scratch { reason: String },
    #[error("not everything is applied: {problems}")]
    Unapplied { problems: String },
    #[error("version {version} is being applied by another process")]
    Taken { version: String },
    #[error("version {version} was recorded by another process meanwhile")]
    Moved { version: String },
    #[error("variable \"{text}\" is not NAME=VALUE")]
    Define { text: String },
}

/// Runs the command; what it did is printed.
pub async fn run(args: MigrateArgs) -> Result<(), MigrateError> {
    if let MigrateCommand::New { path, server } = &args.command {
        // An address that cannot be used, or that holds a password, is not written down.
        ServerClient::new(server)?;
        files::create_project(path, server)?;
        line::out(format_args!("Created migration project {}", path.display()));
        return Ok(());
    }
    let config = ProjectConfig::load(&args.project, args.config_file.as_deref())?;
    if let MigrateCommand::Create { description, version } = &args.command {
        let path = files::create_migration(&config, description, *version)?;
        line::out(format_args!("Created {}", path.display()));
        return Ok(());
    }
    let server = args.server.or_else(|| config.server.clone());
    let options = args.connect.options()?;
    let client = ServerClient::with(server.as_deref().unwrap_or(DEFAULT_SERVER), &options)?;
    let metadata = Metadata::new(&client, &config);
    match args.command {
        MigrateCommand::New { .. } | MigrateCommand::Create { .. } => {}
        MigrateCommand::Initialize => {
            metadata.initialize().await?;
            line::out(format_args!("Metadata stream and table are there"));
        }
        MigrateCommand::Destroy => {
            metadata.destroy().await?;
            line::out(format_args!("Metadata stream and table are gone"));
        }
        MigrateCommand::Apply(ref apply_args) => apply(&config, &client, &metadata, apply_args).await?,
        MigrateCommand::Info(ref info_args) => info(&config, &metadata, info_args).await?,
        MigrateCommand::Validate => {
            let migrations = load_files(&config)?;
            let current = if metadata.exists().await? { metadata.current().await? } else { None };
            let count = validate(&metadata, current.as_ref(), &migrations).await?;
            line::out(format_args!("{count} applied migration(s) unchanged"));
            if let Some(failed) = current.filter(|current| current.state == "ERROR") {
                return Err(MigrateError::Failed { version: failed.version });
            }
        }
    }
    Ok(())
}

/// The files of the project. Those that are none by their names are reported.
pub fn load_files(config: &ProjectConfig) -> Result<Vec<Migration>, MigrateError> {
    let (migrations, ignored) = files::load(config)?;
    for file in ignored {
        line::err(format_args!("Warning: \"{file}\" is not named V000000__name.sql and is passed over"));
    }
    Ok(migrations)
}

/// Where a file goes on that failed in the middle.
fn resume_hint(applied: usize) -> String {
    if applied == 0 {
        return String::new();
    }
    format!(
        "\nHint: the {applied} statement(s) before it stay applied. The next apply goes on at the failed statement \
         as long as these do not change; --from-start runs the file from its first statement."
    )
}

/// Follows the chain of applied versions from the newest back and compares checksums. Gives their number.
pub async fn validate(
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
