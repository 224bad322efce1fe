//! What people see: tables, JSON, errors.

pub mod entity;
pub mod style;
pub mod table;
