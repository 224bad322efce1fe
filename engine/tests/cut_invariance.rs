//! Random inputs: the outcome of every operator must not depend on batches, commits or interruptions.

use crate::driver_harness::{Input, check, partitioned, run};
use proptest::prelude::{ProptestConfig, Strategy, proptest};
use weir_engine::driver::{BatchRows, DriverConfig};

const SOURCES: &str = "
    CREATE STREAM s (k STRING KEY, v BIGINT, w STRING) WITH (kafka_topic='s', value_format='DELIMITED', partitions=3);
    CREATE STREAM s2 (k STRING KEY, x BIGINT, y STRING) WITH (kafka_topic='s2', value_format='DELIMITED', partitions=3);
    CREATE TABLE t (k STRING PRIMARY KEY, v BIGINT, w STRING) WITH (kafka_topic='t', value_format='DELIMITED', partitions=3);
    CREATE TABLE t2 (k STRING PRIMARY KEY, x BIGINT, y STRING) WITH (kafka_topic='t2', value_format='DELIMITED', partitions=3);";

/// Every shape of query that keeps state.
const QUERIES: [&str; 14] = [
    "CREATE TABLE o AS SELECT w, COUNT(*) AS n, SUM(v) AS total, COUNT(v) AS c FROM s GROUP BY w;",
    "CREATE TABLE o AS SELECT k, SUM(v) AS total FROM s GROUP BY k HAVING SUM(v) > 10;",
    "CREATE TABLE o AS SELECT w, COUNT(*) AS n, SUM(v) AS total FROM s WINDOW TUMBLING (SIZE 20 MILLISECONDS, GRACE PERIOD 10 MILLISECONDS) GROUP BY w;",
    "CREATE TABLE o AS SELECT k, MAX(v) AS m FROM s WINDOW HOPPING (SIZE 30 MILLISECONDS, ADVANCE BY 10 MILLISECONDS, GRACE PERIOD 5 MILLISECONDS) GROUP BY k;",
    "CREATE TABLE o AS SELECT k, COUNT(*) AS n FROM s WINDOW SESSION (8 MILLISECONDS, GRACE PERIOD 10 MILLISECONDS) GROUP BY k HAVING COUNT(*) < 4;",
    "CREATE TABLE o AS SELECT k, SUM(v) AS n FROM s WINDOW TUMBLING (SIZE 20 MILLISECONDS, GRACE PERIOD 10 MILLISECONDS) GROUP BY k EMIT FINAL;",
    "CREATE TABLE o AS SELECT k, SUM(v) AS n FROM s WINDOW SESSION (8 MILLISECONDS, GRACE PERIOD 10 MILLISECONDS) GROUP BY k EMIT FINAL;",
    "CREATE TABLE o AS SELECT w, COUNT(*) AS n, SUM(v) AS total FROM t GROUP BY w;",
    "CREATE TABLE o AS SELECT k, v FROM t WHERE v > 5;",
    "CREATE STREAM o AS SELECT s.k AS k, v, x FROM s LEFT JOIN t2 ON s.k = t2.k;",
    "CREATE TABLE o AS SELECT t.k AS k, v, x FROM t LEFT JOIN t2 ON t.k = t2.k WHERE v > 2;",
    "CREATE TABLE o AS SELECT ROWKEY AS k, v, x FROM t FULL OUTER JOIN t2 ON t.k = t2.k;",
    "CREATE STREAM o AS SELECT ROWKEY AS k, v, x FROM s FULL OUTER JOIN s2 WITHIN 10 MILLISECONDS GRACE PERIOD 5 MILLISECONDS ON s.k = s2.k;",
    "CREATE TABLE o AS SELECT t.k AS k, v, x FROM t LEFT JOIN t2 ON t.w = t2.k;",
];

fn inputs() -> impl Strategy<Value = Vec<Input>> {
    let row = (0..4_usize, 0..4_u8, 0..9_u8, 0..12_i64, 0..4_u8, 0..100_i64);
    proptest::collection::vec(row, 1..40).prop_map(|rows| {
        rows.into_iter()
            .enumerate()
            .map(|(i, (topic, key, null, v, w, jitter))| Input {
                topic: ["s", "s2", "t", "t2"][topic],
                key: (null != 1).then(|| format!("k{key}")),
                value: (null != 0).then(|| format!("{v},k{w}")),
                timestamp: (i as i64 * 4 + jitter / 10 * if jitter % 7 == 0 { 10 } else { 1 }
                    - jitter % 5 * 3)
                    .max(0),
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn outcome_does_not_depend_on_batches(inputs in inputs()) {
        for query in QUERIES {
            check(&format!("{SOURCES}{query}"), &inputs, "O");
        }
    }

    /// Tasks per partition give each key the rows it would get in one task, where time does not matter.
    #[test]
    fn partitions_do_not_change_the_outcome_of_a_key(inputs in inputs()) {
        for query in [QUERIES[0], QUERIES[1], QUERIES[7], QUERIES[8], QUERIES[9], QUERIES[10], QUERIES[11]] {
            let statements = format!("{SOURCES}{query}");
            let by_key = |config: DriverConfig| {
                let mut out = run(&statements, &inputs, "O", config);
                out.sort_by_key(|line| line.split(" => ").next().map(str::to_owned));
                out
            };
            let whole = by_key(partitioned());
            assert_eq!(whole, by_key(DriverConfig { batch_rows: BatchRows::Rows(1), ..partitioned() }));
            assert_eq!(whole, by_key(DriverConfig::default()), "{query}");
        }
    }
}
