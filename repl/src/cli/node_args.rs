//! Flags of a node.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use weir_broker::config::BrokerConfig;
use weir_server::config::NodeConfig;

use crate::cli::access::AccessArgs;
use crate::cli::listen::HostPort;
use crate::cli::logging::{LogFilter, LogFormat};
use crate::cli::security::SecurityArgs;
use crate::cli::settings::{Meaning, known_names, meaning};
use crate::durability::DurabilityArg;
use crate::kafka_tools::suggest::did_you_mean;

/// How names of ksqlDB begin.
const KSQL: &str = "ksql.";

#[derive(Clone, Debug, Args)]
pub struct NodeArgs {
    /// Folder of the node's data
    #[arg(long, value_name = "DIR", default_value = "weir-data", env = "WEIR_DATA_DIR")]
    pub data_dir: PathBuf,
    /// Address of the SQL API; default 127.0.0.1:8088, for an embedded node a free port if that is taken
    #[arg(long, value_name = "HOST:PORT", env = "WEIR_HTTP_LISTEN")]
    pub http_listen: Option<HostPort>,
    /// Address of the Kafka protocol; default 127.0.0.1:9092, for an embedded node a free port if that is taken
    #[arg(long, value_name = "HOST:PORT", env = "WEIR_KAFKA_LISTEN")]
    pub kafka_listen: Option<HostPort>,
    /// Address under which Kafka clients reach the node, as its metadata says; default: the listen address
    #[arg(long, value_name = "HOST:PORT", env = "WEIR_KAFKA_ADVERTISED")]
    pub kafka_advertised: Option<HostPort>,
    /// When records are acknowledged
    #[arg(long, value_enum, default_value = "fsync", env = "WEIR_DURABILITY")]
    pub durability: DurabilityArg,
    /// Longest time between two commits of a busy query
    #[arg(long, value_name = "MS", default_value_t = 100, env = "WEIR_COMMIT_INTERVAL_MS")]
    pub commit_interval_ms: u64,
    /// Bytes of state that all queries together keep decoded in memory
    #[arg(long, value_name = "BYTES", default_value_t = 268_435_456, env = "WEIR_STATE_CACHE_BYTES")]
    pub state_cache_bytes: usize,
    /// Threads that run queries; default: one per core
    #[arg(long, value_name = "N", env = "WEIR_WORKER_THREADS")]
    pub worker_threads: Option<usize>,
    /// Time after which a step of a query's task is reported as overdue
    #[arg(long, value_name = "MS", default_value_t = 30_000, env = "WEIR_TASK_STEP_MAX_MS",
        value_parser = clap::value_parser!(u64).range(1..))]
    pub task_step_max_ms: u64,
    /// Create a topic when a client first uses it
    #[arg(long, env = "WEIR_AUTO_CREATE_TOPICS")]
    pub auto_create_topics: bool,
    /// End a query whose client has read nothing for this time
    #[arg(long, value_name = "MS", default_value_t = 60_000, env = "WEIR_SLOW_READER_TIMEOUT_MS")]
    pub slow_reader_timeout_ms: u64,
    /// Do not create KSQL_PROCESSING_LOG, the topic and stream of failing rows
    #[arg(long, env = "WEIR_NO_PROCESSING_LOG")]
    pub no_processing_log: bool,
    /// Log lines to write: off, error, warn, info, debug or trace, also by target, as in warn,weir_engine=debug;
    /// default: info for a server, error for a shell. RUST_LOG holds where this is not given
    #[arg(long, value_name = "LEVEL", env = "WEIR_LOG")]
    pub log_level: Option<LogFilter>,
    /// Form of the log lines on standard error
    #[arg(long, value_name = "FORM", value_enum, default_value = "text", env = "WEIR_LOG_FORMAT")]
    pub log_format: LogFormat,
    /// How often retention, compaction and checkpoints look for work
    #[arg(long, value_name = "MS", hide = true)]
    pub housekeeping_interval_ms: Option<u64>,
    /// Setting by its name in Kafka's server.properties or ksqlDB's: num.partitions=3, ksql.service.id=shop_
    #[arg(long = "override", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// File of settings, instead of ./weir.toml, ~/.config/weir/weir.toml and /etc/weir/weir.toml
    #[arg(long, value_name = "FILE", env = "WEIR_CONFIG")]
    pub config: Option<PathBuf>,
    /// Start on a data directory that was copied while a node ran on it, although records may be missing
    #[arg(long)]
    pub accept_copied_data: bool,
    /// Accept connections from other machines without authentication
    #[arg(long, alias = "allow-unauthenticated")]
    pub insecure: bool,
    #[command(flatten)]
    pub security: SecurityArgs,
    #[command(flatten)]
    pub access: AccessArgs,
}

impl NodeArgs {
    /// Settings of the broker by Kafka's names. Errors: one that is unknown or has a wrong value.
    pub fn kafka_settings(&self) -> Result<BTreeMap<String, String>, String> {
        let mut settings = BTreeMap::new();
        let mut broker = BrokerConfig::new(&self.data_dir);
        for (name, value) in self.overridden()?.into_iter().filter(|(name, _)| !name.starts_with(KSQL)) {
            check_override(name)?;
            broker.set(name, value).map_err(|error| error.to_string())?;
            settings.insert(name.to_owned(), value.to_owned());
        }
        Ok(settings)
    }

    /// Settings by ksqlDB's names. Errors: one that is unknown or has a wrong value.
    pub fn ksql_settings(&self) -> Result<BTreeMap<String, String>, String> {
        let overridden = self.overridden()?;
        let settings: BTreeMap<&str, &str> =
            overridden.into_iter().filter(|(name, _)| name.starts_with(KSQL)).collect();
        settings.keys().try_for_each(|name| check_override(name))?;
        let mut config = NodeConfig::new(&self.data_dir);
        config.set_ksql(settings.iter().map(|(n, v)| (*n, *v))).map_err(|error| error.to_string())?;
        Ok(settings.into_iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect())
    }

    /// Names and values of `--override`, those of files first.
    fn overridden(&self) -> Result<Vec<(&str, &str)>, String> {
        self.overrides.iter().map(|text| assignment(text)).collect()
    }
}

fn assignment(text: &str) -> Result<(&str, &str), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("\"{text}\" is not KEY=VALUE"))?;
    Ok((name.trim(), value.trim()))
}

/// Errors: it is no setting that `--override` can set.
fn check_override(name: &str) -> Result<(), String> {
    match meaning(name) {
        Meaning::Unflagged => Ok(()),
        Meaning::Flag(setting) => {
            Err(format!("\"{name}\" is set by its flag, --{}", setting.id.replace('_', "-")))
        }
        Meaning::Ignored => Err(format!("setting \"{name}\" changes nothing here")),
        Meaning::Unknown => {
            Err(format!("setting \"{name}\" is not known{}", did_you_mean(name, known_names())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overrides_that_set_nothing_are_named() {
        assert_eq!(check_override("num.partitions"), Ok(()));
        assert_eq!(check_override("ksql.service.id"), Ok(()));
        for (name, expected) in [
            ("foo", "setting \"foo\" is not known"),
            ("num.partitons", "setting \"num.partitons\" is not known; did you mean \"num.partitions\"?"),
            ("listeners", "\"listeners\" is set by its flag, --listeners"),
            ("zookeeper.connect", "setting \"zookeeper.connect\" changes nothing here"),
        ] {
            assert_eq!(check_override(name), Err(expected.to_owned()));
        }
    }
}
