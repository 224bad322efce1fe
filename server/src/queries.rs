//! Persistent queries of a node: how they are started, and what keeps them from their work.

pub(crate) mod conditions;
pub(crate) mod start;
