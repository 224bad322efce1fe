//! Stores in memory: for tests, the topology driver and transient queries.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::error::Result;
use crate::state::backend::{CommitBatch, KeyRange, StateBackend, StateReader, StoreId, Visit};

#[derive(Clone, Debug, Default)]
struct MemoryStore {
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
    position: Option<i64>,
}

/// Sorted maps behind one lock.
#[derive(Clone, Debug)]
pub struct MemoryBackend {
    stores: Arc<RwLock<Vec<MemoryStore>>>,
}

impl MemoryBackend {
    pub fn new(stores: usize) -> MemoryBackend {
        MemoryBackend { stores: Arc::new(RwLock::new(vec![MemoryStore::default(); stores])) }
    }

    /// Everything in a store, in key order.
    pub fn entries(&self, store: StoreId) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.stores.read()[store.index()].entries.iter().map(|(k, v)| (k.clone(), v.clone())).collect()
    }
}

impl StateReader for MemoryBackend {
    fn multi_get(&self, store: StoreId, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>> {
        let stores = self.stores.read();
        let entries = &stores[store.index()].entries;
        Ok(keys.iter().map(|k| entries.get(*k).cloned()).collect())
    }

    fn scan(&self, store: StoreId, range: &KeyRange, visit: &mut Visit<'_>) -> Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        let stores = self.stores.read();
        let entries =
            stores[store.index()].entries.range::<Vec<u8>, _>((range.from.as_ref(), range.to.as_ref()));
        for (key, value) in entries {
            if let ControlFlow::Break(()) = visit(key, value) {
                break;
            }
        }
        Ok(())
    }

    fn position(&self, store: StoreId) -> Result<Option<i64>> {
        Ok(self.stores.read()[store.index()].position)
    }
}

impl StateBackend for MemoryBackend {
    fn commit(&mut self, batch: CommitBatch) -> Result<()> {
        let mut stores = self.stores.write();
        for (store, writes) in batch.writes {
            let entries = &mut stores[store.index()].entries;
            for (key, value) in writes {
                match value {
                    Some(value) => entries.insert(key, value),
                    None => entries.remove(&key),
                };
            }
        }
        for (store, position) in batch.positions {
            stores[store.index()].position = Some(position);
        }
        Ok(())
    }

    fn clear(&mut self, store: StoreId) -> Result<()> {
        self.stores.write()[store.index()] = MemoryStore::default();
        Ok(())
    }

    fn reader(&self) -> Arc<dyn StateReader> {
        Arc::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Bound;

    use super::*;

    fn keys(backend: &MemoryBackend, range: &KeyRange) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        backend
            .scan(StoreId(0), range, &mut |k, _| {
                found.push(k.to_vec());
                ControlFlow::Continue(())
            })
            .expect("memory");
        found
    }

    #[test]
    fn ranges_and_prefixes_are_scanned_in_order() {
        let mut backend = MemoryBackend::new(1);
        let writes = [&b"a"[..], b"ab", b"b", &[0xff], &[0xff, 1]].map(|k| (k.to_vec(), Some(vec![1])));
        backend
            .commit(CommitBatch {
                writes: vec![(StoreId(0), writes.to_vec())],
                positions: vec![(StoreId(0), 5)],
            })
            .expect("memory");
        assert_eq!(keys(&backend, &KeyRange::prefix(b"a")), [b"a".to_vec(), b"ab".to_vec()]);
        assert_eq!(keys(&backend, &KeyRange::prefix(&[0xff])), [vec![0xff], vec![0xff, 1]]);
        let range = KeyRange { from: Bound::Excluded(b"a".to_vec()), to: Bound::Included(b"b".to_vec()) };
        assert_eq!(keys(&backend, &range), [b"ab".to_vec(), b"b".to_vec()]);
        let reversed = KeyRange { from: Bound::Included(b"b".to_vec()), to: Bound::Excluded(b"a".to_vec()) };
        assert!(keys(&backend, &reversed).is_empty());
        assert_eq!(backend.position(StoreId(0)).expect("memory"), Some(5));
        backend.clear(StoreId(0)).expect("memory");
        assert!(keys(&backend, &KeyRange::all()).is_empty());
    }
}
