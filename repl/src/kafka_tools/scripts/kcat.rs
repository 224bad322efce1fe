//! `kcat`: its modes and its flags.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::{ArgAction, Parser};
use weir_broker::ids::TopicPartition;
use weir_broker::log::access::{Isolation, OffsetSpec};

use crate::kafka_tools::cluster::metadata::{MetadataArgs, metadata};
use crate::kafka_tools::connection::{Connection, ConnectionArgs};
use crate::kafka_tools::consume::plan::{Flush, ReadPlan};
use crate::kafka_tools::consume::read;
use crate::kafka_tools::error::{Result, ToolError};
use crate::kafka_tools::format::{RecordFormat, WithOffset};
use crate::kafka_tools::offsets::{Place, Range, offset_reset, parse_range};
use crate::kafka_tools::output::line;
use crate::kafka_tools::produce::line_format::{LineFormat, parse_header, unescape};
use crate::kafka_tools::produce::plan::{PartitionChoice, Pieces, Transaction, WritePlan, parse_codec};
use crate::kafka_tools::produce::write;
use crate::kafka_tools::scripts::arguments::{Ignored, only_one};

const CONFIG_VARIABLE: &str = "KCAT_CONFIG";
const CONFIG_FILE: &str = ".config/kcat.conf";
const STORED: &str = "stored";

/// Produce, consume and list metadata, as kcat does
#[derive(Debug, Parser)]
#[command(name = "kcat", disable_version_flag = true)]
pub struct KcatArgs {
    /// Consume
    #[arg(short = 'C')]
    consume: bool,
    /// Produce
    #[arg(short = 'P')]
    produce: bool,
    /// List metadata
    #[arg(short = 'L')]
    list: bool,
    /// Look offsets up: -t TOPIC:PARTITION:TIME
    #[arg(short = 'Q')]
    query: bool,
    /// Consume as a member of this group
    #[arg(short = 'G', value_name = "GROUP")]
    group: Option<String>,
    /// Topic
    #[arg(short = 't', value_name = "TOPIC")]
    topic: Vec<String>,
    /// Partition
    #[arg(short = 'p', value_name = "PARTITION", allow_negative_numbers = true)]
    partition: Option<i32>,
    /// Brokers
    #[arg(short = 'b', value_name = "HOST:PORT,...", env = "WEIR_BROKERS")]
    brokers: Option<String>,
    /// Delimiter after each record
    #[arg(short = 'D', value_name = "DELIMITER", default_value = "\\n")]
    delimiter: String,
    /// Delimiter between key and value
    #[arg(short = 'K', value_name = "DELIMITER")]
    key_delimiter: Option<String>,
    /// Stop after so many records
    #[arg(short = 'c', value_name = "RECORDS")]
    count: Option<u64>,
    /// File of client properties
    #[arg(short = 'F', value_name = "FILE")]
    config: Option<PathBuf>,
    /// Client property
    #[arg(short = 'X', value_name = "KEY=VALUE")]
    property: Vec<String>,
    /// Compression
    #[arg(short = 'z', value_name = "CODEC")]
    codec: Option<String>,
    /// Key of all records
    #[arg(short = 'k', value_name = "KEY")]
    key: Option<String>,
    /// Header of all records
    #[arg(short = 'H', value_name = "NAME=VALUE")]
    header: Vec<String>,
    /// Files are lines
    #[arg(short = 'l')]
    lines: bool,
    /// Print what is sent
    #[arg(short = 'T')]
    tee: bool,
    /// Empty is null, null is printed as NULL
    #[arg(short = 'Z')]
    null: bool,
    /// Where to begin, and with e@ where to end
    #[arg(short = 'o', value_name = "PLACE", allow_hyphen_values = true)]
    offset: Vec<String>,
    /// Stop at the end
    #[arg(short = 'e')]
    exit: bool,
    /// Form of a record
    #[arg(short = 'f', value_name = "FORMAT")]
    format: Option<String>,
    /// JSON
    #[arg(short = 'J')]
    json: bool,
    /// Print offsets
    #[arg(short = 'O')]
    print_offset: bool,
    /// Hand over every record at once
    #[arg(short = 'u')]
    unbuffered: bool,
    /// Say nothing beside the records
    #[arg(short = 'q')]
    quiet: bool,
    /// Print the version
    #[arg(short = 'V', action = ArgAction::Version)]
    version: Option<bool>,
    /// Topics of a group, or files to produce
    rest: Vec<String>,
}

impl Ignored for KcatArgs {
    const IGNORED: &'static [(&'static str, bool)] =
        &[("-E", false), ("-d", true), ("-m", true), ("-v", false)];
}

#[derive(Clone, Copy)]
enum Mode {
    Consume,
    Produce,
    List,
    Query,
}

pub async fn run(args: KcatArgs) -> Result<()> {
    let modes = [
        (args.consume || args.group.is_some(), Mode::Consume),
        (args.produce, Mode::Produce),
        (args.list, Mode::List),
        (args.query, Mode::Query),
    ];
    let mode = match modes.iter().any(|(is_given, _)| *is_given) {
        true => only_one(&modes, "-C, -P, -L, -Q, -G")?,
        // Without a mode kcat writes what is piped into it, and reads otherwise.
        false if std::io::stdin().is_terminal() => Mode::Consume,
        false => Mode::Produce,
    };
    match mode {
        Mode::Consume => consume(args).await,
        Mode::Produce => produce(args).await,
        Mode::List => {
            let connection = args.open().await?;
            let wanted = MetadataArgs { topic: args.topic.into_iter().next(), json: args.json };
            metadata(&connection, &wanted).await
        }
        Mode::Query => query(&args).await,
    }
}

impl KcatArgs {
    async fn open(&self) -> Result<Connection> {
        let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(CONFIG_FILE));
        let named = std::env::var_os(CONFIG_VARIABLE).map(PathBuf::from);
        let config = self.config.clone().or(named).or(home.filter(|path| path.exists()));
        Connection::open(&ConnectionArgs {
            brokers: self.brokers.clone(),
            property: self.property.clone(),
            command_config: config,
        })
        .await
    }

    fn range(&self) -> Result<Range> {
        let mut range = Range { begin: None, until: None };
        for text in self.offset.iter().filter(|text| *text != STORED) {
            let part = parse_range(text).map_err(ToolError::Usage)?;
            range = Range { begin: part.begin.or(range.begin), until: part.until.or(range.until) };
        }
        Ok(range)
    }
}

async fn consume(args: KcatArgs) -> Result<()> {
    let range = args.range()?;
    let offset = if args.print_offset { WithOffset::Yes } else { WithOffset::No };
    let format = match &args.format {
        Some(text) => RecordFormat::parse(text).map_err(ToolError::Usage)?,
        None if args.json => RecordFormat::Json,
        None => RecordFormat::delimited(args.key_delimiter.as_deref(), offset, &args.delimiter),
    };
    let connection = args.open().await?;
    let properties = &connection.properties;
    let without = if args.group.is_some() { Place::Latest } else { Place::Earliest };
    let reset = offset_reset(properties)?.unwrap_or(without);
    let isolation = match properties.get("isolation.level") {
        Some("read_uncommitted") => Isolation::ReadUncommitted,
        _ => Isolation::ReadCommitted,
    };
    let topics: Vec<String> = args.topic.into_iter().chain(args.rest).collect();
    if topics.is_empty() {
        return Err(ToolError::Usage("-t TOPIC is missing".to_owned()));
    }
    let plan = ReadPlan {
        topics,
        partitions: args.partition.into_iter().filter(|partition| *partition >= 0).collect(),
        begin: range.begin.unwrap_or(reset),
        until: range.until,
        exit_at_end: args.exit,
        count: args.count,
        format,
        null: if args.null { b"NULL".to_vec() } else { Vec::new() },
        group: args.group,
        isolation,
        flush: if args.unbuffered { Flush::EveryRecord } else { Flush::EveryFetch },
        idle_max: None,
        quiet: true,
    };
    read::read(connection, plan).await.map(|_| ())
}

async fn produce(args: KcatArgs) -> Result<()> {
    let [topic] = args.topic.as_slice() else {
        return Err(ToolError::Usage("-t TOPIC is missing, or there are several".to_owned()));
    };
    let connection = args.open().await?;
    let codec = args.codec.as_deref().or(connection.properties.compression()).unwrap_or("none");
    let files: Vec<PathBuf> = args.rest.iter().map(PathBuf::from).collect();
    let pieces = match args.lines || files.is_empty() {
        true => Pieces::Delimited(unescape(&args.delimiter)),
        false => Pieces::Whole,
    };
    // A file that is one record has no key in it.
    let key_delimiter = args.key_delimiter.as_deref().filter(|_| pieces != Pieces::Whole).map(unescape);
    if key_delimiter.as_deref() == Some(b"") || args.delimiter.is_empty() {
        return Err(ToolError::Usage("a delimiter is empty".to_owned()));
    }
    let plan = WritePlan {
        topic: topic.clone(),
        files,
        pieces,
        format: LineFormat {
            key_delimiter,
            key: args.key.map(String::into_bytes),
            headers: args.header.iter().map(|text| parse_header(text)).collect(),
            empty_is_null: args.null,
            ..LineFormat::default()
        },
        partition: match args.partition {
            None => PartitionChoice::ByKey,
            Some(-1) => PartitionChoice::Random,
            Some(partition) => PartitionChoice::Only(partition),
        },
        compression: parse_codec(codec)?,
        count: args.count,
        skip_empty: !args.null,
        tee: args.tee,
        transaction: Transaction::of(&connection.properties)?,
        quiet: true,
    };
    write::write(connection, plan).await
}

/// `-Q -t TOPIC:PARTITION:TIME`
async fn query(args: &KcatArgs) -> Result<()> {
    let mut wanted = Vec::new();
    for text in &args.topic {
        let wrong = || ToolError::Usage(format!("\"{text}\" is not TOPIC:PARTITION:TIME"));
        let (rest, time) = text.rsplit_once(':').ok_or_else(wrong)?;
        let (topic, partition) = rest.rsplit_once(':').ok_or_else(wrong)?;
        let partition = partition.parse().map_err(|_| wrong())?;
        let spec = match time.parse::<i64>().map_err(|_| wrong())? {
            -1 => OffsetSpec::Latest,
            -2 => OffsetSpec::Earliest,
            time => OffsetSpec::Timestamp(time),
        };
        wanted.push((TopicPartition::new(topic, partition), spec));
    }
    if wanted.is_empty() {
        return Err(ToolError::Usage("-t TOPIC:PARTITION:TIME is missing".to_owned()));
    }
    let connection = args.open().await?;
    let listed = connection.admin.list_offsets(&wanted, Isolation::ReadUncommitted).await?;
    for ((partition, _), listed) in wanted.iter().zip(listed) {
        let offset = listed.offset.unwrap_or(-1);
        line(&format!("{} [{}] offset {offset}", partition.topic, partition.partition));
    }
    Ok(())
}
