//! The `weir` binary: the SQL shell, servers, migrations, Kafka tools, benchmarks, the demo.

pub mod bench;
pub mod cli;
pub mod client;
pub mod demo;
pub mod durability;
pub mod input;
pub mod kafka_tools;
pub mod migrate;
pub mod render;
pub mod session;
pub mod testing;
