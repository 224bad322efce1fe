//! `weir group seek` and `delete-offsets`: where a group goes on.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;
use weir_broker::client::group_offsets;
use weir_broker::ids::{Offset, TopicPartition};
use weir_broker::log::access::Isolation;
use weir_broker::protocol::error_code::ErrorCode;
use weir_broker::protocol::messages::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};

use crate::kafka_tools::connection::{Connection, ask};
use crate::kafka_tools::error::{Result, ToolError, check};
use crate::kafka_tools::group::offset_file::{OffsetLine, parse_offsets};
use crate::kafka_tools::group::view::{existing, find, known_bounds};
use crate::kafka_tools::names::{Group, Names};
use crate::kafka_tools::offsets::{
    Bounds, Place, bounds, parse_duration, parse_place, parse_time, partitions, resolve,
};
use crate::kafka_tools::output::OutputArgs;
use crate::render::line;

/// Bytes of a file of offsets at most.
const FILE_BYTES_MAX: u64 = 64 << 20;

#[derive(Debug, Args)]
pub struct SeekArgs {
    #[command(flatten)]
    pub names: Names<Group>,
    #[command(flatten)]
    pub target: SeekTarget,
    /// Only these topics or partitions: TOPIC or TOPIC:0,1, may be repeated; default: all that the group has read
    #[arg(long, visible_alias = "topic", value_name = "TOPICS")]
    pub topics: Vec<String>,
    /// Show what would be done
    #[arg(long, short = 'n')]
    pub dry_run: bool,
    /// Print the offsets as lines topic,partition,offset and change nothing; --to-file reads them
    #[arg(long)]
    pub export: bool,
    #[arg(long, hide = true)]
    pub execute: bool,
    #[arg(long, hide = true)]
    pub all_topics: bool,
}

#[derive(Clone, Debug, Default, Args)]
#[group(required = true, multiple = false)]
pub struct SeekTarget {
    /// earliest, latest, current, OFFSET, -N before the end, @MILLISECONDS, @2024-01-31T12:00:00Z, @-1h
    #[arg(long, value_name = "PLACE", allow_hyphen_values = true)]
    pub to: Option<String>,
    /// Forward by this many records, or back by a negative number
    #[arg(long, value_name = "RECORDS", allow_hyphen_values = true)]
    pub shift_by: Option<i64>,
    /// Offsets from lines topic,partition,offset of a file; - is standard input
    #[arg(long, visible_alias = "from-file", value_name = "FILE")]
    pub to_file: Option<PathBuf>,
    #[arg(long, hide = true)]
    pub to_earliest: bool,
    #[arg(long, hide = true)]
    pub to_latest: bool,
    #[arg(long, hide = true)]
    pub to_current: bool,
    #[arg(long, hide = true, allow_hyphen_values = true)]
    pub to_offset: Option<Offset>,
    #[arg(long, hide = true)]
    pub to_datetime: Option<String>,
    #[arg(long, hide = true)]
    pub by_duration: Option<String>,
}

/// Where partitions go.
enum Target {
    Place(Place),
    Current,
    Shift(i64),
    File(Vec<OffsetLine>),
}

/// An offset that is changed.
#[derive(Clone, Debug)]
pub struct OffsetChange {
    pub partition: TopicPartition,
    pub before: Option<Offset>,
    pub after: Offset,
}

impl SeekTarget {
    fn target(&self) -> Result<Target> {
        let usage = ToolError::Usage;
        if self.to_earliest {
            return Ok(Target::Place(Place::Earliest));
        }
        if self.to_latest {
            return Ok(Target::Place(Place::Latest));
        }
        if self.to_current || self.to.as_deref().is_some_and(|to| to.eq_ignore_ascii_case("current")) {
            return Ok(Target::Current);
        }
        if let Some(offset) = self.to_offset {
            return Ok(Target::Place(Place::At(offset)));
        }
        if let Some(shift) = self.shift_by {
            return Ok(Target::Shift(shift));
        }
        if let Some(path) = &self.to_file {
            return Ok(Target::File(read_offsets(path)?));
        }
        let place = match (&self.to, &self.to_datetime, &self.by_duration) {
            (Some(text), _, _) => parse_place(text),
            (None, Some(time), _) => parse_time(time).map(Place::Since),
            (None, None, Some(duration)) => parse_duration(duration).map(Place::ago),
            (None, None, None) => Err("say where to: --to, --shift-by or --to-file".to_owned()),
        };
        Ok(Target::Place(place.map_err(usage)?))
    }
}

fn read_offsets(path: &Path) -> Result<Vec<OffsetLine>> {
    let shown = path.display().to_string();
    let failed = |source| ToolError::Io { action: "read", path: shown.clone(), source };
    let mut text = String::new();
    let read = match path == Path::new("-") {
        true => std::io::stdin().lock().take(FILE_BYTES_MAX).read_to_string(&mut text),
        false => {
            let file = std::fs::File::open(path).map_err(failed)?;
            file.take(FILE_BYTES_MAX).read_to_string(&mut text)
        }
    };
    read.map_err(failed)?;
    parse_offsets(&text)
        .map_err(|(line, message)| ToolError::Input { place: format!("{shown}:{line}"), message })
}

pub async fn run(connection: &Connection, output: OutputArgs, args: &SeekArgs) -> Result<()> {
    let names: Vec<&String> = args.names.all().collect();
    for name in &names {
        let changes = seek(connection, name, args).await?;
        if args.export {
            export(name, &changes, names.len() > 1);
            continue;
        }
        show(output, name, &changes);
    }
    if args.dry_run && !args.export {
        output.say("Nothing was changed (--dry-run)");
    }
    Ok(())
}

/// Moves a group, unless it is a dry run, and prints the new offsets.
pub async fn seek(connection: &Connection, name: &str, args: &SeekArgs) -> Result<Vec<OffsetChange>> {
    let is_dry = args.dry_run || args.export;
    let target = args.target.target()?;
    let group = find(connection, name).await?;
    // A new group can be given offsets, if it is said for which topics.
    let may_be_new = !args.topics.is_empty() || matches!(target, Target::File(_));
    if group.is_none() && !may_be_new {
        return Err(ToolError::NoGroup { group: name.to_owned() });
    }
    if group.as_ref().is_some_and(|group| group.is_active()) {
        if !is_dry {
            return Err(ToolError::GroupInUse { group: name.to_owned() });
        }
        line::err(format_args!(
            "Warning: group \"{name}\" has members; its offsets cannot be changed before they are stopped"
        ));
    }
    let committed = match group {
        Some(_) => group_offsets::fetch(&connection.transport, name).await?,
        None => BTreeMap::new(),
    };
    let after = match target {
        Target::File(lines) => from_file(connection, name, lines, &args.topics).await?,
        other => {
            let chosen = chosen(connection, &args.topics, &committed).await?;
            if chosen.is_empty() {
                let message = format!("group \"{name}\" has read nothing; say which --topics");
                return Err(ToolError::Usage(message));
            }
            let offsets = offsets(connection, &other, &chosen, &committed).await?;
            chosen.into_iter().zip(offsets).collect()
        }
    };
    if !is_dry {
        commit(connection, name, &after).await?;
    }
    let change = |(partition, after): (TopicPartition, Offset)| OffsetChange {
        before: committed.get(&partition).copied(),
        partition,
        after,
    };
    Ok(after.into_iter().map(change).collect())
}

/// The new offsets of partitions, in their order.
async fn offsets(
    connection: &Connection,
    target: &Target,
    chosen: &[TopicPartition],
    committed: &BTreeMap<TopicPartition, Offset>,
) -> Result<Vec<Offset>> {
    let shift = match target {
        Target::Place(place) => {
            return resolve(connection, *place, chosen, Isolation::ReadUncommitted).await;
        }
        Target::Shift(shift) => *shift,
        Target::Current | Target::File(_) => 0,
    };
    let bounds = bounds(connection, chosen, Isolation::ReadUncommitted).await?;
    // Without an offset a group stands where Kafka's own tool puts it: at the end for "current", at the start for a shift.
    let origin = |partition: &TopicPartition, bounds: &Bounds| {
        let none = if matches!(target, Target::Current) { bounds.end } else { bounds.start };
        committed.get(partition).copied().unwrap_or(none)
    };
    let moved = |(partition, bounds): (&TopicPartition, &Bounds)| {
        origin(partition, bounds).saturating_add(shift).clamp(bounds.start, bounds.end.max(bounds.start))
    };
    Ok(chosen.iter().zip(&bounds).map(moved).collect())
}

/// The lines of a file that are about a group and about the topics asked for, within what the partitions hold.
async fn from_file(
    connection: &Connection,
    name: &str,
    lines: Vec<OffsetLine>,
    topics: &[String],
) -> Result<Vec<(TopicPartition, Offset)>> {
    let mut wanted: BTreeMap<TopicPartition, Offset> = BTreeMap::new();
    for line in lines.into_iter().filter(|line| line.group.as_deref().is_none_or(|group| group == name)) {
        wanted.insert(line.partition, line.offset);
    }
    if !topics.is_empty() {
        let chosen = chosen(connection, topics, &BTreeMap::new()).await?;
        wanted.retain(|partition, _| chosen.contains(partition));
    }
    if wanted.is_empty() {
        return Err(ToolError::Usage(format!("the file has no offsets for group \"{name}\"")));
    }
    let bounds = known_bounds(connection, wanted.keys()).await?;
    let mut offsets = Vec::with_capacity(wanted.len());
    for (partition, offset) in wanted {
        let Some(bounds) = bounds.get(&partition) else {
            return Err(ToolError::NoTopic { topic: partition.to_string() });
        };
        offsets.push((partition, offset.clamp(bounds.start, bounds.end.max(bounds.start))));
    }
    Ok(offsets)
}

fn show(output: OutputArgs, name: &str, changes: &[OffsetChange]) {
    let row = |change: &OffsetChange| {
        vec![
            name.into(),
            Value::from(&*change.partition.topic),
            change.partition.partition.into(),
            change.before.into(),
            change.after.into(),
        ]
    };
    let rows: Vec<Vec<Value>> = changes.iter().map(row).collect();
    output.show(&["group", "topic", "partition", "before", "after"], &rows);
}

/// Prints offsets as [`parse_offsets`] reads them.
pub fn export(name: &str, changes: &[OffsetChange], with_group: bool) {
    let mut out = std::io::stdout().lock();
    for change in changes {
        let group = if with_group { format!("{name},") } else { String::new() };
        let partition = &change.partition;
        // A closed pipe is no reason to fail.
        let _ = writeln!(out, "{group}{},{},{}", partition.topic, partition.partition, change.after);
    }
}

async fn commit(connection: &Connection, name: &str, changes: &[(TopicPartition, Offset)]) -> Result<()> {
    match group_offsets::commit(&connection.transport, name, changes).await {
        // Somebody joined meanwhile.
        Err(error)
            if matches!(
                error.code(),
                Some(
                    ErrorCode::UnknownMemberId
                        | ErrorCode::IllegalGeneration
                        | ErrorCode::RebalanceInProgress
                        | ErrorCode::StaleMemberEpoch
                        | ErrorCode::FencedMemberEpoch
                )
            ) =>
        {
            Err(ToolError::GroupInUse { group: name.to_owned() })
        }
        outcome => Ok(outcome?),
    }
}

/// The partitions that `--topics` means, or all the group has offsets of.
async fn chosen(
    connection: &Connection,
    topics: &[String],
    committed: &BTreeMap<TopicPartition, Offset>,
) -> Result<Vec<TopicPartition>> {
    if topics.is_empty() {
        return Ok(known_bounds(connection, committed.keys()).await?.into_keys().collect());
    }
    let mut chosen = Vec::new();
    for (topic, wanted) in parse_topics(topics)? {
        chosen.extend(partitions(connection, &topic, &wanted).await?);
    }
    chosen.sort();
    chosen.dedup();
    Ok(chosen)
}

/// `a`, `a:0`, `a:0,1`, `a,b` and `a:0,b:1`: topics with the partitions that are meant, none meaning all.
fn parse_topics(texts: &[String]) -> Result<Vec<(String, Vec<i32>)>> {
    let mut parsed: Vec<(String, Vec<i32>)> = Vec::new();
    for text in texts {
        let wrong = || ToolError::Usage(format!("\"{text}\" is neither TOPIC nor TOPIC:PARTITION,..."));
        let mut goes_on = false;
        for item in text.split(',').map(str::trim) {
            match (item.rsplit_once(':'), item.parse::<i32>(), parsed.last_mut()) {
                (Some((topic, partition)), _, _) => {
                    let partition = partition.parse().map_err(|_| wrong())?;
                    parsed.push((topic.to_owned(), vec![partition]));
                    goes_on = true;
                }
                // A further partition of the topic before.
                (None, Ok(partition), Some((_, partitions))) if goes_on => partitions.push(partition),
                _ if item.is_empty() => return Err(wrong()),
                _ => {
                    parsed.push((item.to_owned(), Vec::new()));
                    goes_on = false;
                }
            }
        }
    }
    Ok(parsed)
}

#[derive(Debug, Args)]
pub struct DeleteOffsetsArgs {
    /// Group
    #[arg(value_name = "GROUP", required_unless_present = "group")]
    pub name: Option<String>,
    #[arg(long, value_name = "GROUP", hide = true)]
    pub group: Option<String>,
    /// Topics or partitions: TOPIC or TOPIC:0,1, may be repeated
    #[arg(long, visible_alias = "topic", value_name = "TOPICS", required = true)]
    pub topics: Vec<String>,
}

/// A partition whose offset was to be forgotten, and whether it was.
pub type Forgotten = (TopicPartition, ErrorCode);

pub async fn delete_offsets(
    connection: &Connection,
    output: OutputArgs,
    args: &DeleteOffsetsArgs,
) -> Result<()> {
    let missing = || ToolError::Usage("which group?".to_owned());
    let name = args.name.as_ref().or(args.group.as_ref()).ok_or_else(missing)?;
    let outcomes = forget(connection, name, &args.topics).await?;
    let row = |(partition, code): &Forgotten| {
        vec![
            name.as_str().into(),
            Value::from(&*partition.topic),
            partition.partition.into(),
            status(*code).into(),
        ]
    };
    let rows: Vec<Vec<Value>> = outcomes.iter().map(row).collect();
    output.show(&["group", "topic", "partition", "status"], &rows);
    let failed = outcomes.iter().filter(|(_, code)| *code != ErrorCode::None).count();
    if failed > 0 {
        return Err(ToolError::Some { failed, of: outcomes.len() });
    }
    Ok(())
}

fn status(code: ErrorCode) -> String {
    if code == ErrorCode::None { "deleted".to_owned() } else { code.name().to_owned() }
}

/// Forgets what a group has committed for topics or partitions.
pub async fn forget(connection: &Connection, name: &str, topics: &[String]) -> Result<Vec<Forgotten>> {
    existing(connection, name).await?;
    let committed = group_offsets::fetch(&connection.transport, name).await?;
    let mut request = OffsetDeleteRequest { group_id: name.to_owned(), ..OffsetDeleteRequest::default() };
    for (topic, mut wanted) in parse_topics(topics)? {
        if wanted.is_empty() {
            // All that the group has, also of a topic that is gone.
            wanted.extend(committed.keys().filter(|p| *p.topic == *topic).map(|p| p.partition));
        }
        if wanted.is_empty() {
            return Err(ToolError::Usage(format!("group \"{name}\" has no offsets for topic \"{topic}\"")));
        }
        let partition = |partition_index: i32| OffsetDeleteRequestPartition { partition_index };
        let partitions = wanted.into_iter().map(partition).collect();
        request.topics.push(OffsetDeleteRequestTopic { name: topic, partitions });
    }
    let answer = ask!(connection, OffsetDelete, request)?;
    check(|| format!("deleting offsets of group \"{name}\""), answer.error_code, None)?;
    let outcomes = answer.topics.into_iter().flat_map(|topic| {
        let of = topic.name;
        topic
            .partitions
            .into_iter()
            .map(move |p| (TopicPartition::new(of.as_str(), p.partition_index), p.error_code))
    });
    Ok(outcomes.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_and_partitions_are_written_in_several_ways() {
        let parsed = |texts: &[&str]| {
            parse_topics(&texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>()).map(|list| {
                list.into_iter()
                    .map(|(topic, partitions)| format!("{topic}{partitions:?}"))
                    .collect::<String>()
            })
        };
        for (texts, expected) in [
            (&["a"][..], "a[]"),
            (&["a:0,1", "b"], "a[0, 1]b[]"),
            (&["a,b"], "a[]b[]"),
            (&["a:0,b:1,2"], "a[0]b[1, 2]"),
            (&["a,7"], "a[]7[]"),
        ] {
            assert_eq!(parsed(texts).expect("valid"), expected, "{texts:?}");
        }
        for wrong in ["a:x", "", "a,,b"] {
            assert!(parsed(&[wrong]).is_err(), "{wrong}");
        }
    }
}
