//! Chance that can be repeated.

use rand::SeedableRng;
use rand::rngs::StdRng;

/// The seed of a run: `WEIR_SEED`, else another one every time. Prints how to repeat the run.
pub fn announce(test: &str) -> u64 {
    let seed: u64 = number("WEIR_SEED").unwrap_or_else(rand::random);
    let commit = std::process::Command::new("git").args(["rev-parse", "--short", "HEAD"]).output();
    let commit = commit.map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned()).unwrap_or_default();
    println!(
        "seed={seed} commit={commit}; again: WEIR_SEED={seed} cargo test --release --workspace --test node_suite {test} -- --nocapture"
    );
    seed
}

/// The numbers of a seed.
pub fn random(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

/// A number out of the environment.
pub fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}
