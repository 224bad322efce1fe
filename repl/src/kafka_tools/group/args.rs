//! `weir group list | describe | seek | delete-offsets | delete`.

use clap::{Args, Subcommand};
use serde_json::Value;
use weir_broker::protocol::error_code::ErrorCode;
use weir_broker::protocol::messages::delete_groups::DeleteGroupsRequest;

use crate::kafka_tools::connection::{Connection, ConnectionArgs, ask};
use crate::kafka_tools::error::{Result, ToolError, check};
use crate::kafka_tools::group::seek::{self, DeleteOffsetsArgs, SeekArgs};
use crate::kafka_tools::group::view::{GroupView, PartitionLag, existing, groups, lags, short, total};
use crate::kafka_tools::names::{Group, Names};
use crate::kafka_tools::output::OutputArgs;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  weir group list --state stable
  weir group describe reports                         lag of each partition, and who reads it
  weir group describe reports --members
  weir group seek reports --to earliest --dry-run
  weir group seek reports --to @2024-01-31T12:00:00Z --topics clicks
  weir group seek reports --shift-by -100 --topics clicks:0,3
  weir group seek reports --to current --export > saved.csv
  weir group seek reports --to-file saved.csv
  weir group delete-offsets reports --topics clicks
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
    /// Show all groups, with states and types
    #[command(visible_alias = "ls")]
    List {
        /// Only those in these states: stable, empty, ...
        #[arg(long, value_name = "STATE", value_delimiter = ',')]
        state: Vec<String>,
        /// Only those of these types: classic, consumer
        #[arg(long = "type", value_name = "TYPE", value_delimiter = ',')]
        kind: Vec<String>,
    },
    /// Show a group's offsets and lag, its members or its state
    #[command(visible_alias = "info")]
    Describe {
        #[command(flatten)]
        names: Names<Group>,
        /// Members and what they read
        #[arg(long, short = 'm', conflicts_with = "state")]
        members: bool,
        /// One line a group: state, members, total lag
        #[arg(long, short = 's', visible_alias = "summary")]
        state: bool,
    },
    /// Change a group's offsets
    #[command(visible_alias = "reset-offsets")]
    Seek(SeekArgs),
    /// Forget a group's offsets of topics
    #[command(visible_alias = "offset-delete")]
    DeleteOffsets(DeleteOffsetsArgs),
    /// Delete groups with their offsets
    #[command(visible_alias = "rm")]
    Delete {
        #[command(flatten)]
        names: Names<Group>,
        /// A group that does not exist is no error
        #[arg(long)]
        if_exists: bool,
    },
}

pub async fn run(args: GroupArgs) -> Result<()> {
    let connection = Connection::open(&args.connection).await?;
    let output = args.output;
    match args.command {
        GroupCommand::List { state, kind } => list(&connection, output, &state, &kind).await,
        GroupCommand::Describe { names, members, state } => {
            let mut views = Vec::new();
            for name in names.all() {
                views.push(existing(&connection, name).await?);
            }
            match (members, state) {
                (true, _) => show_members(output, &views),
                (false, true) => show_states(&connection, output, &views).await?,
                (false, false) => {
                    for view in &views {
                        show_offsets(&connection, output, view).await?;
                    }
                }
            }
            Ok(())
        }
        GroupCommand::Seek(seek_args) => seek::run(&connection, output, &seek_args).await,
        GroupCommand::DeleteOffsets(delete_args) => {
            seek::delete_offsets(&connection, output, &delete_args).await
        }
        GroupCommand::Delete { names, if_exists } => {
            for name in names.all() {
                match delete(&connection, name).await {
                    Ok(()) => output.say(&format!("Deleted group {name}")),
                    Err(ToolError::NoGroup { .. }) if if_exists => {
                        output.say(&format!("Group {name} does not exist"));
                    }
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        }
    }
}

async fn list(
    connection: &Connection,
    output: OutputArgs,
    states: &[String],
    kinds: &[String],
) -> Result<()> {
    let fits = |wanted: &[String], is: &str| {
        wanted.is_empty() || wanted.iter().any(|wanted| wanted.eq_ignore_ascii_case(is))
    };
    let listed = groups(connection).await?;
    let rows: Vec<Vec<Value>> = listed
        .into_iter()
        .filter(|group| fits(states, &group.group_state) && fits(kinds, &group.group_type))
        .map(|g| vec![g.group_id.into(), g.group_state.into(), g.group_type.into(), g.protocol_type.into()])
        .collect();
    output.show(&["group", "state", "type", "protocol"], &rows);
    Ok(())
}

async fn show_offsets(connection: &Connection, output: OutputArgs, group: &GroupView) -> Result<()> {
    let lags = lags(connection, group).await?;
    let mut rows: Vec<Vec<Value>> = lags.iter().map(|lag| offset_row(group, lag)).collect();
    rows.extend(group.idle().map(|member| {
        let mut row = vec![Value::from(group.id.as_str())];
        row.resize(6, Value::Null);
        row.extend([&member.id, &member.client, &member.host].map(|text| Value::from(text.as_str())));
        row
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
    output.note(&format!(
        "{}: {}, {} member(s), total lag {}",
        group.id,
        group.state,
        group.members.len(),
        total(&lags)
    ));
    Ok(())
}

fn offset_row(group: &GroupView, lag: &PartitionLag) -> Vec<Value> {
    let owner = lag.owner.clone().unwrap_or_default();
    vec![
        group.id.as_str().into(),
        Value::from(&*lag.partition.topic),
        lag.partition.partition.into(),
        lag.committed.into(),
        lag.end.into(),
        lag.lag.into(),
        owner.id.into(),
        owner.client.into(),
        owner.host.into(),
    ]
}

fn show_members(output: OutputArgs, groups: &[GroupView]) {
    let mut rows = Vec::new();
    for group in groups {
        for member in &group.members {
            rows.push(vec![
                group.id.as_str().into(),
                member.id.as_str().into(),
                member.instance.clone().into(),
                member.client.as_str().into(),
                member.host.as_str().into(),
                member.subscribed.join(",").into(),
                member.assigned.len().into(),
                short(&member.assigned).into(),
            ]);
        }
    }
    let columns = ["group", "member", "instance", "client", "host", "subscribed", "partitions", "assignment"];
    output.show(&columns, &rows);
}

async fn show_states(connection: &Connection, output: OutputArgs, groups: &[GroupView]) -> Result<()> {
    let mut rows = Vec::new();
    for group in groups {
        let lags = lags(connection, group).await?;
        rows.push(vec![
            group.id.as_str().into(),
            group.state.as_str().into(),
            group.kind.as_str().into(),
            group.assignor.as_str().into(),
            group.members.len().into(),
            lags.len().into(),
            total(&lags).into(),
        ]);
    }
    output.show(&["group", "state", "type", "assignor", "members", "partitions", "total_lag"], &rows);
    Ok(())
}

/// Deletes a group. Errors: it does not exist, or has members.
pub async fn delete(connection: &Connection, name: &str) -> Result<()> {
    let request = DeleteGroupsRequest { groups_names: vec![name.to_owned()] };
    for result in ask!(connection, DeleteGroups, request)?.results {
        match result.error_code {
            ErrorCode::GroupIdNotFound => return Err(ToolError::NoGroup { group: name.to_owned() }),
            ErrorCode::NonEmptyGroup => return Err(ToolError::GroupInUse { group: name.to_owned() }),
            code => check(|| format!("deleting group \"{name}\""), code, None)?,
        }
    }
    Ok(())
}
