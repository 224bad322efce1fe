//! Harnesses that cross crates.
