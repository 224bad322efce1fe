//! The check of a dry run: the project's files run on a scratch node in this process, which has the server's topics
//! and no records. The server is only read.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use serde_json::Value;
use weir_broker::client::admin::{Admin, NewTopic};
use weir_server::config::NodeConfig;
use weir_server::node::RunningNode;

use crate::client::{ClientError, RequestContext, ServerClient};
use crate::migrate::apply::run_file;
use crate::migrate::commands::MigrateError;
use crate::migrate::files::Migration;
use crate::render::error::chain;
use crate::render::line;

/// Topics that a scratch node gets; of a server with more, files that declare streams over topics cannot be checked.
const TOPICS_MAX: usize = 2_000;

/// Runs the applied files and then the chosen ones on a scratch node.
///
/// Errors: the statement of a chosen file that would fail, with its place. Where an applied file does not run there,
/// a warning says that the chosen ones were not checked.
pub async fn check(
    server: &ServerClient,
    applied: &[&Migration],
    chosen: &[&Migration],
    variables: &IndexMap<String, String>,
) -> Result<(), MigrateError> {
    let folder = tempfile::tempdir().map_err(|error| MigrateError::Scratch { reason: error.to_string() })?;
    let mut config = NodeConfig::new(folder.path());
    config.http_listen.set_port(0);
    config.kafka_listen = None;
    let node = RunningNode::start(config).await;
    let node = node.map_err(|error| MigrateError::Scratch { reason: chain(&error) })?;
    let outcome = run(&node, server, applied, chosen, variables).await;
    node.shutdown().await;
    outcome
}

async fn run(
    node: &RunningNode,
    server: &ServerClient,
    applied: &[&Migration],
    chosen: &[&Migration],
    variables: &IndexMap<String, String>,
) -> Result<(), MigrateError> {
    let topics = topics(server).await?;
    let made = Admin::new(node.node.transport()).create_topics(&topics).await;
    made.map_err(|error| MigrateError::Scratch { reason: chain(&error) })?;
    let scratch = ServerClient::new(&format!("http://{}", node.node.http_address()))?;
    for migration in applied {
        if let Err(failure) = run_file(&scratch, migration, variables.clone(), 0).await {
            line::err(format_args!(
                "Warning: not checked, because an applied file does not run without what is on the server: {}",
                failure.error
            ));
            return Ok(());
        }
    }
    for migration in chosen {
        run_file(&scratch, migration, variables.clone(), 0).await.map_err(|failure| failure.error)?;
    }
    Ok(())
}

/// The server's topics without those that its queries write: the files make these.
async fn topics(server: &ServerClient) -> Result<Vec<NewTopic>, ClientError> {
    let entities = server.execute("SHOW TOPICS; SHOW QUERIES;", &RequestContext::default()).await?;
    let items =
        |list: &'static str| entities.iter().flat_map(move |e| e[list].as_array().into_iter().flatten());
    let sinks: BTreeSet<&str> = items("queries")
        .flat_map(|query| query["sinkKafkaTopics"].as_array().into_iter().flatten())
        .filter_map(Value::as_str)
        .collect();
    let topic = |item: &Value| {
        let name = item["name"].as_str().filter(|name| !sinks.contains(name))?;
        let partitions = item["replicaInfo"].as_array().map_or(1, |replicas| replicas.len().max(1));
        let partitions = i32::try_from(partitions).ok()?;
        Some(NewTopic { name: name.to_owned(), partitions, configs: BTreeMap::new() })
    };
    Ok(items("topics").filter_map(topic).take(TOPICS_MAX).collect())
}
