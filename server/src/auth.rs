//! Clients of a node: who they are and what they may do.

pub mod access_watch;
pub mod authenticator;
pub mod caller;
pub mod credentials;
pub mod jwks;
pub mod jwt;
