//! What holds for every format: what was written is read back, however records are cut into batches.

mod round_trip;
mod windows;
