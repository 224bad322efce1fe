use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use walkdir::WalkDir;
use weir_engine::driver::{BatchRows, DriverConfig};
use weir_sql::functions::registry::FunctionRegistry;

use crate::cli;
use crate::cli::args::{Cli, Command};
use crate::testing::case_file::form::CaseFile;
use crate::testing::case_file::{CaseRun, rewritten, run};
use crate::testing::report::{Outcome, Stop};

fn runs(text: &str) -> Vec<CaseRun> {
    let file = CaseFile::parse(text).expect("a file of cases");
    let config = DriverConfig { batch_rows: BatchRows::Rows(1), ..DriverConfig::default() };
    file.cases.iter().map(|case| run(&file, case, config)).collect()
}

fn failure(text: &str) -> String {
    match runs(text).remove(0).outcome {
        Outcome::Failed(message) => message,
        other => panic!("expected a failure, not {other:?}"),
    }
}

/// The text with the expectations that came.
fn updated(text: &str) -> String {
    let file = CaseFile::parse(text).expect("a file of cases");
    let rewrites: Vec<_> = runs(text).into_iter().flat_map(|r| r.rewrites).collect();
    rewritten(&file, &rewrites)
}

const RIGHT: &str = "\
# Rows and their doubles.

=== setup
CREATE STREAM a (k STRING KEY, v INT) WITH (KAFKA_TOPIC='a', VALUE_FORMAT='JSON');

=== doubles
CREATE STREAM b AS SELECT k, v * 2 AS w FROM a WHERE v > 0;
--- input
a  \"x\"  {\"V\":1}   @5
a  \"y\"  {\"V\":-1}  @6
a  \"z\"  {\"V\":\"four\"}
--- output
# Blanks do not count.
B  \"x\"   {\"W\":2} @5
--- reports
value of a 2: field $.V: \"four\" is not an INTEGER

# Carets count from the first line of the case.
=== an unknown column
CREATE STREAM b AS
  SELECT k, w FROM a;
--- error
SELECT column 'W' cannot be resolved
  line 2:13: SELECT k, w FROM a;

=== values and errors
--- columns
i INT = 4 | 0 | null
--- expressions
8 / i     :: INTEGER = 2 | null! | null
";

#[test]
fn update_makes_every_case_pass_and_then_changes_nothing() {
    let text = updated(RIGHT);
    assert!(runs(&text).iter().all(|r| r.outcome == Outcome::Passed), "{text}");
    assert_eq!(updated(&text), text);
    for kept in ["# Rows and", "# Blanks do not count.\nB  \"x\"   {\"W\":2} @5", "# Carets count"] {
        assert!(text.contains(kept), "{kept} in {text}");
    }
}

#[test]
fn an_expectation_of_other_records_fails_with_the_difference() {
    let message = failure(&updated(RIGHT).replace("{\"W\":2}", "{\"W\":3}"));
    assert!(message.contains("- B  \"x\"   {\"W\":3} @5"), "{message}");
    assert!(message.contains("+ B  \"x\"  {\"W\":2}  @5"), "{message}");
}

#[test]
fn what_no_step_expects_fails() {
    let statement = "=== a case\nCREATE STREAM b AS SELECT 1 AS x FROM nowhere;\n";
    assert!(failure(statement).contains("not expected: --- error"));
    let rejected = format!("{statement}--- input\nb 1 {{}}\n--- output\n(nothing)\n");
    assert!(failure(&rejected).starts_with("not expected: --- error\n+ "), "{}", failure(&rejected));
    let without = updated(RIGHT).replace("--- reports", "#").replace("value of a 2", "# value of a 2");
    assert!(failure(&without).contains("not expected: --- reports"), "{}", failure(&without));
    let nothing = "=== a case\nCREATE STREAM b (x INT) WITH (KAFKA_TOPIC='b', VALUE_FORMAT='JSON');\n";
    assert!(updated(nothing).ends_with("--- output\n(nothing)\n"), "{}", updated(nothing));
}

#[test]
fn an_expected_error_must_come() {
    let text = "=== a case\nSET 'auto.offset.reset' = 'earliest';\n--- error\nrefused\n";
    assert_eq!(updated(text), text.replace("refused", "(nothing)"));
    assert!(failure(text).contains("- refused"));
}

#[test]
fn rows_of_a_table_must_have_a_value_for_each_column() {
    let text = "=== a case\n--- columns\na INT = 1 | 2\nb INT = 1\n--- expressions\na + b :: INTEGER = 2\n";
    assert!(failure(text).contains("b INT has 1 values, not 2"));
}

#[test]
fn files_of_another_form_are_refused() {
    for (text, message) in [
        ("CREATE\n=== a case\n", "line 1: text stands before"),
        ("=== a case\n--- nonsense\n", "line 2: \"nonsense\" is no kind"),
        ("=== a\n--- output\n=== a\n--- output\n", "line 3: a case needs a name"),
        ("=== setup\n--- output\n", "line 1: a setup has statements"),
    ] {
        match CaseFile::parse(text) {
            Err(Stop::Failed(actual)) => assert!(actual.starts_with(message), "{actual}"),
            other => panic!("{text} is read as {other:?}"),
        }
    }
}

/// The text of all files of cases of the project.
fn project_cases() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/cases");
    WalkDir::new(folder)
        .into_iter()
        .filter_map(Result::ok)
        .filter(|entry| entry.path().extension().is_some_and(|x| x == "case"))
        .map(|entry| std::fs::read_to_string(entry.path()).expect("files of cases are readable"))
        .collect()
}

/// True if the text calls the function: its name stands before a bracket, and is not the end of a
/// longer name.
fn calls(text: &str, function: &str) -> bool {
    let call = format!("{}(", function.to_uppercase());
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(&call).any(|(at, _)| !text[..at].ends_with(is_name))
}

#[test]
fn every_function_has_a_case() {
    let cases = project_cases().to_uppercase();
    let functions = FunctionRegistry::standard().list();
    let missing: Vec<&str> = functions.iter().map(|f| f.name).filter(|name| !calls(&cases, name)).collect();
    assert!(missing.is_empty(), "functions without a case: {missing:?}");
    assert!(calls("1 + SUM(X)", "sum") && !calls("CHECK_SUM(X)", "SUM"));
}

#[test]
fn the_flag_rewrites_a_file_in_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("values.case");
    let text = "# Values.\n=== one and two\n--- expressions\n1 :: INTEGER = 7\n1 + 1\n";
    let run = |update: bool| {
        let mut arguments = vec!["weir", "test", path.to_str().expect("UTF-8"), "--brief"];
        arguments.extend(update.then_some("--update"));
        let exit = Cli::try_parse_from(arguments).map(|cli| match cli.command {
            Some(Command::Test(args)) => cli::test::run(&args),
            _ => panic!("not the test command"),
        });
        let file = std::fs::read_to_string(&path).expect("the file is there");
        (format!("{:?}", exit.expect("arguments")), file)
    };
    std::fs::write(&path, text).expect("the file is written");
    let (failure, success) = (format!("{:?}", ExitCode::from(1)), format!("{:?}", ExitCode::SUCCESS));
    assert_eq!(run(false), (failure, text.to_owned()));
    let updated = "# Values.\n=== one and two\n--- expressions\n1     :: INTEGER = 1\n1 + 1 :: INTEGER = 2\n";
    assert_eq!(run(true), (success.clone(), updated.to_owned()));
    assert_eq!(run(false), (success, updated.to_owned()));
}
