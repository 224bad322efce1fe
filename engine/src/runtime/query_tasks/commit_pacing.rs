//! How much a query does before it commits: little after a start or a pause, so that its first output comes soon; then more
//! and more, so that a commit costs little per row.

use std::time::Duration;

/// The second interval between two commits; the first commit comes with the first rows.
const SHORTEST: Duration = Duration::from_millis(5);
/// Rows a task processes in the first round.
const FIRST_ROWS: usize = 1_024;
/// Rows of a round in which every row takes long: the query can be stopped between rounds.
const FEWEST_ROWS: usize = 16;
/// Time that a round may take.
const LONGEST_ROUND: Duration = Duration::from_millis(250);

/// Doubles with every commit and every round, up to what is configured. Rounds that take long
/// become smaller.
#[derive(Clone, Copy, Debug)]
pub(super) struct CommitPacing {
    interval: Duration,
    rows: usize,
}

impl CommitPacing {
    pub(super) fn new() -> CommitPacing {
        CommitPacing { interval: Duration::ZERO, rows: FIRST_ROWS }
    }

    /// Time from one commit to the next.
    pub(super) fn interval(&self, longest: Duration) -> Duration {
        self.interval.min(longest)
    }

    /// Rows a task processes in one go.
    pub(super) fn rows(&self, most: usize) -> usize {
        self.rows.min(most.max(1))
    }

    /// A round is over that took this long.
    pub(super) fn processed(&mut self, most: usize, took: Duration) {
        if took > LONGEST_ROUND {
            let share = LONGEST_ROUND.as_secs_f64() / took.as_secs_f64();
            self.rows = ((self.rows as f64 * share) as usize).max(FEWEST_ROWS);
        } else if took < LONGEST_ROUND / 4 {
            self.rows = self.rows.saturating_mul(2).min(most.max(FIRST_ROWS));
        }
    }

    /// A commit was begun.
    pub(super) fn committed(&mut self, longest: Duration) {
        self.interval = (self.interval * 2).max(SHORTEST).min(longest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_come_at_once_then_less_and_less_often() {
        let longest = Duration::from_millis(100);
        let mut pacing = CommitPacing::new();
        let mut intervals = Vec::new();
        for _ in 0..7 {
            intervals.push(pacing.interval(longest).as_millis());
            pacing.committed(longest);
        }
        assert_eq!(intervals, [0, 5, 10, 20, 40, 80, 100]);
        assert_eq!(CommitPacing::new().rows(8_192), 1_024);
        assert_eq!(CommitPacing::new().rows(10), 10);
        for _ in 0..5 {
            pacing.processed(8_192, Duration::from_millis(1));
        }
        assert_eq!(pacing.rows(8_192), 8_192);
    }

    #[test]
    fn rounds_that_take_long_become_smaller_and_grow_again() {
        let mut pacing = CommitPacing::new();
        pacing.processed(8_192, Duration::from_millis(2_500));
        assert_eq!(pacing.rows(8_192), 102);
        pacing.processed(8_192, Duration::from_millis(200));
        assert_eq!(pacing.rows(8_192), 102);
        pacing.processed(8_192, Duration::from_secs(60));
        assert_eq!(pacing.rows(8_192), FEWEST_ROWS);
        pacing.processed(8_192, Duration::from_millis(2));
        assert_eq!(pacing.rows(8_192), 2 * FEWEST_ROWS);
    }

    #[test]
    fn a_configured_interval_may_be_shorter_than_the_first() {
        let longest = Duration::from_millis(2);
        let mut pacing = CommitPacing::new();
        pacing.committed(longest);
        assert_eq!(pacing.interval(longest), longest);
    }
}
