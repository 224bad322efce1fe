//! Topics and their settings: durable before they are acknowledged, and whole after a crash.

pub mod broker_config;
pub mod client_metrics_config;
pub mod group_config;
pub mod image;
pub mod record;
pub(crate) mod run_marker;
pub mod security;
pub mod store;
pub mod topic_config;
pub mod topics;
