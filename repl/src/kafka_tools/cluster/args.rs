//! `weir cluster info | metadata | health`: what a cluster is, and whether it is well. Asks over Kafka's protocol only.

use clap::{Args, Subcommand};

use crate::kafka_tools::cluster::health::{self, HealthArgs};
use crate::kafka_tools::cluster::info::{InfoArgs, info};
use crate::kafka_tools::cluster::metadata::{MetadataArgs, metadata};
use crate::kafka_tools::connection::{Connection, ConnectionArgs};
use crate::kafka_tools::error::Result;
use crate::kafka_tools::output::{ListForm, OutputArgs};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  weir cluster info                       id, controller, brokers, features, counts
  weir cluster metadata                   every topic and partition, as kcat -L prints them
  weir cluster metadata -t clicks --json
  weir cluster health && echo well        exit code 1 if something is wrong
  weir cluster health --max-lag 1000")]
pub struct ClusterArgs {
    #[command(flatten)]
    pub connection: ConnectionArgs,
    #[command(flatten)]
    pub output: OutputArgs,
    #[command(subcommand)]
    pub command: ClusterCommand,
}

#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Show the cluster's id, controller, brokers and features, and count topics and partitions
    Info(InfoArgs),
    /// List brokers, topics and partitions
    Metadata(MetadataArgs),
    /// Look for offline partitions, failed disks, lagging groups and hanging transactions; exit code 1 if there are any
    Health(HealthArgs),
}

pub async fn run(args: ClusterArgs) -> Result<()> {
    let connection = Connection::open(&args.connection).await?;
    let is_json = args.output.form() == ListForm::Json;
    match args.command {
        ClusterCommand::Info(info_args) => {
            info(&connection, is_json || info_args.json).await?;
            if info_args.list {
                let listing = MetadataArgs { topic: None, json: is_json || info_args.json };
                metadata(&connection, &listing).await?;
            }
            Ok(())
        }
        ClusterCommand::Metadata(mut metadata_args) => {
            metadata_args.json |= is_json;
            metadata(&connection, &metadata_args).await
        }
        ClusterCommand::Health(health_args) => health::run(&connection, args.output, &health_args).await,
    }
}
