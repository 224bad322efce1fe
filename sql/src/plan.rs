//! Plans: what a statement becomes.

pub mod command;
pub mod logical;
pub mod physical;
