//! Updates of a store that are not committed yet.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::state::backend::{KeyRange, StoreWrite};

/// The latest update of each key. Sorted runs, as operators give them at commit, stay as they are; single updates lie over
/// them.
#[derive(Debug, Default)]
pub struct PendingWrites {
    /// Sorted, keys unique. Older than `single`.
    run: Vec<StoreWrite>,
    single: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl PendingWrites {
    pub const NONE: PendingWrites = PendingWrites { run: Vec::new(), single: BTreeMap::new() };

    pub fn is_empty(&self) -> bool {
        self.run.is_empty() && self.single.is_empty()
    }

    pub fn clear(&mut self) {
        self.run.clear();
        self.single.clear();
    }

    /// The update of a key: None if there is none, Some(None) if it is deleted.
    pub fn get(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        if let Some(value) = self.single.get(key) {
            return Some(value.as_deref());
        }
        let found = self.run.binary_search_by(|(k, _)| k.as_slice().cmp(key)).ok()?;
        Some(self.run[found].1.as_deref())
    }

    pub fn put(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.single.insert(key, value);
    }

    /// Forgets the updates of a key.
    pub fn remove(&mut self, key: &[u8]) {
        self.single.remove(key);
        if let Ok(found) = self.run.binary_search_by(|(k, _)| k.as_slice().cmp(key)) {
            self.run.remove(found);
        }
    }

    /// Puts many updates at once, sorted by key, keys unique.
    pub fn put_run(&mut self, writes: Vec<StoreWrite>) {
        debug_assert!(writes.is_sorted_by(|a, b| a.0 < b.0));
        if !self.run.is_empty() {
            self.single.extend(writes);
            return;
        }
        if !self.single.is_empty() {
            for (key, _) in &writes {
                self.single.remove(key);
            }
        }
        self.run = writes;
    }

    /// Updates of a range in key order.
    pub fn range<'a>(&'a self, range: &KeyRange) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> {
        let start = match &range.from {
            Bound::Included(from) => self.run.partition_point(|(k, _)| k < from),
            Bound::Excluded(from) => self.run.partition_point(|(k, _)| k <= from),
            Bound::Unbounded => 0,
        };
        let end = match &range.to {
            Bound::Included(to) => self.run.partition_point(|(k, _)| k <= to),
            Bound::Excluded(to) => self.run.partition_point(|(k, _)| k < to),
            Bound::Unbounded => self.run.len(),
        };
        let mut run = self.run[start.min(end)..end].iter().peekable();
        let mut single = self.single.range::<Vec<u8>, _>((range.from.as_ref(), range.to.as_ref())).peekable();
        std::iter::from_fn(move || {
            let take_run = match (run.peek(), single.peek()) {
                (Some((a, _)), Some((b, _))) => a < *b,
                (Some(_), None) => true,
                (None, _) => false,
            };
            if take_run {
                return run.next().map(|(k, v)| (k.as_slice(), v.as_deref()));
            }
            let (key, value) = single.next()?;
            run.next_if(|(k, _)| k == key);
            Some((key.as_slice(), value.as_deref()))
        })
    }

    /// Everything, sorted by key; nothing is left.
    pub fn take(&mut self) -> Vec<StoreWrite> {
        let run = std::mem::take(&mut self.run);
        let single = std::mem::take(&mut self.single);
        if single.is_empty() {
            return run;
        }
        let mut merged = Vec::with_capacity(run.len() + single.len());
        let mut run = run.into_iter().peekable();
        for (key, value) in single {
            while let Some(write) = run.next_if(|(k, _)| *k < key) {
                merged.push(write);
            }
            run.next_if(|(k, _)| *k == key);
            merged.push((key, value));
        }
        merged.extend(run);
        merged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_updates_lie_over_the_run() {
        let mut pending = PendingWrites::default();
        pending.put(b"b".to_vec(), None);
        pending.put(b"x".to_vec(), Some(vec![9]));
        pending.put_run(vec![
            (b"a".to_vec(), Some(vec![1])),
            (b"b".to_vec(), Some(vec![2])),
            (b"c".to_vec(), None),
        ]);
        pending.put(b"a".to_vec(), None);
        assert_eq!(pending.get(b"a"), Some(None));
        assert_eq!(pending.get(b"b"), Some(Some(&[2][..])));
        assert_eq!(pending.get(b"d"), None);
        let range = KeyRange { from: Bound::Included(b"a".to_vec()), to: Bound::Excluded(b"c".to_vec()) };
        let keys: Vec<&[u8]> = pending.range(&range).map(|(k, _)| k).collect();
        assert_eq!(keys, [b"a", b"b"]);
        pending.remove(b"x");
        pending.remove(b"c");
        let all: Vec<Vec<u8>> = pending.take().into_iter().map(|(k, _)| k).collect();
        assert_eq!(all, [b"a", b"b"]);
        assert!(pending.is_empty());
    }
}
