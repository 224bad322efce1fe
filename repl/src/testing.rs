//! `weir test`: runs cases.
//!
//! Three kinds of files are read: JSON documents of query translation tests ([`qtt`]), SQL files with assertions
//! ([`sql_test`]), and JSON documents of the REST API ([`rqtt`]). The first two run statements on a [`workbench`], which is
//! parser, analyzer, planner and topology driver without a broker; the last runs each case on a node of its own.

pub mod case;
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
