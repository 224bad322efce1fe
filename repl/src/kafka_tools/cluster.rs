//! `weir cluster info | metadata | health`: what a cluster is, and whether it is well. Asks over Kafka's protocol only.

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use weir_broker::protocol::error_code::ErrorCode;
use weir_broker::protocol::messages::api_versions::ApiVersionsRequest;
use weir_broker::protocol::messages::describe_cluster::{DescribeClusterRequest, DescribeClusterResponse};
use weir_broker::protocol::messages::metadata::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponsePartition, MetadataResponseTopic,
};

use crate::kafka_tools::cluster_health::{self, HealthArgs};
use crate::kafka_tools::connection::{Connection, ConnectionArgs, ask};
use crate::kafka_tools::error::{Result, check};
use crate::kafka_tools::output::{ListForm, OutputArgs, line};

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

#[derive(Clone, Copy, Debug, Args)]
pub struct InfoArgs {
    /// A JSON object
    #[arg(long, short = 'J')]
    json: bool,
    /// List topics and partitions as well
    #[arg(long, short = 'L')]
    list: bool,
}

#[derive(Clone, Debug, Default, Args)]
pub struct MetadataArgs {
    /// Only this topic
    #[arg(long, short = 't')]
    pub topic: Option<String>,
    /// A JSON object
    #[arg(long, short = 'J')]
    pub json: bool,
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
        ClusterCommand::Health(health_args) => {
            cluster_health::run(&connection, args.output, &health_args).await
        }
    }
}

/// Everything, or one topic.
pub async fn fetch_metadata(connection: &Connection, topic: Option<&str>) -> Result<MetadataResponse> {
    let wanted =
        |name: &str| MetadataRequestTopic { name: Some(name.to_owned()), ..MetadataRequestTopic::default() };
    let request = MetadataRequest {
        topics: topic.map(|name| vec![wanted(name)]),
        allow_auto_topic_creation: false,
        ..MetadataRequest::default()
    };
    let mut answer = ask!(connection, Metadata, request)?;
    answer.topics.sort_by(|a, b| a.name.cmp(&b.name));
    for topic in &mut answer.topics {
        topic.partitions.sort_by_key(|partition| partition.partition_index);
    }
    Ok(answer)
}

async fn describe(connection: &Connection) -> Result<DescribeClusterResponse> {
    let request = DescribeClusterRequest { endpoint_type: 1, ..DescribeClusterRequest::default() };
    let answer = ask!(connection, DescribeCluster, request)?;
    check(|| "describing the cluster".to_owned(), answer.error_code, answer.error_message.clone())?;
    Ok(answer)
}

/// Names and levels of the features that are in force. Source: KIP-584.
async fn features(connection: &Connection) -> Result<Vec<(String, i16)>> {
    let request = ApiVersionsRequest {
        client_software_name: "weir".to_owned(),
        client_software_version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let answer = ask!(connection, ApiVersions, request)?;
    check(|| "asking for versions".to_owned(), answer.error_code, None)?;
    let mut features: Vec<(String, i16)> =
        answer.finalized_features.into_iter().map(|f| (f.name, f.max_version_level)).collect();
    features.sort();
    Ok(features)
}

async fn info(connection: &Connection, is_json: bool) -> Result<()> {
    let cluster = describe(connection).await?;
    let features = features(connection).await?;
    let topics = fetch_metadata(connection, None).await?.topics;
    let internal = topics.iter().filter(|topic| topic.is_internal).count();
    let partitions: usize = topics.iter().map(|topic| topic.partitions.len()).sum();
    if is_json {
        let brokers: Vec<Value> = cluster
            .brokers
            .iter()
            .map(|b| json!({"id": b.broker_id, "host": b.host, "port": b.port, "rack": b.rack}))
            .collect();
        let features: serde_json::Map<String, Value> =
            features.into_iter().map(|(name, level)| (name, level.into())).collect();
        line(
            &json!({
                "cluster_id": cluster.cluster_id,
                "controller": cluster.controller_id,
                "brokers": brokers,
                "topics": topics.len(),
                "internal_topics": internal,
                "partitions": partitions,
                "features": features,
            })
            .to_string(),
        );
        return Ok(());
    }
    line(&format!("cluster     {}", cluster.cluster_id));
    line(&format!("controller  {}", cluster.controller_id));
    for broker in &cluster.brokers {
        let rack = broker.rack.as_deref().map(|rack| format!(" rack {rack}")).unwrap_or_default();
        line(&format!("broker      {} at {}:{}{rack}", broker.broker_id, broker.host, broker.port));
    }
    line(&format!("topics      {} ({internal} internal)", topics.len()));
    line(&format!("partitions  {partitions}"));
    let features: Vec<String> = features.iter().map(|(name, level)| format!("{name}={level}")).collect();
    line(&format!("features    {}", features.join(" ")));
    Ok(())
}

/// Prints the listing of `kcat -L`.
pub async fn metadata(connection: &Connection, args: &MetadataArgs) -> Result<()> {
    let answer = fetch_metadata(connection, args.topic.as_deref()).await?;
    if args.json {
        line(&metadata_json(&answer, args.topic.as_deref()).to_string());
        return Ok(());
    }
    let what = args.topic.as_deref().unwrap_or("all topics");
    line(&format!(
        "Metadata for {what} (from {}):",
        origin(&answer).map_or_else(String::new, |(id, name)| format!("broker {id}: {name}"))
    ));
    line(&format!(" {} brokers:", answer.brokers.len()));
    for broker in &answer.brokers {
        let mark = if broker.node_id == answer.controller_id { " (controller)" } else { "" };
        line(&format!("  broker {} at {}:{}{mark}", broker.node_id, broker.host, broker.port));
    }
    line(&format!(" {} topics:", answer.topics.len()));
    for topic in &answer.topics {
        let name = topic.name.as_deref().unwrap_or_default();
        line(&format!(
            "  topic \"{name}\" with {} partitions:{}",
            topic.partitions.len(),
            fault(topic.error_code)
        ));
        for partition in &topic.partitions {
            line(&format!(
                "    partition {}, leader {}, replicas: {}, isrs: {}{}",
                partition.partition_index,
                partition.leader_id,
                ids(&partition.replica_nodes),
                ids(&partition.isr_nodes),
                match partition.error_code {
                    ErrorCode::None => String::new(),
                    code => format!(",{}", fault(code)),
                }
            ));
        }
    }
    Ok(())
}

/// The broker that answered, as librdkafka names it.
fn origin(answer: &MetadataResponse) -> Option<(i32, String)> {
    answer.brokers.first().map(|b| (b.node_id, format!("{}:{}/{}", b.host, b.port, b.node_id)))
}

fn fault(code: ErrorCode) -> String {
    if code == ErrorCode::None { String::new() } else { format!(" {}", code.name()) }
}

/// `1,2,3`.
pub fn ids(ids: &[i32]) -> String {
    ids.iter().map(i32::to_string).collect::<Vec<_>>().join(",")
}

fn metadata_json(answer: &MetadataResponse, topic: Option<&str>) -> Value {
    let nodes = |ids: &[i32]| ids.iter().map(|id| json!({"id": id})).collect::<Vec<_>>();
    let partition = |p: &MetadataResponsePartition| {
        let mut shown = json!({
            "partition": p.partition_index,
            "leader": p.leader_id,
            "replicas": nodes(&p.replica_nodes),
            "isrs": nodes(&p.isr_nodes),
        });
        if p.error_code != ErrorCode::None {
            shown["error"] = p.error_code.name().into();
        }
        shown
    };
    let topic_json = |t: &MetadataResponseTopic| {
        let mut shown =
            json!({"topic": t.name, "partitions": t.partitions.iter().map(partition).collect::<Vec<_>>()});
        if t.error_code != ErrorCode::None {
            shown["error"] = t.error_code.name().into();
        }
        shown
    };
    let (id, name) = origin(answer).unwrap_or((-1, String::new()));
    let brokers: Vec<Value> = answer
        .brokers
        .iter()
        .map(|b| json!({"id": b.node_id, "name": format!("{}:{}", b.host, b.port)}))
        .collect();
    json!({
        "originating_broker": {"id": id, "name": name},
        "query": {"topic": topic.unwrap_or("*")},
        "controllerid": answer.controller_id,
        "brokers": brokers,
        "topics": answer.topics.iter().map(topic_json).collect::<Vec<_>>(),
    })
}
