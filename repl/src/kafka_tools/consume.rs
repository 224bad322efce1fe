//! `weir consume`: records of topics, from anywhere in them, as they come.

pub mod args;
pub mod plan;
pub mod read;
