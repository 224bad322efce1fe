//! Plans: what a statement becomes.

pub mod action;
pub mod command;
pub mod dry_run;
pub mod explain;
pub mod logical;
pub mod physical;
pub mod pull;
pub mod statement;
pub mod upgrade;
