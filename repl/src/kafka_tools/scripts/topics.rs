//! `kafka-topics`.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Parser;
use weir_broker::client::admin::TopicDescription;
use weir_broker::protocol::error_code::ErrorCode;
use weir_broker::protocol::messages::metadata::MetadataResponsePartition;

use crate::kafka_tools::client_properties::assignment;
use crate::kafka_tools::cluster::metadata::ids;
use crate::kafka_tools::connection::Connection;
use crate::kafka_tools::connection::fetch_metadata;
use crate::kafka_tools::error::{Result, ToolError};
use crate::kafka_tools::output::line;
use crate::kafka_tools::scripts::arguments::{Bootstrap, Ignored, matching_topics, only_one};
use crate::kafka_tools::topic::{settings_of, topic_setting};

/// Make, list, describe, alter and delete topics, as kafka-topics.sh does
#[derive(Debug, Parser)]
#[command(name = "kafka-topics", version, infer_long_args = true)]
pub struct TopicsArgs {
    #[command(flatten)]
    bootstrap: Bootstrap,
    #[arg(long)]
    list: bool,
    #[arg(long)]
    create: bool,
    #[arg(long)]
    describe: bool,
    #[arg(long)]
    alter: bool,
    #[arg(long)]
    delete: bool,
    /// Topic; an expression that fits whole names, except to create
    #[arg(long)]
    topic: Option<String>,
    #[arg(long)]
    topic_id: Option<String>,
    #[arg(long)]
    partitions: Option<i32>,
    #[arg(long)]
    replication_factor: Option<i16>,
    /// Replicas by partition: here only their number counts
    #[arg(long, value_name = "BROKERS,...", conflicts_with = "partitions")]
    replica_assignment: Option<String>,
    #[arg(long, value_name = "KEY=VALUE")]
    config: Vec<String>,
    #[arg(long, value_name = "KEY")]
    delete_config: Vec<String>,
    #[arg(long)]
    if_exists: bool,
    #[arg(long)]
    if_not_exists: bool,
    #[arg(long)]
    exclude_internal: bool,
    /// Only topics with settings of their own
    #[arg(long)]
    topics_with_overrides: bool,
    /// Only partitions without a leader
    #[arg(long)]
    unavailable_partitions: bool,
    /// Only partitions that lack replicas
    #[arg(long)]
    under_replicated_partitions: bool,
    /// Only partitions with too few replicas for writers
    #[arg(long, alias = "at-min-isr-partitions")]
    under_min_isr_partitions: bool,
}

impl Ignored for TopicsArgs {
    const IGNORED: &'static [(&'static str, bool)] =
        &[("--force", false), ("--disable-rack-aware", false), ("--partition-size-limit-per-response", true)];
}

#[derive(Clone, Copy)]
enum Action {
    List,
    Create,
    Describe,
    Alter,
    Delete,
}

pub async fn run(args: TopicsArgs) -> Result<()> {
    let actions = [
        (args.list, Action::List),
        (args.create, Action::Create),
        (args.describe, Action::Describe),
        (args.alter, Action::Alter),
        (args.delete, Action::Delete),
    ];
    let action = only_one(&actions, "--list, --create, --describe, --alter, --delete")?;
    let needs_topic = !matches!(action, Action::List | Action::Describe);
    if needs_topic && args.topic.is_none() {
        return Err(ToolError::Usage("--topic is missing".to_owned()));
    }
    let connection = args.bootstrap.open(&[]).await?;
    match action {
        Action::List => {
            for topic in chosen(&connection, &args).await? {
                line(&topic.name);
            }
            Ok(())
        }
        Action::Create => create(&connection, &args).await,
        Action::Describe => describe(&connection, &args).await,
        Action::Alter => alter(&connection, &args).await,
        Action::Delete => {
            for topic in required(&connection, &args).await? {
                connection.admin.delete_topics(&[&topic.name]).await?;
            }
            Ok(())
        }
    }
}

async fn chosen(connection: &Connection, args: &TopicsArgs) -> Result<Vec<TopicDescription>> {
    let mut topics = matching_topics(connection, args.topic.as_deref()).await?;
    topics.retain(|topic| {
        let is_wanted = args.topic_id.as_ref().is_none_or(|id| *id == short_id(topic));
        is_wanted && !(args.exclude_internal && topic.internal)
    });
    Ok(topics)
}

/// The topics meant, of which there must be some.
async fn required(connection: &Connection, args: &TopicsArgs) -> Result<Vec<TopicDescription>> {
    let topics = chosen(connection, args).await?;
    match &args.topic {
        Some(topic) if topics.is_empty() && !args.if_exists => {
            Err(ToolError::NoTopic { topic: topic.clone() })
        }
        _ => Ok(topics),
    }
}

/// A topic's id as Kafka's tools show it.
fn short_id(topic: &TopicDescription) -> String {
    URL_SAFE_NO_PAD.encode(topic.id.0.as_bytes())
}

async fn create(connection: &Connection, args: &TopicsArgs) -> Result<()> {
    let name = args.topic.as_deref().unwrap_or_default();
    let configs: BTreeMap<String, String> =
        args.config.iter().map(|text| assignment(text)).collect::<Result<_>>()?;
    if args.replication_factor.is_some_and(|replicas| !matches!(replicas, -1 | 1)) {
        let message = "a single node keeps one replica of each partition: --replication-factor 1";
        return Err(ToolError::Usage(message.to_owned()));
    }
    let assigned = args.replica_assignment.as_ref().map(|text| text.split(',').count());
    let assigned = assigned.map(|count| i32::try_from(count).unwrap_or(i32::MAX));
    if name.contains(['.', '_']) {
        line(
            "WARNING: Due to limitations in metric names, topics with a period ('.') or underscore ('_') could \
             collide. To avoid issues it is best to use either, but not both.",
        );
    }
    match connection.admin.create_topic(name, args.partitions.or(assigned).unwrap_or(-1), &configs).await {
        Ok(()) => line(&format!("Created topic {name}.")),
        Err(error) if args.if_not_exists && error.code() == Some(ErrorCode::TopicAlreadyExists) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

async fn alter(connection: &Connection, args: &TopicsArgs) -> Result<()> {
    let mut changes: BTreeMap<String, Option<String>> = BTreeMap::new();
    for text in &args.config {
        let (name, value) = assignment(text)?;
        changes.insert(name, Some(value));
    }
    changes.extend(args.delete_config.iter().map(|name| (name.clone(), None)));
    if args.partitions.is_none() && changes.is_empty() {
        return Err(ToolError::Usage("nothing to alter: give --partitions".to_owned()));
    }
    for topic in required(connection, args).await? {
        if let Some(count) = args.partitions {
            connection.admin.create_partitions(&topic.name, count).await?;
        }
        if !changes.is_empty() {
            connection.admin.alter_configs(&topic.name, &changes).await?;
        }
    }
    Ok(())
}

async fn describe(connection: &Connection, args: &TopicsArgs) -> Result<()> {
    let only_partitions =
        args.unavailable_partitions || args.under_replicated_partitions || args.under_min_isr_partitions;
    let all = fetch_metadata(connection, None).await?.topics;
    for topic in required(connection, args).await? {
        let partitions = all.iter().find(|t| t.name.as_deref() == Some(topic.name.as_str()));
        let partitions = partitions.map(|t| t.partitions.as_slice()).unwrap_or_default();
        if !only_partitions {
            let own = settings_of(connection, &topic.name).await?;
            let own: Vec<String> = own.iter().filter_map(topic_setting).collect();
            if own.is_empty() && args.topics_with_overrides {
                continue;
            }
            line(&format!(
                "Topic: {}\tTopicId: {}\tPartitionCount: {}\tReplicationFactor: {}\tConfigs: {}",
                topic.name,
                short_id(&topic),
                topic.partitions,
                topic.replicas,
                own.join(",")
            ));
            if args.topics_with_overrides {
                continue;
            }
        }
        for partition in partitions.iter().filter(|p| !only_partitions || is_shown(p, args)) {
            let leader = match partition.leader_id {
                -1 => "none".to_owned(),
                id => id.to_string(),
            };
            line(&format!(
                "\tTopic: {}\tPartition: {}\tLeader: {leader}\tReplicas: {}\tIsr: {}\tElr: \tLastKnownElr: ",
                topic.name,
                partition.partition_index,
                ids(&partition.replica_nodes),
                ids(&partition.isr_nodes)
            ));
        }
    }
    Ok(())
}

fn is_shown(partition: &MetadataResponsePartition, args: &TopicsArgs) -> bool {
    let has_no_leader = partition.leader_id < 0 || partition.error_code != ErrorCode::None;
    let lacks_replicas = partition.isr_nodes.len() < partition.replica_nodes.len();
    (args.unavailable_partitions && has_no_leader)
        || (args.under_replicated_partitions && lacks_replicas)
        || (args.under_min_isr_partitions && partition.isr_nodes.is_empty())
}
