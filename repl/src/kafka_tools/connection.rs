//! Reaching a broker as the command line says.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use weir_broker::client::admin::{Admin, TopicDescription};
use weir_broker::client::cluster::ClusterTransport;
use weir_broker::client::metadata_cache::MetadataCacheConfig;
use weir_broker::client::tcp::{TcpTransport, TcpTransportConfig};
use weir_broker::client::transport::Transport;
use weir_broker::protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};
use weir_broker::protocol::request::Request;

use crate::kafka_tools::client_properties::ClientProperties;
use crate::kafka_tools::error::{Result, ToolError};

const DEFAULT_BROKER: &str = "localhost:9092";
const DEFAULT_PORT: u16 = 9092;
const CLIENT_ID: &str = "weir";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Which broker, and how.
#[derive(Clone, Debug, Default, Args)]
pub struct ConnectionArgs {
    #[arg(
        long,
        short = 'b',
        visible_alias = "bootstrap-server",
        alias = "broker",
        value_name = "HOST:PORT",
        env = "WEIR_BROKERS",
        help = "Brokers: HOST:PORT, several with commas; the first that answers is taken; default: localhost:9092",
        global = true
    )]
    pub brokers: Option<String>,
    /// Client property, for example -X sasl.username=ada (security.protocol, sasl.*, ssl.*, client.id)
    #[arg(short = 'X', value_name = "KEY=VALUE", global = true)]
    pub property: Vec<String>,
    /// File of client properties
    #[arg(long, visible_alias = "config-file", value_name = "FILE", global = true)]
    pub command_config: Option<PathBuf>,
}

/// Sends a request of one API and takes the answer of the same API apart.
macro_rules! ask {
    ($connection:expr, $api:ident, $request:expr) => {
        match $connection.transport.send(weir_broker::protocol::request::Request::$api($request)).await {
            Ok(weir_broker::protocol::response::Response::$api(response)) => Ok(response),
            Ok(_) => Err($crate::kafka_tools::error::ToolError::Incomplete { missing: "what was asked for" }),
            Err(error) => Err($crate::kafka_tools::error::ToolError::Transport(error)),
        }
    };
}

pub(crate) use ask;

/// A cluster of which a broker has answered.
#[derive(Clone)]
pub struct Connection {
    pub properties: ClientProperties,
    pub transport: Arc<dyn Transport>,
    pub admin: Admin,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl Connection {
    /// Connects to the cluster of the first of the brokers that answers.
    pub async fn open(args: &ConnectionArgs) -> Result<Connection> {
        let properties = ClientProperties::read(args.command_config.as_deref(), &args.property)?;
        let security = properties.security()?;
        let brokers = args.brokers.as_deref().or(properties.brokers()).unwrap_or(DEFAULT_BROKER);
        let addresses: Vec<String> = brokers
            .split(',')
            .map(str::trim)
            .filter(|a| !a.is_empty())
            .map(address)
            .collect::<Result<_>>()?;
        if addresses.is_empty() {
            return Err(ToolError::Usage("--brokers names none".to_owned()));
        }
        let config = TcpTransportConfig {
            client_id: Some(properties.get("client.id").unwrap_or(CLIENT_ID).to_owned()),
            connect_timeout: CONNECT_TIMEOUT,
            security,
            ..TcpTransportConfig::default()
        };
        let connect = move |address: &str| -> Arc<dyn Transport> {
            Arc::new(TcpTransport::new(address, config.clone()))
        };
        let cluster = ClusterTransport::new(addresses.clone(), MetadataCacheConfig::default(), connect);
        let transport: Arc<dyn Transport> = Arc::new(cluster);
        let nothing = MetadataRequest {
            topics: Some(Vec::new()),
            allow_auto_topic_creation: false,
            ..MetadataRequest::default()
        };
        match transport.send(Request::Metadata(nothing)).await {
            Ok(_) => Ok(Connection { properties, admin: Admin::new(transport.clone()), transport }),
            Err(source) => Err(ToolError::Unreachable { addresses: addresses.join(", "), source }),
        }
    }

    /// A topic that must exist.
    pub async fn topic(&self, name: &str) -> Result<TopicDescription> {
        let found = self.admin.describe_topic(name).await?;
        found.ok_or_else(|| ToolError::NoTopic { topic: name.to_owned() })
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

/// `HOST` and `HOST:PORT`.
fn address(text: &str) -> Result<String> {
    let text = text.strip_prefix("PLAINTEXT://").unwrap_or(text);
    match text.rsplit_once(':') {
        None => Ok(format!("{text}:{DEFAULT_PORT}")),
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => Ok(text.to_owned()),
        Some(_) => Err(ToolError::Usage(format!("broker \"{text}\" is not HOST:PORT"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_may_leave_the_port_out() {
        assert_eq!(address("kafka").expect("valid"), "kafka:9092");
        assert_eq!(address("PLAINTEXT://kafka:19092").expect("valid"), "kafka:19092");
        for wrong in ["kafka:port", ":9092", "http://kafka:9092/x"] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }
}
