//! Flags about who may reach a node, and what they become.

use std::collections::HashMap;
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use weir_broker::auth::config::{AuthorizerConfig, BootstrapUser, Secret, SecurityConfig};
use weir_broker::auth::sasl::{SaslConfig, SaslMechanism};
use weir_broker::net::config::ListenerConfig;
use weir_broker::net::tls::{ClientAuth, TlsServer, TlsServerFiles};

use crate::cli::access::AccessArgs;
use crate::cli::listen::HostPort;
use crate::render::error::chain;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ClientAuthArg {
    /// Clients are not asked for certificates
    None,
    /// Clients may present one
    Requested,
    /// Clients must present one
    Required,
}

impl From<ClientAuthArg> for ClientAuth {
    fn from(arg: ClientAuthArg) -> ClientAuth {
        match arg {
            ClientAuthArg::None => ClientAuth::None,
            ClientAuthArg::Requested => ClientAuth::Requested,
            ClientAuthArg::Required => ClientAuth::Required,
        }
    }
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Security of the Kafka protocol")]
pub struct SecurityArgs {
    /// Listeners, instead of --kafka-listen; protocols are PLAINTEXT, SSL, SASL_PLAINTEXT and SASL_SSL
    #[arg(long, value_name = "PROTOCOL://HOST:PORT,...", value_delimiter = ',', env = "WEIR_LISTENERS")]
    pub listeners: Vec<ListenerArg>,
    /// Addresses under which clients reach the listeners, by protocol
    #[arg(
        long,
        value_name = "PROTOCOL://HOST:PORT,...",
        value_delimiter = ',',
        env = "WEIR_ADVERTISED_LISTENERS"
    )]
    pub advertised_listeners: Vec<ListenerArg>,
    /// Certificate chain of SSL and SASL_SSL listeners, in PEM form
    #[arg(long, value_name = "FILE", env = "WEIR_TLS_CERTIFICATE")]
    pub tls_certificate: Option<PathBuf>,
    /// Private key of the certificate, in PEM form; SIGHUP reloads both
    #[arg(long, value_name = "FILE", env = "WEIR_TLS_KEY")]
    pub tls_key: Option<PathBuf>,
    /// CA certificates that client certificates are verified with, in PEM form
    #[arg(long, value_name = "FILE", env = "WEIR_TLS_CLIENT_AUTHORITIES")]
    pub tls_client_authorities: Option<PathBuf>,
    /// Client certificates; on SSL listeners their subject is the principal, as User:CN=...
    #[arg(long, value_enum, default_value = "none", env = "WEIR_TLS_CLIENT_AUTH")]
    pub tls_client_auth: ClientAuthArg,
    /// Mechanisms of SASL listeners; default: PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', env = "WEIR_SASL_MECHANISMS")]
    pub sasl_mechanisms: Vec<SaslMechanism>,
    /// Time after which a client must authenticate again by SASL; default: never
    #[arg(long, value_name = "MS", env = "WEIR_SASL_SESSION_LIFETIME_MS")]
    pub sasl_session_lifetime_ms: Option<u64>,
    /// File of users that exist from the start, USER:PASSWORD on each line; also in WEIR_CREDENTIALS
    #[arg(long, value_name = "FILE", env = "WEIR_CREDENTIALS_FILE")]
    pub credentials_file: Option<PathBuf>,
    /// Principal that may do everything, as User:NAME; with one, ACLs hold for all others. In the variable separated by ;
    #[arg(long, value_name = "PRINCIPAL", value_delimiter = ';', env = "WEIR_SUPER_USERS")]
    pub super_user: Vec<String>,
    /// Resources without an ACL are open to all users
    #[arg(long, env = "WEIR_ALLOW_EVERYONE_IF_NO_ACL_FOUND")]
    pub allow_everyone_if_no_acl_found: bool,
    /// Limit of open connections
    #[arg(long, value_name = "N", env = "WEIR_MAX_CONNECTIONS")]
    pub max_connections: Option<usize>,
    /// Limit of open connections of one address
    #[arg(long, value_name = "N", env = "WEIR_MAX_CONNECTIONS_PER_IP")]
    pub max_connections_per_ip: Option<usize>,
}

/// Security protocol of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    Plaintext,
    Ssl,
    SaslPlaintext,
    SaslSsl,
}

impl Protocol {
    const ALL: [Protocol; 4] =
        [Protocol::Plaintext, Protocol::Ssl, Protocol::SaslPlaintext, Protocol::SaslSsl];

    fn name(self) -> &'static str {
        match self {
            Protocol::Plaintext => "PLAINTEXT",
            Protocol::Ssl => "SSL",
            Protocol::SaslPlaintext => "SASL_PLAINTEXT",
            Protocol::SaslSsl => "SASL_SSL",
        }
    }

    fn has_tls(self) -> bool {
        matches!(self, Protocol::Ssl | Protocol::SaslSsl)
    }

    fn has_sasl(self) -> bool {
        matches!(self, Protocol::SaslPlaintext | Protocol::SaslSsl)
    }
}

/// `PROTOCOL://HOST:PORT`; no host stands for all addresses of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerArg {
    pub protocol: Protocol,
    pub host: String,
    pub port: u16,
}

impl FromStr for ListenerArg {
    type Err = String;

    fn from_str(text: &str) -> Result<ListenerArg, String> {
        let malformed = || format!("\"{text}\" is not PROTOCOL://HOST:PORT");
        let (name, address) = text.split_once("://").ok_or_else(malformed)?;
        let protocol = Protocol::ALL.into_iter().find(|protocol| protocol.name() == name);
        let protocol = protocol.ok_or_else(|| {
            format!("\"{name}\" in \"{text}\" is none of PLAINTEXT, SSL, SASL_PLAINTEXT and SASL_SSL")
        })?;
        let (host, port) = address.rsplit_once(':').ok_or_else(malformed)?;
        let port = port.parse().map_err(|_| format!("\"{port}\" in \"{text}\" is no port"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let host = if host.is_empty() { "0.0.0.0" } else { host };
        Ok(ListenerArg { protocol, host: host.to_owned(), port })
    }
}

impl ListenerArg {
    fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// True if only this machine can reach it.
    fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
    }
}

impl SecurityArgs {
    /// The listeners of `--listeners`. `insecure`: one without authentication may be reached from other machines.
    pub fn listener_configs(&self, insecure: bool) -> Result<Vec<ListenerConfig>, String> {
        let tls = match self.listeners.iter().any(|listener| listener.protocol.has_tls()) {
            true => Some(Arc::new(self.load_tls()?)),
            false => None,
        };
        let mut advertised: HashMap<Protocol, Vec<&ListenerArg>> = HashMap::new();
        for listener in self.advertised_listeners.iter().rev() {
            advertised.entry(listener.protocol).or_default().push(listener);
        }
        let mut configs = Vec::with_capacity(self.listeners.len());
        for listener in &self.listeners {
            let own = advertised.get_mut(&listener.protocol).and_then(Vec::pop);
            if let Some(own) = own {
                HostPort { host: own.host.clone(), port: own.port }.check_advertised()?;
            }
            let defaults = ListenerConfig::default();
            let config = ListenerConfig {
                name: listener.protocol.name().to_owned(),
                address: listener.address(),
                advertised: own.map(|own| (own.host.clone(), own.port)),
                tls: tls.clone().filter(|_| listener.protocol.has_tls()),
                sasl: listener.protocol.has_sasl().then(|| self.sasl()),
                connections_max: self.max_connections.unwrap_or(defaults.connections_max),
                connections_per_ip_max: self
                    .max_connections_per_ip
                    .unwrap_or(defaults.connections_per_ip_max),
                ..defaults
            };
            if !listener.is_loopback() && !config.authenticates() && !insecure {
                return Err(open_to_all(&format!("{}://{}", listener.protocol.name(), listener.address())));
            }
            if !listener.is_loopback() && listener.protocol == Protocol::SaslPlaintext {
                tracing::warn!(listener = listener.address(), "passwords and records are not encrypted");
            }
            configs.push(config);
        }
        match advertised.into_values().flatten().next() {
            None => Ok(configs),
            Some(left) => {
                Err(format!("there is no {} listener for {}", left.protocol.name(), left.address()))
            }
        }
    }

    fn sasl(&self) -> SaslConfig {
        let mut sasl = SaslConfig::default();
        if !self.sasl_mechanisms.is_empty() {
            sasl.mechanisms.clone_from(&self.sasl_mechanisms);
        }
        sasl.session_lifetime = self.sasl_session_lifetime_ms.map(Duration::from_millis);
        sasl
    }

    fn load_tls(&self) -> Result<TlsServer, String> {
        TlsServer::load(self.tls_files()?).map_err(|error| chain(&error))
    }

    /// The certificate files of all listeners.
    pub fn tls_files(&self) -> Result<TlsServerFiles, String> {
        let (Some(certificate_chain), Some(key)) = (&self.tls_certificate, &self.tls_key) else {
            return Err("listeners with TLS need --tls-certificate and --tls-key".to_owned());
        };
        Ok(TlsServerFiles {
            certificate_chain: certificate_chain.clone(),
            key: key.clone(),
            client_authorities: self.tls_client_authorities.clone(),
            client_auth: self.tls_client_auth.into(),
        })
    }

    /// Users, super users and the default where no ACL applies.
    pub fn security_config(&self, access: &AccessArgs) -> Result<SecurityConfig, String> {
        let malformed = self.super_user.iter().find(|name| !name.starts_with("User:") || name.len() == 5);
        if let Some(name) = malformed {
            return Err(format!("super user \"{name}\" does not have the form User:NAME"));
        }
        let rules = access.rules();
        let restricts = !self.super_user.is_empty() || !rules.is_empty();
        if !restricts && self.listeners.iter().any(|listener| listener.protocol.has_sasl()) {
            tracing::warn!(
                "without --super-user or --role there are no ACLs: every client that authenticates may do everything"
            );
        }
        let authorizer = restricts.then(|| AuthorizerConfig {
            super_users: self.super_user.clone(),
            rules: Arc::new(rules),
            allow_everyone_if_no_acl: self.allow_everyone_if_no_acl_found,
        });
        if authorizer.is_none() && self.allow_everyone_if_no_acl_found {
            return Err("without --super-user there are no ACLs to be found".to_owned());
        }
        Ok(SecurityConfig { authorizer, users: self.users()?, ..SecurityConfig::default() })
    }

    fn users(&self) -> Result<Vec<BootstrapUser>, String> {
        let mut users = Vec::new();
        if let Some(path) = &self.credentials_file {
            let text = fs::read_to_string(path)
                .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
            warn_if_shared(path);
            users.extend(parse_users(&text, &path.display().to_string())?);
        }
        // Not a flag: what stands on a command line is seen by everybody on the machine.
        if let Ok(text) = std::env::var("WEIR_CREDENTIALS") {
            users.extend(parse_users(&text, "WEIR_CREDENTIALS")?);
        }
        Ok(users)
    }
}

/// Why a listener is not opened.
pub fn open_to_all(address: &str) -> String {
    format!(
        "{address} can be reached from other machines, and there is no authentication: add --insecure if that is meant"
    )
}

fn warn_if_shared(path: &Path) {
    const OTHERS: u32 = 0o077;
    if fs::metadata(path).is_ok_and(|file| file.permissions().mode() & OTHERS != 0) {
        tracing::warn!(file = %path.display(), "other users of this machine can read the file");
    }
}

/// `USER:PASSWORD` on each line; empty lines and lines that begin with # are skipped.
fn parse_users(text: &str, place: &str) -> Result<Vec<BootstrapUser>, String> {
    let mut users = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        match line.split_once(':') {
            Some((name, password)) if !name.is_empty() && !password.is_empty() => {
                users.push(BootstrapUser { name: name.to_owned(), password: Secret::new(password) });
            }
            // The line is not shown: it may be a password.
            _ => return Err(format!("line {} of {place} is not USER:PASSWORD", index + 1)),
        }
    }
    Ok(users)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        security: SecurityArgs,
        #[command(flatten)]
        access: AccessArgs,
    }

    fn parse(arguments: &[&str]) -> SecurityArgs {
        Only::try_parse_from([&["weir"], arguments].concat()).map(|only| only.security).expect("parses")
    }

    #[test]
    fn listeners_are_parsed() {
        let listener = |text: &str| text.parse::<ListenerArg>().map(|arg| (arg.protocol, arg.address()));
        assert_eq!(listener("PLAINTEXT://:9092"), Ok((Protocol::Plaintext, "0.0.0.0:9092".to_owned())));
        assert_eq!(listener("SASL_SSL://[::1]:1"), Ok((Protocol::SaslSsl, "[::1]:1".to_owned())));
        for text in ["localhost:9092", "HTTP://localhost:1", "SSL://localhost", "SSL://localhost:x"] {
            assert!(listener(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_everybody_can_reach_must_know_its_clients() {
        let configs = |arguments: &[&str], insecure| parse(arguments).listener_configs(insecure);
        assert!(configs(&["--listeners", "PLAINTEXT://127.0.0.1:1,PLAINTEXT://localhost:2"], false).is_ok());
        let refused = configs(&["--listeners", "PLAINTEXT://0.0.0.0:1"], false).expect_err("refused");
        assert!(refused.contains("no authentication"), "{refused}");
        assert!(configs(&["--listeners", "PLAINTEXT://0.0.0.0:1"], true).is_ok());
        let open = configs(&["--listeners", "SASL_PLAINTEXT://0.0.0.0:1"], false).expect("knows its clients");
        assert_eq!(open[0].sasl, Some(SaslConfig::default()));
        assert!(configs(&["--listeners", "SSL://127.0.0.1:1"], false).is_err(), "certificates are missing");
        let advertised = ["--advertised-listeners", "PLAINTEXT://a:1,PLAINTEXT://b:2"];
        let both = ["--listeners", "PLAINTEXT://127.0.0.1:1,PLAINTEXT://127.0.0.1:2"];
        let configs_of = configs(&[&both[..], &advertised].concat(), false).expect("fits");
        assert_eq!(configs_of[0].advertised, Some(("a".to_owned(), 1)));
        assert_eq!(configs_of[1].advertised, Some(("b".to_owned(), 2)));
        let wildcard = ["--listeners", "PLAINTEXT://127.0.0.1:1", "--advertised-listeners", "PLAINTEXT://:1"];
        let refused = configs(&wildcard, false).expect_err("refused");
        assert!(refused.contains("0.0.0.0:1 cannot be advertised"), "{refused}");
        assert!(
            configs(&[&["--listeners", "PLAINTEXT://127.0.0.1:1"], &advertised[..]].concat(), false).is_err()
        );
    }

    #[test]
    fn users_are_read_and_never_shown() {
        let users = parse_users("# users\n\nalice:a:b\nbob: x \n", "f").expect("parses");
        assert_eq!(users[0].name, "alice");
        assert_eq!(users[0].password.reveal(), "a:b");
        assert_eq!(users[1].password.reveal(), " x ");
        let error = parse_users("alice:x\nsecret", "f").expect_err("no colon");
        assert_eq!(error, "line 2 of f is not USER:PASSWORD");
        assert!(!format!("{users:?}").contains("a:b"));
        let security = |arguments: &[&str]| {
            let Only { security, access } =
                Only::try_parse_from([&["weir"], arguments].concat()).expect("parses");
            security.security_config(&access)
        };
        assert!(security(&["--super-user", "alice"]).is_err());
        assert!(security(&["--allow-everyone-if-no-acl-found"]).is_err());
        let config = security(&["--super-user", "User:CN=a,O=b;User:c"]).expect("parses");
        let names = config.authorizer.expect("on").super_users;
        assert_eq!(names, ["User:CN=a,O=b", "User:c"]);
    }
}
