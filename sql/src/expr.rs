//! Typed expressions and their compilation.

pub mod compile;
pub mod ir;
