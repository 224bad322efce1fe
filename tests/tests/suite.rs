//! The binary and the tools around it, as users run them: one binary, so that it is linked once.

mod clients;
mod command_topic;
mod config;
mod crash;
mod damaged_state;
mod disk;
mod failpoints;
mod flights;
mod http_api;
mod http_hostility;
mod http_statements;
mod kafka_scripts;
mod kafka_tools;
mod kafka_tools_cluster;
mod kafka_tools_groups;
mod kafka_tools_records;
mod kafka_tools_security;
mod migrate;
mod oracle;
mod scripts;
mod security;
mod server_log;
mod shell;
mod tidy;
mod transactional_copy;
