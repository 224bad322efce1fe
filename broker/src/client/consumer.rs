//! Consuming: as a member of a group, or of partitions that the caller chooses.

pub(crate) mod classic;
pub mod classic_assignor;
pub mod member;
pub mod membership;
pub mod positions;
pub mod reader;
