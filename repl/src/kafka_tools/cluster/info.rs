//! `weir cluster info`: identity, brokers and features of a cluster.

use clap::Args;
use serde_json::{Value, json};
use weir_broker::protocol::messages::api_versions::ApiVersionsRequest;
use weir_broker::protocol::messages::describe_cluster::{DescribeClusterRequest, DescribeClusterResponse};

use crate::kafka_tools::connection::{Connection, ask, fetch_metadata};
use crate::kafka_tools::error::{Result, check};
use crate::kafka_tools::output::line;

#[derive(Clone, Copy, Debug, Args)]
pub struct InfoArgs {
    /// A JSON object
    #[arg(long, short = 'J')]
    pub json: bool,
    /// List topics and partitions as well
    #[arg(long, short = 'L')]
    pub list: bool,
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

/// Prints what the cluster is.
pub async fn info(connection: &Connection, is_json: bool) -> Result<()> {
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
