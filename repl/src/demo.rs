//! `weir demo`: the flights of January 2013 through a fresh node, from CSV files to query results.

pub mod command;
pub mod data;
