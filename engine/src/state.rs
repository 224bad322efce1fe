//! State stores: what operators remember, as a cache of changelog topics.
//!
//! Operators keep hot state decoded. At commit what changed becomes bytes, goes to the changelog, and, once the
//! transaction has succeeded, to the [`backend::StateBackend`] together with the changelog position. A store is thus never ahead
//! of its changelog, and is rebuilt from it bit for bit.

pub mod backend;
pub mod changelog;
pub mod column_reader;
pub mod evicted_entries;
pub mod key_codec;
pub mod memory;
pub(crate) mod opening;
pub mod pending;
pub mod resident_budget;
pub mod rocksdb;
pub mod row_arena;
pub mod row_codec;
pub mod table_store;
pub mod task_state;
