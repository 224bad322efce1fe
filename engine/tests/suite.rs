//! Queries, on the topology driver and on a broker in this process: one binary, so that it is linked once.

mod batch_memory;
mod cut_invariance;
mod driver_harness;
mod driver_sql;
mod final_windows;
mod join_boundaries;
mod join_memory;
mod join_oracle;
mod large_expansions;
mod null_values;
mod resident_memory;
mod rocksdb_store;
mod runtime;
mod time_range;
