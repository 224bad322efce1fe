//! The seams through which effects enter: time, files, chance and threads.
//!
//! Nothing else in the broker reads a clock, opens a file or starts a thread, so that a test or a simulator can
//! stand in for each of them.

pub mod clock;
pub mod failpoint;
pub mod log_limit;
pub mod open_files;
pub mod parallel;
pub mod rng;
pub mod spawn;
pub mod storage;
