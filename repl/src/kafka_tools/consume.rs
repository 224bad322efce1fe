//! `weir consume`: records of a topic, from anywhere in it, as they come.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use weir_broker::client::group_offsets;
use weir_broker::client::reader::{FetchOptions, PartitionRecords, Reader};
use weir_broker::ids::{Offset, TopicPartition};
use weir_broker::log::access::Isolation;
use weir_broker::protocol::error_code::ErrorCode;
use weir_broker::record::compression::DECOMPRESSED_BYTES_MAX;
use weir_broker::record::compression::DecompressBuf;

use crate::input::interrupts::Interrupts;
use crate::kafka_tools::connection::{Connection, ConnectionArgs};
use crate::kafka_tools::error::{Result, ToolError};
use crate::kafka_tools::format::{Consumed, RecordFormat};
use crate::kafka_tools::group_member::GroupMember;
use crate::kafka_tools::offsets::{Place, bounds, parse_place, partitions, resolve};

const COMMIT_EVERY: Duration = Duration::from_secs(5);
/// A member must be heard of, so its fetches are short.
const MEMBER_WAIT: Duration = Duration::from_millis(200);

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
  weir consume clicks -o -10 -e                         the last ten of each partition
  weir consume clicks -o @2024-01-31T12:00:00Z -c 5     five since then
  weir consume clicks -e -f '%t %p %o %k %s\\n'
  weir consume clicks -G reports                        as a member of a group, offsets committed

Places (-o): beginning, end, OFFSET, -N before the end, @MILLISECONDS, @2024-01-31[T12:00:00Z], stored (with -G).
Letters (-f): %t topic, %p partition, %o offset, %k key, %K its bytes, %s value, %S its bytes, %T timestamp, %h headers.")]
pub struct ConsumeArgs {
    #[command(flatten)]
    pub connection: ConnectionArgs,
    /// Topic
    #[arg(required_unless_present = "topic_option")]
    topic: Option<String>,
    #[arg(long = "topic", short = 't', value_name = "TOPIC", hide = true, conflicts_with = "topic")]
    topic_option: Option<String>,
    /// Only this partition; may be repeated
    #[arg(short = 'p', long)]
    partition: Vec<i32>,
    /// Where to begin; default: beginning
    #[arg(short = 'o', long, value_name = "PLACE", allow_hyphen_values = true)]
    offset: Option<String>,
    /// Begin at the beginning
    #[arg(long, conflicts_with = "offset")]
    from_beginning: bool,
    /// Stop where the partitions ended when this began
    #[arg(short = 'e', long, visible_alias = "exit")]
    exit_at_end: bool,
    /// Stop after this many records
    #[arg(short = 'c', long, visible_alias = "max-messages", alias = "num", value_name = "RECORDS")]
    count: Option<u64>,
    /// Form of a record
    #[arg(short = 'f', long, value_name = "FORMAT")]
    format: Option<String>,
    /// A JSON object a record
    #[arg(short = 'J', long, conflicts_with = "format")]
    json: bool,
    /// What stands for null keys and values
    #[arg(short = 'Z', long, value_name = "TEXT", num_args = 0..=1, default_missing_value = "NULL", default_value = "")]
    null: String,
    /// Share the topic's partitions with the members of this group and commit offsets
    #[arg(short = 'G', long, conflicts_with = "partition")]
    group: Option<String>,
    /// See records of open and aborted transactions or not
    #[arg(long, visible_alias = "isolation-level", value_enum, default_value = "committed")]
    isolation: IsolationArg,
    /// Say nothing beside the records
    #[arg(short = 'q', long)]
    quiet: bool,
}

/// Reads until told to stop.
struct Consumer {
    connection: Connection,
    topic: String,
    reader: Reader,
    options: FetchOptions,
    format: RecordFormat,
    null: String,
    left: Option<u64>,
    /// The next offset of each partition.
    positions: BTreeMap<TopicPartition, Offset>,
    scratch: DecompressBuf,
    read: u64,
}

pub async fn run(args: ConsumeArgs) -> Result<()> {
    let format = match &args.format {
        Some(text) => RecordFormat::parse(text).map_err(ToolError::Usage)?,
        None if args.json => RecordFormat::Json,
        None => RecordFormat::value_lines(),
    };
    let stored = args.offset.as_deref() == Some("stored");
    if stored && args.group.is_none() {
        return Err(ToolError::Usage("-o stored needs a group: -G GROUP".to_owned()));
    }
    let place = match args.offset.as_deref().filter(|_| !stored) {
        Some(text) => parse_place(text).map_err(ToolError::Usage)?,
        None => Place::Earliest,
    };
    let topic =
        args.topic.or(args.topic_option).ok_or_else(|| ToolError::Usage("which topic?".to_owned()))?;
    let connection = Connection::open(&args.connection).await?;
    let isolation = match args.isolation {
        IsolationArg::Committed => Isolation::ReadCommitted,
        IsolationArg::Uncommitted => Isolation::ReadUncommitted,
    };
    let mut consumer = Consumer {
        reader: Reader::new(connection.transport.clone()),
        connection,
        topic,
        options: FetchOptions { isolation, ..FetchOptions::default() },
        format,
        null: args.null,
        left: args.count,
        positions: BTreeMap::new(),
        scratch: DecompressBuf::with_limit(DECOMPRESSED_BYTES_MAX),
        read: 0,
    };
    let chosen = partitions(&consumer.connection, &consumer.topic, &args.partition).await?;
    let ends = match args.exit_at_end {
        true => Some(consumer.ends(&chosen).await?),
        false => None,
    };
    let outcome = match &args.group {
        None => {
            let offsets = resolve(&consumer.connection, place, &chosen, isolation).await?;
            consumer.positions = chosen.into_iter().zip(offsets).collect();
            consumer.read_all(ends.as_ref()).await
        }
        Some(group) => consumer.read_as_member(group, place, ends.as_ref()).await,
    };
    if !args.quiet && outcome.is_ok() && (args.exit_at_end || args.count.is_some()) {
        eprintln!("{} record(s) read from {}", consumer.read, consumer.topic);
    }
    outcome
}

type Ends = BTreeMap<TopicPartition, Offset>;

impl Consumer {
    async fn ends(&self, chosen: &[TopicPartition]) -> Result<Ends> {
        let bounds = bounds(&self.connection, chosen, self.options.isolation).await?;
        Ok(chosen.iter().cloned().zip(bounds.iter().map(|bounds| bounds.end)).collect())
    }

    /// All partitions at their ends, or the count reached.
    fn is_done(&self, ends: Option<&Ends>) -> bool {
        let at_end = |ends: &Ends| {
            self.positions
                .iter()
                .all(|(partition, offset)| ends.get(partition).is_none_or(|end| offset >= end))
        };
        self.left == Some(0) || ends.is_some_and(at_end)
    }

    async fn read_all(&mut self, ends: Option<&Ends>) -> Result<()> {
        let mut interrupts = Interrupts::watch();
        while !self.is_done(ends) {
            tokio::select! {
                more = self.fetch(ends) => if !more? { break },
                () = interrupts.next() => break,
            }
        }
        Ok(())
    }

    /// As a member of a group: partitions come and go, offsets are committed.
    async fn read_as_member(&mut self, group: &str, place: Place, ends: Option<&Ends>) -> Result<()> {
        self.options.wait_max = MEMBER_WAIT;
        let mut member = GroupMember::join(&self.connection, group, &self.topic).await?;
        let outcome = self.read_with(&mut member, group, place, ends).await;
        // What was printed is committed, whatever ended the reading.
        let committed = member.commit(&self.positions).await;
        let left = member.leave().await;
        outcome.and(committed).and(left)
    }

    async fn read_with(
        &mut self,
        member: &mut GroupMember,
        group: &str,
        place: Place,
        ends: Option<&Ends>,
    ) -> Result<()> {
        let mut interrupts = Interrupts::watch();
        let mut last_commit = Instant::now();
        loop {
            let commit_due = last_commit.elapsed() >= COMMIT_EVERY;
            if member.due() || commit_due {
                member.commit(&self.positions).await?;
                last_commit = Instant::now();
            }
            member.heartbeat().await?;
            self.adopt(member.assigned(), group, place).await?;
            if self.positions.is_empty() {
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_millis(50)) => continue,
                    () = interrupts.next() => return Ok(()),
                }
            }
            if self.is_done(ends) {
                return Ok(());
            }
            tokio::select! {
                more = self.fetch(ends) => if !more? { return Ok(()) },
                () = interrupts.next() => return Ok(()),
            }
        }
    }

    /// Begins new partitions where the group stopped, or at `place` where it has not been.
    async fn adopt(&mut self, assigned: &[i32], group: &str, place: Place) -> Result<()> {
        self.positions.retain(|partition, _| assigned.contains(&partition.partition));
        let name: std::sync::Arc<str> = self.topic.as_str().into();
        let new: Vec<TopicPartition> = assigned
            .iter()
            .map(|partition| TopicPartition::new(name.clone(), *partition))
            .filter(|partition| !self.positions.contains_key(partition))
            .collect();
        if new.is_empty() {
            return Ok(());
        }
        let committed = group_offsets::fetch(&self.connection.transport, group).await?;
        let fallback = resolve(&self.connection, place, &new, self.options.isolation).await?;
        for (partition, offset) in new.into_iter().zip(fallback) {
            let offset = committed.get(&partition).copied().unwrap_or(offset);
            self.positions.insert(partition, offset);
        }
        Ok(())
    }

    /// Fetches once and prints what came; false if nobody reads the output any more.
    async fn fetch(&mut self, ends: Option<&Ends>) -> Result<bool> {
        let is_open = |partition: &TopicPartition, offset: Offset| {
            ends.and_then(|ends| ends.get(partition)).is_none_or(|end| offset < *end)
        };
        let wanted: Vec<(TopicPartition, Offset)> = self
            .positions
            .iter()
            .filter(|(partition, offset)| is_open(partition, **offset))
            .map(|(partition, offset)| (partition.clone(), *offset))
            .collect();
        for (partition, outcome) in self.reader.fetch(&wanted, &self.options).await? {
            match outcome {
                Ok(records) => {
                    if !self.print(&partition, &records, ends)? {
                        return Ok(false);
                    }
                }
                Err(error) if error.code() == Some(ErrorCode::OffsetOutOfRange) => {
                    let start =
                        bounds(&self.connection, std::slice::from_ref(&partition), self.options.isolation)
                            .await?;
                    let start = start.first().map_or(0, |bounds| bounds.start);
                    eprintln!("Warning: {partition} does not have its offset any more; going on at {start}");
                    self.positions.insert(partition, start);
                }
                Err(error) if error.is_retriable() => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    /// Prints the records of a partition; false if nobody reads them.
    fn print(
        &mut self,
        partition: &TopicPartition,
        records: &PartitionRecords,
        ends: Option<&Ends>,
    ) -> Result<bool> {
        let mut position = self.positions.get(partition).copied().unwrap_or(0);
        let end = ends.and_then(|ends| ends.get(partition)).copied().unwrap_or(Offset::MAX);
        let mut out = BufWriter::new(std::io::stdout().lock());
        'batches: for batch in &records.batches {
            let timestamp_type = batch.header().timestamp_type();
            let unusable = weir_broker::client::error::ClientError::Batch;
            for record in batch.records(&mut self.scratch).map_err(unusable)? {
                let record = record.map_err(unusable)?;
                if record.offset < position {
                    continue;
                }
                if record.offset >= end || self.left == Some(0) {
                    break 'batches;
                }
                let consumed = Consumed {
                    topic: &partition.topic,
                    partition: partition.partition,
                    timestamp_type,
                    record: &record,
                };
                if self.format.write(&mut out, &consumed, &self.null).is_err() {
                    return Ok(false);
                }
                position = record.offset + 1;
                self.read += 1;
                self.left = self.left.map(|left| left - 1);
            }
        }
        if self.left != Some(0) {
            position = position.max(records.next_offset.min(end));
        }
        self.positions.insert(partition.clone(), position);
        Ok(out.flush().is_ok())
    }
}
