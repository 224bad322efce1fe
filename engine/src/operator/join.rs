//! Joins.
//!
//! The rows of a join are the key, and as value all columns of the left input, key columns first, then all of the right.
//! Where a side is missing its columns are NULL.

pub mod foreign_key;
pub mod side;
pub mod stream_stream;
pub mod stream_table;
pub mod table_table;
