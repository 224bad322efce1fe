//! Restoring: stores catch up with their changelogs before tasks begin.

use std::collections::BTreeMap;

use weir_broker::client::consumer::reader::FetchedPartitions;
use weir_broker::ids::{Offset, TopicId, TopicPartition};
use weir_broker::record::compression::DecompressBuf;

use crate::error::query::{Result, RuntimeError, TopicChange};
use crate::query::handle::QueryHandle;
use crate::runtime::fetcher::{Wanted, one_offset_each};
use crate::runtime::messages::Prepared;
use crate::state::backend::StoreId;
use crate::task::stream_task::StreamTask;
use crate::topology::records::RecordColumns;

#[derive(Debug)]
struct RestoringStore {
    task: usize,
    store: StoreId,
    topic_id: TopicId,
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
    /// or ahead of its end) is emptied and restored from the beginning; so is one that lags behind and is so old that
    /// compaction may have removed the tombstones it has not seen (KIP-1259).
    ///
    /// Errors: a changelog is empty and a store is not. To restore it would be to begin at zero.
    pub(crate) fn plan(
        tasks: &mut [StreamTask],
        query: &QueryHandle,
        prepared: &Prepared,
        now_ms: i64,
    ) -> Result<Restore> {
        let specs = query.factory.sub_topologies();
        let bounds: BTreeMap<&TopicPartition, (Offset, Offset)> =
            prepared.changelogs.iter().map(|(partition, start, end)| (partition, (*start, *end))).collect();
        let mut stores = Vec::new();
        for (at, task) in tasks.iter_mut().enumerate() {
            for changelog in &specs[task.id.sub_topology as usize].changelogs {
                let partition = TopicPartition::new(changelog.topic.clone(), task.id.partition);
                let Some(&(start, end)) = bounds.get(&partition) else { continue };
                let processor = task.processor_mut();
                let read = RuntimeError::task("read a store's position");
                let position = processor.position(changelog.store).map_err(read)?;
                let read = RuntimeError::task("read a store's age");
                let age_ms =
                    processor.written_at_ms().map_err(read)?.map_or(0, |at| now_ms.saturating_sub(at));
                let retention_ms = prepared
                    .limits
                    .get(&changelog.topic)
                    .map_or(i64::MAX, |limits| limits.delete_retention_ms);
                if end == 0 && position.is_some_and(|position| position > 0) {
                    return Err(query.topic_changed(&changelog.topic, TopicChange::Emptied));
                }
                let next = match position {
                    Some(position) if position == end => end,
                    Some(position) if (start..end).contains(&position) && age_ms < retention_ms => position,
                    Some(position) => {
                        tracing::warn!(%partition, position, start, end, age_ms, "store does not fit its changelog, rebuilding it");
                        processor.clear(changelog.store).map_err(RuntimeError::task("empty a store"))?;
                        start
                    }
                    None => start,
                };
                if next < end {
                    let (store, topic_id) = (changelog.store, query.topics.id(&changelog.topic));
                    stores.push(RestoringStore { task: at, store, topic_id, partition, next, end });
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
        let wanted = |s: &RestoringStore| Wanted {
            topic_id: s.topic_id,
            partition: s.partition.clone(),
            offset: s.next,
        };
        one_offset_each(self.stores.iter().map(wanted).collect())
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
