//! Typed expressions and their compilation.

pub mod ir;
