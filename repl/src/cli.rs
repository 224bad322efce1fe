//! Sub-commands of the binary.

pub mod repl;
