//! How a node runs.

pub mod ksql;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use weir_broker::auth::config::SecurityConfig;
use weir_broker::log::config::Durability;
use weir_broker::net::config::ListenerConfig;
use weir_broker::net::tls::TlsServer;
use weir_engine::state::resident_budget::RESIDENT_BYTES_MAX;
use weir_engine::topology::OutputCaching;
use weir_sql::session::Session;

/// Settings of a node.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Log, state and everything else durable lies below.
    pub data_dir: PathBuf,
    pub http_listen: SocketAddr,
    pub http: HttpConfig,
    /// None: Kafka clients in this process only.
    pub kafka_listen: Option<SocketAddr>,
    /// Host and port that Kafka clients are told; by default what `kafka_listen` is bound to.
    pub kafka_advertised: Option<(String, u16)>,
    /// Further Kafka listeners, each with its own protection.
    pub kafka_listeners: Vec<ListenerConfig>,
    /// Users, and what they may do.
    pub kafka_security: SecurityConfig,
    /// Topic of access decisions; None: there is no audit.
    pub audit_topic: Option<String>,
    pub durability: Durability,
    /// `ksql.service.id`
    pub service_id: String,
    /// Threads that run queries; None: one per core.
    pub worker_threads: Option<usize>,
    /// A step of a query's task that runs for longer is overdue. Units: ms.
    pub task_step_max_ms: u64,
    /// The longest time between two commits of a busy query. Units: ms.
    pub commit_interval_ms: u64,
    /// Bytes of state that all queries together keep decoded in memory after a commit, about; the rest is read back when it is
    /// needed.
    pub state_cache_bytes: usize,
    /// Push queries at a time (`ksql.max.push.queries`).
    pub push_queries_max: usize,
    /// Kafka's `auto.create.topics.enable`.
    pub auto_create_topics: bool,
    /// Whether to start on a data directory that was copied while a node ran on it.
    pub accept_copied_data: bool,
    /// Further settings of the broker, by their names in Kafka's `server.properties`.
    pub kafka_settings: BTreeMap<String, String>,
    pub processing_log: ProcessingLogConfig,
    /// A query whose client reads nothing for so long is ended.
    pub slow_reader_timeout: Duration,
    /// Whether updates of a group between two commits are emitted as one; a query may turn it off by a record cache of 0 bytes.
    pub output_caching: OutputCaching,
    /// How often retention, compaction and checkpoints look for work; None for their own intervals. Units: ms.
    pub housekeeping_interval_ms: Option<u64>,
    /// Patterns of topics that lists leave out (`ksql.hidden.topics`).
    pub hidden_topics: Vec<String>,
    /// Patterns of topics that statements may read but not write (`ksql.readonly.topics`).
    pub readonly_topics: Vec<String>,
    /// The session that requests start from.
    pub session: Session,
    /// Properties of queries whose statements do not set them, by ksqlDB's names.
    pub query_defaults: BTreeMap<String, String>,
}

/// Default of `ksql.hidden.topics` and `ksql.readonly.topics`. Source: ksqlDB's `KsqlConfig`.
pub const SYSTEM_TOPICS: [&str; 9] = [
    "_confluent.*",
    "__confluent.*",
    "_schemas",
    "__consumer_offsets",
    "__transaction_state",
    "connect-configs",
    "connect-offsets",
    "connect-status",
    "connect-statuses",
];

/// The HTTP listener: protection and limits.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// None: connections are not encrypted.
    pub tls: Option<Arc<TlsServer>>,
    /// Origins whose pages may use the API, as `https://host[:port]`; `*` for all (`access.control.allow.origin`).
    pub allowed_origins: Vec<String>,
    /// Host names, beside loopback names, that requests to a loopback listener may carry.
    pub allowed_hosts: Vec<String>,
    /// Paths that need no authentication (`authentication.skip.paths`).
    pub open_paths: Vec<String>,
    /// Connections open at a time, without a reserve for probes.
    pub connections_max: usize,
    /// Connections of one address open at a time.
    pub connections_per_ip_max: usize,
    /// Time in which the head of a request, and then its body, must arrive; idle connections are closed after it.
    pub request_timeout: Duration,
}

impl Default for HttpConfig {
    fn default() -> HttpConfig {
        HttpConfig {
            tls: None,
            allowed_origins: Vec::new(),
            allowed_hosts: Vec::new(),
            open_paths: Vec::new(),
            connections_max: 4_096,
            connections_per_ip_max: usize::MAX,
            request_timeout: Duration::from_secs(60),
        }
    }
}

/// ksqlDB's `ksql.logging.processing.…`: where failing rows are told.
#[derive(Clone, Debug)]
pub struct ProcessingLogConfig {
    /// `topic.auto.create`: make the topic and write to it. Without it failing rows are counted only.
    pub topic_auto_create: bool,
    /// `topic.name`
    pub topic_name: String,
    /// `topic.partitions`
    pub partitions: i32,
    /// `stream.auto.create`
    pub stream_auto_create: bool,
    /// `stream.name`
    pub stream_name: String,
    /// `rows.include`: the bytes of records that cannot be read go into the log.
    pub rows_include: bool,
    /// Entries written at most; further ones are counted only.
    pub entries_per_second_max: u32,
}

impl ProcessingLogConfig {
    /// On, with ksqlDB's names, and without the content of rows.
    pub fn new(service_id: &str) -> ProcessingLogConfig {
        ProcessingLogConfig {
            topic_auto_create: true,
            topic_name: format!("{service_id}ksql_processing_log"),
            partitions: 1,
            stream_auto_create: true,
            stream_name: "KSQL_PROCESSING_LOG".to_owned(),
            rows_include: false,
            entries_per_second_max: 1_000,
        }
    }

    /// Neither topic nor stream.
    pub fn off(service_id: &str) -> ProcessingLogConfig {
        ProcessingLogConfig {
            topic_auto_create: false,
            stream_auto_create: false,
            ..ProcessingLogConfig::new(service_id)
        }
    }
}

impl NodeConfig {
    /// True if HTTP clients must prove who they are: the node has users, tokens or rules, or authenticates its Kafka
    /// clients or their certificates.
    pub fn authenticates_http(&self) -> bool {
        let security = &self.kafka_security;
        security.authorizer.is_some()
            || !security.users.is_empty()
            || security.token_verifier.is_some()
            || self.kafka_listeners.iter().any(ListenerConfig::authenticates)
            || self.http.tls.as_ref().is_some_and(|tls| tls.authenticates())
    }

    /// The defaults: ksqlDB's and Kafka's ports on loopback, everything synced before it is acknowledged.
    pub fn new(data_dir: impl Into<PathBuf>) -> NodeConfig {
        NodeConfig {
            data_dir: data_dir.into(),
            http_listen: SocketAddr::from(([127, 0, 0, 1], 8088)),
            http: HttpConfig::default(),
            kafka_listen: Some(SocketAddr::from(([127, 0, 0, 1], 9092))),
            kafka_advertised: None,
            kafka_listeners: Vec::new(),
            kafka_security: SecurityConfig::default(),
            audit_topic: None,
            durability: Durability::Fsync,
            service_id: "default_".to_owned(),
            worker_threads: None,
            task_step_max_ms: 30_000,
            commit_interval_ms: 100,
            state_cache_bytes: RESIDENT_BYTES_MAX,
            push_queries_max: 100,
            auto_create_topics: false,
            accept_copied_data: false,
            kafka_settings: BTreeMap::new(),
            processing_log: ProcessingLogConfig::new("default_"),
            slow_reader_timeout: Duration::from_secs(60),
            output_caching: OutputCaching::On,
            housekeeping_interval_ms: None,
            hidden_topics: SYSTEM_TOPICS.map(str::to_owned).to_vec(),
            readonly_topics: SYSTEM_TOPICS.map(str::to_owned).to_vec(),
            session: Session::default(),
            query_defaults: BTreeMap::new(),
        }
    }
}
