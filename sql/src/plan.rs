//! Plans: what a statement becomes.

pub mod physical;
