//! Answers to the requests of the Kafka protocol: one file for each family of APIs.

pub(crate) mod access;
pub(crate) mod acls;
pub(crate) mod alter_configs;
pub(crate) mod authorize;
pub(crate) mod cluster;
pub(crate) mod configs;
pub mod dispatcher;
pub(crate) mod endpoint;
pub(crate) mod error_map;
pub(crate) mod fetch;
pub(crate) mod find_coordinator;
pub(crate) mod group_admin;
pub(crate) mod group_membership;
pub(crate) mod group_offsets;
pub(crate) mod list_offsets;
pub(crate) mod log_admin;
pub(crate) mod metering;
pub mod node;
pub(crate) mod produce;
pub(crate) mod quotas;
pub(crate) mod replica_admin;
pub(crate) mod sasl;
pub(crate) mod telemetry;
pub(crate) mod topics;
pub(crate) mod transactions;
pub(crate) mod users;
