//! `weir log`: segments and indexes on disk.

pub mod dump;
pub mod index;
