//! Output for users: tables, JSON, errors.

pub mod entity;
pub mod error;
pub mod line;
pub mod rows;
pub mod streaming;
pub mod style;
pub mod table;
