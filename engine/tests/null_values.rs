//! Records without a value, and the JSON text null, which is one. Source: recordings of ksqlDB.

use crate::driver_harness::{Fixture, input, run};
use weir_engine::driver::DriverConfig;

/// A record without a value has no time in its column: a stream drops and reports it; a table takes it as a tombstone.
#[test]
fn a_null_value_has_no_time_in_a_column() {
    let columns = "(k STRING PRIMARY KEY, ts BIGINT) WITH \
                   (kafka_topic='in', value_format='DELIMITED', partitions=1, timestamp='ts')";
    let inputs = [input("in", "a", "5", 100), input("in", "a", "-", 200), input("in", "b", "6", 300)];
    let stream = format!(
        "CREATE STREAM s {}; CREATE STREAM o AS SELECT k, ts FROM s;",
        columns.replace("PRIMARY ", "")
    );
    let mut fixture = Fixture::new(&stream, DriverConfig::default());
    fixture.produce(&inputs);
    fixture.driver.run().expect("queries run");
    assert_eq!(fixture.outputs("O"), ["a => 5 @ 5", "b => 6 @ 6"]);
    assert_eq!(fixture.reports().len(), 1);
    let table = format!("CREATE TABLE t {columns}; CREATE TABLE o AS SELECT k, ts FROM t;");
    let out = run(&table, &inputs, "O", DriverConfig::default());
    assert_eq!(out, ["a => 5 @ 5", "a => - @ 200", "b => 6 @ 6"]);
}

/// The text null is a value: a row of one NULL where the value is one bare column, else a record that cannot be read.
#[test]
fn the_text_null_is_no_tombstone() {
    let sum = |columns: &str, wrap: &str| {
        format!(
            "CREATE STREAM s (k STRING KEY, {columns}) WITH \
                 (kafka_topic='in', value_format='JSON', partitions=1{wrap});
             CREATE TABLE o AS SELECT k, SUM(v) AS total, COUNT(*) AS n FROM s GROUP BY k;"
        )
    };
    let bare = [input("in", "a", "3", 1), input("in", "a", "null", 2), input("in", "a", "-", 3)];
    let out = run(&sum("v BIGINT", ", wrap_single_value=false"), &bare, "O", DriverConfig::default());
    assert_eq!(out, [r#"a => {"TOTAL":3,"N":1} @ 1"#, r#"a => {"TOTAL":3,"N":2} @ 2"#]);
    let wrapped = [input("in", "a", r#"{"V":3}"#, 1), input("in", "a", "null", 2), input("in", "a", "-", 3)];
    let mut fixture = Fixture::new(&sum("v BIGINT, w BIGINT", ""), DriverConfig::default());
    fixture.produce(&wrapped);
    fixture.driver.run().expect("queries run");
    assert_eq!(fixture.outputs("O"), [r#"a => {"TOTAL":3,"N":1} @ 1"#]);
    assert_eq!(fixture.reports().len(), 1, "the text null is reported");
    let table = "CREATE TABLE t (k STRING PRIMARY KEY, v BIGINT) WITH (kafka_topic='in', value_format='JSON', partitions=1);
                 CREATE TABLE o AS SELECT k, v FROM t;";
    let out = run(table, &wrapped, "O", DriverConfig::default());
    assert_eq!(out, [r#"a => {"V":3} @ 1"#, "a => - @ 3"]);
}
