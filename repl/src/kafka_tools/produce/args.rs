//! `weir produce`: lines of standard input or of files become records.

use std::path::PathBuf;

use clap::Args;

use crate::kafka_tools::connection::{Connection, ConnectionArgs};
use crate::kafka_tools::error::{Result, ToolError};
use crate::kafka_tools::produce::console_format::console_format;
use crate::kafka_tools::produce::line_format::{LineFormat, parse_header, unescape};
use crate::kafka_tools::produce::plan::{PartitionChoice, Pieces, Transaction, WritePlan, parse_codec};
use crate::kafka_tools::produce::write;

const RANDOM: i32 = -1;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  echo 'ada:{\"page\": \"/cart\"}' | weir produce clicks -K :
  weir produce clicks -k ada -H source=import -z zstd < values.txt
  weir produce images -k logo --whole logo.png               # a file is a record
  find . -print0 | weir produce paths -D '\\x00'
  echo 'ada:' | weir produce clicks -K : -Z                  # a tombstone
  weir produce clicks -X transactional.id=import < lines     # all of them, or none
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
    /// Delimiter after each record; escapes such as \x00 stand for bytes
    #[arg(short = 'D', long, value_name = "DELIMITER", default_value = "\\n", hide_default_value = true)]
    delimiter: String,
    /// Delimiter between key and value in a line; escapes such as \t stand for bytes
    #[arg(short = 'K', long, value_name = "DELIMITER")]
    key_delimiter: Option<String>,
    /// Key of all records
    #[arg(short = 'k', long)]
    key: Option<String>,
    /// Header of all records
    #[arg(short = 'H', long, value_name = "NAME=VALUE")]
    header: Vec<String>,
    /// Partition, -1 for any; default: by the key as Kafka's clients do, in turn without one
    #[arg(short = 'p', long, allow_negative_numbers = true)]
    partition: Option<i32>,
    /// Compression: none, gzip, snappy, lz4, zstd; default: none
    #[arg(short = 'z', long, visible_alias = "compression-codec", value_name = "CODEC")]
    compression: Option<String>,
    /// Empty values (and keys) are null: tombstones
    #[arg(short = 'Z', long, visible_alias = "tombstone")]
    null: bool,
    /// Lines are JSON objects: key, value, headers, partition, timestamp
    #[arg(short = 'J', long, visible_alias = "format-json")]
    json: bool,
    /// Stop after this many records
    #[arg(short = 'c', long, value_name = "RECORDS")]
    count: Option<u64>,
    /// A file is one record, not lines
    #[arg(long, conflicts_with = "json")]
    whole: bool,
    /// Files are lines, which is the default
    #[arg(short = 'l', hide = true, conflicts_with = "whole")]
    lines: bool,
    /// Print what is sent
    #[arg(short = 'T', long)]
    tee: bool,
    /// parse.key=true, key.separator=:, as Kafka's own console producer has them
    #[arg(long, value_name = "KEY=VALUE")]
    reader_property: Vec<String>,
    #[arg(long = "property", value_name = "KEY=VALUE", hide = true)]
    console_property: Vec<String>,
    /// Say nothing when done
    #[arg(short = 'q', long)]
    quiet: bool,
}

pub async fn run(args: ProduceArgs) -> Result<()> {
    let format = args.line_format()?;
    // Wrong arguments are reported without a broker.
    if let Some(codec) = &args.compression {
        parse_codec(codec)?;
    }
    let connection = Connection::open(&args.connection).await?;
    let plan = args.plan(format, &connection)?;
    write::write(connection, plan).await
}

impl ProduceArgs {
    fn plan(self, format: LineFormat, connection: &Connection) -> Result<WritePlan> {
        let mut files = self.files;
        // With --topic, what stands in the topic's place is a file.
        let topic = match (self.topic_option, self.topic) {
            (Some(topic), file) => {
                files.splice(0..0, file.map(PathBuf::from));
                topic
            }
            (None, Some(topic)) => topic,
            (None, None) => return Err(ToolError::Usage("which topic?".to_owned())),
        };
        let codec = self.compression.as_deref().or(connection.properties.compression()).unwrap_or("none");
        Ok(WritePlan {
            topic,
            files,
            pieces: match self.whole {
                true => Pieces::Whole,
                false => Pieces::Delimited(unescape(&self.delimiter)),
            },
            format,
            partition: match self.partition {
                None => PartitionChoice::ByKey,
                Some(RANDOM) => PartitionChoice::Random,
                Some(partition) => PartitionChoice::Only(partition),
            },
            compression: parse_codec(codec)?,
            count: self.count,
            skip_empty: false,
            tee: self.tee,
            transaction: Transaction::of(&connection.properties)?,
            quiet: self.quiet,
        })
    }

    fn line_format(&self) -> Result<LineFormat> {
        let mut format = LineFormat {
            key_delimiter: self.key_delimiter.as_deref().map(unescape),
            key: self.key.as_ref().map(|key| key.clone().into_bytes()),
            headers: self.header.iter().map(|text| parse_header(text)).collect(),
            empty_is_null: self.null,
            is_json: self.json,
            ..LineFormat::default()
        };
        let properties: Vec<&String> = self.reader_property.iter().chain(&self.console_property).collect();
        if !properties.is_empty() {
            console_format(&mut format, &properties)?;
        }
        if format.key_delimiter.as_deref() == Some(b"") {
            return Err(ToolError::Usage("the key delimiter is empty".to_owned()));
        }
        if self.delimiter.is_empty() {
            return Err(ToolError::Usage("the delimiter is empty".to_owned()));
        }
        Ok(format)
    }
}
