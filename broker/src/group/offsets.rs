//! The offsets groups have committed, and those waiting for their transaction to end.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// Key of a committed offset: group and partition.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OffsetKey {
    pub group_id: String,
    pub topic: String,
    pub partition: i32,
}

/// A committed position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The next offset to read.
    pub offset: i64,
    /// Leader epoch of the last record read; -1 when not known.
    pub leader_epoch: i32,
    /// Free text of the client.
    pub metadata: String,
    /// Units: ms since epoch.
    pub commit_timestamp: i64,
}

/// The offsets of one group by topic and partition.
pub type GroupOffsets = BTreeMap<(String, i32), CommittedOffset>;

/// All offsets of the groups in one shard.
///
/// Invariant: replaying the log gives the same content as having handled the requests.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct OffsetStore {
    committed: HashMap<String, GroupOffsets>,
    /// Producer id → what its open transaction will commit.
    pending: HashMap<i64, BTreeMap<OffsetKey, CommittedOffset>>,
}

impl OffsetStore {
    /// Sets or, without a value, deletes a committed offset. What open transactions would commit is deleted with it, so that
    /// none of them brings an offset of a deleted topic back.
    pub fn set(&mut self, key: OffsetKey, value: Option<CommittedOffset>) {
        match value {
            Some(offset) => {
                let group = self.committed.entry(key.group_id).or_default();
                group.insert((key.topic, key.partition), offset);
            }
            None => {
                for pending in self.pending.values_mut() {
                    pending.remove(&key);
                }
                if let Some(group) = self.committed.get_mut(&key.group_id) {
                    group.remove(&(key.topic, key.partition));
                    if group.is_empty() {
                        self.committed.remove(&key.group_id);
                    }
                }
            }
        }
    }

    /// Keeps an offset back until the transaction of `producer_id` ends.
    pub fn set_pending(&mut self, producer_id: i64, key: OffsetKey, value: CommittedOffset) {
        self.pending.entry(producer_id).or_default().insert(key, value);
    }

    /// The transaction of `producer_id` committed: its offsets count from now on.
    pub fn commit_pending(&mut self, producer_id: i64) {
        for (key, value) in self.pending.remove(&producer_id).unwrap_or_default() {
            self.set(key, Some(value));
        }
    }

    /// The transaction of `producer_id` aborted: its offsets are forgotten.
    pub fn abort_pending(&mut self, producer_id: i64) {
        self.pending.remove(&producer_id);
    }

    /// Committed offsets of `group_id`.
    #[must_use]
    pub fn group(&self, group_id: &str) -> Option<&GroupOffsets> {
        self.committed.get(group_id)
    }

    /// True while an open transaction holds an offset of this partition back (`require_stable`, KIP-447).
    #[must_use]
    pub fn is_unstable(&self, group_id: &str, topic: &str, partition: i32) -> bool {
        if self.pending.is_empty() {
            return false;
        }
        let key = OffsetKey { group_id: group_id.to_owned(), topic: topic.to_owned(), partition };
        self.pending.values().any(|offsets| offsets.contains_key(&key))
    }

    /// True while an open transaction holds any offset of the group back.
    #[must_use]
    pub fn has_pending(&self, group_id: &str) -> bool {
        self.pending.values().any(|offsets| offsets.keys().any(|key| key.group_id == group_id))
    }

    /// Ids of the groups that have offsets.
    pub fn group_ids(&self) -> impl Iterator<Item = &str> {
        self.committed.keys().map(String::as_str)
    }

    /// Committed offsets in all groups.
    #[must_use]
    pub fn len(&self) -> usize {
        self.committed.values().map(BTreeMap::len).sum()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.committed.is_empty()
    }

    /// Keys of all offsets of some topics, for their deletion; also of those that wait for the end of a transaction.
    #[must_use]
    pub fn keys_of_topics(&self, topics: &HashSet<&str>) -> Vec<OffsetKey> {
        let committed = self.committed.iter().flat_map(|(group_id, offsets)| {
            offsets.keys().filter(|(name, _)| topics.contains(name.as_str())).map(|(name, partition)| {
                OffsetKey { group_id: group_id.clone(), topic: name.clone(), partition: *partition }
            })
        });
        let pending = self.pending.values().flat_map(BTreeMap::keys);
        let pending = pending.filter(|key| topics.contains(key.topic.as_str())).cloned();
        let keys: BTreeSet<OffsetKey> = committed.chain(pending).collect();
        keys.into_iter().collect()
    }
}
