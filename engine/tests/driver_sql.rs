//! Operators through the topology driver, from SQL text to record bytes.

use crate::driver_harness::{check, input};

const STREAM: &str = "CREATE STREAM s (k STRING KEY, v BIGINT, w STRING) WITH (kafka_topic='in', value_format='DELIMITED', partitions=1);";
const TABLE: &str = "CREATE TABLE t (k STRING PRIMARY KEY, v BIGINT, w STRING) WITH (kafka_topic='in', value_format='DELIMITED', partitions=1);";

#[test]
fn streams_are_filtered_and_projected() {
    let out = check(
        &format!("{STREAM} CREATE STREAM o AS SELECT k, v + 1 AS v1, UCASE(w) AS u FROM s WHERE v > 1;"),
        &[
            input("in", "a", "1,x", 1),
            input("in", "b", "2,y", 2),
            input("in", "-", "3,z", 3),
            input("in", "c", "-", 4),
        ],
        "O",
    );
    assert_eq!(out, ["b => 3,Y @ 2", "- => 4,Z @ 3"]);
}

#[test]
fn rows_that_leave_a_table_filter_become_tombstones() {
    let out = check(
        &format!("{TABLE} CREATE TABLE o AS SELECT k, v FROM t WHERE v > 1;"),
        &[
            input("in", "a", "1,x", 1),
            input("in", "a", "2,x", 2),
            input("in", "a", "0,x", 3),
            input("in", "a", "0,x", 4),
            input("in", "a", "5,x", 5),
            input("in", "a", "-", 6),
        ],
        "O",
    );
    assert_eq!(out, ["a => 2 @ 2", "a => - @ 3", "a => 5 @ 5", "a => - @ 6"]);
}

#[test]
fn groups_count_and_sum_with_every_change_emitted() {
    let out = check(
        &format!("{STREAM} CREATE TABLE o AS SELECT w, COUNT(*) AS n, SUM(v) AS total FROM s GROUP BY w;"),
        &[
            input("in", "a", "1,x", 10),
            input("in", "a", "2,y", 5),
            input("in", "a", "3,x", 3),
            input("in", "a", "4,", 20),
            input("in", "a", "-", 20),
            input("in", "a", "5,y", 30),
        ],
        "O",
    );
    assert_eq!(out, ["x => 1,1 @ 10", "y => 1,2 @ 5", "x => 2,4 @ 10", "y => 2,7 @ 30"]);
}

#[test]
fn having_takes_back_groups_that_no_longer_pass() {
    let out = check(
        &format!("{STREAM} CREATE TABLE o AS SELECT k, SUM(v) AS total FROM s GROUP BY k HAVING SUM(v) > 2;"),
        &[
            input("in", "a", "1,x", 1),
            input("in", "a", "2,x", 2),
            input("in", "a", "-3,x", 3),
            input("in", "a", "0,x", 4),
            input("in", "a", "9,x", 5),
        ],
        "O",
    );
    assert_eq!(out, ["a => 3 @ 2", "a => - @ 3", "a => 9 @ 5"]);
}

#[test]
fn table_aggregation_moves_rows_between_groups() {
    let out = check(
        &format!("{TABLE} CREATE TABLE o AS SELECT w, COUNT(*) AS n, SUM(v) AS total FROM t GROUP BY w;"),
        &[
            input("in", "a", "1,x", 1),
            input("in", "b", "2,x", 2),
            input("in", "a", "5,x", 3),
            input("in", "a", "5,y", 4),
            input("in", "b", "-", 5),
            input("in", "c", "-", 6),
        ],
        "O",
    );
    assert_eq!(
        out,
        ["x => 1,1 @ 1", "x => 2,3 @ 2", "x => 2,7 @ 3", "x => 1,2 @ 4", "y => 1,5 @ 4", "x => 0,0 @ 5"]
    );
}

#[test]
fn tumbling_windows_drop_what_is_later_than_grace() {
    let out = check(
        &format!(
            "{STREAM} CREATE TABLE o AS SELECT k, COUNT(*) AS n FROM s \
             WINDOW TUMBLING (SIZE 10 MILLISECONDS, GRACE PERIOD 5 MILLISECONDS) GROUP BY k;"
        ),
        &[
            input("in", "a", "1,x", 3),
            input("in", "a", "1,x", 14),
            input("in", "a", "1,x", 9),
            input("in", "a", "1,x", 15),
            input("in", "a", "1,x", 9),
            input("in", "b", "1,x", 12),
        ],
        "O",
    );
    assert_eq!(out, ["a@0 => 1 @ 3", "a@10 => 1 @ 14", "a@0 => 2 @ 9", "a@10 => 2 @ 15", "b@10 => 1 @ 12"]);
}

#[test]
fn hopping_windows_overlap() {
    let out = check(
        &format!(
            "{STREAM} CREATE TABLE o AS SELECT k, SUM(v) AS n FROM s \
             WINDOW HOPPING (SIZE 10 MILLISECONDS, ADVANCE BY 5 MILLISECONDS) GROUP BY k;"
        ),
        &[input("in", "a", "1,x", 3), input("in", "a", "2,x", 7), input("in", "a", "4,x", 12)],
        "O",
    );
    assert_eq!(out, ["a@0 => 1 @ 3", "a@0 => 3 @ 7", "a@5 => 2 @ 7", "a@5 => 6 @ 12", "a@10 => 4 @ 12"]);
}

#[test]
fn sessions_merge_and_take_back_the_old_ones() {
    let out = check(
        &format!(
            "{STREAM} CREATE TABLE o AS SELECT k, SUM(v) AS n, COLLECT_LIST(v) AS l FROM s \
             WINDOW SESSION (10 MILLISECONDS) GROUP BY k;"
        )
        .replace("DELIMITED", "JSON"),
        &[
            input("in", "a", r#"{"V":1}"#, 10),
            input("in", "a", r#"{"V":2}"#, 30),
            input("in", "a", r#"{"V":4}"#, 20),
            input("in", "a", r#"{"V":8}"#, 25),
            input("in", "b", r#"{"V":1}"#, 25),
            input("in", "b", r#"{"V":2}"#, 25),
        ],
        "O",
    );
    assert_eq!(
        out,
        [
            r#"a@10..10 => {"N":1,"L":[1]} @ 10"#,
            r#"a@30..30 => {"N":2,"L":[2]} @ 30"#,
            "a@10..10 => - @ 10",
            "a@30..30 => - @ 30",
            r#"a@10..30 => {"N":7,"L":[1,2,4]} @ 30"#,
            "a@10..30 => - @ 30",
            r#"a@10..30 => {"N":15,"L":[1,2,4,8]} @ 30"#,
            r#"b@25..25 => {"N":1,"L":[1]} @ 25"#,
            r#"b@25..25 => {"N":3,"L":[1,2]} @ 25"#,
        ]
    );
}

#[test]
fn final_results_come_once_when_windows_close() {
    let out = check(
        &format!(
            "{STREAM} CREATE TABLE o AS SELECT k, COUNT(*) AS n FROM s \
             WINDOW TUMBLING (SIZE 10 MILLISECONDS, GRACE PERIOD 2 MILLISECONDS) GROUP BY k EMIT FINAL;"
        ),
        &[
            input("in", "b", "1,x", 3),
            input("in", "a", "1,x", 4),
            input("in", "a", "1,x", 11),
            input("in", "a", "1,x", 5),
            input("in", "a", "1,x", 12),
            input("in", "a", "1,x", 5),
            input("in", "a", "1,x", 50),
        ],
        "O",
    );
    assert_eq!(out, ["a@0 => 2 @ 5", "b@0 => 1 @ 3", "a@10 => 2 @ 12"]);
}

#[test]
fn stream_table_join_sees_the_table_as_it_is() {
    let statements = "CREATE STREAM s (k STRING KEY, v BIGINT) WITH (kafka_topic='in', value_format='DELIMITED', partitions=1);
        CREATE TABLE t (k STRING PRIMARY KEY, w STRING) WITH (kafka_topic='tab', value_format='DELIMITED', partitions=1);
        CREATE STREAM i AS SELECT s.k AS k, v, w FROM s JOIN t ON s.k = t.k;
        CREATE STREAM l AS SELECT s.k AS k, v, w FROM s LEFT JOIN t ON s.k = t.k;";
    let inputs = [
        input("in", "a", "1", 1),
        input("tab", "a", "x", 2),
        input("in", "a", "2", 1),
        input("in", "b", "3", 3),
        input("in", "-", "4", 3),
        input("tab", "a", "y", 4),
        input("in", "a", "5", 5),
        input("in", "a", "-", 5),
        input("tab", "a", "-", 6),
        input("in", "a", "6", 7),
    ];
    assert_eq!(check(statements, &inputs, "I"), ["a => 2,x @ 1", "a => 5,y @ 5"]);
    assert_eq!(
        check(statements, &inputs, "L"),
        ["a => 1, @ 1", "a => 2,x @ 1", "b => 3, @ 3", "- => 4, @ 3", "a => 5,y @ 5", "a => 6, @ 7"]
    );
}

fn table_join(kind: &str) -> Vec<String> {
    let statements = format!(
        "CREATE TABLE a (k STRING PRIMARY KEY, v STRING) WITH (kafka_topic='left', value_format='DELIMITED', partitions=1);
         CREATE TABLE b (k STRING PRIMARY KEY, w STRING) WITH (kafka_topic='right', value_format='DELIMITED', partitions=1);
         CREATE TABLE o AS SELECT {} AS k, v, w FROM a {kind} JOIN b ON a.k = b.k;",
        match kind {
            "RIGHT" => "b.k",
            "FULL OUTER" => "ROWKEY",
            _ => "a.k",
        }
    );
    let inputs = [
        input("left", "1", "l1", 1),
        input("right", "1", "r1", 5),
        input("left", "1", "l2", 3),
        input("right", "2", "r2", 6),
        input("right", "1", "-", 7),
        input("left", "1", "-", 8),
        input("right", "2", "-", 9),
    ];
    check(&statements, &inputs, "O")
}

#[test]
fn table_table_join_matrix() {
    assert_eq!(table_join("INNER"), ["1 => l1,r1 @ 5", "1 => l2,r1 @ 5", "1 => - @ 7"]);
    assert_eq!(
        table_join("LEFT"),
        ["1 => l1, @ 1", "1 => l1,r1 @ 5", "1 => l2,r1 @ 5", "1 => l2, @ 7", "1 => - @ 8"]
    );
    assert_eq!(
        table_join("RIGHT"),
        ["1 => l1,r1 @ 5", "1 => l2,r1 @ 5", "2 => ,r2 @ 6", "1 => - @ 7", "2 => - @ 9"]
    );
    assert_eq!(
        table_join("FULL OUTER"),
        [
            "1 => l1, @ 1",
            "1 => l1,r1 @ 5",
            "1 => l2,r1 @ 5",
            "2 => ,r2 @ 6",
            "1 => l2, @ 7",
            "1 => - @ 8",
            "2 => - @ 9"
        ]
    );
}

fn stream_join(kind: &str, within: &str) -> Vec<String> {
    let statements = format!(
        "CREATE STREAM a (k STRING KEY, v STRING) WITH (kafka_topic='left', value_format='DELIMITED', partitions=1);
         CREATE STREAM b (k STRING KEY, w STRING) WITH (kafka_topic='right', value_format='DELIMITED', partitions=1);
         CREATE STREAM o AS SELECT {} AS k, v, w FROM a {kind} JOIN b WITHIN {within} ON a.k = b.k;",
        match kind {
            "RIGHT" => "b.k",
            "FULL OUTER" => "ROWKEY",
            _ => "a.k",
        }
    );
    let inputs = [
        input("left", "1", "l1", 10),
        input("right", "1", "r1", 15),
        input("right", "1", "r2", 25),
        input("left", "2", "l2", 20),
        input("left", "-", "l3", 20),
        input("right", "3", "r3", 100),
        input("left", "4", "l4", 200),
    ];
    check(&statements, &inputs, "O")
}

#[test]
fn stream_stream_join_matrix() {
    let within = "10 MILLISECONDS GRACE PERIOD 5 MILLISECONDS";
    assert_eq!(stream_join("INNER", within), ["1 => l1,r1 @ 15"]);
    assert_eq!(stream_join("LEFT", within), ["1 => l1,r1 @ 15", "- => l3, @ 20", "2 => l2, @ 20"]);
    assert_eq!(stream_join("RIGHT", within), ["1 => l1,r1 @ 15", "1 => ,r2 @ 25", "3 => ,r3 @ 100"]);
    assert_eq!(
        stream_join("FULL OUTER", within),
        ["1 => l1,r1 @ 15", "- => l3, @ 20", "2 => l2, @ 20", "1 => ,r2 @ 25", "3 => ,r3 @ 100"]
    );
    assert_eq!(
        stream_join("LEFT", "10 MILLISECONDS"),
        ["1 => l1, @ 10", "1 => l1,r1 @ 15", "2 => l2, @ 20", "- => l3, @ 20", "4 => l4, @ 200"]
    );
}

#[test]
fn foreign_key_join_follows_both_sides() {
    let statements = |kind: &str| {
        format!(
            "CREATE TABLE a (k STRING PRIMARY KEY, f STRING, v STRING) WITH (kafka_topic='left', value_format='DELIMITED', partitions=1);
             CREATE TABLE b (k STRING PRIMARY KEY, w STRING) WITH (kafka_topic='right', value_format='DELIMITED', partitions=1);
             CREATE TABLE o AS SELECT a.k AS k, v, w FROM a {kind} JOIN b ON a.f = b.k;"
        )
    };
    let inputs = [
        input("left", "1", "x,l1", 1),
        input("right", "x", "r1", 2),
        input("left", "2", "x,l2", 3),
        input("right", "x", "r2", 4),
        input("left", "1", "y,l1", 5),
        input("right", "x", "-", 6),
        input("left", "2", "-", 7),
    ];
    assert_eq!(
        check(&statements("INNER"), &inputs, "O"),
        [
            "1 => l1,r1 @ 2",
            "2 => l2,r1 @ 3",
            "1 => l1,r2 @ 4",
            "2 => l2,r2 @ 4",
            "1 => - @ 5",
            "2 => - @ 6",
            "2 => - @ 7"
        ]
    );
    assert_eq!(
        check(&statements("LEFT"), &inputs, "O"),
        [
            "1 => l1, @ 1",
            "1 => l1,r1 @ 2",
            "2 => l2,r1 @ 3",
            "1 => l1,r2 @ 4",
            "2 => l2,r2 @ 4",
            "1 => l1, @ 5",
            "2 => l2, @ 6",
            "2 => - @ 7"
        ]
    );
}

#[test]
fn partition_by_and_explode() {
    let statements = "CREATE STREAM s (k STRING KEY, a ARRAY<STRING>) WITH (kafka_topic='in', value_format='JSON', partitions=1);
        CREATE STREAM e AS SELECT k, EXPLODE(a) AS x FROM s;
        CREATE STREAM p AS SELECT x, k FROM e PARTITION BY x;";
    let inputs = [
        input("in", "1", r#"{"A":["p","q"]}"#, 1),
        input("in", "2", r#"{"A":[]}"#, 2),
        input("in", "3", r#"{"A":[null]}"#, 3),
    ];
    assert_eq!(
        check(statements, &inputs, "E"),
        [r#"1 => {"X":"p"} @ 1"#, r#"1 => {"X":"q"} @ 1"#, r#"3 => {"X":null} @ 3"#]
    );
    assert_eq!(
        check(statements, &inputs, "P"),
        [r#"p => {"K":"1"} @ 1"#, r#"q => {"K":"1"} @ 1"#, r#"- => {"K":"3"} @ 3"#]
    );
}
