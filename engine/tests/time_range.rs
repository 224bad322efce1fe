//! Times at the ends of what a timestamp can be. A row that no window can take costs that row: it is reported, nothing waits for
//! ever, and stream time stays where it is, so that later rows are not late.

use crate::driver_harness::{Fixture, Input, input, run};
use weir_engine::driver::DriverConfig;

const STREAMS: &str = "
    CREATE STREAM s (k STRING KEY, v BIGINT) WITH (kafka_topic='in', value_format='DELIMITED', partitions=1);
    CREATE STREAM s2 (k STRING KEY, x BIGINT) WITH (kafka_topic='in2', value_format='DELIMITED', partitions=1);";

/// Every use of time in a query.
fn queries() -> Vec<String> {
    let windows = [
        "TUMBLING (SIZE 1 HOUR)",
        "TUMBLING (SIZE 1 MILLISECOND, GRACE PERIOD 0 MILLISECONDS)",
        "TUMBLING (SIZE 1 HOUR, GRACE PERIOD 9223372036854775807 MILLISECONDS)",
        "HOPPING (SIZE 1 HOUR, ADVANCE BY 7 SECONDS, GRACE PERIOD 1 DAY)",
        "SESSION (5 SECONDS)",
        "SESSION (1 DAY, GRACE PERIOD 2 DAYS)",
    ];
    let mut queries = Vec::new();
    for window in windows {
        for emit in ["CHANGES", "FINAL"] {
            queries.push(format!(
                "CREATE TABLE o AS SELECT k, COUNT(*) AS n FROM s WINDOW {window} GROUP BY k EMIT {emit};"
            ));
        }
    }
    for kind in ["", "LEFT", "RIGHT", "FULL OUTER"] {
        for within in ["1 HOUR", "1 HOUR GRACE PERIOD 1 DAY", "(0 SECONDS, 1 DAY) GRACE PERIOD 0 SECONDS"] {
            let key = match kind {
                "RIGHT" => "s2.k",
                "FULL OUTER" => "ROWKEY",
                _ => "s.k",
            };
            queries.push(format!(
                "CREATE STREAM o AS SELECT {key} AS k, v, x FROM s {kind} JOIN s2 WITHIN {within} ON s.k = s2.k;"
            ));
        }
    }
    queries
}

fn ordinary() -> Vec<Input> {
    let hour = 3_600_000;
    let times = [1_000, 2_000, hour, 3 * hour, 3 * hour + 1, 100 * hour];
    let rows = times.iter().flat_map(|t| [input("in", "a", "1", *t), input("in2", "a", "2", *t)]);
    rows.collect()
}

#[test]
fn rows_that_no_window_can_take_cost_themselves_only() {
    for query in queries() {
        let statements = format!("{STREAMS}{query}");
        let expected = run(&statements, &ordinary(), "O", DriverConfig::default());
        for time in [i64::MAX, i64::MIN, i64::MIN + 1, -1] {
            let mut inputs = Vec::new();
            for row in ordinary() {
                inputs.extend([input("in", "a", "9", time), input("in2", "b", "9", time), row]);
            }
            let mut fixture = Fixture::new(&statements, DriverConfig::default());
            fixture.produce(&inputs);
            fixture.driver.run().expect("queries run");
            assert_eq!(fixture.outputs("O"), expected, "{query} with rows at {time}");
            let word = if time < 0 { "negative timestamp" } else { "too large for a window" };
            let reports = fixture.reports().into_iter().filter(|r| r.contains(word)).count();
            let sources = if query.contains("JOIN") { 2 } else { 1 };
            assert_eq!(reports, sources * ordinary().len(), "{query} with rows at {time}");
        }
    }
}

/// The last times that windows can take move stream time, as any time does in Kafka Streams; nothing overflows.
#[test]
fn the_last_times_that_windows_take_are_ordinary() {
    let day = 24 * 3_600_000;
    for query in queries() {
        let statements = format!("{STREAMS}{query}");
        for time in
            [i64::MAX - 10 * day, i64::MAX - day, i64::MAX - 3_600_000, i64::MAX - 5_000, i64::MAX - 1]
        {
            let times = [5, time - 1, time, 6, time + 1];
            let inputs: Vec<Input> =
                times.iter().flat_map(|t| [input("in", "a", "1", *t), input("in2", "a", "2", *t)]).collect();
            let whole = run(&statements, &inputs, "O", DriverConfig::default());
            let cut = DriverConfig {
                batch_rows: weir_engine::driver::BatchRows::Rows(1),
                restart: weir_engine::driver::Restart::DiscardState,
                commit_records: Some(1),
                ..DriverConfig::default()
            };
            assert_eq!(run(&statements, &inputs, "O", cut), whole, "{query} at {time}");
        }
    }
    let tumbling =
        "CREATE TABLE o AS SELECT k, COUNT(*) AS n FROM s WINDOW TUMBLING (SIZE 10 MILLISECONDS) GROUP BY k;";
    let inputs = [input("in", "a", "1", i64::MAX - 10)];
    let out = run(&format!("{STREAMS}{tumbling}"), &inputs, "O", DriverConfig::default());
    assert_eq!(out, [format!("a@{} => 1 @ {}", i64::MAX - 17, i64::MAX - 10)]);
}

/// The same through a column that gives the time.
#[test]
fn times_of_a_column_are_no_different() {
    let statements = |window: &str| {
        format!(
            "CREATE STREAM s (k STRING KEY, ts BIGINT) WITH \
                 (kafka_topic='in', value_format='DELIMITED', partitions=1, timestamp='ts');
             CREATE TABLE o AS SELECT k, COUNT(*) AS n FROM s WINDOW {window} GROUP BY k;"
        )
    };
    for (window, expected) in [
        ("TUMBLING (SIZE 1 HOUR)", ["a@0 => 1 @ 1000", "a@0 => 2 @ 2000"].as_slice()),
        (
            "SESSION (1 HOUR)",
            &["a@1000..1000 => 1 @ 1000", "a@1000..1000 => - @ 1000", "a@1000..2000 => 2 @ 2000"],
        ),
    ] {
        let values = ["1000", "9223372036854775807", "-9223372036854775808", "-1", "", "2000"];
        let inputs: Vec<Input> = values.iter().map(|v| input("in", "a", v, 7)).collect();
        assert_eq!(run(&statements(window), &inputs, "O", DriverConfig::default()), expected, "{window}");
    }
}
