//! From syntax trees to typed, checked statements.

mod aggregate;
pub mod clause;
pub mod coercion;
pub(crate) mod display;
mod join;
pub(crate) mod magic_timestamp;
pub mod projection;
pub mod pull;
pub(crate) mod pull_lookup;
pub mod query;
pub(crate) mod rewrite;
pub mod scope;
pub(crate) mod typing;
