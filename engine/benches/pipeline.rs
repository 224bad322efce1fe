//! Rows per second from topic to topic through commits: JSON in, filter and projection, JSON out.
//!
//! `cargo bench -p weir-engine --bench pipeline -- [rows] [workers]`

#[path = "../tests/runtime/faults.rs"]
#[expect(dead_code, reason = "shared with the tests of the runtime")]
mod faults;
#[path = "../tests/runtime/harness.rs"]
#[expect(dead_code, reason = "shared with the tests of the runtime")]
mod harness;

use std::time::{Duration, Instant};

use harness::Node;
use weir_broker::client::group_offsets;

fn main() {
    let mut numbers = std::env::args().filter_map(|a| a.parse::<usize>().ok());
    let rows = numbers.next().unwrap_or(1_000_000);
    let workers = numbers.next().unwrap_or(2);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(run(rows, workers));
}

async fn run(rows: usize, workers: usize) {
    let dir = tempfile::tempdir().expect("a directory");
    let mut node = Node::start(dir.path(), workers).await;
    node.execute(
        "CREATE STREAM s (k STRING KEY, id BIGINT, name STRING, price DOUBLE, qty INT) \
         WITH (KAFKA_TOPIC = 's', PARTITIONS = 2, KEY_FORMAT = 'KAFKA', VALUE_FORMAT = 'JSON');",
    )
    .await;
    for from in (0..rows).step_by(5_000) {
        let records: Vec<_> = (from..(from + 5_000).min(rows))
            .map(|i| {
                let value = format!(
                    "{{\"ID\":{i},\"NAME\":\"item {}\",\"PRICE\":{}.5,\"QTY\":{}}}",
                    i % 1_000,
                    i % 90,
                    i % 7
                );
                (format!("k{}", i % 1_000), Some(value))
            })
            .collect();
        node.produce("s", 2, from as i64, &records).await;
    }
    let begun = Instant::now();
    let id = node
        .execute(
            "CREATE STREAM o AS SELECT k, id, UCASE(name) AS n, price * qty AS total FROM s WHERE qty > 0;",
        )
        .await
        .expect("a query");
    let query = node.engine.query(&id).expect("running");
    loop {
        // Everything has arrived when every row's offset is committed.
        let offsets = group_offsets::fetch(&node.transport, &query.application_id).await.expect("offsets");
        if offsets.values().sum::<i64>() == rows as i64 {
            let seconds = begun.elapsed().as_secs_f64();
            println!(
                "{rows} rows in {seconds:.2} s: {:.0} rows/s with {workers} workers",
                rows as f64 / seconds
            );
            println!("{:?}", query.status().metrics);
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
