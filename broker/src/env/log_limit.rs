//! Log lines about a lasting condition: one now and then instead of one for each request.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Lets one line through in an interval and counts the others.
#[derive(Debug)]
pub struct LogLimit {
    interval: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    written_at: Option<Instant>,
    suppressed: u64,
}

impl LogLimit {
    pub const fn new(interval: Duration) -> Self {
        Self { interval, state: Mutex::new(State { written_at: None, suppressed: 0 }) }
    }

    /// Lines suppressed since the last one that was written; `None` if this one is to be suppressed as well.
    pub fn pass(&self) -> Option<u64> {
        self.pass_at(Instant::now())
    }

    fn pass_at(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock();
        if state.written_at.is_some_and(|at| now.saturating_duration_since(at) < self.interval) {
            state.suppressed += 1;
            return None;
        }
        state.written_at = Some(now);
        Some(std::mem::take(&mut state.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_in_an_interval_is_written() {
        let limit = LogLimit::new(Duration::from_secs(10));
        let start = Instant::now();
        let passed: Vec<_> =
            (0..25).map(|second| limit.pass_at(start + Duration::from_secs(second))).collect();
        let written: Vec<_> =
            passed.iter().enumerate().filter_map(|(at, line)| Some((at, (*line)?))).collect();
        assert_eq!(written, [(0, 0), (10, 9), (20, 9)]);
    }
}
