//! Consuming: as a member of a group, or of partitions that the caller chooses.

pub mod reader;
