//! What the queries of a node keep decoded in memory is bounded in bytes, for all of them together, and what was forgotten is read
//! back as it was.

use crate::driver_harness::{Fixture, Input, input};
use weir_engine::driver::DriverConfig;

const BUDGET_BYTES: usize = 300 << 10;

const STATEMENTS: &str = "
    CREATE STREAM s (k STRING KEY, v BIGINT, w STRING) WITH (kafka_topic='in', value_format='JSON', partitions=1);
    CREATE TABLE t (k STRING PRIMARY KEY, w STRING) WITH (kafka_topic='tab', value_format='DELIMITED', partitions=1);
    CREATE TABLE counts AS SELECT k, COUNT(*) AS n, LATEST_BY_OFFSET(w) AS w FROM s GROUP BY k;
    CREATE TABLE windows AS SELECT k, COUNT(*) AS n FROM s
        WINDOW TUMBLING (SIZE 20 MILLISECONDS, GRACE PERIOD 0 MILLISECONDS) GROUP BY k;
    CREATE TABLE kept AS SELECT k, UCASE(w) AS w FROM t;
    CREATE STREAM joined AS SELECT s.k AS k, v, t.w AS w FROM s LEFT JOIN t ON s.k = t.k;";

fn inputs(round: i64) -> Vec<Input> {
    let wide = "x".repeat(100);
    let mut inputs = Vec::new();
    for n in 0..400_i64 {
        // Every third key comes again in later rounds.
        let key = if n % 3 == 0 { format!("again-{n}") } else { format!("once-{round}-{n}") };
        inputs.push(input("tab", &key, &wide, round * 10));
        inputs.push(input("in", &key, &format!(r#"{{"V":{n},"W":"{wide}"}}"#), round * 10));
    }
    inputs
}

/// The outputs, and the largest number of bytes held after a commit.
fn run(config: DriverConfig) -> (Vec<Vec<String>>, usize) {
    let mut fixture = Fixture::new(STATEMENTS, config);
    let mut most = 0;
    for round in 0..12 {
        fixture.produce(&inputs(round));
        fixture.driver.run().expect("queries run");
        most = most.max(fixture.driver.resident_bytes());
    }
    (["COUNTS", "WINDOWS", "KEPT", "JOINED"].map(|topic| fixture.outputs(topic)).to_vec(), most)
}

#[test]
fn decoded_state_of_all_queries_is_bounded_in_bytes() {
    let (expected, unbounded) = run(DriverConfig::default());
    assert!(unbounded > 4 * BUDGET_BYTES, "the test needs more: {unbounded}");
    let (actual, most) = run(DriverConfig { resident_bytes_max: BUDGET_BYTES, ..DriverConfig::default() });
    assert!(actual == expected, "results depend on memory");
    // Rows that changed since the last commit, and the places of those that were forgotten, come on top.
    assert!(most < 3 * BUDGET_BYTES, "{most} of {BUDGET_BYTES}");
    let (actual, _) = run(DriverConfig { resident_bytes_max: 1, ..DriverConfig::default() });
    assert!(actual == expected, "results depend on memory");
}

#[test]
fn queries_that_end_give_back_their_part() {
    let mut fixture = Fixture::new(STATEMENTS, DriverConfig::default());
    fixture.produce(&inputs(0));
    fixture.driver.run().expect("queries run");
    assert!(fixture.driver.resident_bytes() > 0);
    for id in fixture.query_ids().to_vec() {
        fixture.driver.remove_query(&id);
    }
    assert_eq!(fixture.driver.resident_bytes(), 0);
}

const STREAMS: &str = "
    CREATE STREAM s (k STRING KEY, v BIGINT, w STRING) WITH (kafka_topic='in', value_format='JSON', partitions=1);
    CREATE STREAM s2 (k STRING KEY, v BIGINT, w STRING) WITH (kafka_topic='in2', value_format='JSON', partitions=1);";

/// Queries whose state is kept for a time: what was forgotten is needed again by late rows, at its end, and when it expires.
const OF_A_TIME: [&str; 5] = [
    "CREATE TABLE o AS SELECT k, COUNT(*) AS n, LATEST_BY_OFFSET(w) AS w FROM s
         WINDOW SESSION (15 MILLISECONDS, RETENTION 80 MILLISECONDS, GRACE PERIOD 20 MILLISECONDS) GROUP BY k;",
    "CREATE TABLE o AS SELECT k, COUNT(*) AS n, LATEST_BY_OFFSET(w) AS w FROM s
         WINDOW SESSION (15 MILLISECONDS, RETENTION 80 MILLISECONDS, GRACE PERIOD 40 MILLISECONDS) GROUP BY k EMIT FINAL;",
    "CREATE STREAM o AS SELECT s.k AS k, s.v AS v, s2.w AS w FROM s JOIN s2
         WITHIN 40 MILLISECONDS GRACE PERIOD 20 MILLISECONDS ON s.k = s2.k;",
    "CREATE STREAM o AS SELECT ROWKEY AS k, s.v AS v, s2.w AS w FROM s FULL OUTER JOIN s2
         WITHIN (20 MILLISECONDS, 40 MILLISECONDS) GRACE PERIOD 30 MILLISECONDS ON s.k = s2.k;",
    "CREATE STREAM o AS SELECT s.k AS k, s.v AS v, s2.w AS w FROM s LEFT JOIN s2 WITHIN 40 MILLISECONDS ON s.k = s2.k;",
];

fn timed_inputs(round: i64) -> Vec<Input> {
    let wide = "x".repeat(200);
    let mut inputs = Vec::new();
    for n in 0..400_i64 {
        let key = if n % 3 == 0 { format!("again-{n}") } else { format!("once-{round}-{n}") };
        let value = format!(r#"{{"V":{n},"W":"{wide}"}}"#);
        // Some rows are late, and some too late.
        let time = (round * 10 - [0, 0, 5, 18, 33, 60][n as usize % 6]).max(0);
        inputs.push(input("in", &key, &value, time));
        if n % 2 == 0 {
            inputs.push(input("in2", &key, &value, time + n % 7));
        }
    }
    inputs
}

/// Outputs, the largest number of bytes held after a commit, and the entries in the stores at the end.
fn run_timed(query: &str, config: DriverConfig, restarts: bool) -> (Vec<String>, usize, usize) {
    let mut fixture = Fixture::new(&format!("{STREAMS}{query}"), config);
    let mut most = 0;
    for round in 0..24 {
        fixture.produce(&timed_inputs(round));
        fixture.driver.run().expect("queries run");
        most = most.max(fixture.driver.resident_bytes());
        if restarts && round % 5 == 4 {
            fixture.driver.restart().expect("state is restored");
        }
    }
    (fixture.outputs("O"), most, fixture.stored_entries())
}

#[test]
fn sessions_and_rows_of_joins_are_bounded_in_bytes() {
    let bounded = |bytes| DriverConfig { resident_bytes_max: bytes, ..DriverConfig::default() };
    for query in OF_A_TIME {
        let (expected, unbounded, entries) = run_timed(query, DriverConfig::default(), false);
        assert!(unbounded > 3 * BUDGET_BYTES, "{query}: the test needs more: {unbounded}");
        let (actual, most, left) = run_timed(query, bounded(BUDGET_BYTES), true);
        assert!(actual == expected, "{query}: results depend on memory");
        assert!(most < 2 * BUDGET_BYTES, "{query}: {most} of {BUDGET_BYTES}");
        // What expires goes, if not at once.
        assert!(left < entries * 3 / 2, "{query}: {left} entries, not {entries}");
        let (actual, _, _) = run_timed(query, bounded(1), false);
        assert!(actual == expected, "{query}: results depend on memory");
    }
}

#[test]
fn final_results_of_windows_that_were_forgotten_come_out() {
    let statements = "
        CREATE STREAM s (k STRING KEY, v BIGINT, w STRING) WITH (kafka_topic='in', value_format='JSON', partitions=1);
        CREATE TABLE finals AS SELECT k, COUNT(*) AS n FROM s
            WINDOW TUMBLING (SIZE 20 MILLISECONDS, GRACE PERIOD 0 MILLISECONDS) GROUP BY k EMIT FINAL;";
    let run = |resident_bytes_max: usize| {
        let config = DriverConfig { resident_bytes_max, ..DriverConfig::default() };
        let mut fixture = Fixture::new(statements, config);
        for round in 0..6 {
            fixture.produce(&inputs(round));
            fixture.driver.run().expect("queries run");
        }
        fixture.outputs("FINALS")
    };
    let (expected, actual) = (run(usize::MAX), run(1));
    // Two windows are closed; in each, rows of two rounds.
    assert!(expected.iter().any(|line| line.starts_with("again-0@0 => {\"N\":2}")), "{:?}", expected.first());
    assert!(actual == expected, "results depend on memory");
}

#[test]
fn rows_that_wait_for_partners_and_sessions_count() {
    let wide = format!(r#"{{"W":"{}"}}"#, "x".repeat(1_000));
    for query in [
        "CREATE STREAM o AS SELECT l.k AS k, l.w AS a, r.w AS b FROM l JOIN r WITHIN 1 HOUR ON l.k = r.k;",
        "CREATE TABLE o AS SELECT k, LATEST_BY_OFFSET(w) AS w FROM l WINDOW SESSION (1 HOUR) GROUP BY k;",
    ] {
        let statements = format!(
            "CREATE STREAM l (k STRING KEY, w STRING) WITH (kafka_topic='in', value_format='JSON', partitions=1);
             CREATE STREAM r (k STRING KEY, w STRING) WITH (kafka_topic='other', value_format='JSON', partitions=1);
             {query}"
        );
        let mut fixture = Fixture::new(&statements, DriverConfig::default());
        let rows: Vec<Input> = (0..300).map(|n| input("in", &format!("k{n}"), &wide, 1_000)).collect();
        fixture.produce(&rows);
        fixture.driver.run().expect("queries run");
        let bytes = fixture.driver.resident_bytes();
        assert!(bytes > 300 * 1_000, "{query}: {bytes}");
    }
}

#[test]
fn rows_of_tables_that_were_forgotten_are_found_again() {
    let statements = "
        CREATE STREAM s (k STRING KEY, v BIGINT) WITH (kafka_topic='in', value_format='DELIMITED', partitions=1);
        CREATE TABLE t (k STRING PRIMARY KEY, w STRING) WITH (kafka_topic='tab', value_format='DELIMITED', partitions=1);
        CREATE STREAM joined AS SELECT s.k AS k, v, t.w AS w FROM s LEFT JOIN t ON s.k = t.k;";
    let config = DriverConfig { resident_bytes_max: 1, ..DriverConfig::default() };
    let mut fixture = Fixture::new(statements, config);
    let of_each = |topic: &'static str, time: i64| -> Vec<Input> {
        (0..100).map(|n| input(topic, &format!("k{n}"), &n.to_string(), time)).collect()
    };
    fixture.produce(&of_each("tab", 1));
    fixture.driver.run().expect("queries run");
    fixture.produce(&of_each("in", 2));
    fixture.driver.run().expect("queries run");
    let expected: Vec<String> = (0..100).map(|n| format!("k{n} => {n},{n} @ 2")).collect();
    assert_eq!(fixture.outputs("JOINED"), expected);
}
