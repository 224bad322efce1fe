//! Chance, as a value that can be replaced.

use std::fmt::Debug;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng};
use uuid::Uuid;

/// A source of random bits.
pub trait Rng: Debug + Send + Sync {
    fn next_u64(&self) -> u64;

    /// Fills `bytes` with random bits.
    fn fill_bytes(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let random = self.next_u64().to_le_bytes();
            chunk.copy_from_slice(&random[..chunk.len()]);
        }
    }

    /// A random (version 4) UUID.
    fn uuid(&self) -> Uuid {
        let mut bytes = [0; 16];
        self.fill_bytes(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }

    /// A number below `bound`; 0 if `bound` is 0.
    fn below(&self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next_u64() % bound }
    }
}

/// Seed of randomized tests where `WEIR_SEED` names none.
const TEST_SEED: u64 = 20_261_130;

/// Seed of a randomized test: the number in `WEIR_SEED`, a random one for `WEIR_SEED=random`, else always the same.
///
/// # Panics
/// `WEIR_SEED` has another value: the test would not repeat what it is asked to.
#[must_use]
pub fn test_seed() -> u64 {
    match std::env::var("WEIR_SEED") {
        Ok(text) if text == "random" => rand::random(),
        Ok(text) => text.parse().expect("WEIR_SEED is a number or \"random\""),
        Err(_) => TEST_SEED,
    }
}

/// The operating system seeded, cryptographically strong generator of the calling thread.
#[derive(Debug, Default)]
pub struct SystemRng;

impl Rng for SystemRng {
    fn next_u64(&self) -> u64 {
        rand::rng().next_u64()
    }

    fn fill_bytes(&self, bytes: &mut [u8]) {
        rand::rng().fill_bytes(bytes);
    }
}

/// A generator which repeats itself for the same seed.
#[derive(Debug)]
pub struct SeededRng {
    inner: Mutex<StdRng>,
}

impl SeededRng {
    pub fn new(seed: u64) -> Self {
        SeededRng { inner: Mutex::new(StdRng::seed_from_u64(seed)) }
    }
}

impl Rng for SeededRng {
    fn next_u64(&self) -> u64 {
        self.inner.lock().next_u64()
    }
}
