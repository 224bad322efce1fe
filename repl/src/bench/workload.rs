//! w1, w2, w3: SQL over five million rows that are in the topic already, until the output has caught up.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use weir_broker::client::admin::Admin;
use weir_broker::client::group_offsets;
use weir_broker::client::producer::record::ProducerRecord;
use weir_broker::client::transport::Transport;
use weir_server::config::NodeConfig;
use weir_server::node::RunningNode;

use crate::bench::pipe::{end_offsets, producer};
use crate::bench::rows;
use crate::bench::usage;
use crate::client::{RequestContext, ServerClient};

pub const PARTITIONS: i32 = 4;
/// A workload that has not caught up by then has failed.
const TIMEOUT: Duration = Duration::from_secs(600);
const POLL_INTERVAL: Duration = Duration::from_millis(2);

const STREAM: &str = "CREATE STREAM rows (k STRING KEY, id BIGINT, ts BIGINT, amount DOUBLE, quantity INT, \
    city STRING, note STRING) WITH (KAFKA_TOPIC='rows', VALUE_FORMAT='JSON', TIMESTAMP='ts');";
const TABLE: &str = "CREATE TABLE customers (k STRING PRIMARY KEY, name STRING, region STRING) \
    WITH (KAFKA_TOPIC='customers', VALUE_FORMAT='JSON');";

/// The statement that is measured.
fn statement(workload: &str) -> Result<&'static str> {
    Ok(match workload {
        "w1" => "CREATE STREAM w1 AS SELECT k, id, amount, city FROM rows WHERE quantity >= 5 EMIT CHANGES;",
        "w2" => {
            "CREATE TABLE w2 AS SELECT k, COUNT(*) AS n, SUM(amount) AS total FROM rows \
             WINDOW TUMBLING (SIZE 1 MINUTE) GROUP BY k EMIT CHANGES;"
        }
        "w3" => {
            "CREATE STREAM w3 AS SELECT r.k AS k, r.id AS id, r.amount AS amount, c.name AS name, \
             c.region AS region FROM rows r JOIN customers c ON r.k = c.k EMIT CHANGES;"
        }
        other => {
            bail!("there is no workload \"{other}\": w1, w2, w3, latency, produce and consume are known")
        }
    })
}

/// A node with the rows in its topic.
#[derive(Debug)]
pub struct Bench {
    node: RunningNode,
    client: ServerClient,
    rows: u64,
}

impl Bench {
    /// Starts a node on `dir` and fills the topics.
    pub async fn start(dir: &Path, rows: u64, config: impl FnOnce(&mut NodeConfig)) -> Result<Bench> {
        let mut node_config = NodeConfig::new(dir);
        node_config.http_listen.set_port(0);
        node_config.kafka_listen.iter_mut().for_each(|a| a.set_port(0));
        config(&mut node_config);
        let node = RunningNode::start(node_config).await.context("the node did not start")?;
        let client = ServerClient::new(&format!("http://{}", node.node.http_address()))?;
        let bench = Bench { node, client, rows };
        bench.fill().await?;
        Ok(bench)
    }

    pub fn client(&self) -> &ServerClient {
        &self.client
    }

    pub fn transport(&self) -> Arc<dyn Transport> {
        self.node.node.transport()
    }

    pub fn kafka_address(&self) -> Option<std::net::SocketAddr> {
        self.node.node.kafka_address()
    }

    pub async fn stop(self) {
        self.node.shutdown().await;
    }

    async fn fill(&self) -> Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        let admin = Admin::new(self.transport());
        for topic in ["rows", "customers"] {
            admin.create_topic(topic, PARTITIONS, &Default::default()).await?;
        }
        let (filling, topic) = producer(self.transport(), "rows", PARTITIONS).await?;
        let mut value = String::new();
        for index in 0..self.rows {
            value.clear();
            rows::write_row(index, &mut value);
            let key = rows::key(index);
            let record = ProducerRecord {
                key: Some(key.as_bytes()),
                value: Some(value.as_bytes()),
                timestamp: rows::timestamp(index),
                ..ProducerRecord::default()
            };
            filling.send(topic, &record).await?;
        }
        filling.close().await?;
        let (filling, topic) = producer(self.transport(), "customers", PARTITIONS).await?;
        for index in 0..rows::KEYS {
            let (key, value) = rows::table_row(index);
            let record = ProducerRecord {
                key: Some(key.as_bytes()),
                value: Some(value.as_bytes()),
                ..ProducerRecord::default()
            };
            filling.send(topic, &record).await?;
        }
        filling.close().await.context("filling the topics")
    }

    /// Runs one workload; gives its figures.
    pub async fn run(&self, workload: &str) -> Result<Value> {
        let sql = statement(workload)?;
        let mut context = RequestContext::default();
        context.properties.insert("auto.offset.reset".to_owned(), "earliest".to_owned());
        let sources = self.client.execute("SHOW STREAMS;", &context).await?;
        let streams = sources[0]["streams"].as_array().context("no list of streams")?;
        if streams.iter().all(|s| s["name"] != "ROWS") {
            self.client.execute(&format!("{STREAM} {TABLE}"), &context).await?;
        }
        usage::reset_peak_rss();
        let (started, cpu) = (Instant::now(), usage::cpu_seconds());
        let answer = self.client.execute(sql, &context).await?;
        let query_id = answer[0]["commandStatus"]["queryId"].as_str().context("no query id")?.to_owned();
        let first_output = self.wait_for_output(workload, started).await?;
        self.wait_until_committed(&query_id, workload == "w3").await?;
        let (seconds, cpu) = (started.elapsed().as_secs_f64(), usage::cpu_seconds() - cpu);
        let peak = usage::peak_rss_mib();
        let output = end_offsets(&self.transport(), &workload.to_ascii_uppercase()).await?;
        self.check(workload, &output)?;
        self.client.execute(&format!("TERMINATE {query_id};"), &context).await?;
        Ok(json!({
            "engine": format!("weir {}", env!("CARGO_PKG_VERSION")),
            "workload": workload,
            "rows": self.rows,
            "seconds": round(seconds, 3),
            "cpu_seconds": round(cpu, 2),
            "rows_per_second": (self.rows as f64 / seconds).round(),
            "rows_per_cpu_second": (self.rows as f64 / cpu).round(),
            "first_output_ms": round(first_output.as_secs_f64() * 1e3, 1),
            "peak_rss_mib": round(peak, 1),
            "output_offsets": output.iter().map(|(_, o)| o).sum::<i64>(),
        }))
    }

    /// Time from the statement to the first record that a reader of committed records sees.
    async fn wait_for_output(&self, workload: &str, started: Instant) -> Result<Duration> {
        let topic = workload.to_ascii_uppercase();
        while started.elapsed() < TIMEOUT {
            let ends = end_offsets(&self.transport(), &topic).await?;
            if ends.iter().any(|(_, end)| *end > 0) {
                return Ok(started.elapsed());
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        bail!("{workload} wrote nothing within {TIMEOUT:?}")
    }

    /// Waits until the query's committed offsets are at the ends of its source topics.
    async fn wait_until_committed(&self, query_id: &str, with_table: bool) -> Result<()> {
        let group = weir_engine::query::naming::application_id("default_", query_id);
        let mut ends = end_offsets(&self.transport(), "rows").await?;
        if with_table {
            ends.extend(end_offsets(&self.transport(), "customers").await?);
        }
        let started = Instant::now();
        while started.elapsed() < TIMEOUT {
            let committed = group_offsets::fetch(&self.transport(), &group).await?;
            if ends.iter().all(|(p, end)| *end == 0 || committed.get(p).is_some_and(|c| c >= end)) {
                return Ok(());
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        bail!("query {query_id} did not catch up within {TIMEOUT:?}")
    }

    /// The output must hold at least as many records as the workload gives (the rest are transaction markers).
    fn check(&self, workload: &str, output: &[(weir_broker::ids::TopicPartition, i64)]) -> Result<()> {
        let expected = match workload {
            "w1" => (0..self.rows).filter(|i| rows::is_kept(*i)).count() as i64,
            "w3" => self.rows as i64,
            // One row per key and window at least; how many more depends on the commits.
            _ => rows::KEYS.min(self.rows) as i64 / 2,
        };
        let records: i64 = output.iter().map(|(_, end)| end).sum();
        if records < expected {
            bail!("{workload} wrote {records} records, {expected} were expected");
        }
        Ok(())
    }
}

pub(crate) fn round(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}
