//! Plans of typical statements, as EXPLAIN shows them, against files. `UPDATE_GOLDEN=1` writes the files anew.
//!
//! Each case is `cases/plans/NAME.sql`; the plan of its last statement is in `NAME.plan`.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use weir_sql::catalog::{MemoryTopics, NoSchemas};
use weir_sql::context::Context;
use weir_sql::expr::compile::describe::describe;
use weir_sql::expr::ir::Expr;
use weir_sql::functions::registry::FunctionRegistry;
use weir_sql::metastore::Metastore;
use weir_sql::parser::parse_statements;
use weir_sql::plan::dry_run::dry_run;
use weir_sql::plan::explain::{explain, explain_pull};
use weir_sql::plan::statement::{PreparedStatement, TopicSpec};
use weir_sql::planner::statement::prepare;
use weir_sql::session::Session;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/plans")
}

/// Prepares all statements in order and shows the last.
fn plan(script: &str) -> String {
    let mut metastore = Metastore::new();
    let session = Session::default();
    let mut topics = MemoryTopics::default();
    let mut shown = String::new();
    for (number, parsed) in parse_statements(script).expect("scripts parse").iter().enumerate() {
        let context = Context {
            metastore: &metastore,
            session: &session,
            topics: &topics,
            schemas: &NoSchemas,
            functions: FunctionRegistry::standard(),
        };
        let prepared = prepare(&context, &parsed.statement, &parsed.text, number as u64);
        let prepared = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                shown = format!("{}\n", error.render(script));
                continue;
            }
        };
        shown = show(&prepared);
        let actions = prepared.actions(&parsed.text, &IndexMap::new());
        dry_run(&mut (&mut metastore, &mut topics), &actions).expect("prepared commands apply");
    }
    shown
}

fn show(prepared: &PreparedStatement) -> String {
    let mut out = String::new();
    match prepared {
        PreparedStatement::Command(command) => {
            if let Some(TopicSpec { name, partitions, cleanup, retention_ms, .. }) = &command.topic {
                let retention = retention_ms.map_or_else(String::new, |ms| format!(", retention {ms} ms"));
                let _ =
                    writeln!(out, "topic {name}: {partitions} partitions, {}{retention}", cleanup.as_str());
            }
            if !command.terminates.is_empty() {
                let _ = writeln!(out, "terminates {}", command.terminates.join(", "));
            }
            if let Some(topic) = &command.delete_topic {
                let _ = writeln!(out, "deletes topic {topic}");
            }
            if let Some(query) = &command.query {
                let replaces = if query.replaces { ", replaces" } else { "" };
                let _ = writeln!(out, "query {}{replaces}", query.plan.query_id);
                out.push_str(&explain(&query.plan));
            } else if let Some(ddl) = &command.ddl {
                let _ = writeln!(out, "{ddl:#?}");
            }
        }
        PreparedStatement::Push(push) => {
            let columns: Vec<String> = push
                .columns
                .iter()
                .map(|c| format!("{} {}{}", c.name, c.sql_type, if c.is_key { " KEY" } else { "" }))
                .collect();
            let _ = writeln!(out, "push {}, limit {:?}", columns.join(", "), push.limit);
            out.push_str(&explain(&push.plan));
        }
        PreparedStatement::Pull(pull) => {
            let columns: Vec<String> = pull
                .columns
                .iter()
                .map(|c| format!("{} {}{}", c.name, c.sql_type, if c.is_key { " KEY" } else { "" }))
                .collect();
            let _ = writeln!(out, "pull {}", columns.join(", "));
            out.push_str(&explain_pull(pull));
        }
        PreparedStatement::InsertValues(row) => {
            let texts = |exprs: &[Expr]| exprs.iter().map(describe).collect::<Vec<_>>().join(", ");
            let at =
                row.timestamp.as_ref().map_or_else(String::new, |e| format!(", timestamp {}", describe(e)));
            let _ = writeln!(
                out,
                "insert into {}: key {}, value {}{at}",
                row.source,
                texts(&row.key),
                texts(&row.value)
            );
        }
        other => {
            let _ = writeln!(out, "{other:#?}");
        }
    }
    out
}

#[test]
fn plans_are_as_recorded() {
    let update = std::env::var("UPDATE_GOLDEN").is_ok();
    let mut scripts: Vec<PathBuf> = fs::read_dir(folder())
        .expect("the cases are there")
        .filter_map(|e| Some(e.ok()?.path()))
        .filter(|p| p.extension().is_some_and(|x| x == "sql"))
        .collect();
    scripts.sort();
    assert!(scripts.len() >= 25, "only {} cases", scripts.len());
    let mut differing = Vec::new();
    for script in scripts {
        let text = fs::read_to_string(&script).expect("cases are readable");
        let actual = plan(&text);
        let golden = script.with_extension("plan");
        if update {
            fs::write(&golden, &actual).expect("goldens are writable");
            continue;
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        if actual != expected {
            differing.push(format!("{}\n--- expected\n{expected}--- actual\n{actual}", script.display()));
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}
