//! `weir test`: runs cases without a broker.
//!
//! Two kinds of files are read: JSON documents of query translation tests ([`qtt`]) and SQL files with assertions
//! ([`sql_test`]). Both run statements on a [`workbench`], which is parser, analyzer, planner and topology driver.

pub mod case;
pub mod codec;
pub mod compare;
pub mod post;
pub mod qtt;
pub mod rejection;
pub mod report;
pub mod sql_test;
pub mod workbench;

#[cfg(test)]
mod tests;
