//! Push queries: rows as they come, to one client.

pub mod subscription;
