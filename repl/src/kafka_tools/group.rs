//! `weir group`: groups, their members, offsets and lag.

pub mod args;
pub mod offset_file;
pub mod seek;
pub mod view;
