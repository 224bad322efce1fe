//! Kafka tools: topics, records, groups, rules, users, and logs on disk. Their habits are those of kcat, rpk and Kafka's
//! own scripts, whose flags are accepted as aliases.

pub mod acl;
pub mod client_properties;
pub mod cluster;
pub mod command_topic;
pub mod config_entity;
pub mod connection;
pub mod consume;
pub mod error;
pub mod format;
pub mod group;
pub mod log;
pub mod names;
pub mod offsets;
pub mod output;
pub mod produce;
pub mod progress;
pub mod scripts;
pub mod sources;
pub mod suggest;
pub mod topic;
pub mod user;
