//! From syntax trees to typed, checked statements.

pub mod clause;
pub mod coercion;
pub mod display;
pub(crate) mod magic_timestamp;
pub(crate) mod typing;
