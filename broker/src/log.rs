//! Segmented logs.
