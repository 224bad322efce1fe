//! Every statement of the conformance cases goes through the parser: those that a case runs must parse and print back,
//! those whose case expects a syntax error must not.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use weir_sql::ast::statement::Statement;
use weir_sql::error::SqlError;
use weir_sql::parser::parse_statements;

/// Expected syntax errors that the analyzer raises: properties are its business.
const LEFT_TO_THE_ANALYZER: [&str; 2] = ["WINDOW_SIZE", "should not be set for SESSION"];

fn conformance_folder() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    ["../shared/conformance", "../../shared/conformance"].iter().map(|p| root.join(p)).find(|p| p.is_dir())
}

fn cases() -> Vec<(String, Value)> {
    let Some(folder) = conformance_folder() else { return Vec::new() };
    let mut cases = Vec::new();
    for suite in ["qtt", "rqtt"] {
        let Ok(files) = fs::read_dir(folder.join(suite)) else { continue };
        for path in files
            .filter_map(|f| f.ok().map(|f| f.path()))
            .filter(|p| p.extension().is_some_and(|e| e == "json"))
        {
            let text = fs::read_to_string(&path).expect("a case file is readable");
            let file: Value = serde_json::from_str(&text).expect("a case file is JSON");
            let tests = file["tests"].as_array().cloned().unwrap_or_default();
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            cases.extend(
                tests
                    .into_iter()
                    .map(|case| (format!("{suite}/{stem} - {}", case["name"].as_str().unwrap_or("?")), case)),
            );
        }
    }
    cases
}

/// The first error of a case's statements.
fn parse_all(case: &Value) -> Result<usize, (String, SqlError)> {
    let statements = case["statements"].as_array().cloned().unwrap_or_default();
    let mut count = 0;
    for text in statements.iter().filter_map(Value::as_str) {
        let parsed = parse_statements(text).map_err(|error| (text.to_owned(), error))?;
        for statement in parsed {
            let printed = format!("{};", statement.statement.to_sql());
            let again = parse_statements(&printed).map_err(|error| (printed.clone(), error))?;
            assert_eq!(again[0].statement, statement.statement, "{printed}");
            assert!(!matches!(statement.statement, Statement::RunScript { .. }));
            count += 1;
        }
    }
    Ok(count)
}

#[test]
fn statements_of_the_conformance_cases_parse() {
    let cases = cases();
    let (mut run, mut statements, mut failures) = (0, 0, Vec::new());
    for (name, case) in &cases {
        let expected =
            [&case["expectedException"], &case["expectedError"]].into_iter().find(|e| e.is_object());
        let message = expected.and_then(|e| e["message"].as_str()).unwrap_or("");
        let kind = expected.and_then(|e| e["type"].as_str()).unwrap_or("");
        let syntax =
            kind.contains("ParseFailed") && !LEFT_TO_THE_ANALYZER.iter().any(|m| message.contains(m));
        run += 1;
        match parse_all(case) {
            Ok(_) if syntax => failures.push(format!("{name}: parsed, expected {message:?}")),
            Ok(count) => statements += count,
            Err((_, error)) if syntax => {
                let wanted = message.split("\nStatement:").next().unwrap_or("");
                if !error.message.contains(wanted) {
                    failures.push(format!("{name}: said {:?}, expected {wanted:?}", error.message));
                }
            }
            // Messages of cases that fail for several reasons, a syntax error among them.
            Err((_, error)) if expected.is_some() && !message.is_empty() => {
                let last = message.rsplit(": ").next().unwrap_or(message);
                if !error.message.contains(last) && !last.contains(&error.message) {
                    failures.push(format!("{name}: {error}, expected {message:?}"));
                }
            }
            Err((text, error)) => failures.push(format!("{name}: {error}\n    {text}")),
        }
    }
    println!("{run} of {} cases run, {statements} statements parsed and printed back", cases.len());
    assert!(failures.is_empty(), "{} cases:\n{}", failures.len(), failures.join("\n"));
}
