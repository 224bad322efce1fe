//! How much a query does before it commits: little after a start or a pause, so that its first output comes soon; then more
//! and more, so that a commit costs little per row.

use std::time::Duration;

/// The second interval between two commits; the first commit comes with the first rows.
const SHORTEST: Duration = Duration::from_millis(5);
/// Rows a task processes before the first commit.
const FEWEST_ROWS: usize = 1_024;

/// Doubles with every commit and every round, up to what is configured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    interval: Duration,
    rows: usize,
}

impl Pace {
    pub(crate) fn new() -> Pace {
        Pace { interval: Duration::ZERO, rows: FEWEST_ROWS }
    }

    /// Time from one commit to the next.
    pub(crate) fn interval(&self, longest: Duration) -> Duration {
        self.interval.min(longest)
    }

    /// Rows a task processes in one go.
    pub(crate) fn rows(&self, most: usize) -> usize {
        self.rows.min(most.max(1))
    }

    /// A round is over.
    pub(crate) fn processed(&mut self, most: usize) {
        self.rows = self.rows.saturating_mul(2).min(most.max(FEWEST_ROWS));
    }

    /// A commit was begun.
    pub(crate) fn committed(&mut self, longest: Duration) {
        self.interval = (self.interval * 2).max(SHORTEST).min(longest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_come_at_once_then_less_and_less_often() {
        let longest = Duration::from_millis(100);
        let mut pace = Pace::new();
        let mut intervals = Vec::new();
        for _ in 0..7 {
            intervals.push(pace.interval(longest).as_millis());
            pace.committed(longest);
        }
        assert_eq!(intervals, [0, 5, 10, 20, 40, 80, 100]);
        assert_eq!(Pace::new().rows(8_192), 1_024);
        assert_eq!(Pace::new().rows(10), 10);
        for _ in 0..5 {
            pace.processed(8_192);
        }
        assert_eq!(pace.rows(8_192), 8_192);
    }

    #[test]
    fn a_configured_interval_may_be_shorter_than_the_first() {
        let longest = Duration::from_millis(2);
        let mut pace = Pace::new();
        pace.committed(longest);
        assert_eq!(pace.interval(longest), longest);
    }
}
