//! Typed expressions and their compilation.

pub mod compile;
pub(crate) mod flat;
pub mod ir;
pub(crate) mod kernels;
