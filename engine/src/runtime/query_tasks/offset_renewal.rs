//! Committed offsets that did not change, and notes about topics, are committed again from time to time.
//!
//! They expire after `offsets.retention.minutes`, also those of a partition in which nothing happens. A query that lost an
//! offset would read the partition once more, over the state that it has.

use std::time::Duration;

/// When offsets and notes are committed again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OffsetRenewal {
    due_at: Duration,
    /// The next commit has the notes about topics that are written and not read.
    with_notes: bool,
}

impl OffsetRenewal {
    /// Notes go with the next commit, offsets that do not change by then after the interval.
    pub(super) fn after(now: Duration, interval: Duration) -> OffsetRenewal {
        OffsetRenewal { due_at: now.saturating_add(interval), with_notes: true }
    }

    pub(super) fn at_once() -> OffsetRenewal {
        OffsetRenewal { due_at: Duration::ZERO, with_notes: true }
    }

    pub(super) fn due_at(&self) -> Duration {
        self.due_at
    }

    pub(super) fn is_due(&self, now: Duration) -> bool {
        now >= self.due_at
    }

    /// True once for each renewal.
    pub(super) fn take_notes(&mut self) -> bool {
        std::mem::take(&mut self.with_notes)
    }
}
