//! How a node runs.

use std::net::SocketAddr;
use std::path::PathBuf;

use weir_broker::log::config::Durability;

/// Settings of a node.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Log, state and everything else durable lies below.
    pub data_dir: PathBuf,
    pub http_listen: SocketAddr,
    /// None: Kafka clients in this process only.
    pub kafka_listen: Option<SocketAddr>,
    /// Host and port that Kafka clients are told; by default what `kafka_listen` is bound to.
    pub kafka_advertised: Option<(String, u16)>,
    pub durability: Durability,
    /// `ksql.service.id`
    pub service_id: String,
    /// Threads that run queries; None: one per core.
    pub worker_threads: Option<usize>,
    /// The longest time between two commits of a busy query. Units: ms.
    pub commit_interval_ms: u64,
    /// Push queries at a time (`ksql.max.push.queries`).
    pub push_queries_max: usize,
    /// Kafka's `auto.create.topics.enable`.
    pub auto_create_topics: bool,
}

impl NodeConfig {
    /// The defaults: ksqlDB's and Kafka's ports on loopback, everything synced before it is acknowledged.
    pub fn new(data_dir: impl Into<PathBuf>) -> NodeConfig {
        NodeConfig {
            data_dir: data_dir.into(),
            http_listen: SocketAddr::from(([127, 0, 0, 1], 8088)),
            kafka_listen: Some(SocketAddr::from(([127, 0, 0, 1], 9092))),
            kafka_advertised: None,
            durability: Durability::Fsync,
            service_id: "default_".to_owned(),
            worker_threads: None,
            commit_interval_ms: 100,
            push_queries_max: 100,
            auto_create_topics: false,
        }
    }
}
