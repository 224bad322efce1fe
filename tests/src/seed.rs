//! Chance that can be repeated.

use rand::SeedableRng;
use rand::rngs::StdRng;

/// The seed of a run: the number in `WEIR_SEED`, a random one for `WEIR_SEED=random`, else always the same. Prints the
/// command that repeats the run.
pub fn announce(test: &str) -> u64 {
    let seed = weir_broker::env::rng::test_seed();
    let commit = std::process::Command::new("git").args(["rev-parse", "--short", "HEAD"]).output();
    let commit = commit.map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned()).unwrap_or_default();
    println!(
        "seed={seed} commit={commit}; again: WEIR_SEED={seed} tests/cargo.sh test --test node_suite {test} -- --nocapture"
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
