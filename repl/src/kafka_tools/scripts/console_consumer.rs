//! `kafka-console-consumer`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use weir_broker::log::access::Isolation;

use crate::kafka_tools::consume::plan::{Flush, ReadPlan};
use crate::kafka_tools::consume::read;
use crate::kafka_tools::error::{Result, ToolError};
use crate::kafka_tools::format::{Part, RecordFormat};
use crate::kafka_tools::offsets::{Place, offset_reset, parse_place};
use crate::kafka_tools::produce::line_format::unescape;
use crate::kafka_tools::scripts::arguments::{Bootstrap, Ignored, matching_topics};
use crate::render::line;

/// Print the records of a topic, as kafka-console-consumer.sh does
#[derive(Debug, Parser)]
#[command(name = "kafka-console-consumer", version, infer_long_args = true)]
pub struct ConsoleConsumerArgs {
    #[command(flatten)]
    bootstrap: Bootstrap,
    #[arg(long, required_unless_present = "include")]
    topic: Option<String>,
    /// Topics, by an expression that fits whole names
    #[arg(long, alias = "whitelist", conflicts_with = "topic")]
    include: Option<String>,
    #[arg(long)]
    partition: Option<i32>,
    /// earliest, latest or an offset; with --partition
    #[arg(long, requires = "partition")]
    offset: Option<String>,
    #[arg(long)]
    from_beginning: bool,
    #[arg(long)]
    max_messages: Option<u64>,
    /// Stop when no record has come for so long
    #[arg(long)]
    timeout_ms: Option<u64>,
    #[arg(long, conflicts_with_all = ["partition", "offset"])]
    group: Option<String>,
    /// print.key=true, print.timestamp=true, print.headers=true, key.separator=..., null.literal=...
    #[arg(long, visible_alias = "formatter-property", value_name = "KEY=VALUE")]
    property: Vec<String>,
    #[arg(long, value_parser = ["read_committed", "read_uncommitted"], default_value = "read_uncommitted")]
    isolation_level: String,
    /// File of client properties
    #[arg(long = "consumer.config", value_name = "FILE")]
    consumer_config: Option<PathBuf>,
    #[arg(long, visible_alias = "command-property", value_name = "KEY=VALUE")]
    consumer_property: Vec<String>,
}

impl Ignored for ConsoleConsumerArgs {
    const IGNORED: &'static [(&'static str, bool)] = &[
        ("--enable-systest-events", false),
        ("--formatter", true),
        ("--formatter-config", true),
        ("--key-deserializer", true),
        ("--skip-message-on-error", false),
        ("--value-deserializer", true),
    ];
}

pub async fn run(mut args: ConsoleConsumerArgs) -> Result<()> {
    let (format, null) = console_format(&args.property)?;
    let begin = match (&args.offset, args.from_beginning) {
        (Some(text), _) => Some(parse_place(text).map_err(ToolError::Usage)?),
        (None, true) => Some(Place::Earliest),
        (None, false) => None,
    };
    args.bootstrap.command_config = args.consumer_config.or(args.bootstrap.command_config);
    let connection = args.bootstrap.open(&args.consumer_property).await?;
    let properties = &connection.properties;
    let reset = offset_reset(properties)?.unwrap_or(Place::Latest);
    let is_committed = [Some(args.isolation_level.as_str()), properties.get("isolation.level")];
    let topics = match (args.topic, &args.include) {
        (Some(topic), _) => vec![topic],
        (None, pattern) => {
            let fitting = matching_topics(&connection, pattern.as_deref()).await?;
            fitting.into_iter().filter(|topic| !topic.internal).map(|topic| topic.name).collect()
        }
    };
    if topics.is_empty() {
        return Err(ToolError::NoTopic { topic: args.include.unwrap_or_default() });
    }
    let plan = ReadPlan {
        topics,
        partitions: args.partition.into_iter().collect(),
        begin: begin.unwrap_or(reset),
        until: None,
        exit_at_end: false,
        count: args.max_messages,
        format,
        null,
        group: args.group.or_else(|| properties.get("group.id").map(str::to_owned)),
        isolation: match is_committed.contains(&Some("read_committed")) {
            true => Isolation::ReadCommitted,
            false => Isolation::ReadUncommitted,
        },
        flush: Flush::EveryFetch,
        idle_max: args.timeout_ms.map(Duration::from_millis),
        quiet: true,
    };
    let read = read::read(connection, plan).await?;
    line::err(format_args!("Processed a total of {read} messages"));
    Ok(())
}

/// Output of the script's default formatter, and its text for null.
fn console_format(properties: &[String]) -> Result<(RecordFormat, Vec<u8>)> {
    let mut parts = Vec::new();
    let (mut timestamp, mut partition, mut offset, mut headers, mut key, mut value) =
        (false, false, false, false, false, true);
    let (mut separator, mut end, mut null) = (b"\t".to_vec(), b"\n".to_vec(), b"null".to_vec());
    for text in properties {
        let unknown = || ToolError::Usage(format!("property \"{text}\" is not known"));
        let (name, given) = text.split_once('=').ok_or_else(unknown)?;
        let is_true = given.eq_ignore_ascii_case("true");
        match name {
            "print.timestamp" => timestamp = is_true,
            "print.partition" => partition = is_true,
            "print.offset" => offset = is_true,
            "print.headers" => headers = is_true,
            "print.key" => key = is_true,
            "print.value" => value = is_true,
            "key.separator" => separator = unescape(given),
            "line.separator" => end = unescape(given),
            "null.literal" => null = given.as_bytes().to_vec(),
            "print.epoch"
            | "print.delivery"
            | "headers.separator"
            | "headers.deserializer"
            | "key.deserializer"
            | "value.deserializer" => {
                line::err(format_args!("Warning: property {name} changes nothing here"));
            }
            _ => return Err(unknown()),
        }
    }
    let text = |text: &[u8]| Part::Text(text.to_vec());
    let pieces = [
        (timestamp, vec![Part::TimestampKind, text(b":"), Part::Timestamp]),
        (partition, vec![text(b"Partition:"), Part::Partition]),
        (offset, vec![text(b"Offset:"), Part::Offset]),
        (headers, vec![Part::ConsoleHeaders]),
        (key, vec![Part::Key]),
        (value, vec![Part::Value]),
    ];
    for (_, piece) in pieces.into_iter().filter(|(is_printed, _)| *is_printed) {
        if !parts.is_empty() {
            parts.push(text(&separator));
        }
        parts.extend(piece);
    }
    parts.push(text(&end));
    Ok((RecordFormat::Parts(parts), null))
}
