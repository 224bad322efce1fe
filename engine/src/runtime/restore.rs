//! Restoring: stores catch up with their changelogs before tasks begin.

use std::collections::BTreeMap;

use weir_broker::client::reader::FetchedPartitions;
use weir_broker::ids::{Offset, TopicPartition};
use weir_broker::record::compression::DecompressBuf;

use crate::runtime::error::{Result, RuntimeError};
use crate::runtime::fetcher::Wanted;
use crate::state::backend::StoreId;
use crate::task::processor::SubTopologySpec;
use crate::task::records::RecordColumns;
use crate::task::stream_task::StreamTask;

#[derive(Debug)]
struct RestoringStore {
    task: usize,
    store: StoreId,
    partition: TopicPartition,
    next: Offset,
    end: Offset,
}

/// Stores that lag behind their changelogs.
#[derive(Debug, Default)]
pub(crate) struct Restore {
    stores: Vec<RestoringStore>,
    scratch: Vec<DecompressBuf>,
}

impl Restore {
    /// Compares stores with their changelogs. A store that is not part of its changelog's history (older than its first record,
    /// or ahead of its end) is emptied and restored from the beginning.
    pub(crate) fn plan(
        tasks: &mut [StreamTask],
        specs: &[SubTopologySpec],
        changelogs: &[(TopicPartition, Offset, Offset)],
    ) -> Result<Restore> {
        let bounds: BTreeMap<&TopicPartition, (Offset, Offset)> =
            changelogs.iter().map(|(partition, start, end)| (partition, (*start, *end))).collect();
        let mut stores = Vec::new();
        for (at, task) in tasks.iter_mut().enumerate() {
            for changelog in &specs[task.id.sub_topology as usize].changelogs {
                let partition = TopicPartition::new(changelog.topic.clone(), task.id.partition);
                let Some(&(start, end)) = bounds.get(&partition) else { continue };
                let processor = task.processor_mut();
                let position = processor
                    .position(changelog.store)
                    .map_err(RuntimeError::task("read a store's position"))?;
                let next = match position {
                    Some(position) if (start..=end).contains(&position) => position,
                    Some(position) => {
                        tracing::warn!(%partition, position, start, end, "store does not fit its changelog, rebuilding it");
                        processor.clear(changelog.store).map_err(RuntimeError::task("empty a store"))?;
                        start
                    }
                    None => start,
                };
                if next < end {
                    stores.push(RestoringStore { task: at, store: changelog.store, partition, next, end });
                }
            }
        }
        Ok(Restore { stores, scratch: Vec::new() })
    }

    pub(crate) fn is_done(&self) -> bool {
        self.stores.is_empty()
    }

    /// Offsets still to be read.
    pub(crate) fn remaining(&self) -> u64 {
        self.stores.iter().map(|s| (s.end - s.next).max(0) as u64).sum()
    }

    pub(crate) fn wanted(&self) -> Vec<Wanted> {
        let mut wanted: Vec<Wanted> = self.stores.iter().map(|s| (s.partition.clone(), s.next)).collect();
        wanted.sort_unstable();
        wanted.dedup_by(|b, a| a.0 == b.0);
        wanted
    }

    /// Applies what was fetched; gives the number of records.
    pub(crate) fn apply(&mut self, tasks: &mut [StreamTask], fetched: FetchedPartitions) -> Result<u64> {
        let mut restored = 0;
        for (partition, outcome) in fetched {
            let records = outcome.map_err(RuntimeError::client("read a changelog"))?;
            let next = records.next_offset;
            // Stores of the same changelog share the fetch, which began at the one that is furthest behind.
            let behind = |s: &&mut RestoringStore| s.partition == partition && s.next < next;
            for store in self.stores.iter_mut().filter(behind) {
                let columns = RecordColumns::collect(
                    partition.partition,
                    &records.batches,
                    &mut self.scratch,
                    store.next,
                    next,
                )
                .map_err(|source| RuntimeError::Records { partition: partition.to_string(), source })?;
                restored += columns.len() as u64;
                let processor = tasks[store.task].processor_mut();
                processor
                    .restore(store.store, &columns, next)
                    .map_err(RuntimeError::task("restore a store"))?;
                store.next = next;
            }
        }
        self.stores.retain(|s| s.next < s.end);
        Ok(restored)
    }
}
