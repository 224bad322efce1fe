//! Pull queries: answers from the state of running queries.
//!
//! [`access`] finds what of a condition is a look-up, [`store_scan`] reads the stores, [`planner`] makes a DataFusion plan of a
//! pull plan, [`executor`] runs it, and [`freshness`] waits for acknowledged records before that.

pub mod access;
pub mod aggregate;
pub mod executor;
pub mod freshness;
pub mod planner;
pub mod source;
pub mod store_scan;
