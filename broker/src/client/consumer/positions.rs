//! The next offsets of the partitions that a consumer reads.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{Offset, TopicPartition};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Position {
    next: Offset,
    /// None: nothing that is known of.
    committed: Option<Offset>,
}

/// The next offset of each partition, and whether the group knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Positions(BTreeMap<TopicPartition, Position>);

impl Positions {
    /// Begins or goes on at an offset, which is to be committed.
    pub fn seek(&mut self, partition: TopicPartition, next: Offset) {
        let committed = self.0.get(&partition).and_then(|position| position.committed);
        self.0.insert(partition, Position { next, committed });
    }

    /// Begins at the offset that the group has committed.
    pub fn resume(&mut self, partition: TopicPartition, committed: Offset) {
        self.0.insert(partition, Position { next: committed, committed: Some(committed) });
    }

    #[must_use]
    pub fn next(&self, partition: &TopicPartition) -> Option<Offset> {
        self.0.get(partition).map(|position| position.next)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&TopicPartition, Offset)> {
        self.0.iter().map(|(partition, position)| (partition, position.next))
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets all partitions but these.
    pub fn retain(&mut self, assigned: &BTreeSet<TopicPartition>) {
        self.0.retain(|partition, _| assigned.contains(partition));
    }

    /// Those of the partitions that have no position.
    #[must_use]
    pub fn missing(&self, assigned: &BTreeSet<TopicPartition>) -> Vec<TopicPartition> {
        assigned.iter().filter(|partition| !self.0.contains_key(partition)).cloned().collect()
    }

    /// Offsets to commit: those that differ from the committed ones.
    #[must_use]
    pub fn uncommitted(&self) -> BTreeMap<TopicPartition, Offset> {
        let differs =
            |(_, position): &(&TopicPartition, &Position)| position.committed != Some(position.next);
        self.0
            .iter()
            .filter(differs)
            .map(|(partition, position)| (partition.clone(), position.next))
            .collect()
    }

    /// These offsets are committed.
    pub fn note_committed(&mut self, offsets: &BTreeMap<TopicPartition, Offset>) {
        for (partition, offset) in offsets {
            if let Some(position) = self.0.get_mut(partition) {
                position.committed = Some(*offset);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(partition: i32) -> TopicPartition {
        TopicPartition::new("t", partition)
    }

    #[test]
    fn offsets_are_committed_once() {
        let mut positions = Positions::default();
        positions.resume(partition(0), 5);
        positions.seek(partition(1), 0);
        assert_eq!(positions.uncommitted(), BTreeMap::from([(partition(1), 0)]), "0 is resumed");
        positions.seek(partition(0), 9);
        let offsets = positions.uncommitted();
        assert_eq!(offsets, BTreeMap::from([(partition(0), 9), (partition(1), 0)]));
        positions.seek(partition(0), 10);
        positions.note_committed(&offsets);
        assert_eq!(positions.uncommitted(), BTreeMap::from([(partition(0), 10)]), "read meanwhile");
    }

    #[test]
    fn partitions_come_and_go_with_the_assignment() {
        let mut positions = Positions::default();
        positions.seek(partition(0), 1);
        positions.seek(partition(1), 2);
        let assigned = BTreeSet::from([partition(1), partition(2)]);
        assert_eq!(positions.missing(&assigned), [partition(2)]);
        positions.retain(&assigned);
        assert_eq!((positions.next(&partition(0)), positions.next(&partition(1))), (None, Some(2)));
        positions.note_committed(&BTreeMap::from([(partition(0), 1)]));
        assert!(!positions.is_empty());
        assert_eq!(positions.iter().collect::<Vec<_>>(), [(&partition(1), 2)], "gone for good");
    }
}
