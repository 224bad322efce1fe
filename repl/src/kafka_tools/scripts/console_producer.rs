//! `kafka-console-producer`.

use std::path::PathBuf;

use clap::Parser;

use crate::kafka_tools::client_properties::property_lines;
use crate::kafka_tools::error::Result;
use crate::kafka_tools::produce::console_format::console_format;
use crate::kafka_tools::produce::line_format::LineFormat;
use crate::kafka_tools::produce::plan::{PartitionChoice, Pieces, Transaction, WritePlan, parse_codec};
use crate::kafka_tools::produce::write;
use crate::kafka_tools::scripts::arguments::{Bootstrap, Ignored};

/// Write lines of standard input to a topic, as kafka-console-producer.sh does
#[derive(Debug, Parser)]
#[command(name = "kafka-console-producer", version, infer_long_args = true)]
pub struct ConsoleProducerArgs {
    #[command(flatten)]
    bootstrap: Bootstrap,
    #[arg(long)]
    topic: String,
    /// parse.key=true, key.separator=:, parse.headers=true, null.marker=...
    #[arg(long, visible_alias = "reader-property", value_name = "KEY=VALUE")]
    property: Vec<String>,
    /// File of such properties
    #[arg(long, value_name = "FILE")]
    reader_config: Option<PathBuf>,
    /// File of client properties
    #[arg(long = "producer.config", value_name = "FILE")]
    producer_config: Option<PathBuf>,
    #[arg(long, visible_alias = "command-property", value_name = "KEY=VALUE")]
    producer_property: Vec<String>,
    /// none, gzip, snappy, lz4, zstd; gzip if nothing follows
    #[arg(long, value_name = "CODEC", num_args = 0..=1, default_missing_value = "gzip")]
    compression_codec: Option<String>,
}

impl Ignored for ConsoleProducerArgs {
    const IGNORED: &'static [(&'static str, bool)] = &[
        ("--batch-size", true),
        ("--line-reader", true),
        ("--max-block-ms", true),
        ("--max-memory-bytes", true),
        ("--max-partition-memory-bytes", true),
        ("--message-send-max-retries", true),
        ("--metadata-expiry-ms", true),
        ("--request-required-acks", true),
        ("--request-timeout-ms", true),
        ("--retry-backoff-ms", true),
        ("--socket-buffer-size", true),
        ("--sync", false),
        ("--timeout", true),
    ];
}

pub async fn run(mut args: ConsoleProducerArgs) -> Result<()> {
    let mut properties = Vec::new();
    if let Some(path) = &args.reader_config {
        properties.extend(property_lines(path)?);
    }
    properties.extend(args.property);
    let mut format = LineFormat::default();
    console_format(&mut format, &properties.iter().collect::<Vec<_>>())?;
    args.bootstrap.command_config = args.producer_config.or(args.bootstrap.command_config);
    let connection = args.bootstrap.open(&args.producer_property).await?;
    let codec = args.compression_codec.as_deref().or(connection.properties.compression());
    let plan = WritePlan {
        topic: args.topic,
        files: Vec::new(),
        pieces: Pieces::Delimited(b"\n".to_vec()),
        format,
        partition: PartitionChoice::ByKey,
        compression: parse_codec(codec.unwrap_or("none"))?,
        count: None,
        skip_empty: false,
        tee: false,
        transaction: Transaction::of(&connection.properties)?,
        quiet: true,
    };
    write::write(connection, plan).await
}
