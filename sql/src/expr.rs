//! Typed expressions and their compilation.

pub mod compile;
pub mod ir;
pub(crate) mod kernels;
