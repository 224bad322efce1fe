//! `weir consume`: records of topics, from anywhere in them, as they come.

use std::time::Duration;

use clap::{Args, ValueEnum};
use weir_broker::log::access::Isolation;

use crate::kafka_tools::connection::{Connection, ConnectionArgs};
use crate::kafka_tools::consume::plan::{Flush, ReadPlan};
use crate::kafka_tools::consume::read;
use crate::kafka_tools::error::{Result, ToolError};
use crate::kafka_tools::format::{RecordFormat, WithOffset};
use crate::kafka_tools::offsets::{Place, Range, offset_reset, parse_range};

const STORED: &str = "stored";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum IsolationArg {
    #[value(alias = "read_committed")]
    Committed,
    #[value(alias = "read_uncommitted")]
    Uncommitted,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  weir consume clicks                                   from the beginning, and on as records come
  weir consume clicks orders -o -10 -e                  the last ten of each partition
  weir consume clicks -o @2024-01-31T12:00:00Z -c 5     five since then
  weir consume clicks -o @-2h:@-1h                      those of the hour before last
  weir consume clicks -e -f '%t %p %o %k %s\\n'
  weir consume clicks -e -K : -D ';'                    keys, and another end than a line's
  weir consume clicks orders -G reports                 as a member of a group, offsets committed
  weir consume clicks -G old -X group.protocol=classic  of a group that has the protocol before KIP-848

Places (-o): beginning, end, OFFSET, -N before the end, +N after the beginning, @MILLISECONDS, @2024-01-31[T12:00:00Z], @-1h,
stored (with -G); BEGIN:END, :END and e@TIME end where the second stands now.
Letters (-f): %t topic, %p partition, %o offset, %k key, %K its bytes, %s value, %S its bytes, %R these in binary,
%T timestamp, %h headers, %% a percent sign; \\n, \\t, \\xNN.")]
pub struct ConsumeArgs {
    #[command(flatten)]
    pub connection: ConnectionArgs,
    /// Topics
    #[arg(value_name = "TOPIC", required_unless_present = "topic_option")]
    topics: Vec<String>,
    #[arg(long = "topic", short = 't', value_name = "TOPIC", hide = true)]
    topic_option: Vec<String>,
    /// Only this partition; may be repeated
    #[arg(short = 'p', long)]
    partition: Vec<i32>,
    /// Where to begin, and where to end; default: from the beginning, without end
    #[arg(short = 'o', long, value_name = "PLACE", allow_hyphen_values = true)]
    offset: Vec<String>,
    /// Begin at the beginning
    #[arg(long, conflicts_with = "offset")]
    from_beginning: bool,
    /// Stop where the partitions ended when this began
    #[arg(short = 'e', long, visible_alias = "exit")]
    exit_at_end: bool,
    /// Stop after this many records
    #[arg(
        short = 'c',
        short_alias = 'n',
        long,
        visible_alias = "max-messages",
        alias = "num",
        value_name = "RECORDS"
    )]
    count: Option<u64>,
    /// Form of a record
    #[arg(short = 'f', long, value_name = "FORMAT")]
    format: Option<String>,
    /// A JSON object a record
    #[arg(short = 'J', long, conflicts_with = "format")]
    json: bool,
    /// Delimiter after each record
    #[arg(short = 'D', long, value_name = "DELIMITER", default_value = "\\n", hide_default_value = true)]
    delimiter: String,
    /// Print keys before values, with this between
    #[arg(short = 'K', long, value_name = "DELIMITER")]
    key_delimiter: Option<String>,
    /// Print offsets before keys
    #[arg(short = 'O', long)]
    print_offset: bool,
    /// Print NULL for null keys and values
    #[arg(short = 'Z', long = "print-null")]
    print_null: bool,
    /// Text for null keys and values
    #[arg(
        long,
        value_name = "TEXT",
        conflicts_with = "print_null",
        default_value = "",
        hide_default_value = true
    )]
    null: String,
    /// Share the topics' partitions with the members of this group and commit offsets
    #[arg(short = 'G', long, conflicts_with = "partition")]
    group: Option<String>,
    /// See records of open and aborted transactions or not; default: committed
    #[arg(long, visible_alias = "isolation-level", value_enum)]
    isolation: Option<IsolationArg>,
    /// Hand over every record at once
    #[arg(short = 'u', long)]
    unbuffered: bool,
    /// Stop when no record has come for so long
    #[arg(long, value_name = "MS")]
    timeout_ms: Option<u64>,
    /// Say nothing beside the records
    #[arg(short = 'q', long)]
    quiet: bool,
}

pub async fn run(args: ConsumeArgs) -> Result<()> {
    // Wrong arguments are reported without a broker.
    let range = args.range()?;
    let format = args.record_format()?;
    let connection = Connection::open(&args.connection).await?;
    let plan = args.plan(range, format, &connection)?;
    read::read(connection, plan).await.map(|_| ())
}

impl ConsumeArgs {
    fn range(&self) -> Result<Range> {
        let mut range = Range { begin: None, until: None };
        for text in &self.offset {
            if text == STORED {
                if self.group.is_none() {
                    return Err(ToolError::Usage("-o stored needs a group: -G GROUP".to_owned()));
                }
                continue;
            }
            let part = parse_range(text).map_err(ToolError::Usage)?;
            let is_twice = (range.begin.is_some() && part.begin.is_some())
                || (range.until.is_some() && part.until.is_some());
            if is_twice {
                return Err(ToolError::Usage(format!("-o {text} contradicts what was said before")));
            }
            range = Range { begin: part.begin.or(range.begin), until: part.until.or(range.until) };
        }
        Ok(range)
    }

    fn record_format(&self) -> Result<RecordFormat> {
        let offset = if self.print_offset { WithOffset::Yes } else { WithOffset::No };
        match &self.format {
            Some(text) => RecordFormat::parse(text).map_err(ToolError::Usage),
            None if self.json => Ok(RecordFormat::Json),
            None => Ok(RecordFormat::delimited(self.key_delimiter.as_deref(), offset, &self.delimiter)),
        }
    }

    fn plan(self, range: Range, format: RecordFormat, connection: &Connection) -> Result<ReadPlan> {
        let properties = &connection.properties;
        let reset = offset_reset(properties)?.unwrap_or(Place::Earliest);
        let isolation = match (self.isolation, properties.get("isolation.level")) {
            (Some(IsolationArg::Uncommitted), _) | (None, Some("read_uncommitted")) => {
                Isolation::ReadUncommitted
            }
            (Some(IsolationArg::Committed), _) | (None, _) => Isolation::ReadCommitted,
        };
        Ok(ReadPlan {
            topics: self.topics.into_iter().chain(self.topic_option).collect(),
            partitions: self.partition,
            begin: range.begin.unwrap_or(if self.from_beginning { Place::Earliest } else { reset }),
            until: range.until,
            exit_at_end: self.exit_at_end,
            count: self.count,
            format,
            null: if self.print_null { b"NULL".to_vec() } else { self.null.into_bytes() },
            group: self.group.or_else(|| properties.get("group.id").map(str::to_owned)),
            isolation,
            flush: if self.unbuffered { Flush::EveryRecord } else { Flush::EveryFetch },
            idle_max: self.timeout_ms.map(Duration::from_millis),
            quiet: self.quiet,
        })
    }
}
