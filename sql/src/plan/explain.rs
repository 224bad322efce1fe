//! Plans as text, for EXPLAIN.

use std::fmt::Write;

use crate::expr::compile::describe::describe;
use crate::expr::ir::Expr;
use crate::plan::physical::{AggregateCall, JoinKind, QueryPlan, Step};
use crate::plan::pull::{PullNode, PullPlan};

/// The steps as a tree, the sink first, one line per step with its schema.
pub fn explain(plan: &QueryPlan) -> String {
    let mut out = String::new();
    write_step(&plan.root, &plan.query_id, 0, &mut out);
    out
}

fn write_step(step: &Step, query_id: &str, depth: usize, out: &mut String) {
    let (name, detail) = describe_step(step);
    let indent = "\t".repeat(depth);
    let logger = format!("{query_id}.{}", logger_name(step));
    let _ = writeln!(out, "{indent} > [ {name} ] | Schema: {} | Logger: {logger}{detail}", step.schema());
    for input in step.inputs() {
        write_step(input, query_id, depth + 1, out);
    }
}

/// The step's word, and what else is worth a reader's time.
fn describe_step(step: &Step) -> (&'static str, String) {
    match step {
        Step::Source(s) => {
            let window = s.window.map_or_else(String::new, |w| format!(" | Window: {:?}", w.kind));
            (
                "SOURCE",
                format!(
                    " | Source: {} | Topic: {} | Formats: {}, {}{window}",
                    s.source, s.topic, s.key_format.format, s.value_format.format
                ),
            )
        }
        Step::Filter(s) => ("FILTER", format!(" | Predicate: {}", describe(&s.predicate))),
        Step::Project(s) => ("PROJECT", format!(" | Values: {}", named(&s.values))),
        Step::FlatMap(s) => {
            let calls: Vec<String> = s
                .functions
                .iter()
                .map(|f| format!("{} := {}({})", f.output.name, f.function, listed(&f.arguments)))
                .collect();
            ("FLAT_MAP", format!(" | Functions: {}", calls.join(", ")))
        }
        Step::PartitionBy(s) => {
            ("REKEY", format!(" | Keys: {} | Values: {}", named(&s.keys), named(&s.values)))
        }
        Step::Repartition(s) => (
            "REPARTITION",
            format!(" | Topic: {} | Formats: {}, {}", s.name, s.key_format.format, s.value_format.format),
        ),
        Step::Aggregate(s) => {
            let window = match s.window {
                Some(window) => format!(" | Window: {window:?}"),
                None => String::new(),
            };
            let moves = if s.regroup { " | Repartitions" } else { "" };
            (
                "AGGREGATE",
                format!(
                    " | Keys: {} | Functions: {} | Formats: {}, {}{window}{moves}",
                    named(&s.keys),
                    calls_text(&s.calls),
                    s.key_format.format,
                    s.value_format.format
                ),
            )
        }
        Step::StreamStreamJoin(s) => {
            let grace = s.grace_ms.map_or_else(String::new, |g| format!(", grace {g} ms"));
            (
                "JOIN",
                format!(
                    " | {} stream-stream, {} ms before, {} ms after{grace}",
                    join_word(s.kind),
                    s.before_ms,
                    s.after_ms
                ),
            )
        }
        Step::StreamTableJoin(s) => ("JOIN", format!(" | {} stream-table", join_word(s.kind))),
        Step::TableTableJoin(s) => ("JOIN", format!(" | {} table-table", join_word(s.kind))),
        Step::ForeignKeyJoin(s) => {
            ("JOIN", format!(" | {} foreign-key on {}", join_word(s.kind), describe(&s.foreign_key)))
        }
        Step::Sink(s) => (
            "SINK",
            format!(" | Topic: {} | Formats: {}, {}", s.topic, s.key_format.format, s.value_format.format),
        ),
    }
}

fn named(exprs: &[(String, Expr)]) -> String {
    let parts: Vec<String> = exprs.iter().map(|(name, e)| format!("{name} := {}", describe(e))).collect();
    parts.join(", ")
}

fn listed(exprs: &[Expr]) -> String {
    exprs.iter().map(describe).collect::<Vec<_>>().join(", ")
}

fn calls_text(calls: &[AggregateCall]) -> String {
    let parts: Vec<String> = calls
        .iter()
        .map(|call| {
            let constants = call.constants.iter().map(|c| format!(", {:?}", c.value)).collect::<String>();
            format!("{} := {}({}{constants})", call.output.name, call.function, listed(&call.arguments))
        })
        .collect();
    parts.join(", ")
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
            let filtered = match &scan.filter {
                Some(filter) => format!(" | Predicate: {}", describe(filter)),
                None => String::new(),
            };
            format!("[ SCAN ] | Source: {}{filtered}", scan.source)
        }
        PullNode::Filter { input, predicate } => {
            below.push(input);
            format!("[ FILTER ] | Predicate: {}", describe(predicate))
        }
        PullNode::Join(join) => {
            below.extend([join.left.as_ref(), join.right.as_ref()]);
            let on: Vec<String> =
                join.on.iter().map(|(l, r)| format!("{} = {}", describe(l), describe(r))).collect();
            format!("[ JOIN ] | {} on {}", join_word(join.kind), on.join(", "))
        }
        PullNode::Aggregate { input, keys, calls } => {
            below.push(input);
            format!("[ AGGREGATE ] | Keys: {} | Functions: {}", named(keys), calls_text(calls))
        }
        PullNode::Project { input, columns } => {
            below.push(input);
            format!("[ PROJECT ] | Columns: {}", named(columns))
        }
        PullNode::Distinct { input } => {
            below.push(input);
            "[ DISTINCT ]".to_owned()
        }
        PullNode::Sort { input, keys } => {
            below.push(input);
            let keys: Vec<String> = keys
                .iter()
                .map(|key| format!("{}{}", describe(&key.expr), if key.descending { " DESC" } else { "" }))
                .collect();
            format!("[ SORT ] | Keys: {}", keys.join(", "))
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
