//! Windows after their final result: pull queries see them until their retention has passed. Source: recordings of ksqlDB.

use crate::driver_harness::{Fixture, check, input};
use weir_engine::driver::DriverConfig;

const STREAM: &str = "CREATE STREAM s (k STRING KEY, v BIGINT) WITH (kafka_topic='in', value_format='DELIMITED', partitions=1);";

fn counts(window: &str, emit: &str) -> String {
    format!("{STREAM} CREATE TABLE o AS SELECT k, COUNT(*) AS n FROM s WINDOW {window} GROUP BY k {emit};")
}

/// Start and end of the windows that are stored after a row at each of these times, the state restored in between.
fn stored_after(statements: &str, times: &[i64]) -> Vec<Vec<(i64, i64)>> {
    let mut fixture = Fixture::new(statements, DriverConfig::default());
    let step = |time: &i64| {
        fixture.produce(&[input("in", "a", "1", *time)]);
        fixture.driver.run().expect("queries run");
        fixture.driver.restart().expect("state is restored");
        fixture.stored_windows()
    };
    times.iter().map(step).collect()
}

#[test]
fn closed_windows_stay_until_their_retention_has_passed() {
    let tumbling = "TUMBLING (SIZE 10 MILLISECONDS, RETENTION 40 MILLISECONDS, GRACE PERIOD 2 MILLISECONDS)";
    for emit in ["EMIT FINAL", "EMIT CHANGES"] {
        let stored = stored_after(&counts(tumbling, emit), &[3, 12, 39, 40]);
        assert_eq!(stored[1], [(0, 10), (10, 20)], "{emit}: closed at 12");
        assert_eq!(stored[2], [(0, 10), (10, 20), (30, 40)], "{emit}: retained at 39");
        assert_eq!(stored[3], [(10, 20), (30, 40), (40, 50)], "{emit}: expired at 40");
    }
    let hopping = "HOPPING (SIZE 10 MILLISECONDS, ADVANCE BY 5 MILLISECONDS, RETENTION 30 MILLISECONDS, \
                   GRACE PERIOD 0 MILLISECONDS)";
    let stored = stored_after(&counts(hopping, "EMIT FINAL"), &[7, 29, 30]);
    assert_eq!(stored[1], [(0, 10), (5, 15), (20, 30), (25, 35)]);
    assert_eq!(stored[2], [(5, 15), (20, 30), (25, 35), (30, 40)]);
}

#[test]
fn closed_windows_come_out_once_although_they_stay() {
    let tumbling =
        "TUMBLING (SIZE 10 MILLISECONDS, RETENTION 1000 MILLISECONDS, GRACE PERIOD 2 MILLISECONDS)";
    let times = [3, 4, 12, 5, 25, 31, 60, 61];
    let inputs: Vec<_> = times.iter().map(|t| input("in", "a", "1", *t)).collect();
    assert_eq!(
        check(&counts(tumbling, "EMIT FINAL"), &inputs, "O"),
        ["a@0 => 2 @ 4", "a@10 => 1 @ 12", "a@20 => 1 @ 25", "a@30 => 1 @ 31"]
    );
}

/// At the end of its retention a session is gone.
#[test]
fn sessions_stay_until_their_retention_has_passed() {
    let window = "SESSION (5 MILLISECONDS, RETENTION 50 MILLISECONDS, GRACE PERIOD 0 MILLISECONDS)";
    for emit in ["EMIT FINAL", "EMIT CHANGES"] {
        let stored = stored_after(&counts(window, emit), &[3, 20, 52, 53]);
        assert_eq!(stored[1], [(3, 3), (20, 20)], "{emit}: closed at 20");
        assert_eq!(stored[2], [(3, 3), (20, 20), (52, 52)], "{emit}: retained at 52");
        assert_eq!(stored[3], [(20, 20), (52, 53)], "{emit}: expired at 53");
    }
}

#[test]
fn closed_sessions_come_out_once_although_they_stay() {
    let window = "SESSION (5 MILLISECONDS, RETENTION 1000 MILLISECONDS, GRACE PERIOD 0 MILLISECONDS)";
    let inputs: Vec<_> = [3, 5, 20, 40, 60, 61].iter().map(|t| input("in", "a", "1", *t)).collect();
    assert_eq!(
        check(&counts(window, "EMIT FINAL"), &inputs, "O"),
        ["a@3..5 => 2 @ 5", "a@20..20 => 1 @ 20", "a@40..40 => 1 @ 40"]
    );
}

/// A session is final one millisecond after its retention would have ended, if that is no longer than gap and grace period.
#[test]
fn no_session_expires_before_its_final_result() {
    let window = "SESSION (5 MILLISECONDS, GRACE PERIOD 2 MILLISECONDS)";
    let inputs = [input("in", "a", "1", 3), input("in", "b", "1", 10), input("in", "b", "1", 11)];
    assert_eq!(check(&counts(window, "EMIT FINAL"), &inputs, "O"), ["a@3..3 => 1 @ 3"]);
}

/// As in Kafka Streams: a row within the grace period may still reach a session that is final, and makes it final again.
#[test]
fn final_sessions_that_grow_come_out_again() {
    let window = "SESSION (8 MILLISECONDS, RETENTION 100 MILLISECONDS, GRACE PERIOD 10 MILLISECONDS)";
    let times = [("a", 21), ("b", 40), ("a", 25), ("b", 80)];
    let inputs: Vec<_> = times.iter().map(|(key, t)| input("in", key, "1", *t)).collect();
    assert_eq!(
        check(&counts(window, "EMIT FINAL"), &inputs, "O"),
        ["a@21..21 => 1 @ 21", "a@21..25 => 2 @ 25", "b@40..40 => 1 @ 40"]
    );
}
