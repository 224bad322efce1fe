//! SQL functions: signature and vectorised implementation together, one file per family.

pub mod aggregate;
