//! Kafka tools: topics, records, groups, rules, users, and logs on disk. Their habits are those of kcat, rpk and Kafka's
//! own scripts, whose flags are accepted as aliases.

pub mod acl;
pub mod client_properties;
pub mod cluster;
pub mod cluster_health;
pub mod command_topic;
pub mod config_entity;
pub mod connection;
pub mod consume;
pub mod consume_read;
pub mod error;
pub mod format;
pub mod group;
pub mod group_member;
pub mod group_seek;
pub mod group_view;
pub mod log_dump;
pub mod log_index;
pub mod names;
pub mod offset_file;
pub mod offsets;
pub mod output;
pub mod produce;
pub mod produce_input;
pub mod produce_read;
pub mod produce_send;
pub mod progress;
pub mod scripts;
pub mod sources;
pub mod suggest;
pub mod topic;
pub mod user;
