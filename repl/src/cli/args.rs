//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::bench::command::BenchArgs;
use crate::cli::aliases::AliasesArgs;
use crate::cli::completions::CompletionsArgs;
use crate::cli::config::ConfigArgs;
use crate::cli::man::ManArgs;
use crate::cli::node_args::NodeArgs;
use crate::cli::test::TestArgs;
use crate::client::connect::ConnectArgs;
use crate::demo::command::DemoArgs;
use crate::kafka_tools::acl::AclArgs;
use crate::kafka_tools::cluster::args::ClusterArgs;
use crate::kafka_tools::command_topic::CommandTopicArgs;
use crate::kafka_tools::consume::args::ConsumeArgs;
use crate::kafka_tools::group::args::GroupArgs;
use crate::kafka_tools::log::dump::LogArgs;
use crate::kafka_tools::produce::args::ProduceArgs;
use crate::kafka_tools::topic::TopicArgs;
use crate::kafka_tools::user::UserArgs;
use crate::migrate::commands::MigrateArgs;

/// Kafka-protocol broker and streaming SQL engine in one binary
///
/// Without a sub-command: the SQL shell, on an embedded node with its data in ./weir-data, or on a server with --server.
#[derive(Debug, Parser)]
#[command(name = "weir", version, args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub struct Cli {
    #[command(flatten)]
    pub shell: ShellArgs,
    #[command(flatten)]
    pub node: NodeArgs,
    #[command(subcommand)]
    pub command: Option<Command>,
}

const EXAMPLES: &str = "Examples:
  weir                                        shell on an embedded node
  weir -e 'SHOW STREAMS;'                     run statements and exit
  weir server --data-dir /var/lib/weir        run a node
  weir --server http://localhost:8088         shell on a running node
  weir migrate --project shop apply --all     apply migration files
  weir topic create orders -p 4               a topic, on the node at localhost:9092
  weir consume orders -o -10 -e               its last ten records
  weir cluster health                         exit code 1 if there is a problem
  weir config show --origin                   settings and their origins";

// There is one value, made once.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a node
    Server(Box<NodeArgs>),
    /// Show the settings of a node and their origins
    Config(ConfigArgs),
    /// Apply versioned SQL files
    Migrate(MigrateArgs),
    /// Create, describe, alter and delete topics
    Topic(TopicArgs),
    /// Write lines of standard input to a topic
    Produce(ProduceArgs),
    /// Read a topic
    Consume(ConsumeArgs),
    /// Show and change consumer groups and their offsets
    Group(GroupArgs),
    /// Describe a cluster and check its health
    Cluster(ClusterArgs),
    /// Show and change access rules
    Acl(AclArgs),
    /// Show and change SCRAM users
    User(UserArgs),
    /// Check, back up and restore the statements of a node
    CommandTopic(CommandTopicArgs),
    /// Show and verify the log files of a stopped node
    Log(LogArgs),
    /// Install links named like Kafka's scripts and kcat
    Aliases(AliasesArgs),
    /// Print shell completions
    Completions(CompletionsArgs),
    /// Print the manual
    Man(ManArgs),
    /// Run the flights of January 2013 through a fresh node
    Demo(DemoArgs),
    /// Run benchmarks with a fixed seed
    Bench(BenchArgs),
    /// Run SQL and ksqlDB test cases
    Test(TestArgs),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputArg {
    /// Tables
    #[value(alias = "table")]
    Tabular,
    /// Answers of the server as JSON
    Json,
    /// One JSON object per row and line
    Ndjson,
    Csv,
    Markdown,
}

#[derive(Debug, Args)]
pub struct ShellArgs {
    /// Server to connect to instead of an embedded node
    #[arg(long, short = 's', value_name = "URL")]
    pub server: Option<String>,
    #[command(flatten)]
    pub connect: ConnectArgs,
    /// Statements to run instead of the shell
    #[arg(long, short = 'e', value_name = "SQL", conflicts_with = "file")]
    pub execute: Option<String>,
    /// File of statements to run instead of the shell; - is standard input
    #[arg(long, short = 'f', value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Variable for the statements: NAME=VALUE
    #[arg(long, short = 'd', value_name = "NAME=VALUE")]
    pub define: Vec<String>,
    /// Output form; default: tabular on a terminal, json elsewhere
    #[arg(long, value_enum, ignore_case = true)]
    pub output: Option<OutputArg>,
    /// End push queries after this many rows
    #[arg(long, value_name = "ROWS")]
    pub query_row_limit: Option<u64>,
    /// End push queries after this time
    #[arg(long, value_name = "MS")]
    pub query_timeout: Option<u64>,
}
