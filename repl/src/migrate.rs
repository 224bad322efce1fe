//! Pipelines as versioned SQL files: `V000001__name.sql`, applied in order, each once, checked by checksum.

pub mod apply;
pub mod commands;
pub mod files;
pub mod info;
pub mod metadata;
pub mod scratch;
