//! What each statement does on a node.

pub mod apply;
pub mod assert;
pub mod describe;
pub mod dispatch;
pub mod entity;
pub mod explain;
pub mod insert;
pub mod print;
pub mod properties;
pub(crate) mod pull;
pub(crate) mod push;
pub mod query;
pub mod query_description;
pub(crate) mod render;
pub mod rights;
pub(crate) mod rows;
pub mod sandbox;
pub mod scope;
pub mod script;
pub mod show;
pub mod terminate;
pub mod topics;
pub mod unsupported;
