//! SQL functions: signature and vectorised implementation together, one file per family.

pub mod aggregate;
mod argument_names;
pub(crate) mod budget;
pub(crate) mod call;
pub mod datetime;
pub mod error;
pub mod foreign;
pub mod registry;
pub(crate) mod scalar;
pub mod signature;
pub mod table;
pub(crate) mod utf16;

#[cfg(test)]
mod tests;
