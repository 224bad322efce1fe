//! Talking to a broker, in this process or elsewhere.

pub mod tcp;
pub mod transport;
