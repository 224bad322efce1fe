//! The broker, through its sockets and on a disk that fails: one binary, so that it is linked once.

mod addresses;
mod admin;
mod broker;
mod churn;
mod client;
mod compatibility;
mod damage;
mod damaged_files;
mod data_dir;
mod fetch_sessions;
mod full_disk;
mod long_poll;
mod oauth;
mod old_formats;
mod power;
mod scale;
mod security;
mod semantics;
mod telemetry;
mod timestamps;
mod txn_crash;
