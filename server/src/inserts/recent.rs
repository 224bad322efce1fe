//! The end of rows that were inserted through this node a short time ago, for pull queries that must include them.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use weir_broker::ids::{Offset, TopicPartition};

/// How long an insert is remembered. A query that is further behind than this is waited for no longer.
const KEPT_FOR: Duration = Duration::from_secs(30);
/// Partitions that are remembered. Policy when full: the oldest is forgotten.
const PARTITIONS_MAX: usize = 10_000;

#[derive(Debug)]
struct Written {
    end: Offset,
    at: Duration,
}

/// By partition: the offset after the last inserted row, and when it was acknowledged.
#[derive(Debug, Default)]
pub(crate) struct RecentInserts {
    partitions: Mutex<BTreeMap<TopicPartition, Written>>,
}

impl RecentInserts {
    /// `now`: on the monotonic clock.
    pub(crate) fn note(&self, partition: TopicPartition, end: Offset, now: Duration) {
        let mut partitions = self.partitions.lock();
        if partitions.len() >= PARTITIONS_MAX && !partitions.contains_key(&partition) {
            partitions.retain(|_, written| is_recent(written, now));
            if partitions.len() >= PARTITIONS_MAX {
                let oldest = partitions.iter().min_by_key(|(_, written)| written.at);
                if let Some(oldest) = oldest.map(|(partition, _)| partition.clone()) {
                    partitions.remove(&oldest);
                }
            }
        }
        // Inserts are acknowledged in order: a lower end is that of a topic made anew.
        partitions.insert(partition, Written { end, at: now });
    }

    /// The recent ones.
    pub(crate) fn ends(&self, now: Duration) -> BTreeMap<TopicPartition, Offset> {
        let mut partitions = self.partitions.lock();
        partitions.retain(|_, written| is_recent(written, now));
        partitions.iter().map(|(partition, written)| (partition.clone(), written.end)).collect()
    }
}

fn is_recent(written: &Written, now: Duration) -> bool {
    now.saturating_sub(written.at) <= KEPT_FOR
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_inserts_are_forgotten_and_the_last_counts() {
        let inserts = RecentInserts::default();
        let partition = |p| TopicPartition::new("t", p);
        inserts.note(partition(0), 7, Duration::ZERO);
        inserts.note(partition(1), 9, Duration::from_secs(10));
        inserts.note(partition(1), 4, Duration::from_secs(20));
        let ends = |s| inserts.ends(Duration::from_secs(s));
        assert_eq!(ends(20), BTreeMap::from([(partition(0), 7), (partition(1), 4)]));
        assert_eq!(ends(31), BTreeMap::from([(partition(1), 4)]));
        assert_eq!(ends(60), BTreeMap::new());
    }

    #[test]
    fn the_oldest_gives_way_when_there_are_many() {
        let inserts = RecentInserts::default();
        for p in 0..=PARTITIONS_MAX {
            inserts.note(TopicPartition::new("t", p as i32), 1, Duration::from_millis(p as u64));
        }
        let ends = inserts.ends(Duration::from_secs(10));
        assert_eq!(ends.len(), PARTITIONS_MAX);
        assert!(!ends.contains_key(&TopicPartition::new("t", 0)));
    }
}
