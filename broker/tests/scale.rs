//! Many partitions, many connections, and peers that mean harm, against a broker in a process of its own.
//!
//! | variable | what it sets | in `make test` |
//! |---|---|---|
//! | `WEIR_SCALE_PARTITIONS` | partitions of a node | 300 |
//! | `WEIR_SCALE_CONNECTIONS` | connections open at a time | 2,000 |
//! | `WEIR_SCALE_GROUPS` | consumer groups of ten members | 200 |
//! | `WEIR_SCALE_STORM` | connections made one after the other | 3,000 |
//! | `WEIR_SCALE_FRAMES` | malformed frames | 10,000 |
//! | `WEIR_SCALE_SLOW` | connections that send a byte at a time | 60 |
//! | `WEIR_SEED` | the seed of what is malformed, or `random` | always the same |
//!
//! `tests/cargo.sh test --test broker_suite scale -- --nocapture --test-threads=1` prints the figures.

mod child;
mod connections;
mod consumers;
mod crowd;
mod garbage;
mod partitions;
mod traffic;

/// A number from the environment.
fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}
