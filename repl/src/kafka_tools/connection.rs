//! Reaching a broker as the command line says.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use weir_broker::auth::config::Secret;
use weir_broker::auth::sasl::SaslMechanism;
use weir_broker::client::admin::{Admin, TopicDescription};
use weir_broker::client::security::{ClientSasl, ClientSecurity};
use weir_broker::client::tcp::{TcpTransport, TcpTransportConfig};
use weir_broker::client::transport::Transport;
use weir_broker::net::tls::TlsClientFiles;
use weir_broker::protocol::messages::metadata::MetadataRequest;
use weir_broker::protocol::request::Request;

use crate::kafka_tools::error::{Result, ToolError};

const DEFAULT_PORT: u16 = 9092;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Which broker, and how.
#[derive(Clone, Debug, Args)]
pub struct ConnectionArgs {
    /// Brokers: HOST:PORT, several with commas; the first that answers is taken
    #[arg(
        long,
        short = 'b',
        visible_alias = "bootstrap-server",
        alias = "broker",
        value_name = "HOST:PORT",
        env = "WEIR_BROKERS",
        default_value = "localhost:9092",
        global = true
    )]
    pub brokers: String,
    /// Client property, for example -X sasl.username=ada (security.protocol, sasl.*, ssl.*)
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

/// A broker that has answered.
#[derive(Clone)]
pub struct Connection {
    pub transport: Arc<dyn Transport>,
    pub admin: Admin,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl Connection {
    /// Connects to the first of the brokers that answers.
    pub async fn open(args: &ConnectionArgs) -> Result<Connection> {
        let security = security(&properties(args)?)?;
        let addresses: Vec<String> = args
            .brokers
            .split(',')
            .map(str::trim)
            .filter(|a| !a.is_empty())
            .map(address)
            .collect::<Result<_>>()?;
        let mut failure = None;
        for address in &addresses {
            let config = TcpTransportConfig {
                client_id: Some("weir".to_owned()),
                connect_timeout: CONNECT_TIMEOUT,
                security: security.clone(),
                ..TcpTransportConfig::default()
            };
            let transport: Arc<dyn Transport> = Arc::new(TcpTransport::new(address.as_str(), config));
            let nothing = MetadataRequest {
                topics: Some(Vec::new()),
                allow_auto_topic_creation: false,
                ..MetadataRequest::default()
            };
            match transport.send(Request::Metadata(nothing)).await {
                Ok(_) => return Ok(Connection { admin: Admin::new(transport.clone()), transport }),
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            Some(source) => Err(ToolError::Unreachable { addresses: addresses.join(", "), source }),
            None => Err(ToolError::Usage("--brokers names none".to_owned())),
        }
    }

    /// A topic that must exist.
    pub async fn topic(&self, name: &str) -> Result<TopicDescription> {
        let found = self.admin.describe_topic(name).await?;
        found.ok_or_else(|| ToolError::NoTopic { topic: name.to_owned() })
    }
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

fn properties(args: &ConnectionArgs) -> Result<BTreeMap<String, String>> {
    let mut properties = BTreeMap::new();
    if let Some(path) = &args.command_config {
        let shown = path.display().to_string();
        let text = fs::read_to_string(path).map_err(|source| ToolError::Io {
            action: "read",
            path: shown,
            source,
        })?;
        for line in text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
            let (key, value) = assignment(line)?;
            properties.insert(key, value);
        }
    }
    for text in &args.property {
        let (key, value) = assignment(text)?;
        properties.insert(key, value);
    }
    Ok(properties)
}

/// `KEY=VALUE`.
pub fn assignment(text: &str) -> Result<(String, String)> {
    let (key, value) =
        text.split_once('=').ok_or_else(|| ToolError::Usage(format!("\"{text}\" is not KEY=VALUE")))?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

fn security(properties: &BTreeMap<String, String>) -> Result<ClientSecurity> {
    const KNOWN: [&str; 9] = [
        "security.protocol",
        "sasl.mechanism",
        "sasl.mechanisms",
        "sasl.username",
        "sasl.password",
        "ssl.ca.location",
        "ssl.certificate.location",
        "ssl.key.location",
        "client.id",
    ];
    if let Some(unknown) = properties.keys().find(|key| !KNOWN.contains(&key.as_str())) {
        return Err(ToolError::Usage(format!(
            "client property \"{unknown}\" is not known; known are {}",
            KNOWN.join(", ")
        )));
    }
    let get = |key: &str| properties.get(key).cloned();
    let need =
        |key: &str| get(key).ok_or_else(|| ToolError::Usage(format!("client property {key} is missing")));
    let protocol = get("security.protocol").unwrap_or_else(|| {
        if properties.contains_key("sasl.username") { "SASL_PLAINTEXT" } else { "PLAINTEXT" }.to_owned()
    });
    let (is_tls, is_sasl) = match protocol.to_ascii_uppercase().as_str() {
        "PLAINTEXT" => (false, false),
        "SSL" => (true, false),
        "SASL_PLAINTEXT" => (false, true),
        "SASL_SSL" => (true, true),
        other => {
            return Err(ToolError::Usage(format!(
                "security.protocol \"{other}\" is none of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL"
            )));
        }
    };
    let certificate = get("ssl.certificate.location").zip(get("ssl.key.location"));
    let tls = TlsClientFiles {
        authorities: if is_tls { need("ssl.ca.location")?.into() } else { PathBuf::new() },
        certificate: certificate.map(|(chain, key)| (chain.into(), key.into())),
    };
    let mechanism = get("sasl.mechanism").or_else(|| get("sasl.mechanisms"));
    let mechanism: SaslMechanism =
        mechanism.as_deref().unwrap_or("SCRAM-SHA-256").parse().map_err(
            |error: weir_broker::auth::sasl::UnknownMechanism| ToolError::Usage(error.to_string()),
        )?;
    let sasl = if is_sasl {
        let password = Secret::new(need("sasl.password")?);
        Some(ClientSasl { mechanism, user: need("sasl.username")?, password })
    } else {
        None
    };
    Ok(ClientSecurity { tls: is_tls.then_some(tls), sasl })
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

    #[test]
    fn properties_are_those_of_kafka_clients() {
        let set = |pairs: &[(&str, &str)]| {
            security(&pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
        };
        assert_eq!(set(&[]).expect("valid"), ClientSecurity::default());
        let user = set(&[("sasl.username", "ada"), ("sasl.password", "x")]).expect("valid");
        assert_eq!(user.sasl.map(|sasl| sasl.user).as_deref(), Some("ada"));
        for wrong in [
            &[("sasl.username", "ada")][..],
            &[("security.protocol", "SSL")],
            &[("retries", "1")],
            &[("sasl.mechanism", "X")],
        ] {
            assert!(matches!(set(wrong), Err(ToolError::Usage(_))), "{wrong:?}");
        }
    }
}
