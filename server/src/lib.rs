//! A Weir node: broker, engine, command topic and the HTTP API around them.
//!
//! [`node`] has the order in which the parts start and stop. What the parts share is in [`context`];
//! [`command`] changes it, [`statement`] says what each statement does, [`http`] is the front, and
//! [`api`] joins the two.

pub mod api;
pub(crate) mod audit;
pub mod auth;
pub mod command;
pub mod config;
pub mod context;
pub mod error;
pub(crate) mod health;
pub mod http;
pub mod https;
pub(crate) mod inserts;
pub(crate) mod local_broker;
pub mod metrics;
pub mod node;
pub mod processing_log;
pub mod push_queries;
pub(crate) mod queries;
pub(crate) mod query_starts;
pub mod statement;
pub mod topics;
pub mod wire;
