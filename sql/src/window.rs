//! Windows as statements and sources declare them.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum WindowKind {
    Tumbling,
    Hopping,
    Session,
}

/// How the key of an existing topic is windowed (WITH WINDOW_TYPE / WINDOW_SIZE, or a windowed result).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WindowInfo {
    pub kind: WindowKind,
    /// ms; None for sessions, whose end is in the key.
    pub size_ms: Option<i64>,
}

/// The WINDOW clause of an aggregation. Units: ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum WindowBounds {
    Tumbling { size_ms: i64 },
    Hopping { size_ms: i64, advance_ms: i64 },
    Session { gap_ms: i64 },
}

/// A window with what it keeps. `grace_ms` and `retention_ms` are None where the statement is silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WindowSpec {
    pub bounds: WindowBounds,
    pub grace_ms: Option<i64>,
    pub retention_ms: Option<i64>,
    /// EMIT FINAL: one row per key and window, when stream time passes end + grace.
    pub emit_final: bool,
}

impl WindowSpec {
    /// What the default rule makes of a silent GRACE PERIOD: 24 h less the size, at least 0; 0 under EMIT FINAL.
    pub fn effective_grace_ms(&self) -> i64 {
        const DAY_MS: i64 = 24 * 60 * 60 * 1000;
        match self.grace_ms {
            Some(grace) => grace,
            None if self.emit_final => 0,
            None => (DAY_MS - self.size_ms()).max(0),
        }
    }

    /// The window size, or the gap of a session.
    pub fn size_ms(&self) -> i64 {
        match self.bounds {
            WindowBounds::Tumbling { size_ms } | WindowBounds::Hopping { size_ms, .. } => size_ms,
            WindowBounds::Session { gap_ms } => gap_ms,
        }
    }

    pub fn info(&self) -> WindowInfo {
        match self.bounds {
            WindowBounds::Tumbling { size_ms } => {
                WindowInfo { kind: WindowKind::Tumbling, size_ms: Some(size_ms) }
            }
            WindowBounds::Hopping { size_ms, .. } => {
                WindowInfo { kind: WindowKind::Hopping, size_ms: Some(size_ms) }
            }
            WindowBounds::Session { .. } => WindowInfo { kind: WindowKind::Session, size_ms: None },
        }
    }
}
