//! GROUP BY: grouping, and aggregation over slots of columnar state.

pub mod calls;
pub mod group_by;
pub mod session;
pub mod slots;
pub mod table;
pub mod time;
pub mod time_windows;

/// When an aggregation emits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emission {
    /// One row per input row.
    EveryChange,
    /// One row per changed group at each commit.
    OnCommit,
    /// One row per group and window, once the window is closed.
    Final(ExpiredFinals),
}

/// What becomes of the final result of a window that stream time has jumped over by more than the retention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpiredFinals {
    Emit,
    /// As Kafka Streams does: its store has dropped the window by then.
    Lose,
}

/// How an aggregation emits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmissionConfig {
    pub emission: Emission,
    /// True if a consumer needs what rows were before.
    pub old_values: bool,
}
