//! Plans as text, for EXPLAIN.

use std::fmt::Write;

use crate::plan::physical::{JoinKind, QueryPlan, Step};
use crate::plan::pull::{PullNode, PullPlan};

/// The steps as a tree, the sink first, one line per step with its schema.
pub fn explain(plan: &QueryPlan) -> String {
    let mut out = String::new();
    write_step(&plan.root, &plan.query_id, 0, &mut out);
    out
}

fn write_step(step: &Step, query_id: &str, depth: usize, out: &mut String) {
    let (name, detail) = describe(step);
    let indent = "\t".repeat(depth);
    let logger = format!("{query_id}.{}", logger_name(step));
    let _ = writeln!(out, "{indent} > [ {name} ] | Schema: {} | Logger: {logger}{detail}", step.schema());
    for input in step.inputs() {
        write_step(input, query_id, depth + 1, out);
    }
}

/// The step's word, and what else is worth a reader's time.
fn describe(step: &Step) -> (&'static str, String) {
    match step {
        Step::Source(s) => ("SOURCE", format!(" | Source: {} | Topic: {}", s.source, s.topic)),
        Step::Filter(_) => ("FILTER", String::new()),
        Step::Project(_) => ("PROJECT", String::new()),
        Step::FlatMap(s) => {
            let names: Vec<&str> = s.functions.iter().map(|f| f.function.as_str()).collect();
            ("FLAT_MAP", format!(" | Functions: {}", names.join(", ")))
        }
        Step::PartitionBy(_) => ("REKEY", String::new()),
        Step::Repartition(s) => ("REPARTITION", format!(" | Topic: {}", s.name)),
        Step::Aggregate(s) => {
            let calls: Vec<&str> = s.calls.iter().map(|c| c.function.as_str()).collect();
            let window = match s.window {
                Some(window) => format!(" | Window: {:?}", window.bounds),
                None => String::new(),
            };
            let moves = if s.regroup { " | Repartitions" } else { "" };
            ("AGGREGATE", format!(" | Functions: {}{window}{moves}", calls.join(", ")))
        }
        Step::StreamStreamJoin(s) => ("JOIN", format!(" | {} stream-stream", join_word(s.kind))),
        Step::StreamTableJoin(s) => ("JOIN", format!(" | {} stream-table", join_word(s.kind))),
        Step::TableTableJoin(s) => ("JOIN", format!(" | {} table-table", join_word(s.kind))),
        Step::ForeignKeyJoin(s) => ("JOIN", format!(" | {} foreign-key", join_word(s.kind))),
        Step::Sink(s) => ("SINK", format!(" | Topic: {}", s.topic)),
    }
}

fn join_word(kind: JoinKind) -> &'static str {
    match kind {
        JoinKind::Inner => "INNER",
        JoinKind::Left => "LEFT",
        JoinKind::Right => "RIGHT",
        JoinKind::Outer => "FULL OUTER",
    }
}

fn logger_name(step: &Step) -> &'static str {
    match step {
        Step::Source(_) => "KsqlTopic",
        Step::Filter(_) => "Filter",
        Step::Project(_) => "Project",
        Step::FlatMap(_) => "FlatMap",
        Step::PartitionBy(_) => "PartitionBy",
        Step::Repartition(_) => "Repartition",
        Step::Aggregate(_) => "Aggregate",
        Step::StreamStreamJoin(_)
        | Step::StreamTableJoin(_)
        | Step::TableTableJoin(_)
        | Step::ForeignKeyJoin(_) => "Join",
        Step::Sink(_) => "Sink",
    }
}

/// A pull query's nodes as a tree.
pub fn explain_pull(plan: &PullPlan) -> String {
    let mut out = String::new();
    write_node(&plan.root, 0, &mut out);
    out
}

fn write_node(node: &PullNode, depth: usize, out: &mut String) {
    let indent = "\t".repeat(depth);
    let mut below: Vec<&PullNode> = Vec::new();
    let line = match node {
        PullNode::Scan(scan) => {
            let filtered = if scan.filter.is_some() { " | Filtered" } else { "" };
            format!("[ SCAN ] | Source: {}{filtered}", scan.source)
        }
        PullNode::Filter { input, .. } => {
            below.push(input);
            "[ FILTER ]".to_owned()
        }
        PullNode::Join(join) => {
            below.extend([join.left.as_ref(), join.right.as_ref()]);
            format!("[ JOIN ] | {}", join_word(join.kind))
        }
        PullNode::Aggregate { input, keys, calls } => {
            below.push(input);
            let keys: Vec<&str> = keys.iter().map(|(name, _)| name.as_str()).collect();
            let calls: Vec<&str> = calls.iter().map(|c| c.function.as_str()).collect();
            format!("[ AGGREGATE ] | Keys: {} | Functions: {}", keys.join(", "), calls.join(", "))
        }
        PullNode::Project { input, columns } => {
            below.push(input);
            let columns: Vec<String> =
                columns.iter().map(|(name, e)| format!("`{name}` {}", e.sql_type)).collect();
            format!("[ PROJECT ] | Schema: {}", columns.join(", "))
        }
        PullNode::Distinct { input } => {
            below.push(input);
            "[ DISTINCT ]".to_owned()
        }
        PullNode::Sort { input, keys } => {
            below.push(input);
            format!("[ SORT ] | Keys: {}", keys.len())
        }
        PullNode::Limit { input, offset, limit } => {
            below.push(input);
            let limit = limit.map_or_else(|| "all".to_owned(), |n| n.to_string());
            format!("[ LIMIT ] | {limit} from {offset}")
        }
    };
    let _ = writeln!(out, "{indent} > {line}");
    for node in below {
        write_node(node, depth + 1, out);
    }
}
