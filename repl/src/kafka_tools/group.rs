//! `weir group list | describe | seek | delete`.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde_json::Value;
use weir_broker::client::group_offsets;
use weir_broker::ids::{Offset, TopicPartition};
use weir_broker::log::access::Isolation;
use weir_broker::protocol::consumer_protocol::ConsumerAssignment;
use weir_broker::protocol::error_code::ErrorCode;
use weir_broker::protocol::messages::consumer_group_describe::ConsumerGroupDescribeRequest;
use weir_broker::protocol::messages::delete_groups::DeleteGroupsRequest;
use weir_broker::protocol::messages::describe_groups::DescribeGroupsRequest;
use weir_broker::protocol::messages::list_groups::{ListGroupsRequest, ListedGroup};

use crate::kafka_tools::connection::{Connection, ConnectionArgs, ask};
use crate::kafka_tools::error::{Result, ToolError, check};
use crate::kafka_tools::offsets::{Bounds, Place, bounds, parse_place, parse_time, partitions, resolve};
use crate::kafka_tools::output::OutputArgs;

const NEW_PROTOCOL: &str = "consumer";

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  weir group list
  weir group describe reports                         lag of each partition, and who reads it
  weir group seek reports --to earliest --dry-run
  weir group seek reports --to @2024-01-31T12:00:00Z --topics clicks
  weir group seek reports --shift-by -100 --topics clicks:0,clicks:3
  weir group delete reports")]
pub struct GroupArgs {
    #[command(flatten)]
    pub connection: ConnectionArgs,
    #[command(flatten)]
    pub output: OutputArgs,
    #[command(subcommand)]
    pub command: GroupCommand,
}

#[derive(Debug, Subcommand)]
pub enum GroupCommand {
    /// Show all groups
    #[command(visible_alias = "ls")]
    List,
    /// Show a group's offsets, lag and members
    #[command(visible_alias = "info")]
    Describe {
        #[command(flatten)]
        names: Names,
    },
    /// Change a group's offsets
    #[command(visible_alias = "reset-offsets")]
    Seek(SeekArgs),
    /// Delete groups with their offsets
    #[command(visible_alias = "rm")]
    Delete {
        #[command(flatten)]
        names: Names,
        /// A group that does not exist is no error
        #[arg(long)]
        if_exists: bool,
    },
}

#[derive(Debug, Args)]
pub struct Names {
    /// Groups
    #[arg(value_name = "GROUP", required_unless_present = "group")]
    names: Vec<String>,
    #[arg(long, value_name = "GROUP", hide = true)]
    group: Vec<String>,
}

impl Names {
    fn all(&self) -> impl Iterator<Item = &String> {
        self.names.iter().chain(&self.group)
    }
}

#[derive(Debug, Args)]
pub struct SeekArgs {
    #[command(flatten)]
    names: Names,
    #[command(flatten)]
    target: SeekTarget,
    /// Only these topics or partitions: TOPIC or TOPIC:PARTITION, with commas; default: all that the group has read
    #[arg(long, visible_alias = "topic", value_name = "TOPICS", value_delimiter = ',')]
    topics: Vec<String>,
    /// Show what would be done
    #[arg(long, short = 'n')]
    dry_run: bool,
    #[arg(long, hide = true)]
    execute: bool,
    #[arg(long, hide = true)]
    all_topics: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct SeekTarget {
    /// earliest, latest, OFFSET, -N before the end, @MILLISECONDS or @2024-01-31T12:00:00Z
    #[arg(long, value_name = "PLACE", allow_hyphen_values = true)]
    to: Option<String>,
    /// Forward by this many records, or back by a negative number
    #[arg(long, value_name = "RECORDS", allow_hyphen_values = true)]
    shift_by: Option<i64>,
    #[arg(long, hide = true)]
    to_earliest: bool,
    #[arg(long, hide = true)]
    to_latest: bool,
    #[arg(long, hide = true)]
    to_offset: Option<Offset>,
    #[arg(long, hide = true)]
    to_datetime: Option<String>,
}

pub async fn run(args: GroupArgs) -> Result<()> {
    let connection = Connection::open(&args.connection).await?;
    let output = args.output;
    match args.command {
        GroupCommand::List => {
            let mut groups = groups(&connection).await?;
            groups.sort_by(|a, b| a.group_id.cmp(&b.group_id));
            let rows: Vec<Vec<Value>> = groups
                .into_iter()
                .map(|g| {
                    vec![g.group_id.into(), g.group_state.into(), g.group_type.into(), g.protocol_type.into()]
                })
                .collect();
            output.show(&["group", "state", "type", "protocol"], &rows);
            Ok(())
        }
        GroupCommand::Describe { names } => {
            for name in names.all() {
                describe(&connection, output, name).await?;
            }
            Ok(())
        }
        GroupCommand::Seek(seek_args) => {
            for name in seek_args.names.all() {
                seek(&connection, output, name, &seek_args).await?;
            }
            Ok(())
        }
        GroupCommand::Delete { names, if_exists } => {
            for name in names.all() {
                delete(&connection, output, name, if_exists).await?;
            }
            Ok(())
        }
    }
}

async fn groups(connection: &Connection) -> Result<Vec<ListedGroup>> {
    let answer = ask!(connection, ListGroups, ListGroupsRequest::default())?;
    check(|| "listing groups".to_owned(), answer.error_code, None)?;
    Ok(answer.groups)
}

async fn existing(connection: &Connection, name: &str) -> Result<ListedGroup> {
    let found = groups(connection).await?.into_iter().find(|group| group.group_id == name);
    found.ok_or_else(|| ToolError::NoGroup { group: name.to_owned() })
}

/// Who reads a partition.
#[derive(Clone, Debug, Default)]
struct Owner {
    member: String,
    client: String,
    host: String,
}

/// The members of a group by the partitions they read; members without any under no partition.
async fn owners(
    connection: &Connection,
    group: &ListedGroup,
) -> Result<(BTreeMap<TopicPartition, Owner>, Vec<Owner>)> {
    let mut owned = BTreeMap::new();
    let mut idle = Vec::new();
    let mut note = |owner: Owner, partitions: Vec<TopicPartition>| {
        if partitions.is_empty() {
            idle.push(owner);
        } else {
            owned.extend(partitions.into_iter().map(|partition| (partition, owner.clone())));
        }
    };
    let what = || format!("describing group \"{}\"", group.group_id);
    if group.group_type.eq_ignore_ascii_case(NEW_PROTOCOL) {
        let request = ConsumerGroupDescribeRequest {
            group_ids: vec![group.group_id.clone()],
            ..ConsumerGroupDescribeRequest::default()
        };
        for described in ask!(connection, ConsumerGroupDescribe, request)?.groups {
            check(what, described.error_code, described.error_message)?;
            for m in described.members {
                let topics = m.assignment.topic_partitions.iter();
                let partitions = topics.flat_map(|t| {
                    t.partitions.iter().map(|p| TopicPartition::new(t.topic_name.as_str(), *p))
                });
                let partitions = partitions.collect();
                note(Owner { member: m.member_id, client: m.client_id, host: m.client_host }, partitions);
            }
        }
    } else {
        let request = DescribeGroupsRequest {
            groups: vec![group.group_id.clone()],
            ..DescribeGroupsRequest::default()
        };
        for described in ask!(connection, DescribeGroups, request)?.groups {
            check(what, described.error_code, described.error_message)?;
            for m in described.members {
                // Connect's workers and others have assignments of their own kind.
                let topics = ConsumerAssignment::decode(m.member_assignment)
                    .map(|a| a.assigned_partitions)
                    .unwrap_or_default();
                let partitions = topics
                    .iter()
                    .flat_map(|t| t.partitions.iter().map(|p| TopicPartition::new(t.topic.as_str(), *p)));
                let partitions = partitions.collect();
                note(Owner { member: m.member_id, client: m.client_id, host: m.client_host }, partitions);
            }
        }
    }
    Ok((owned, idle))
}

/// Bounds of partitions, without those of topics that are gone.
async fn known_bounds(
    connection: &Connection,
    wanted: impl Iterator<Item = &TopicPartition>,
) -> Result<BTreeMap<TopicPartition, Bounds>> {
    let topics = connection.admin.list_topics().await?;
    let exists = |partition: &&TopicPartition| {
        topics.iter().any(|t| *t.name == *partition.topic && partition.partition < t.partitions)
    };
    let known: Vec<TopicPartition> = wanted.filter(exists).cloned().collect();
    let bounds = bounds(connection, &known, Isolation::ReadUncommitted).await?;
    Ok(known.into_iter().zip(bounds).collect())
}

async fn describe(connection: &Connection, output: OutputArgs, name: &str) -> Result<()> {
    let group = existing(connection, name).await?;
    let committed = group_offsets::fetch(&connection.transport, name).await?;
    let (owned, idle) = owners(connection, &group).await?;
    let mut all: Vec<&TopicPartition> = committed.keys().chain(owned.keys()).collect();
    all.sort();
    all.dedup();
    let bounds = known_bounds(connection, all.iter().copied()).await?;
    let mut rows = Vec::new();
    for partition in all {
        let offset = committed.get(partition).copied();
        let end = bounds.get(partition).map(|bounds| bounds.end);
        let start = bounds.get(partition).map(|bounds| bounds.start);
        // What was deleted before it was read does not wait any more.
        let lag =
            end.zip(offset.or(start)).map(|(end, offset)| (end - offset.max(start.unwrap_or(0))).max(0));
        let owner = owned.get(partition).cloned().unwrap_or_default();
        rows.push(vec![
            name.into(),
            Value::from(&*partition.topic),
            partition.partition.into(),
            offset.into(),
            end.into(),
            lag.into(),
            owner.member.into(),
            owner.client.into(),
            owner.host.into(),
        ]);
    }
    rows.extend(idle.into_iter().map(|owner| {
        let none = Value::Null;
        let (member, client, host) = (owner.member.into(), owner.client.into(), owner.host.into());
        vec![name.into(), none.clone(), none.clone(), none.clone(), none.clone(), none, member, client, host]
    }));
    let columns = [
        "group",
        "topic",
        "partition",
        "current_offset",
        "log_end_offset",
        "lag",
        "member",
        "client",
        "host",
    ];
    output.show(&columns, &rows);
    Ok(())
}

impl SeekTarget {
    /// Where to; None for a shift.
    fn place(&self) -> Result<Option<Place>> {
        let usage = ToolError::Usage;
        if self.to_earliest {
            return Ok(Some(Place::Earliest));
        }
        if self.to_latest {
            return Ok(Some(Place::Latest));
        }
        if let Some(offset) = self.to_offset {
            return Ok(Some(Place::At(offset)));
        }
        if let Some(time) = &self.to_datetime {
            return parse_time(time).map(|time| Some(Place::Since(time))).map_err(usage);
        }
        self.to.as_deref().map(|text| parse_place(text).map_err(usage)).transpose()
    }
}

async fn seek(connection: &Connection, output: OutputArgs, name: &str, args: &SeekArgs) -> Result<()> {
    let place = args.target.place()?;
    let committed = match groups(connection).await?.iter().any(|group| group.group_id == name) {
        true => group_offsets::fetch(&connection.transport, name).await?,
        // A new group can be given offsets, if it is said for which topics.
        false if args.topics.is_empty() => return Err(ToolError::NoGroup { group: name.to_owned() }),
        false => BTreeMap::new(),
    };
    let chosen = chosen(connection, &args.topics, &committed).await?;
    if chosen.is_empty() {
        return Err(ToolError::Usage(format!("group \"{name}\" has read nothing; say which --topics")));
    }
    let targets = match (place, args.target.shift_by) {
        (Some(place), _) => resolve(connection, place, &chosen, Isolation::ReadUncommitted).await?,
        (None, shift) => {
            let bounds = bounds(connection, &chosen, Isolation::ReadUncommitted).await?;
            let shifted = |(partition, bounds): (&TopicPartition, &Bounds)| {
                let from = committed.get(partition).copied().unwrap_or(bounds.start);
                from.saturating_add(shift.unwrap_or(0)).clamp(bounds.start, bounds.end.max(bounds.start))
            };
            chosen.iter().zip(&bounds).map(shifted).collect()
        }
    };
    let changes: Vec<(TopicPartition, Offset)> = chosen.into_iter().zip(targets).collect();
    if !args.dry_run {
        commit(connection, name, &changes).await?;
    }
    let rows: Vec<Vec<Value>> = changes
        .iter()
        .map(|(partition, offset)| {
            let before = committed.get(partition).copied();
            vec![
                name.into(),
                Value::from(&*partition.topic),
                partition.partition.into(),
                before.into(),
                (*offset).into(),
            ]
        })
        .collect();
    output.show(&["group", "topic", "partition", "before", "after"], &rows);
    if args.dry_run {
        output.say("Nothing was changed (--dry-run)");
    }
    Ok(())
}

async fn commit(connection: &Connection, name: &str, changes: &[(TopicPartition, Offset)]) -> Result<()> {
    match group_offsets::commit(&connection.transport, name, changes).await {
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
    for text in topics {
        let (topic, wanted) = match text.rsplit_once(':') {
            None => (text.as_str(), Vec::new()),
            Some((topic, partition)) => {
                let partition = partition.parse().map_err(|_| {
                    ToolError::Usage(format!("\"{text}\" is neither TOPIC nor TOPIC:PARTITION"))
                })?;
                (topic, vec![partition])
            }
        };
        chosen.extend(partitions(connection, topic, &wanted).await?);
    }
    chosen.sort();
    chosen.dedup();
    Ok(chosen)
}

async fn delete(connection: &Connection, output: OutputArgs, name: &str, if_exists: bool) -> Result<()> {
    let request = DeleteGroupsRequest { groups_names: vec![name.to_owned()] };
    for result in ask!(connection, DeleteGroups, request)?.results {
        match result.error_code {
            ErrorCode::GroupIdNotFound if if_exists => output.say(&format!("Group {name} does not exist")),
            ErrorCode::GroupIdNotFound => return Err(ToolError::NoGroup { group: name.to_owned() }),
            ErrorCode::NonEmptyGroup => return Err(ToolError::GroupInUse { group: name.to_owned() }),
            code => {
                check(|| format!("deleting group \"{name}\""), code, None)?;
                output.say(&format!("Deleted group {name}"));
            }
        }
    }
    Ok(())
}
