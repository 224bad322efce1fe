//! Operators over columns: casts, arithmetic, comparison, LIKE.

pub(crate) mod arithmetic;
pub(crate) mod cast;
pub(crate) mod compare;
pub(crate) mod like;
