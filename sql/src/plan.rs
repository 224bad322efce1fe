//! Plans: what a statement becomes.

pub mod command;
pub mod physical;
