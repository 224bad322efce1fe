//! Rows that become very many: they come out in pieces, all of them, in order and once.

use std::collections::BTreeSet;

use crate::driver_harness::{Input, input, run};
use weir_engine::driver::{BatchRows, DriverConfig};
use weir_engine::operator::pieces::PieceLimit;
use weir_engine::topology::TopologyConfig;

#[test]
fn a_change_reaches_every_subscriber_of_a_foreign_key() {
    const SUBSCRIBERS: usize = 2_500;
    let statements = "
        CREATE TABLE a (k STRING PRIMARY KEY, f STRING) WITH (kafka_topic='left', value_format='DELIMITED', partitions=1);
        CREATE TABLE b (k STRING PRIMARY KEY, w STRING) WITH (kafka_topic='right', value_format='DELIMITED', partitions=1);
        CREATE TABLE o AS SELECT a.k AS k, w FROM a JOIN b ON a.f = b.k;";
    let mut inputs: Vec<Input> =
        (0..SUBSCRIBERS).map(|n| input("left", &format!("{n:04}"), "x", 1)).collect();
    inputs.extend([input("right", "x", "w1", 2), input("right", "y", "w", 2), input("right", "x", "-", 3)]);
    let piece = PieceLimit { rows_max: 1_000, ..PieceLimit::default() };
    let topology = TopologyConfig { piece, ..TopologyConfig::default() };
    let out = run(statements, &inputs, "O", DriverConfig { topology, ..DriverConfig::default() });
    assert_eq!(out.len(), 2 * SUBSCRIBERS);
    let expected =
        |value: &str| (0..SUBSCRIBERS).map(|n| format!("{n:04} => {value}")).collect::<BTreeSet<_>>();
    let actual = |part: &[String]| part.iter().cloned().collect::<BTreeSet<_>>();
    assert_eq!(actual(&out[..SUBSCRIBERS]), expected("w1 @ 2"));
    assert_eq!(actual(&out[SUBSCRIBERS..]), expected("- @ 3"));
}

#[test]
fn long_arrays_and_wide_rows_explode_in_order() {
    const ELEMENTS: usize = 40_000;
    let statements = "
        CREATE STREAM s (k STRING KEY, a ARRAY<BIGINT>, b ARRAY<STRING>, w STRING) WITH
            (kafka_topic='in', value_format='JSON', partitions=1);
        CREATE STREAM o AS SELECT k, EXPLODE(a) AS x, EXPLODE(b) AS y, LEN(w) AS n FROM s;";
    let list = (0..ELEMENTS).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    let wide = "w".repeat(2_000);
    let row = |a: &str| input("in", "k", &format!(r#"{{"A":[{a}],"B":["p","q"],"W":"{wide}"}}"#), 7);
    let inputs = [row("1"), row(""), row(&list), row("5,6,7")];
    for batch_rows in [BatchRows::Whole, BatchRows::Rows(1)] {
        let out = run(statements, &inputs, "O", DriverConfig { batch_rows, ..DriverConfig::default() });
        let line = |x: String, y: &str| format!(r#"k => {{"X":{x},"Y":{y},"N":2000}} @ 7"#);
        let pair = ["\"p\"", "\"q\""];
        let mut expected = vec![line("1".to_owned(), pair[0]), line("null".to_owned(), pair[1])];
        expected.extend([line("null".to_owned(), pair[0]), line("null".to_owned(), pair[1])]);
        let y = |n: usize| pair.get(n).copied().unwrap_or("null");
        expected.extend((0..ELEMENTS).map(|n| line(n.to_string(), y(n))));
        expected.extend((0..3).map(|n| line((n + 5).to_string(), y(n))));
        assert!(out == expected, "{batch_rows:?}: {} rows, {} expected", out.len(), expected.len());
    }
}

#[test]
fn rows_of_many_windows_are_counted_in_each() {
    const WINDOWS: i64 = 2_000;
    let statements = format!(
        "CREATE STREAM s (k STRING KEY, v BIGINT) WITH (kafka_topic='in', value_format='DELIMITED', partitions=1);
         CREATE TABLE o AS SELECT k, COUNT(*) AS n FROM s WINDOW HOPPING
             (SIZE {WINDOWS} MILLISECONDS, ADVANCE BY 1 MILLISECOND, GRACE PERIOD 0 MILLISECONDS) GROUP BY k;"
    );
    let inputs: Vec<Input> = (0..100).map(|n| input("in", "a", "1", 10_000 + n)).collect();
    let out = run(&statements, &inputs, "O", DriverConfig::default());
    assert_eq!(out.len(), inputs.len() * WINDOWS as usize);
    assert_eq!(out[0], format!("a@{} => 1 @ 10000", 10_001 - WINDOWS));
    assert_eq!(out.last(), Some(&"a@10099 => 1 @ 10099".to_owned()));
    assert_eq!(out[out.len() - WINDOWS as usize], format!("a@{} => 100 @ 10099", 10_100 - WINDOWS));
}
