//! Weir's SQL: ksqlDB's language from text to physical plan.
//!
//! Text is parsed into [`ast`], resolved against the [`metastore`] into typed [`expr::ir`] expressions, and planned
//! into [`plan::physical`] steps, which the engine runs. Functions live in [`functions`]: signature and vectorised
//! implementation together, one file per family. Nothing here knows Kafka bytes, state stores, threads, files or clocks.

pub mod analyzer;
pub mod ast;
pub mod catalog;
pub mod context;
pub mod dialect;
pub mod error;
pub mod expr;
pub mod format;
pub mod format_props;
pub mod functions;
pub mod metastore;
pub mod parser;
pub mod plan;
pub mod planner;
pub mod schema;
pub mod session;
pub mod span;
pub mod suggest;
pub mod types;
pub mod value;
pub mod variables;
pub mod window;
