//! Weir.

pub mod client;
pub mod net;
pub mod protocol;
