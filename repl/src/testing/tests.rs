use std::path::Path;

use weir_engine::driver::{BatchRows, DriverConfig};

use crate::testing::case::{Case, Document};
use crate::testing::report::Outcome;
use crate::testing::{qtt, sql_test};

const DOCUMENT: &str = r#"{"tests": [
  {
    "name": "doubles",
    "statements": [
      "CREATE STREAM A (K STRING KEY, V INT) WITH (kafka_topic='a', value_format='JSON');",
      "CREATE STREAM B AS SELECT K, V * 2 AS W FROM A;"
    ],
    "inputs": [
      {"topic": "a", "key": "x", "value": {"v": 1}, "timestamp": 5},
      {"topic": "a", "key": null, "value": {"V": null}}
    ],
    "outputs": [
      {"topic": "B", "key": "x", "value": {"W": 2}, "timestamp": 5},
      {"topic": "B", "key": null, "value": {"W": null}, "timestamp": 0}
    ],
    "post": {"sources": [{"name": "B", "type": "stream", "schema": "K STRING KEY, W INT"}]}
  },
  {
    "name": "is rejected",
    "statements": ["CREATE STREAM B AS SELECT * FROM NOWHERE;"],
    "expectedException": {"type": "X", "message": "NOWHERE does not exist."}
  }
]}"#;

fn cases() -> Vec<Case> {
    match Document::parse(DOCUMENT).expect("the document is valid") {
        Document::Queries(cases) => cases,
        Document::Rest(_) => panic!("the document has no REST cases"),
    }
}

fn run(case: &Case) -> Outcome {
    qtt::run(case, DriverConfig { batch_rows: BatchRows::Rows(1), ..DriverConfig::default() })
}

fn failure(outcome: Outcome) -> String {
    match outcome {
        Outcome::Failed(message) => message,
        other => panic!("expected a failure, not {other:?}"),
    }
}

#[test]
fn right_cases_pass() {
    for case in cases() {
        assert_eq!(run(&case), Outcome::Passed, "{}", case.name);
    }
}

#[test]
fn wrong_expectations_fail() {
    let outputs = |case: &mut Case| case.outputs.take().expect("outputs");
    let mut case = cases().remove(0);
    let mut wrong = outputs(&mut case);
    wrong[0].value = Some(serde_json::json!({"W": 3}));
    case.outputs = Some(wrong);
    assert!(failure(run(&case)).contains("value is {\"W\":2}, expected {\"W\":3}"));

    let mut case = cases().remove(0);
    let mut wrong = outputs(&mut case);
    wrong.pop();
    case.outputs = Some(wrong);
    assert!(failure(run(&case)).contains("has 2 records, expected 1"));

    let mut case = cases().remove(0);
    case.outputs = Some(Vec::new());
    assert!(failure(run(&case)).contains("expected 0"));

    let mut case = cases().remove(0);
    case.post.sources[0].schema = Some("K STRING KEY, W BIGINT".to_owned());
    assert!(failure(run(&case)).contains("schema of B"));

    let mut case = cases().remove(1);
    case.statements[0] = "CREATE STREAM B AS SELEC 1;".to_owned();
    assert!(failure(run(&case)).contains("another reason"));
}

fn run_sql(text: &str) -> Vec<(String, Outcome)> {
    let sections = sql_test::sections(text).expect("sections");
    sections
        .iter()
        .map(|s| (s.name.clone(), sql_test::run(s, Path::new("."), DriverConfig::default())))
        .collect()
}

const SETUP: &str = "
CREATE STREAM a (k STRING KEY, v INT) WITH (kafka_topic='a', partitions=1, value_format='JSON');
CREATE TABLE b AS SELECT k, SUM(v) AS s FROM a GROUP BY k;
INSERT INTO a (ROWTIME, k, v) VALUES (10, 'x', 1);
INSERT INTO a (ROWTIME, k, v) VALUES (20, 'x', 2);
";

#[test]
fn sql_tests_assert_records_and_sources() {
    let text = format!(
        "-- a file of tests\n--@test: records\n{SETUP}
         ASSERT VALUES b (ROWTIME, k, s) VALUES (10, 'x', 1);
         ASSERT VALUES b (k, s) VALUES ('x', 3);
         ASSERT STREAM a (k STRING KEY, v INT) WITH (kafka_topic='a', partitions=1, value_format='JSON');
         --@test: wrong value\n{SETUP}
         ASSERT VALUES b (k, s) VALUES ('x', 2);
         --@test: wrong schema\n--@expected.error: AssertionError\n--@expected.message: Expected schema does not match
         {SETUP}
         ASSERT STREAM a (k STRING KEY, v BIGINT) WITH (kafka_topic='a', partitions=1, value_format='JSON');
         --@test: no more records\n{SETUP}
         ASSERT VALUES b (k) VALUES ('x'); ASSERT VALUES b (k) VALUES ('x'); ASSERT VALUES b (k) VALUES ('x');"
    );
    let outcomes = run_sql(&text);
    assert_eq!(outcomes[0], ("records".to_owned(), Outcome::Passed));
    assert!(failure(outcomes[1].1.clone()).contains("Expected record value of S"));
    assert_eq!(outcomes[2], ("wrong schema".to_owned(), Outcome::Passed));
    assert!(failure(outcomes[3].1.clone()).contains("Expected another record"));
}

#[test]
fn sql_tests_expect_errors_by_message() {
    let outcomes = run_sql(
        "--@test: right\n--@expected.message: NOWHERE does not exist\nDROP STREAM NOWHERE;\n\
         --@test: other\n--@expected.message: something else\nDROP STREAM NOWHERE;\n\
         --@test: none\n--@expected.error: X\nSET 'a' = 'b';",
    );
    assert_eq!(outcomes[0].1, Outcome::Passed, "{:?}", outcomes[0]);
    assert!(failure(outcomes[1].1.clone()).contains("another error"));
    assert!(failure(outcomes[2].1.clone()).contains("must end in an error"));
}
