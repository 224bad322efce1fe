//! The steps of the demo.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use weir_broker::client::producer::batching::BatchingProducer;
use weir_broker::client::producer::config::ProducerConfig;
use weir_broker::client::producer::record::{ProducerRecord, ProducerTopic};
use weir_broker::client::tcp::{TcpTransport, TcpTransportConfig};
use weir_broker::client::transport::Transport;
use weir_server::config::NodeConfig;
use weir_server::node::RunningNode;

use crate::client::connect::ConnectArgs;
use crate::client::{QueryItem, RequestContext, ServerClient};
use crate::demo::data::{self, DemoRecord, DemoTopic};
use crate::migrate::commands::{ApplyArgs, MigrateArgs, MigrateCommand, Selection, run as migrate};
use crate::render::line;
use crate::render::streaming::StreamingTable;
use crate::render::style::Palette;
use crate::render::table::{TableStyle, table};

const PARTITIONS: i32 = 4;
/// Results must be complete within this time.
const COMPLETE_WITHIN: Duration = Duration::from_secs(60);
/// Rows of the push query that are shown.
const PUSH_ROWS: usize = 8;

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Folder of the example
    #[arg(long, default_value = "examples/flights")]
    pub examples: PathBuf,
    /// Folder for the node's data; must not exist
    #[arg(long)]
    pub data_dir: Option<PathBuf>,
}

/// Runs the demo from beginning to end.
pub async fn run(args: DemoArgs) -> Result<()> {
    let dir = match &args.data_dir {
        Some(dir) if dir.exists() => bail!("{} exists: the demo wants a fresh folder", dir.display()),
        Some(dir) => dir.clone(),
        None => std::env::temp_dir().join(format!("weir-demo-{}", std::process::id())),
    };
    let palette = Palette::detect();
    let heading = |text: &str| line::out(format_args!("\n{}", palette.header.paint(text)));
    let started = Instant::now();
    let mut config = NodeConfig::new(&dir);
    config.http_listen.set_port(0);
    config.kafka_listen.iter_mut().for_each(|a| a.set_port(0));
    let node = RunningNode::start(config).await.context("the node did not start")?;
    let address = format!("http://{}", node.node.http_address());
    let kafka = node.node.kafka_address().context("the node has no Kafka port")?;
    line::out(format_args!(
        "Started Weir in {} ms on {}: SQL {address}, Kafka {kafka}",
        started.elapsed().as_millis(),
        dir.display()
    ));
    let client = ServerClient::new(&address)?;
    let outcome = steps(&args, &client, &address, &kafka.to_string(), &heading).await;
    node.shutdown().await;
    if args.data_dir.is_none() {
        // A temporary folder that cannot be removed is no failure of the demo.
        let _ = std::fs::remove_dir_all(&dir);
    }
    outcome?;
    heading("Where to go next");
    line::out(format_args!(
        "  weir                                  a SQL shell on a node of your own, data in ./weir-data"
    ));
    line::out(format_args!(
        "  weir server                           a node for your Kafka clients (9092) and SQL over HTTP (8088)"
    ));
    line::out(format_args!("  examples/flights/migrations           the statements that ran here"));
    line::out(format_args!(
        "  docs/recipes/access-logs.md           your own data: nginx, rsyslog, a topic, SQL"
    ));
    Ok(())
}

async fn steps(
    args: &DemoArgs,
    client: &ServerClient,
    address: &str,
    kafka: &str,
    heading: &dyn Fn(&str),
) -> Result<()> {
    heading("Migrations: two streams, three tables, a join, a windowed and a plain aggregation");
    let selection = Selection { all: true, next: false, until: None, version: None };
    let apply = ApplyArgs { selection, define: Vec::new(), dry_run: false, from_start: false };
    let command = MigrateCommand::Apply(apply);
    let project = args.examples.clone();
    migrate(MigrateArgs {
        project,
        config_file: None,
        server: Some(address.to_owned()),
        connect: ConnectArgs::default(),
        command,
    })
    .await?;

    heading("Producing January 2013 over the Kafka protocol");
    let transport: Arc<dyn Transport> = Arc::new(TcpTransport::new(kafka, TcpTransportConfig::default()));
    let folder = args.examples.join("data");
    for topic in data::TABLES {
        produce(&transport, &topic, &data::read(&folder, &topic)?, None).await?;
    }
    produce(&transport, &data::WEATHER, &data::read(&folder, &data::WEATHER)?, None).await?;
    let flights = data::read(&folder, &data::FLIGHTS)?;
    let push = tokio::spawn(watch(client.clone()));
    let bar = ProgressBar::new(flights.len() as u64).with_style(
        ProgressStyle::with_template("  {bar:40} {pos}/{len} flights")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let started = Instant::now();
    produce(&transport, &data::FLIGHTS, &flights, Some(&bar)).await?;
    bar.finish();
    wait_until_complete(client, flights.len() as u64).await?;
    let seconds = started.elapsed().as_secs_f64();
    let rows = push.await.context("the push query panicked")??;
    heading("What a push query saw meanwhile: SELECT … FROM flights_enriched EMIT CHANGES");
    line::out_bytes(rows.as_bytes());
    line::out(format_args!(
        "\n{} flights produced, joined and aggregated three ways, exactly once and synced, in {seconds:.2} s: {:.0} rows/s",
        flights.len(),
        flights.len() as f64 / seconds
    ));
    pull_queries(client, heading).await
}

async fn produce(
    transport: &Arc<dyn Transport>,
    topic: &DemoTopic,
    records: &[DemoRecord],
    bar: Option<&ProgressBar>,
) -> Result<()> {
    let producer = BatchingProducer::start(Arc::clone(transport), ProducerConfig::default()).await?;
    let index = producer.add_topic(ProducerTopic::new(topic.topic, PARTITIONS));
    for record in records {
        let out = ProducerRecord {
            key: Some(record.key.as_bytes()),
            value: Some(record.value.as_bytes()),
            ..ProducerRecord::default()
        };
        producer.send(index, &out).await?;
        if let Some(bar) = bar {
            bar.inc(1);
        }
    }
    producer.close().await.context("producing records")
}

/// The first rows of a push query, as they come while flights are produced.
async fn watch(client: ServerClient) -> Result<String> {
    let sql = format!(
        "SELECT flight_id, airline, origin, dest, dep_delay FROM flights_enriched EMIT CHANGES LIMIT {PUSH_ROWS};"
    );
    let mut context = RequestContext::default();
    context.properties.insert("auto.offset.reset".to_owned(), "earliest".to_owned());
    let mut answer = client.query(&sql, &context).await?;
    let names = ["FLIGHT_ID", "AIRLINE", "ORIGIN", "DEST", "DEP_DELAY"].map(str::to_owned);
    let mut rows: Vec<Vec<Value>> = Vec::new();
    while let Some(item) = answer.next().await? {
        if let QueryItem::Row { columns, .. } = item {
            rows.push(columns);
        }
    }
    Ok(StreamingTable::new(names.to_vec(), &rows, None).push(&rows))
}

/// The routes count every flight once they are complete.
async fn wait_until_complete(client: &ServerClient, flights: u64) -> Result<()> {
    let started = Instant::now();
    let sums = ["SELECT SUM(flights) AS n FROM routes;", "SELECT SUM(flights) AS n FROM carrier_delays;"];
    for sql in sums {
        loop {
            let (_, rows) = query(client, sql).await?;
            let counted = rows.first().and_then(|r| r.first()).and_then(Value::as_u64).unwrap_or(0);
            if counted == flights {
                break;
            }
            if counted > flights || started.elapsed() > COMPLETE_WITHIN {
                bail!("{sql} gives {counted}, {flights} flights were produced");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    Ok(())
}

async fn pull_queries(client: &ServerClient, heading: &dyn Fn(&str)) -> Result<()> {
    let queries = [
        ("One key", "SELECT * FROM routes WHERE origin = 'JFK' AND dest = 'LAX';"),
        (
            "A range of windows of one key",
            "SELECT carrier, WINDOWSTART, flights, mean_delay, worst_delay FROM carrier_delays WHERE carrier = 'UA' \
             AND WINDOWSTART >= '2013-01-15T12:00:00' AND WINDOWSTART < '2013-01-15T18:00:00';",
        ),
        (
            "The busiest routes, which ksqlDB cannot order",
            "SELECT origin, dest, flights FROM routes ORDER BY flights DESC LIMIT 5;",
        ),
        (
            "Late carriers, grouped over the state",
            "SELECT carrier, SUM(flights) AS flights, MAX(worst_delay) AS worst_delay FROM carrier_delays GROUP BY carrier \
             ORDER BY worst_delay DESC LIMIT 5;",
        ),
    ];
    for (title, sql) in queries {
        heading(title);
        line::out(format_args!("{sql}"));
        let started = Instant::now();
        let (header, rows) = query(client, sql).await?;
        let took = started.elapsed().as_secs_f64() * 1e3;
        line::out(format_args!(
            "{}\n{} rows ({took:.1} ms)",
            table(&header, &rows, TableStyle::plain()),
            rows.len()
        ));
        if rows.is_empty() {
            bail!("the query gave no rows");
        }
    }
    Ok(())
}

async fn query(client: &ServerClient, sql: &str) -> Result<(Vec<String>, Vec<Vec<Value>>)> {
    let mut answer = client.query(sql, &RequestContext::default()).await?;
    let (mut header, mut rows) = (Vec::new(), Vec::new());
    while let Some(item) = answer.next().await? {
        match item {
            QueryItem::Header { schema, .. } => header = crate::session::column_names(&schema),
            QueryItem::Row { columns, .. } => rows.push(columns),
            QueryItem::Line(_) | QueryItem::Final(_) => {}
        }
    }
    Ok((header, rows))
}
