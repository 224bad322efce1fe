//! How far a query has got, for callers that wait for the effect of a record.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use tokio::sync::watch;
use weir_broker::client::producer::pipeline::ProducedBatch;
use weir_broker::ids::{Offset, TopicPartition};

/// Committed positions of one query, by partition. Bounded by the partitions that the query touches.
///
/// Threads: any. Workers note a commit after its state can be read.
#[derive(Debug)]
pub(crate) struct Progress {
    marks: Mutex<Marks>,
    /// Counts the commits.
    commits: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Marks {
    /// By sub-topology and input: everything before this offset is processed, committed and readable.
    read: BTreeMap<(u32, TopicPartition), Offset>,
    /// The end of what the query wrote since it was started.
    written: BTreeMap<TopicPartition, Offset>,
}

impl Default for Progress {
    fn default() -> Progress {
        Progress { marks: Mutex::default(), commits: watch::Sender::new(0) }
    }
}

impl Progress {
    pub(crate) fn note_read(&self, sub_topology: u32, positions: &[(TopicPartition, Offset)]) {
        let mut marks = self.marks.lock();
        for (partition, offset) in positions {
            raise(&mut marks.read, (sub_topology, partition.clone()), *offset);
        }
    }

    pub(crate) fn note_written(&self, produced: &[ProducedBatch]) {
        let mut marks = self.marks.lock();
        for batch in produced.iter().filter(|b| b.base_offset >= 0) {
            raise(&mut marks.written, batch.partition.clone(), batch.next_offset);
        }
    }

    /// Wakes whoever waits, after the notes of a commit.
    pub(crate) fn announce(&self) {
        self.commits.send_modify(|commits| *commits += 1);
    }

    pub(crate) fn has_read(&self, sub_topology: u32, partition: &TopicPartition, end: Offset) -> bool {
        let marks = self.marks.lock();
        marks.read.get(&(sub_topology, partition.clone())).is_some_and(|read| *read >= end)
    }

    /// The end of what was written to each partition of a topic.
    pub(crate) fn written(&self, topic: &str) -> Vec<(TopicPartition, Offset)> {
        let marks = self.marks.lock();
        let of_topic = marks.written.iter().filter(|(partition, _)| *partition.topic == *topic);
        of_topic.map(|(partition, offset)| (partition.clone(), *offset)).collect()
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.commits.subscribe()
    }
}

fn raise<K: Ord>(marks: &mut BTreeMap<K, Offset>, key: K, offset: Offset) {
    let mark = marks.entry(key).or_insert(offset);
    *mark = offset.max(*mark);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_never_go_back() {
        let progress = Progress::default();
        let partition = TopicPartition::new("t", 0);
        assert!(!progress.has_read(0, &partition, 0));
        progress.note_read(0, &[(partition.clone(), 5)]);
        progress.note_read(0, &[(partition.clone(), 3)]);
        assert!(progress.has_read(0, &partition, 5));
        assert!(!progress.has_read(0, &partition, 6));
        assert!(!progress.has_read(1, &partition, 1));
        progress.note_written(&[
            ProducedBatch { partition: partition.clone(), base_offset: 2, next_offset: 4 },
            ProducedBatch { partition: partition.clone(), base_offset: -1, next_offset: 9 },
        ]);
        assert_eq!(progress.written("t"), vec![(partition, 4)]);
        assert_eq!(progress.written("u"), Vec::new());
    }
}
