//! `weir command-topic check | backup | restore`: the statements of a node, on a running broker or in the data folder of a
//! stopped node.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};
use weir_broker::broker::Broker;
use weir_broker::client::transport::Transport;
use weir_broker::config::BrokerConfig;
use weir_broker::env::clock::{Clock, SystemClock};
use weir_server::command::backup::{Backup, back_up, restore};
use weir_server::command::log::topic_name;
use weir_server::command::scan::{Origin, Unreadable};

use crate::kafka_tools::connection::{Connection, ConnectionArgs};
use crate::kafka_tools::error::{Result, ToolError};
use crate::render::error::chain;
use crate::render::line;

/// Unreadable records that are shown one by one.
const SHOWN_MAX: usize = 20;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  weir command-topic check                                    exit code 1 if a record is no command
  weir command-topic --data-dir weir-data check               the same for a stopped node
  weir command-topic backup commands.jsonl
  weir command-topic restore commands.jsonl --skip-unreadable

A node reads the topic when it starts: start it again after a restore. Nothing may change the node between a backup and a
restore of it, or those statements are lost.")]
pub struct CommandTopicArgs {
    #[command(flatten)]
    pub connection: ConnectionArgs,
    /// Data folder of a stopped node, instead of a running broker
    #[arg(long, value_name = "DIR", global = true, id = "command_topic_dir")]
    pub data_dir: Option<PathBuf>,
    /// Service id of the node (ksql.service.id)
    #[arg(long, value_name = "ID", global = true, default_value = "default_")]
    pub service_id: String,
    #[command(subcommand)]
    pub command: CommandTopicCommand,
}

#[derive(Debug, Subcommand)]
pub enum CommandTopicCommand {
    /// Read every command; exit code 1 if one cannot be read
    Check,
    /// Write the topic to a file, a record a line
    Backup {
        /// New file
        file: PathBuf,
    },
    /// Replace the topic's records by those of a backup
    Restore {
        /// Written by backup
        file: PathBuf,
        /// Leave out records that are no commands; without it such a backup is refused
        #[arg(long)]
        skip_unreadable: bool,
    },
}

/// Where the topic is.
struct Place {
    transport: Arc<dyn Transport>,
    /// Started for this command, without listeners.
    broker: Option<Broker>,
}

pub async fn run(args: CommandTopicArgs) -> Result<()> {
    let place = Place::open(&args).await?;
    let topic = topic_name(&args.service_id);
    let outcome = match &args.command {
        CommandTopicCommand::Check => check(&place.transport, &topic).await,
        CommandTopicCommand::Backup { file } => write_backup(&place.transport, &topic, file).await,
        CommandTopicCommand::Restore { file, skip_unreadable } => {
            restore_backup(&place.transport, &topic, file, *skip_unreadable).await
        }
    };
    let closed = place.close().await;
    outcome.and(closed)
}

impl Place {
    async fn open(args: &CommandTopicArgs) -> Result<Place> {
        let Some(folder) = &args.data_dir else {
            let connection = Connection::open(&args.connection).await?;
            return Ok(Place { transport: connection.transport, broker: None });
        };
        let wrong = |message: String| ToolError::Input { place: folder.display().to_string(), message };
        let broker_folder = folder.join("broker");
        if !broker_folder.is_dir() {
            return Err(wrong("it is not the data folder of a node".to_owned()));
        }
        let mut config = BrokerConfig::new(broker_folder);
        config.listeners = Vec::new();
        let broker = Broker::start(config).await.map_err(|error| wrong(chain(&error)))?;
        Ok(Place { transport: broker.transport(), broker: Some(broker) })
    }

    async fn close(self) -> Result<()> {
        let Some(broker) = self.broker else { return Ok(()) };
        broker
            .shutdown()
            .await
            .map_err(|error| ToolError::Input { place: "data folder".to_owned(), message: chain(&error) })
    }
}

fn show(unreadable: &[Unreadable]) {
    for record in unreadable.iter().take(SHOWN_MAX) {
        let origin = match record.origin {
            Origin::Command => "command cannot be read; later commands are not carried out",
            Origin::Foreign => "record of another client",
        };
        line::err(format_args!("Offset {}: {origin}: {}", record.offset, record.reason));
    }
    if unreadable.len() > SHOWN_MAX {
        line::err(format_args!("... and {} more", unreadable.len() - SHOWN_MAX));
    }
}

async fn check(transport: &Arc<dyn Transport>, topic: &str) -> Result<()> {
    let (backup, unreadable) = back_up(transport, topic).await?;
    show(&unreadable);
    let commands = backup.records.len() - backup.unreadable().len();
    line::out(format_args!("{topic}: {commands} command(s), {} unreadable record(s)", unreadable.len()));
    match unreadable.len() {
        0 => Ok(()),
        count => Err(ToolError::Damaged { count }),
    }
}

async fn write_backup(transport: &Arc<dyn Transport>, topic: &str, path: &Path) -> Result<()> {
    let (backup, unreadable) = back_up(transport, topic).await?;
    show(&unreadable);
    let failed = |source| ToolError::Io { action: "write", path: path.display().to_string(), source };
    let mut file = BufWriter::new(File::create_new(path).map_err(failed)?);
    backup.write(&mut file)?;
    file.flush().map_err(failed)?;
    file.get_ref().sync_all().map_err(failed)?;
    line::out(format_args!("{topic}: {} record(s) written to {}", backup.records.len(), path.display()));
    Ok(())
}

async fn restore_backup(
    transport: &Arc<dyn Transport>,
    topic: &str,
    path: &Path,
    skip_unreadable: bool,
) -> Result<()> {
    let failed = |source| ToolError::Io { action: "read", path: path.display().to_string(), source };
    let mut file = BufReader::new(File::open(path).map_err(failed)?);
    let backup = Backup::read(&mut file)?;
    let wrong = |message: String| ToolError::Input { place: path.display().to_string(), message };
    if backup.header.topic != topic {
        return Err(wrong(format!("it is a backup of {}, not of {topic}", backup.header.topic)));
    }
    let unreadable = backup.unreadable();
    if !unreadable.is_empty() && !skip_unreadable {
        show(&unreadable);
        let count = unreadable.len();
        return Err(wrong(format!("{count} record(s) are no commands; --skip-unreadable leaves them out")));
    }
    let restored = restore(transport, &backup, SystemClock::new().now_ms()).await?;
    line::out(format_args!(
        "{topic}: {} command(s) restored, {} record(s) left out. Start the node again.",
        restored.records,
        restored.skipped.len()
    ));
    Ok(())
}
