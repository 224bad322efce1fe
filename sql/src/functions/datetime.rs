//! Time zones, and patterns to read and write times with.

pub mod pattern;
pub mod zone;
