//! Tumbling and hopping windows: which of them a time belongs to, and when they close and expire.

/// Tumbling (`advance_ms` = `size_ms`) or hopping windows. Units: ms.
///
/// Invariant: 0 < `advance_ms` ≤ `size_ms`. Bounds saturate, so that no time and no duration overflows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeWindows {
    pub size_ms: i64,
    pub advance_ms: i64,
    /// A window takes rows until stream time reaches its end plus this.
    pub grace_ms: i64,
    /// Windows are kept until stream time reaches their start plus this. At least size + grace.
    pub retention_ms: i64,
}

impl TimeWindows {
    /// Starts of the windows that contain a time, in order. None if one of them ends after the last timestamp.
    #[inline]
    pub fn starts(&self, time: i64) -> Option<impl Iterator<Item = i64> + use<>> {
        if time > i64::MAX - self.size_ms {
            return None;
        }
        let earliest = time.saturating_sub(self.size_ms).saturating_add(self.advance_ms).max(0);
        let first = earliest - earliest % self.advance_ms;
        let advance = self.advance_ms;
        let starts = std::iter::successors(Some(first), move |start| start.checked_add(advance));
        Some(starts.take_while(move |start| *start <= time))
    }

    /// Windows that contain one time, at most.
    pub fn per_row(&self) -> usize {
        let partial = i64::from(self.size_ms % self.advance_ms != 0);
        usize::try_from(self.size_ms / self.advance_ms + partial).unwrap_or(usize::MAX).max(1)
    }

    pub fn end(&self, start: i64) -> i64 {
        start.saturating_add(self.size_ms)
    }

    /// Windows that start no later than this take no more rows.
    pub fn last_closed_start(&self, stream_time: i64) -> i64 {
        stream_time.saturating_sub(self.grace_ms).saturating_sub(self.size_ms)
    }

    /// Windows that start no later than this are no longer kept.
    pub fn last_expired_start(&self, stream_time: i64) -> i64 {
        stream_time.saturating_sub(self.retention_ms)
    }

    /// True if a store of this retention would have dropped the window when stream time closed it. `advances`: stream time and
    /// largest window start, each time stream time rose.
    pub fn is_lost(&self, start: i64, advances: &[(i64, i64)]) -> bool {
        let closes_at = self.end(start).saturating_add(self.grace_ms);
        advances
            .iter()
            .find(|(time, _)| *time >= closes_at)
            .is_some_and(|(_, last_start)| start < last_start.saturating_sub(self.retention_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starts(size_ms: i64, advance_ms: i64, time: i64) -> Option<Vec<i64>> {
        let windows = TimeWindows { size_ms, advance_ms, grace_ms: 0, retention_ms: size_ms };
        windows.starts(time).map(Iterator::collect)
    }

    #[test]
    fn windows_of_a_time() {
        assert_eq!(starts(10, 10, 0), Some(vec![0]));
        assert_eq!(starts(10, 10, 9), Some(vec![0]));
        assert_eq!(starts(10, 10, 10), Some(vec![10]));
        assert_eq!(starts(10, 5, 3), Some(vec![0]));
        assert_eq!(starts(10, 5, 12), Some(vec![5, 10]));
        assert_eq!(starts(10, 3, 12), Some(vec![3, 6, 9, 12]));
        assert_eq!(starts(1, 1, 7), Some(vec![7]));
    }

    #[test]
    fn no_time_is_in_more_windows_than_said() {
        for (size_ms, advance_ms, most) in [(10, 10, 1), (10, 5, 2), (10, 3, 4), (10, 9, 2), (1, 1, 1)] {
            let windows = TimeWindows { size_ms, advance_ms, grace_ms: 0, retention_ms: size_ms };
            let counts = (0..100).filter_map(|time| Some(windows.starts(time)?.count()));
            assert_eq!((windows.per_row(), counts.max()), (most, Some(most)), "{size_ms} by {advance_ms}");
        }
    }

    #[test]
    fn times_at_the_ends_of_the_range_end() {
        assert_eq!(starts(10, 10, i64::MIN), Some(vec![]));
        assert_eq!(starts(10, 10, -1), Some(vec![]));
        assert_eq!(starts(10, 10, i64::MAX), None);
        assert_eq!(starts(10, 10, i64::MAX - 9), None);
        // 2^63 - 1 is 7 more than a multiple of 10.
        assert_eq!(starts(10, 10, i64::MAX - 10), Some(vec![i64::MAX - 17]));
        assert_eq!(starts(10, 5, i64::MAX - 10), Some(vec![i64::MAX - 17, i64::MAX - 12]));
        assert_eq!(starts(i64::MAX, i64::MAX, 0), Some(vec![0]));
        assert_eq!(starts(i64::MAX, i64::MAX, 1), None);
        assert_eq!(starts(i64::MAX, i64::MAX, i64::MIN), Some(vec![]));
    }

    #[test]
    fn durations_at_the_end_of_the_range_close_and_expire_nothing() {
        let all = i64::MAX;
        let windows = TimeWindows { size_ms: 10, advance_ms: 10, grace_ms: all, retention_ms: all };
        for time in [0, 1, all / 2, all] {
            assert!(windows.last_closed_start(time) < 0, "{time}");
            assert!(windows.last_expired_start(time) <= 0, "{time}");
        }
        assert_eq!(windows.last_closed_start(i64::MIN), i64::MIN);
        assert_eq!(windows.end(all), all);
        assert!(!windows.is_lost(all, &[(all, all)]));
        assert!(!windows.is_lost(0, &[(all - 1, all)]));
    }
}
