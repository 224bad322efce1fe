//! `kafka-consumer-groups`.

use std::path::PathBuf;

use clap::Parser;
use weir_broker::ids::TopicPartition;
use weir_broker::protocol::error_code::ErrorCode;

use crate::kafka_tools::connection::Connection;
use crate::kafka_tools::connection::fetch_metadata;
use crate::kafka_tools::error::{Result, ToolError};
use crate::kafka_tools::group::args as group;
use crate::kafka_tools::group::seek::{SeekArgs, SeekTarget, export, forget, seek};
use crate::kafka_tools::group::view::{GroupView, PartitionLag, existing, groups, lags};
use crate::kafka_tools::names::Names;
use crate::kafka_tools::output::line;
use crate::kafka_tools::scripts::arguments::{Bootstrap, Ignored, only_one};
use crate::render::line;

/// Columns are at least so wide.
const COLUMN_CHARS_MIN: usize = 15;
const NOTHING: &str = "-";

/// List and describe groups and reset their offsets, as kafka-consumer-groups.sh does
#[derive(Debug, Parser)]
#[command(name = "kafka-consumer-groups", version, infer_long_args = true)]
pub struct ConsumerGroupsArgs {
    #[command(flatten)]
    bootstrap: Bootstrap,
    #[arg(long)]
    list: bool,
    #[arg(long)]
    describe: bool,
    #[arg(long)]
    reset_offsets: bool,
    #[arg(long)]
    delete: bool,
    #[arg(long)]
    delete_offsets: bool,
    #[arg(long)]
    group: Vec<String>,
    #[arg(long, conflicts_with = "group")]
    all_groups: bool,
    /// TOPIC or TOPIC:0,1
    #[arg(long)]
    topic: Vec<String>,
    #[arg(long, conflicts_with = "topic")]
    all_topics: bool,
    #[arg(long)]
    members: bool,
    #[arg(long)]
    offsets: bool,
    #[arg(long)]
    verbose: bool,
    /// Describe states; with --list only groups in these states
    #[arg(long, value_name = "STATE", num_args = 0..=1, default_missing_value = "", value_delimiter = ',')]
    state: Option<Vec<String>>,
    /// With --list only groups of these types
    #[arg(long = "type", value_name = "TYPE", num_args = 0..=1, default_missing_value = "", value_delimiter = ',')]
    kind: Option<Vec<String>>,
    #[arg(long)]
    dry_run: bool,
    #[arg(long, conflicts_with = "dry_run")]
    execute: bool,
    /// Print offsets as lines; --from-file reads them
    #[arg(long)]
    export: bool,
    #[command(flatten)]
    target: ResetTarget,
}

/// Where offsets are reset to.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(multiple = false)]
struct ResetTarget {
    #[arg(long)]
    to_earliest: bool,
    #[arg(long)]
    to_latest: bool,
    #[arg(long)]
    to_current: bool,
    #[arg(long, allow_hyphen_values = true)]
    to_offset: Option<i64>,
    #[arg(long, allow_hyphen_values = true)]
    shift_by: Option<i64>,
    /// PT1H: the records of the last hour
    #[arg(long)]
    by_duration: Option<String>,
    /// 2024-01-31T12:00:00.000
    #[arg(long)]
    to_datetime: Option<String>,
    #[arg(long, value_name = "FILE")]
    from_file: Option<PathBuf>,
}

impl Ignored for ConsumerGroupsArgs {
    const IGNORED: &'static [(&'static str, bool)] = &[("--timeout", true), ("--validate-regex", true)];
}

#[derive(Clone, Copy)]
enum Action {
    List,
    Describe,
    Reset,
    Delete,
    DeleteOffsets,
}

pub async fn run(args: ConsumerGroupsArgs) -> Result<()> {
    let actions = [
        (args.list, Action::List),
        (args.describe, Action::Describe),
        (args.reset_offsets, Action::Reset),
        (args.delete, Action::Delete),
        (args.delete_offsets, Action::DeleteOffsets),
    ];
    let action = only_one(&actions, "--list, --describe, --reset-offsets, --delete, --delete-offsets")?;
    if !matches!(action, Action::List) && args.group.is_empty() && !args.all_groups {
        return Err(ToolError::Usage("--group or --all-groups is missing".to_owned()));
    }
    let connection = args.bootstrap.open(&[]).await?;
    let named = match args.all_groups {
        true => groups(&connection).await?.into_iter().map(|group| group.group_id).collect(),
        false => args.group.clone(),
    };
    match action {
        Action::List => list(&connection, &args).await,
        Action::Describe => describe(&connection, &args, &named).await,
        Action::Reset => reset(&connection, &args, &named).await,
        Action::Delete => delete(&connection, &named).await,
        Action::DeleteOffsets => {
            for name in &named {
                delete_offsets(&connection, name, &args.topic).await?;
            }
            Ok(())
        }
    }
}

async fn list(connection: &Connection, args: &ConsumerGroupsArgs) -> Result<()> {
    let fits = |wanted: &Option<Vec<String>>, is: &str| {
        let mut wanted = wanted.iter().flatten().filter(|wanted| !wanted.is_empty()).peekable();
        wanted.peek().is_none() || wanted.any(|wanted| wanted.eq_ignore_ascii_case(is))
    };
    let mut listed = groups(connection).await?;
    listed.retain(|group| fits(&args.state, &group.group_state) && fits(&args.kind, &group.group_type));
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut header = vec!["GROUP"];
    header.extend(args.kind.is_some().then_some("TYPE"));
    header.extend(args.state.is_some().then_some("STATE"));
    for group in listed {
        let mut row = vec![group.group_id];
        row.extend(args.kind.is_some().then_some(group.group_type));
        row.extend(args.state.is_some().then_some(group.group_state));
        rows.push(row);
    }
    if header.len() > 1 {
        rows.insert(0, header.into_iter().map(str::to_owned).collect());
    }
    columns(&rows);
    Ok(())
}

/// Prints rows in columns as wide as the script's, the last one open.
fn columns(rows: &[Vec<String>]) {
    let count = rows.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..count)
        .map(|at| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0).max(COLUMN_CHARS_MIN))
        .collect();
    for row in rows {
        let mut text = String::new();
        for (at, cell) in row.iter().enumerate() {
            match at + 1 < count {
                true => text.push_str(&format!("{cell:<width$} ", width = widths[at])),
                false => text.push_str(cell),
            }
        }
        line(&text);
    }
}

async fn describe(connection: &Connection, args: &ConsumerGroupsArgs, named: &[String]) -> Result<()> {
    let mut views = Vec::new();
    for name in named {
        views.push(existing(connection, name).await?);
    }
    for view in &views {
        if !view.is_active() {
            line::err(format_args!("\nConsumer group '{}' has no active members.", view.id));
        } else if view.state != "Stable" {
            line::err(format_args!("\nWarning: Consumer group '{}' is rebalancing.", view.id));
        }
        if args.members {
            members(view, args.verbose);
        } else if args.state.is_some() {
            state(connection, view).await?;
        } else {
            offsets(&lags(connection, view).await?, view);
        }
    }
    Ok(())
}

fn texts(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|cell| (*cell).to_owned()).collect()
}

fn offsets(lags: &[PartitionLag], view: &GroupView) {
    let shown = |number: Option<i64>| number.map_or_else(|| NOTHING.to_owned(), |number| number.to_string());
    // Source: the script's own header; the columns of numbers have their own widths there.
    let mut rows = vec![texts(&[
        "GROUP",
        "TOPIC",
        "PARTITION",
        "CURRENT-OFFSET",
        "LOG-END-OFFSET",
        "LAG",
        "CONSUMER-ID",
        "HOST",
        "CLIENT-ID",
    ])];
    for lag in lags {
        let owner = lag.owner.as_ref();
        let of_owner = |text: Option<&String>| text.map_or_else(|| NOTHING.to_owned(), Clone::clone);
        rows.push(vec![
            view.id.clone(),
            lag.partition.topic.to_string(),
            lag.partition.partition.to_string(),
            shown(lag.committed),
            shown(lag.end),
            // As the script has it: nothing is behind what was never committed.
            shown(lag.lag.filter(|_| lag.committed.is_some())),
            of_owner(owner.map(|owner| &owner.id)),
            of_owner(owner.map(|owner| &owner.host)),
            of_owner(owner.map(|owner| &owner.client)),
        ]);
    }
    line("");
    columns(&rows);
}

fn members(view: &GroupView, verbose: bool) {
    let mut header = texts(&["GROUP", "CONSUMER-ID", "HOST", "CLIENT-ID", "#PARTITIONS"]);
    header.extend(verbose.then(|| "ASSIGNMENT".to_owned()));
    let mut rows = vec![header];
    for member in &view.members {
        let mut row =
            texts(&[&view.id, &member.id, &member.host, &member.client, &member.assigned.len().to_string()]);
        row.extend(verbose.then(|| assignment(&member.assigned)));
        rows.push(row);
    }
    line("");
    columns(&rows);
}

/// `a(0,1),b(3)`
fn assignment(partitions: &[TopicPartition]) -> String {
    let mut sorted: Vec<&TopicPartition> = partitions.iter().collect();
    sorted.sort();
    let of_topic = |topic: &[&TopicPartition]| {
        let numbers: Vec<String> = topic.iter().map(|partition| partition.partition.to_string()).collect();
        format!("{}({})", topic[0].topic, numbers.join(","))
    };
    let topics: Vec<String> = sorted.chunk_by(|a, b| a.topic == b.topic).map(of_topic).collect();
    if topics.is_empty() { NOTHING.to_owned() } else { topics.join(",") }
}

async fn state(connection: &Connection, view: &GroupView) -> Result<()> {
    let metadata = fetch_metadata(connection, Some("")).await?;
    let coordinator = metadata.brokers.first();
    let coordinator =
        coordinator.map(|broker| format!("{}:{} ({})", broker.host, broker.port, broker.node_id));
    line("");
    columns(&[
        texts(&["GROUP", "COORDINATOR (ID)", "ASSIGNMENT-STRATEGY", "STATE", "#MEMBERS"]),
        texts(&[
            &view.id,
            &coordinator.unwrap_or_default(),
            &view.assignor,
            &view.state,
            &view.members.len().to_string(),
        ]),
    ]);
    Ok(())
}

async fn reset(connection: &Connection, args: &ConsumerGroupsArgs, named: &[String]) -> Result<()> {
    let target = &args.target;
    if args.topic.is_empty() && !args.all_topics && target.from_file.is_none() {
        return Err(ToolError::Usage("one of --topic, --all-topics, --from-file must be given".to_owned()));
    }
    let seek_args = SeekArgs {
        names: Names::new(named.iter().cloned()),
        target: SeekTarget {
            to: None,
            shift_by: target.shift_by,
            to_file: target.from_file.clone(),
            to_earliest: target.to_earliest,
            to_latest: target.to_latest,
            to_current: target.to_current,
            to_offset: target.to_offset,
            to_datetime: target.to_datetime.clone(),
            by_duration: target.by_duration.clone(),
        },
        topics: args.topic.clone(),
        dry_run: !args.execute,
        export: args.export && !args.execute,
        execute: args.execute,
        all_topics: args.all_topics,
    };
    if !args.execute && !args.dry_run && !args.export {
        line::err(format_args!("WARN: No action will be performed as the --execute option is missing."));
    }
    let row = |cells: [&str; 4]| {
        let [group, topic, partition, offset] = cells;
        line(&format!("{group:<30} {topic:<30} {partition:<10} {offset:<15}"));
    };
    if !args.export {
        line("");
        row(["GROUP", "TOPIC", "PARTITION", "NEW-OFFSET"]);
    }
    for name in named {
        let changes = seek(connection, name, &seek_args).await?;
        if args.export {
            export(name, &changes, named.len() > 1);
            continue;
        }
        for change in changes {
            let partition = &change.partition;
            row([name, &partition.topic, &partition.partition.to_string(), &change.after.to_string()]);
        }
    }
    Ok(())
}

async fn delete(connection: &Connection, named: &[String]) -> Result<()> {
    let mut deleted = Vec::new();
    let mut failed = 0;
    for name in named {
        match group::delete(connection, name).await {
            Ok(()) => deleted.push(format!("'{name}'")),
            Err(error) => {
                line::err(format_args!("Error: Deletion of group '{name}' failed: {error}"));
                failed += 1;
            }
        }
    }
    if !deleted.is_empty() {
        let (names, and) = (deleted.join(", "), if failed == 0 { "was" } else { "alone was" });
        line(&format!("Deletion of requested consumer groups ({names}) {and} successful."));
    }
    if failed > 0 { Err(ToolError::Some { failed, of: named.len() }) } else { Ok(()) }
}

async fn delete_offsets(connection: &Connection, name: &str, topics: &[String]) -> Result<()> {
    if topics.is_empty() {
        return Err(ToolError::Usage("--topic is missing".to_owned()));
    }
    let outcomes = forget(connection, name, topics).await?;
    let failed = outcomes.iter().filter(|(_, code)| *code != ErrorCode::None).count();
    if failed == 0 {
        line(&format!("Request succeed for deleting offsets with topic {} group {name}", topics.join(", ")));
    }
    line(&format!("\n{:<30} {:<15} {:<15}", "TOPIC", "PARTITION", "STATUS"));
    for (partition, code) in &outcomes {
        let status = match code {
            ErrorCode::None => "Successful".to_owned(),
            code => format!("Error: {}", code.name()),
        };
        line(&format!("{:<30} {:<15} {status:<15}", &*partition.topic, partition.partition));
    }
    if failed > 0 { Err(ToolError::Some { failed, of: outcomes.len() }) } else { Ok(()) }
}
