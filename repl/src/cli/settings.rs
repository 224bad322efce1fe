//! The settings of a node under the names that files and variables give them, and Kafka's names of the same things.

use weir_broker::config::{BrokerConfig, settings as broker_settings};
use weir_broker::metadata::topic_config::DEFINITIONS;
use weir_server::config::NodeConfig;

/// A setting that has a flag.
#[derive(Debug)]
pub struct Setting {
    /// Section and key.
    pub name: &'static str,
    /// clap's name of the flag.
    pub id: &'static str,
    /// Names of the same thing in Kafka's `server.properties` and in ksqlDB's.
    pub aliases: &'static [&'static str],
    /// Separator of the values of a list.
    pub separator: &'static str,
}

const fn setting(name: &'static str, id: &'static str, aliases: &'static [&'static str]) -> Setting {
    Setting { name, id, aliases, separator: "," }
}

/// Every flag of a node.
pub static SETTINGS: [Setting; 44] = [
    setting("node.data-dir", "data_dir", &["log.dirs", "log.dir"]),
    setting("node.durability", "durability", &[]),
    setting("node.commit-interval-ms", "commit_interval_ms", &["ksql.streams.commit.interval.ms"]),
    setting("node.state-cache-bytes", "state_cache_bytes", &[]),
    setting("node.worker-threads", "worker_threads", &["ksql.streams.num.stream.threads"]),
    setting("node.task-step-max-ms", "task_step_max_ms", &[]),
    setting("node.slow-reader-timeout-ms", "slow_reader_timeout_ms", &[]),
    setting("node.no-processing-log", "no_processing_log", &[]),
    setting("node.housekeeping-interval-ms", "housekeeping_interval_ms", &[]),
    setting("node.log-level", "log_level", &[]),
    setting("node.log-format", "log_format", &[]),
    setting("node.insecure", "insecure", &[]),
    setting("node.accept-copied-data", "accept_copied_data", &[]),
    setting("http.listen", "http_listen", &[]),
    setting("http.tls", "http_tls", &[]),
    setting("http.allow-origin", "http_allow_origin", &["access.control.allow.origin"]),
    setting("http.allow-host", "http_allow_host", &[]),
    setting("http.open-path", "http_open_path", &["authentication.skip.paths"]),
    setting("http.max-connections", "http_max_connections", &[]),
    setting("http.request-timeout-ms", "http_request_timeout_ms", &[]),
    setting("kafka.listen", "kafka_listen", &[]),
    setting("kafka.advertised", "kafka_advertised", &[]),
    setting("kafka.listeners", "listeners", &["listeners"]),
    setting("kafka.advertised-listeners", "advertised_listeners", &["advertised.listeners"]),
    setting("kafka.auto-create-topics", "auto_create_topics", &["auto.create.topics.enable"]),
    setting("kafka.max-connections", "max_connections", &["max.connections"]),
    setting("kafka.max-connections-per-ip", "max_connections_per_ip", &["max.connections.per.ip"]),
    setting("tls.certificate", "tls_certificate", &[]),
    setting("tls.key", "tls_key", &[]),
    setting("tls.client-authorities", "tls_client_authorities", &[]),
    setting("tls.client-auth", "tls_client_auth", &["ssl.client.auth"]),
    setting("sasl.mechanisms", "sasl_mechanisms", &["sasl.enabled.mechanisms"]),
    setting("sasl.session-lifetime-ms", "sasl_session_lifetime_ms", &["connections.max.reauth.ms"]),
    setting("sasl.credentials-file", "credentials_file", &[]),
    setting("oauth.jwks", "oauth_jwks", &["sasl.oauthbearer.jwks.endpoint.url"]),
    setting("oauth.issuer", "oauth_issuer", &["sasl.oauthbearer.expected.issuer"]),
    setting("oauth.audience", "oauth_audience", &["sasl.oauthbearer.expected.audience"]),
    setting("oauth.scope", "oauth_scope", &[]),
    setting("oauth.principal-claim", "oauth_principal_claim", &["sasl.oauthbearer.sub.claim.name"]),
    setting("oauth.authorities", "oauth_authorities", &[]),
    setting("audit.topic", "audit_topic", &[]),
    Setting { separator: ";", ..setting("acl.role", "role", &[]) },
    Setting { separator: ";", ..setting("acl.super-user", "super_user", &["super.users"]) },
    setting(
        "acl.allow-everyone-if-no-acl-found",
        "allow_everyone_if_no_acl_found",
        &["allow.everyone.if.no.acl.found"],
    ),
];

/// Settings of Kafka and ksqlDB that change nothing here, by their beginnings.
pub(crate) const IGNORED: [&str; 54] = [
    "alter.config.policy.class.name",
    "authorizer.class.name",
    "background.threads",
    "broker.",
    "confluent.",
    "connections.max.idle.ms",
    "controlled.shutdown.",
    "controller.",
    "create.topic.policy.class.name",
    "default.replication.factor",
    "delete.topic.enable",
    "early.start.listeners",
    "group.coordinator.",
    "inter.broker.",
    "kafka.metrics.",
    "ksql.",
    "leader.imbalance.",
    "listener.",
    "log.cleaner.",
    "log.flush.",
    "metadata.log.",
    "metric.reporters",
    "metrics.",
    "node.id",
    "num.io.threads",
    "num.network.threads",
    "num.recovery.threads.per.data.dir",
    "num.replica.",
    "offsets.commit.",
    "offsets.load.buffer.size",
    "offsets.retention.check.interval.ms",
    "offsets.topic.compression.codec",
    "offsets.topic.replication.factor",
    "offsets.topic.segment.bytes",
    "password.encoder.",
    "process.roles",
    "producer.id.expiration.ms",
    "queued.max.requests",
    "quota.",
    "remote.log.",
    "replica.",
    "request.timeout.ms",
    "sasl.mechanism.inter.broker.protocol",
    "share.",
    "socket.",
    "transaction.abort.",
    "transaction.partition.verification.enable",
    "transaction.remove.",
    "transaction.state.log.load.buffer.size",
    "transaction.state.log.min.isr",
    "transaction.state.log.replication.factor",
    "transaction.state.log.segment.bytes",
    "unclean.leader.election.enable",
    "zookeeper.",
];

/// Meaning of a name.
#[derive(Debug)]
pub enum Meaning {
    Flag(&'static Setting),
    /// A setting of the broker or of SQL without a flag of its own.
    Unflagged,
    /// Nothing here.
    Ignored,
    Unknown,
}

/// Meaning of a name: `section.key`, the name of a flag, or a name of Kafka's.
pub fn meaning(name: &str) -> Meaning {
    let normal = name.to_ascii_lowercase().replace('_', "-");
    let is_flag = |setting: &Setting| setting.id.replace('_', "-") == normal;
    let found = SETTINGS.iter().find(|s| s.name == normal || is_flag(s) || s.aliases.contains(&name));
    match found {
        Some(setting) => Meaning::Flag(setting),
        None if BrokerConfig::knows(name) || NodeConfig::knows_ksql(name) => Meaning::Unflagged,
        None if IGNORED.iter().any(|known| name.starts_with(known)) => Meaning::Ignored,
        None => Meaning::Unknown,
    }
}

/// Names that might have been meant.
pub fn known_names() -> Vec<&'static str> {
    let key = |setting: &Setting| setting.name.split_once('.').map_or(setting.name, |(_, key)| key);
    let own = SETTINGS.iter().flat_map(|s| s.aliases.iter().copied().chain([s.name, key(s)]));
    let of_broker = broker_settings::SETTINGS.iter().filter(|setting| setting.is_settable());
    own.chain(of_broker.map(|setting| setting.name))
        .chain(DEFINITIONS.iter().map(|definition| definition.broker_name))
        .filter(|name| !name.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::args::Cli;

    #[test]
    fn every_flag_of_a_node_is_a_setting() {
        let command = Cli::command();
        let server = command.find_subcommand("server").expect("there is one");
        let not_settings = ["config", "overrides", "help", "version"];
        for argument in server.get_arguments().filter(|a| !not_settings.contains(&a.get_id().as_str())) {
            let id = argument.get_id().as_str();
            assert!(SETTINGS.iter().any(|setting| setting.id == id), "{id} has no name in files");
        }
        for setting in &SETTINGS {
            assert!(server.get_arguments().any(|a| a.get_id() == setting.id), "{} has no flag", setting.name);
        }
    }

    #[test]
    fn names_are_those_of_files_flags_and_kafka() {
        let id = |name: &str| match meaning(name) {
            Meaning::Flag(setting) => setting.id,
            other => panic!("{name}: {other:?}"),
        };
        assert_eq!(id("kafka.listen"), "kafka_listen");
        assert_eq!(id("kafka.auto_create_topics"), "auto_create_topics");
        assert_eq!(id("data-dir"), "data_dir");
        assert_eq!(id("listeners"), "listeners");
        for unflagged in ["num.partitions", "log.retention.ms", "ksql.service.id", "ksql.hidden.topics"] {
            assert!(matches!(meaning(unflagged), Meaning::Unflagged), "{unflagged}");
        }
        assert!(matches!(meaning("ksql.udfs.enabled"), Meaning::Ignored));
        assert!(matches!(meaning("broker.id"), Meaning::Ignored));
        for unknown in ["listner", "num.partition", "transaction", ""] {
            assert!(matches!(meaning(unknown), Meaning::Unknown), "{unknown}");
        }
    }
}
