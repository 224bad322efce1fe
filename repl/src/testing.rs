//! `weir test`: runs cases.
//!
//! Four kinds of files are read: the project's own cases ([`case_file`]), JSON documents of query
//! translation tests ([`qtt`]), SQL files with assertions ([`sql_test`]), and JSON documents of the
//! REST API ([`rqtt`]). The first three run statements on a [`workbench`]: parser, analyzer, planner
//! and topology driver without a broker. The last runs each case on a node of its own.

pub mod case;
pub mod case_file;
pub mod codec;
pub mod compare;
pub mod post;
pub mod qtt;
pub mod rejection;
pub mod report;
pub mod rqtt;
pub mod sql_test;
pub mod workbench;

#[cfg(test)]
mod tests;
