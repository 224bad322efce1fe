//! `weir produce`: lines of standard input or of files become records.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;

use clap::Args;
use tokio::sync::mpsc;
use weir_broker::client::producer::idempotent::IdempotentProducer;
use weir_broker::client::producer::partitioner::partition_for_key;
use weir_broker::env::clock::{Clock, SystemClock};
use weir_broker::ids::TopicPartition;
use weir_broker::record::builder::{BatchOptions, RecordBatchBuilder};
use weir_broker::record::compression::Compression;
use weir_broker::record::reader::Header;

use crate::kafka_tools::connection::{Connection, ConnectionArgs};
use crate::kafka_tools::error::{Result, ToolError};
use crate::kafka_tools::produce_input::{InputRecord, LineFormat, parse_header, unescape};

/// Bytes of a line at most.
const LINE_BYTES_MAX: u64 = 64 << 20;
/// Lines read ahead of those being sent.
const LINES_AHEAD_MAX: usize = 4_096;
/// Bytes of records at which a batch is sent.
const BATCH_BYTES: usize = 256 << 10;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  echo 'ada:{\"page\": \"/cart\"}' | weir produce clicks -K :
  weir produce clicks -k ada -H source=import -z zstd < values.txt
  echo 'ada:' | weir produce clicks -K : -Z                  # a tombstone
  weir consume clicks -e -J | weir produce copy --json")]
pub struct ProduceArgs {
    #[command(flatten)]
    pub connection: ConnectionArgs,
    /// Topic
    #[arg(required_unless_present = "topic_option")]
    topic: Option<String>,
    /// Files of lines; default: standard input
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Topic
    #[arg(long = "topic", short = 't', value_name = "TOPIC", hide = true)]
    topic_option: Option<String>,
    /// What separates key and value in a line; escapes such as \t stand for characters
    #[arg(short = 'K', long, value_name = "DELIMITER")]
    key_delimiter: Option<String>,
    /// Key of all records
    #[arg(short = 'k', long)]
    key: Option<String>,
    /// Header of all records
    #[arg(short = 'H', long, value_name = "NAME=VALUE")]
    header: Vec<String>,
    /// Partition; default: by the key as Kafka's clients do, in turn without one
    #[arg(short = 'p', long)]
    partition: Option<i32>,
    /// Compression: none, gzip, snappy, lz4, zstd
    #[arg(
        short = 'z',
        long,
        visible_alias = "compression-codec",
        value_name = "CODEC",
        default_value = "none"
    )]
    compression: String,
    /// Empty values (and keys) are null: tombstones
    #[arg(short = 'Z', long, visible_alias = "tombstone")]
    null: bool,
    /// Lines are JSON objects: key, value, headers, partition, timestamp
    #[arg(short = 'J', long, visible_alias = "format-json")]
    json: bool,
    /// parse.key=true, key.separator=…, as Kafka's own console producer has them
    #[arg(long, value_name = "KEY=VALUE")]
    reader_property: Vec<String>,
    #[arg(long = "property", value_name = "KEY=VALUE", hide = true)]
    console_property: Vec<String>,
    /// Say nothing when done
    #[arg(short = 'q', long)]
    quiet: bool,
}

impl ProduceArgs {
    fn line_format(&self) -> Result<LineFormat> {
        let mut delimiter = self.key_delimiter.as_deref().map(unescape);
        let (mut parse_key, mut separator) = (false, "\t".to_owned());
        for text in self.reader_property.iter().chain(&self.console_property) {
            match text.split_once('=') {
                Some(("parse.key", value)) => parse_key = value == "true",
                Some(("key.separator", value)) => separator = unescape(value),
                _ => {
                    return Err(ToolError::Usage(format!(
                        "property \"{text}\" is neither parse.key=… nor key.separator=…"
                    )));
                }
            }
        }
        if parse_key && delimiter.is_none() {
            delimiter = Some(separator);
        }
        if delimiter.as_deref() == Some("") {
            return Err(ToolError::Usage("the key delimiter is empty".to_owned()));
        }
        Ok(LineFormat {
            key_delimiter: delimiter,
            key: self.key.as_ref().map(|key| key.clone().into_bytes()),
            headers: self.header.iter().map(|text| parse_header(text)).collect(),
            empty_is_null: self.null,
            is_json: self.json,
        })
    }
}

/// A line and where it stood, or why there are no more.
type Line = Result<(String, Vec<u8>)>;

pub async fn run(mut args: ProduceArgs) -> Result<()> {
    let format = args.line_format()?;
    let compression: Compression = args.compression.parse().map_err(|_| {
        ToolError::Usage(format!("codec \"{}\" is none of none, gzip, snappy, lz4, zstd", args.compression))
    })?;
    // With --topic, what stands in the topic's place is a file.
    let topic = match (args.topic_option.take(), args.topic.take()) {
        (Some(topic), file) => {
            args.files.splice(0..0, file.map(PathBuf::from));
            topic
        }
        (None, Some(topic)) => topic,
        (None, None) => return Err(ToolError::Usage("which topic?".to_owned())),
    };
    let connection = Connection::open(&args.connection).await?;
    let partitions = connection.topic(&topic).await?.partitions;
    let mut sender = Sender {
        producer: IdempotentProducer::init(connection.transport.clone()).await?,
        topic,
        partitions,
        compression,
        batches: BTreeMap::new(),
        turn: rand::random_range(0..partitions.max(1)),
        sent: 0,
    };
    sender.check_partition(args.partition)?;
    let (lines, mut incoming) = mpsc::channel::<Line>(LINES_AHEAD_MAX);
    let files = std::mem::take(&mut args.files);
    // Reading blocks; the thread ends with its input, or with the process.
    std::thread::spawn(move || read_lines(&files, &lines));
    let clock = SystemClock::new();
    loop {
        let next = match incoming.try_recv() {
            Ok(line) => Some(line),
            Err(_) => {
                // Nothing more for now: what is there goes out before waiting.
                sender.flush().await?;
                incoming.recv().await
            }
        };
        let Some(line) = next else { break };
        let (place, line) = line?;
        let input_error = |message: String| ToolError::Input { place: place.clone(), message };
        let record = format.record(&line).map_err(input_error)?;
        let partition = record.partition.or(args.partition);
        sender.check_partition(partition)?;
        sender.send(record, partition, clock.now_ms()).await?;
    }
    sender.flush().await?;
    if !args.quiet {
        eprintln!("{} record(s) written to {}", sender.sent, sender.topic);
    }
    Ok(())
}

fn read_lines(files: &[PathBuf], lines: &mpsc::Sender<Line>) {
    if files.is_empty() {
        read_from(&mut std::io::stdin().lock(), "standard input", lines);
    }
    for path in files {
        let shown = path.display().to_string();
        match File::open(path) {
            Ok(file) => read_from(&mut BufReader::new(file), &shown, lines),
            Err(source) => {
                // The receiver is gone only if it has failed already.
                let _ = lines.blocking_send(Err(ToolError::Io { action: "read", path: shown, source }));
                return;
            }
        }
    }
}

fn read_from(input: &mut impl BufRead, name: &str, lines: &mpsc::Sender<Line>) {
    let mut number = 0_u64;
    loop {
        number += 1;
        let mut line = Vec::new();
        let outcome = match input.by_ref().take(LINE_BYTES_MAX + 1).read_until(b'\n', &mut line) {
            Ok(0) => return,
            Ok(read) if read as u64 > LINE_BYTES_MAX => Err(ToolError::Input {
                place: format!("{name}:{number}"),
                message: format!("the line is longer than {LINE_BYTES_MAX} bytes"),
            }),
            Ok(_) => {
                if line.last() == Some(&b'\n') {
                    line.pop();
                }
                Ok((format!("{name}:{number}"), line))
            }
            Err(source) => Err(ToolError::Io { action: "read", path: name.to_owned(), source }),
        };
        let is_last = outcome.is_err();
        if lines.blocking_send(outcome).is_err() || is_last {
            return;
        }
    }
}

/// Gathers records into batches by partition.
struct Sender {
    producer: IdempotentProducer,
    topic: String,
    partitions: i32,
    compression: Compression,
    batches: BTreeMap<i32, (RecordBatchBuilder, usize)>,
    /// The partition of records without a key, until its batch is full.
    turn: i32,
    sent: u64,
}

impl Sender {
    fn check_partition(&self, partition: Option<i32>) -> Result<()> {
        match partition {
            Some(partition) if !(0..self.partitions).contains(&partition) => Err(ToolError::NoPartition {
                topic: self.topic.clone(),
                partition,
                last: self.partitions - 1,
            }),
            _ => Ok(()),
        }
    }

    async fn send(&mut self, record: InputRecord, partition: Option<i32>, now_ms: i64) -> Result<()> {
        let partition = partition.unwrap_or_else(|| match &record.key {
            Some(key) => partition_for_key(key, self.partitions),
            None => self.turn,
        });
        let options = || BatchOptions { compression: self.compression, ..BatchOptions::default() };
        let (builder, bytes) =
            self.batches.entry(partition).or_insert_with(|| (RecordBatchBuilder::new(options()), 0));
        let headers: Vec<Header<'_>> = record
            .headers
            .iter()
            .map(|(key, value)| Header { key: key.as_str(), value: value.as_deref() })
            .collect();
        let timestamp = record.timestamp.unwrap_or(now_ms);
        builder.append(timestamp, record.key.as_deref(), record.value.as_deref(), &headers);
        *bytes += record.key.as_ref().map_or(0, Vec::len) + record.value.as_ref().map_or(0, Vec::len) + 16;
        self.sent += 1;
        if *bytes >= BATCH_BYTES {
            self.send_batch(partition).await?;
        }
        Ok(())
    }

    async fn send_batch(&mut self, partition: i32) -> Result<()> {
        if partition == self.turn {
            self.turn = (self.turn + 1) % self.partitions;
        }
        let Some((builder, _)) = self.batches.remove(&partition) else { return Ok(()) };
        let batch = builder.build().map_err(weir_broker::client::error::ClientError::Batch)?;
        let target = TopicPartition::new(self.topic.as_str(), partition);
        Ok(self.producer.produce(vec![(target, vec![batch])]).await?)
    }

    /// Sends what is gathered and waits until all of it is durable.
    async fn flush(&mut self) -> Result<()> {
        let partitions: Vec<i32> = self.batches.keys().copied().collect();
        for partition in partitions {
            self.send_batch(partition).await?;
        }
        self.producer.flush().await?;
        Ok(())
    }
}
