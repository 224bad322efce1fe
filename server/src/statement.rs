//! What each statement does on a node.

pub mod apply;
pub mod assert;
pub mod describe;
pub mod entity;
pub mod execute;
pub mod explain;
pub mod insert;
pub mod print;
pub mod properties;
pub mod query;
pub mod query_description;
pub mod rights;
pub(crate) mod rows;
pub mod sandbox;
pub mod script;
pub mod show;
pub mod terminate;
pub mod unsupported;
