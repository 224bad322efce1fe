//! From analysed queries to physical plans, and the one way in: [`statement::prepare`].

mod create_as;
mod ddl;
mod formats;
mod insert;
pub mod statement;
mod steps;
mod target;
