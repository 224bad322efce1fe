//! `weir produce`: lines of standard input or of files become records.

pub mod args;
pub mod console_format;
pub mod input;
pub mod line_format;
pub mod plan;
pub mod write;
