//! Worker threads and what they do between the broker and the tasks.
//!
//! A [`worker`] is an OS thread that owns tasks and is driven by [`messages`]; everything that waits for the broker
//! runs beside it as a tokio task and answers into the worker's inbox.

pub(crate) mod context;
pub(crate) mod fetcher;
pub mod health;
pub(crate) mod messages;
pub(crate) mod pool;
pub(crate) mod prepare;
pub(crate) mod query_tasks;
pub(crate) mod restore;
pub mod storage;
pub(crate) mod supervise;
pub(crate) mod topic_limits;
pub(crate) mod topic_monitor;
pub(crate) mod transaction;
pub(crate) mod worker;
