//! `weir topic create | list | describe | alter | delete`.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde_json::Value;
use weir_broker::ids::TopicPartition;
use weir_broker::log::access::Isolation;
use weir_broker::protocol::error_code::ErrorCode;
use weir_broker::protocol::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult,
};
use weir_broker::protocol::messages::metadata::MetadataResponsePartition;

use crate::kafka_tools::client_properties::assignment;
use crate::kafka_tools::cluster::metadata::ids;
use crate::kafka_tools::connection::fetch_metadata;
use crate::kafka_tools::connection::{Connection, ConnectionArgs, ask};
use crate::kafka_tools::error::{Result, ToolError, check};
use crate::kafka_tools::names::{Names, Topic};
use crate::kafka_tools::offsets::{Bounds, bounds};
use crate::kafka_tools::output::OutputArgs;
use crate::kafka_tools::sources::sources_by_topic;
use crate::render::line;

const TOPIC_RESOURCE: i8 = 2;
/// `config_source` of a setting made for the topic.
const TOPIC_CONFIG: i8 = 1;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  weir topic create orders -p 6 -c retention.ms=604800000 -c cleanup.policy=delete
  weir topic describe orders --configs
  weir topic alter orders --partitions 12 --set retention.ms=-1 --unset cleanup.policy
  weir topic list --output json | jq -r .name")]
pub struct TopicArgs {
    #[command(flatten)]
    pub connection: ConnectionArgs,
    #[command(flatten)]
    pub output: OutputArgs,
    #[command(subcommand)]
    pub command: TopicCommand,
}

#[derive(Debug, Subcommand)]
pub enum TopicCommand {
    /// Make topics
    Create(CreateArgs),
    /// Show all topics
    #[command(visible_alias = "ls")]
    List {
        /// Topics of the broker and of queries, too
        #[arg(long, short = 'i')]
        internal: bool,
    },
    /// Show a topic's partitions, or its settings
    #[command(visible_alias = "info")]
    Describe {
        #[command(flatten)]
        names: Names<Topic>,
        /// Settings, instead of partitions
        #[arg(long, short = 'c')]
        configs: bool,
    },
    /// Add partitions, change settings
    Alter(AlterArgs),
    /// Delete topics with their records
    #[command(visible_alias = "rm")]
    Delete {
        #[command(flatten)]
        names: Names<Topic>,
        /// A topic that does not exist is no error
        #[arg(long)]
        if_exists: bool,
    },
}

#[derive(Debug, Args)]
pub struct CreateArgs {
    #[command(flatten)]
    names: Names<Topic>,
    /// Partitions; default: the broker's
    #[arg(long, short = 'p')]
    partitions: Option<i32>,
    /// Replicas; a single node keeps one
    #[arg(long, short = 'r', visible_alias = "replicas")]
    replication_factor: Option<i16>,
    /// Setting of the topic
    #[arg(long, short = 'c', visible_alias = "topic-config", value_name = "KEY=VALUE")]
    config: Vec<String>,
    /// A topic that exists is no error
    #[arg(long)]
    if_not_exists: bool,
}

#[derive(Debug, Args)]
pub struct AlterArgs {
    #[command(flatten)]
    names: Names<Topic>,
    /// Raise the number of partitions to this
    #[arg(long, short = 'p')]
    partitions: Option<i32>,
    /// Set a setting
    #[arg(long, short = 's', visible_aliases = ["config", "add-config"], value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Return a setting to its default
    #[arg(long, short = 'u', visible_alias = "delete-config", value_name = "KEY")]
    unset: Vec<String>,
}

pub async fn run(args: TopicArgs) -> Result<()> {
    let connection = Connection::open(&args.connection).await?;
    let output = args.output;
    match args.command {
        TopicCommand::Create(create_args) => create(&connection, output, &create_args).await,
        TopicCommand::List { internal } => list(&connection, output, internal).await,
        TopicCommand::Describe { names, configs } => {
            for name in names.all() {
                match configs {
                    true => settings(&connection, output, name).await?,
                    false => describe(&connection, output, name).await?,
                }
            }
            Ok(())
        }
        TopicCommand::Alter(alter_args) => alter(&connection, output, &alter_args).await,
        TopicCommand::Delete { names, if_exists } => delete(&connection, output, &names, if_exists).await,
    }
}

async fn create(connection: &Connection, output: OutputArgs, args: &CreateArgs) -> Result<()> {
    let configs: BTreeMap<String, String> =
        args.config.iter().map(|text| assignment(text)).collect::<Result<_>>()?;
    if args.replication_factor.is_some_and(|replicas| !matches!(replicas, -1 | 1)) {
        return Err(ToolError::Usage("a single node keeps one replica of each partition: -r 1".to_owned()));
    }
    if args.partitions.is_some_and(|count| count < 1) {
        return Err(ToolError::Usage("a topic has at least one partition".to_owned()));
    }
    for name in args.names.all() {
        match connection.admin.create_topic(name, args.partitions.unwrap_or(-1), &configs).await {
            Ok(()) => output.say(&format!("Created topic {name}")),
            Err(error) if args.if_not_exists && error.code() == Some(ErrorCode::TopicAlreadyExists) => {
                output.say(&format!("Topic {name} exists already"));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

async fn list(connection: &Connection, output: OutputArgs, internal: bool) -> Result<()> {
    let mut topics = connection.admin.list_topics().await?;
    topics.retain(|topic| internal || !(topic.internal || topic.name.starts_with("_confluent-ksql-")));
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    let rows: Vec<Vec<Value>> = topics
        .into_iter()
        .map(|topic| vec![topic.name.into(), topic.partitions.into(), topic.replicas.into()])
        .collect();
    output.show(&["name", "partitions", "replicas"], &rows);
    Ok(())
}

async fn describe(connection: &Connection, output: OutputArgs, name: &str) -> Result<()> {
    connection.topic(name).await?;
    let topic = fetch_metadata(connection, Some(name)).await?.topics.into_iter().next();
    let described = topic.ok_or(ToolError::Incomplete { missing: "the topic" })?.partitions;
    // The offsets of offline partitions are not known.
    let online = described.iter().filter(|partition| partition.error_code == ErrorCode::None);
    let online: Vec<TopicPartition> = online.map(|p| TopicPartition::new(name, p.partition_index)).collect();
    let all = bounds(connection, &online, Isolation::ReadUncommitted).await?;
    let committed = bounds(connection, &online, Isolation::ReadCommitted).await?;
    let known: BTreeMap<i32, (Bounds, Bounds)> =
        online.iter().map(|partition| partition.partition).zip(all.into_iter().zip(committed)).collect();
    let row = |partition: &MetadataResponsePartition| {
        let known = known.get(&partition.partition_index);
        vec![
            name.into(),
            partition.partition_index.into(),
            partition.leader_id.into(),
            ids(&partition.replica_nodes).into(),
            ids(&partition.isr_nodes).into(),
            known.map(|(all, _)| all.start).into(),
            known.map(|(all, _)| all.end).into(),
            known.map(|(_, committed)| committed.end).into(),
        ]
    };
    let rows: Vec<Vec<Value>> = described.iter().map(row).collect();
    let columns = [
        "topic",
        "partition",
        "leader",
        "replicas",
        "in_sync",
        "start_offset",
        "end_offset",
        "stable_offset",
    ];
    output.show(&columns, &rows);
    Ok(())
}

async fn settings(connection: &Connection, output: OutputArgs, name: &str) -> Result<()> {
    connection.topic(name).await?;
    let rows: Vec<Vec<Value>> = settings_of(connection, name)
        .await?
        .into_iter()
        .map(|config| {
            let source = if config.config_source == TOPIC_CONFIG { "topic" } else { "default" };
            vec![config.name.into(), config.value.into(), Value::from(source)]
        })
        .collect();
    output.show(&["setting", "value", "source"], &rows);
    Ok(())
}

/// The settings of a topic, defaults included.
pub async fn settings_of(connection: &Connection, name: &str) -> Result<Vec<DescribeConfigsResourceResult>> {
    let resource = DescribeConfigsResource {
        resource_type: TOPIC_RESOURCE,
        resource_name: name.to_owned(),
        configuration_keys: None,
    };
    let request = DescribeConfigsRequest { resources: vec![resource], ..DescribeConfigsRequest::default() };
    let mut settings = Vec::new();
    for result in ask!(connection, DescribeConfigs, request)?.results {
        check(|| format!("describing topic \"{name}\""), result.error_code, result.error_message)?;
        settings.extend(result.configs);
    }
    Ok(settings)
}

/// `KEY=VALUE` of a setting that was made for the topic.
pub fn topic_setting(config: &DescribeConfigsResourceResult) -> Option<String> {
    let value = config.value.as_deref().unwrap_or_default();
    (config.config_source == TOPIC_CONFIG).then(|| format!("{}={value}", config.name))
}

async fn alter(connection: &Connection, output: OutputArgs, args: &AlterArgs) -> Result<()> {
    let mut changes: BTreeMap<String, Option<String>> = BTreeMap::new();
    for text in args.set.iter().flat_map(|list| list.split(',')) {
        let (key, value) = assignment(text)?;
        changes.insert(key, Some(value));
    }
    changes.extend(args.unset.iter().map(|key| (key.clone(), None)));
    if changes.is_empty() && args.partitions.is_none() {
        return Err(ToolError::Usage("nothing to alter: give --partitions, --set or --unset".to_owned()));
    }
    for name in args.names.all() {
        let topic = connection.topic(name).await?;
        if let Some(count) = args.partitions {
            if count < topic.partitions {
                return Err(ToolError::Usage(format!(
                    "topic \"{name}\" has {} partitions; they can only become more",
                    topic.partitions
                )));
            }
            if count > topic.partitions {
                connection.admin.create_partitions(name, count).await?;
            }
        }
        if !changes.is_empty() {
            connection.admin.alter_configs(name, &changes).await?;
        }
        output.say(&format!("Altered topic {name}"));
    }
    Ok(())
}

async fn delete(
    connection: &Connection,
    output: OutputArgs,
    names: &Names<Topic>,
    if_exists: bool,
) -> Result<()> {
    let sources = sources_by_topic(connection).await;
    for name in names.all() {
        match connection.admin.delete_topics(&[name]).await {
            Ok(()) => {
                output.say(&format!("Deleted topic {name}"));
                if let Some(over) = sources.get(name) {
                    line::err(format_args!(
                        "Warning: topic {name} was that of {}: DROP it, or create the topic again",
                        over.join(" and ")
                    ));
                }
            }
            Err(error) if error.code() == Some(ErrorCode::UnknownTopicOrPartition) => {
                if !if_exists {
                    return Err(ToolError::NoTopic { topic: name.clone() });
                }
                output.say(&format!("Topic {name} does not exist"));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
