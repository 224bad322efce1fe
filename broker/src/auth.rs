//! Who a client is and what it may do: credentials, exchanges that prove them, rules and quotas.
//!
//! Everything here is data and arithmetic; what is stored lies in [`metadata`](crate::metadata), what is asked of whom
//! in [`api`](crate::api).

pub mod acl;
pub mod acl_filter;
pub mod acl_set;
pub mod audit;
pub mod audit_trail;
pub mod config;
pub mod oauth;
pub mod password_cache;
pub mod quota;
pub mod role;
pub mod sasl;
pub mod scram;
pub mod throttle;
pub mod token;
