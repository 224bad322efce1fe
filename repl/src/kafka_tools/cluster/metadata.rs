//! `weir cluster metadata`: topics and partitions, as `kcat -L` lists them.

use clap::Args;
use serde_json::{Value, json};
use weir_broker::protocol::error_code::ErrorCode;
use weir_broker::protocol::messages::metadata::{
    MetadataResponse, MetadataResponsePartition, MetadataResponseTopic,
};

use crate::kafka_tools::connection::{Connection, fetch_metadata};
use crate::kafka_tools::error::Result;
use crate::kafka_tools::output::line;

#[derive(Clone, Debug, Default, Args)]
pub struct MetadataArgs {
    /// Only this topic
    #[arg(long, short = 't')]
    pub topic: Option<String>,
    /// A JSON object
    #[arg(long, short = 'J')]
    pub json: bool,
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
