//! Rows held in memory as columns, each addressed by a slot.

use arrow::array::{Array, ArrayRef, UInt32Array, new_null_array};
use arrow::datatypes::DataType;
use weir_sql::expr::compile::batch_budget::rows_bytes;

use crate::error::Result;

/// The slot of no row.
pub const NO_ROW: u32 = u32::MAX;

/// Chunks of one size class that are merged into one of the next.
const MERGE_CHUNKS: usize = 8;
/// Chunks smaller than this are not rewritten for their dead rows alone.
const REWRITE_ROWS_MIN: usize = 64;

/// Rows of the same columns. A row is written once, read by any number of vectorised gathers, and freed.
///
/// Rows lie in chunks in order of arrival; chunks of like size are merged, as in a log-structured tree, so that the number
/// of chunks stays logarithmic and a row is copied a logarithmic number of times.
#[derive(Debug)]
pub struct RowArena {
    types: Vec<DataType>,
    chunks: Vec<Option<Chunk>>,
    free_chunks: Vec<u32>,
    /// Chunk and row of each slot.
    locations: Vec<(u32, u32)>,
    /// Bytes of the row of each slot.
    sizes: Vec<u32>,
    free_slots: Vec<u32>,
}

#[derive(Debug)]
struct Chunk {
    columns: Vec<ArrayRef>,
    /// The slot of each row, NO_ROW if it was freed.
    owners: Vec<u32>,
    live: usize,
}

impl Chunk {
    /// Size class: log₄ of the live rows.
    fn tier(&self) -> u32 {
        (self.live.max(1)).ilog2() / 2
    }

    fn is_mostly_dead(&self) -> bool {
        self.live == 0 || (self.owners.len() >= REWRITE_ROWS_MIN && self.live * 2 < self.owners.len())
    }
}

impl RowArena {
    pub fn new(types: Vec<DataType>) -> RowArena {
        RowArena {
            types,
            chunks: Vec::new(),
            free_chunks: Vec::new(),
            locations: Vec::new(),
            sizes: Vec::new(),
            free_slots: Vec::new(),
        }
    }

    /// Rows held.
    pub fn len(&self) -> usize {
        self.locations.len() - self.free_slots.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of the columns held, dead rows included.
    pub fn memory_bytes(&self) -> usize {
        self.chunks.iter().flatten().flat_map(|c| &c.columns).map(|c| c.get_array_memory_size()).sum()
    }

    /// Bytes of one row in its columns. [`NO_ROW`] has none.
    #[inline]
    pub fn row_bytes(&self, slot: u32) -> usize {
        if slot == NO_ROW { 0 } else { self.sizes[slot as usize] as usize }
    }

    /// Copies the rows at `rows` of the columns in. Shape: one slot per entry of `rows`, in order.
    pub fn insert(&mut self, columns: &[ArrayRef], rows: &[u32]) -> Result<Vec<u32>> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let indices = UInt32Array::from(rows.to_vec());
        let columns = crate::batch::take_columns(columns, &indices)?;
        let slots: Vec<u32> = (0..rows.len()).map(|_| self.new_slot()).collect();
        for (slot, size) in slots.iter().zip(row_sizes(&columns, rows.len())) {
            self.sizes[*slot as usize] = size;
        }
        self.add_chunk(Chunk { columns, owners: slots.clone(), live: slots.len() });
        Ok(slots)
    }

    /// Frees the row of a slot, which may be reused.
    pub fn remove(&mut self, slot: u32) {
        let (chunk, row) = self.locations[slot as usize];
        let chunk = self.chunks[chunk as usize].as_mut().expect("a live slot lies in a chunk");
        debug_assert_eq!(chunk.owners[row as usize], slot);
        chunk.owners[row as usize] = NO_ROW;
        chunk.live -= 1;
        self.free_slots.push(slot);
    }

    /// The rows of these slots as columns; [`NO_ROW`] gives NULLs. Shape: one row per slot.
    pub fn gather(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        if slots.iter().all(|s| *s == NO_ROW) {
            return Ok(self.types.iter().map(|t| new_null_array(t, slots.len())).collect());
        }
        match self.single_chunk(slots) {
            Some(chunk) => self.gather_one(chunk, slots),
            None => self.gather_many(slots),
        }
    }

    /// The one chunk that all slots lie in.
    fn single_chunk(&self, slots: &[u32]) -> Option<u32> {
        if self.chunks.len() - self.free_chunks.len() == 1 {
            return self.chunks.iter().position(Option::is_some).map(|i| i as u32);
        }
        let mut found = slots.iter().filter(|s| **s != NO_ROW).map(|s| self.locations[*s as usize].0);
        let first = found.next()?;
        found.all(|c| c == first).then_some(first)
    }

    fn gather_one(&self, chunk: u32, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        let chunk = self.chunks[chunk as usize].as_ref().expect("a chunk that rows lie in");
        let indices: UInt32Array = if slots.contains(&NO_ROW) {
            slots.iter().map(|s| (*s != NO_ROW).then(|| self.locations[*s as usize].1)).collect()
        } else {
            slots.iter().map(|s| self.locations[*s as usize].1).collect::<Vec<u32>>().into()
        };
        crate::batch::take_columns(&chunk.columns, &indices)
    }

    fn gather_many(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        let mut place = vec![usize::MAX; self.chunks.len()];
        let mut used: Vec<&Chunk> = Vec::new();
        let mut indices = Vec::with_capacity(slots.len());
        const NULL_ROW: usize = 0;
        for slot in slots {
            if *slot == NO_ROW {
                indices.push((NULL_ROW, 0));
                continue;
            }
            let (chunk, row) = self.locations[*slot as usize];
            if place[chunk as usize] == usize::MAX {
                used.push(self.chunks[chunk as usize].as_ref().expect("a live slot lies in a chunk"));
                place[chunk as usize] = used.len();
            }
            indices.push((place[chunk as usize], row as usize));
        }
        let mut columns = Vec::with_capacity(self.types.len());
        for (c, data_type) in self.types.iter().enumerate() {
            let null = new_null_array(data_type, 1);
            let parts: Vec<&dyn Array> = std::iter::once(null.as_ref())
                .chain(used.iter().map(|chunk| chunk.columns[c].as_ref()))
                .collect();
            columns.push(arrow::compute::interleave(&parts, &indices)?);
        }
        Ok(columns)
    }

    /// Merges chunks of like size and rewrites those that are mostly dead. Slots stay valid.
    pub fn compact(&mut self) -> Result<()> {
        loop {
            let mut tiers: Vec<Vec<u32>> = Vec::new();
            let mut merge: Vec<u32> = Vec::new();
            for (i, chunk) in self.chunks.iter().enumerate() {
                let Some(chunk) = chunk else { continue };
                if chunk.is_mostly_dead() {
                    merge.push(i as u32);
                    continue;
                }
                let tier = chunk.tier() as usize;
                tiers.resize_with(tiers.len().max(tier + 1), Vec::new);
                tiers[tier].push(i as u32);
            }
            if let Some(tier) = tiers.iter().find(|t| t.len() >= MERGE_CHUNKS) {
                merge.extend(tier);
            }
            if merge.is_empty() {
                return Ok(());
            }
            self.merge(&merge)?;
        }
    }

    fn merge(&mut self, ids: &[u32]) -> Result<()> {
        let owners: Vec<u32> = ids
            .iter()
            .filter_map(|id| self.chunks[*id as usize].as_ref())
            .flat_map(|c| c.owners.iter().copied())
            .filter(|owner| *owner != NO_ROW)
            .collect();
        let columns = if owners.is_empty() { Vec::new() } else { self.gather(&owners)? };
        for id in ids {
            self.chunks[*id as usize] = None;
            self.free_chunks.push(*id);
        }
        if !owners.is_empty() {
            let live = owners.len();
            self.add_chunk(Chunk { columns, owners, live });
        }
        Ok(())
    }

    fn add_chunk(&mut self, chunk: Chunk) {
        let id = match self.free_chunks.pop() {
            Some(id) => id,
            None => {
                self.chunks.push(None);
                (self.chunks.len() - 1) as u32
            }
        };
        for (row, slot) in chunk.owners.iter().enumerate() {
            self.locations[*slot as usize] = (id, row as u32);
        }
        self.chunks[id as usize] = Some(chunk);
    }

    fn new_slot(&mut self) -> u32 {
        self.free_slots.pop().unwrap_or_else(|| {
            self.locations.push((0, 0));
            self.sizes.push(0);
            (self.locations.len() - 1) as u32
        })
    }
}

/// Bytes of each row in the columns.
fn row_sizes(columns: &[ArrayRef], rows: usize) -> Vec<u32> {
    let widths = columns.iter().filter_map(|c| c.data_type().primitive_width()).sum::<usize>();
    let mut sizes = vec![u32::try_from(widths).unwrap_or(u32::MAX); rows];
    for column in columns.iter().filter(|c| c.data_type().primitive_width().is_none()) {
        for (row, size) in sizes.iter_mut().enumerate() {
            let bytes = u32::try_from(rows_bytes(column, row, 1)).unwrap_or(u32::MAX);
            *size = size.saturating_add(bytes);
        }
    }
    sizes
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray};
    use proptest::prelude::{any, proptest};

    use super::*;

    proptest! {
        /// Against a plain map from slot to value.
        #[test]
        fn slots_keep_their_rows(steps in proptest::collection::vec((any::<bool>(), 1_usize..40), 1..120)) {
            let mut arena = RowArena::new(vec![DataType::Int64]);
            let mut model: Vec<(u32, i64)> = Vec::new();
            let mut next = 0_i64;
            for (insert, count) in steps {
                if insert {
                    let values: Vec<i64> = (next..next + count as i64).collect();
                    next += count as i64;
                    let column: ArrayRef = Arc::new(Int64Array::from(values.clone()));
                    let rows: Vec<u32> = (0..count as u32).collect();
                    let slots = arena.insert(&[column], &rows).expect("same type");
                    model.extend(slots.into_iter().zip(values));
                } else {
                    for _ in 0..count.min(model.len()) {
                        let (slot, _) = model.swap_remove(count % model.len());
                        arena.remove(slot);
                    }
                }
                arena.compact().expect("same type");
                assert_eq!(arena.len(), model.len());
                let mut slots: Vec<u32> = model.iter().map(|(s, _)| *s).collect();
                slots.push(NO_ROW);
                let column = arena.gather(&slots).expect("live").remove(0);
                let expected: Int64Array =
                    model.iter().map(|(_, v)| Some(*v)).chain(std::iter::once(None)).collect();
                assert_eq!(column.as_ref(), &expected as &dyn Array);
            }
        }
    }

    #[test]
    fn rows_keep_their_sizes_where_chunks_are_merged() {
        let mut arena = RowArena::new(vec![DataType::Int64, DataType::Utf8]);
        let mut slots = Vec::new();
        for length in 0..40_usize {
            let columns: [ArrayRef; 2] = [
                Arc::new(Int64Array::from(vec![1, 2])),
                Arc::new(StringArray::from(vec!["x".repeat(length), "y".repeat(1_000)])),
            ];
            slots.push((length, arena.insert(&columns, &[0]).expect("same types")[0]));
            arena.compact().expect("same types");
        }
        let gone = slots.remove(7).1;
        arena.remove(gone);
        assert_eq!(arena.row_bytes(NO_ROW), 0);
        for (length, slot) in slots {
            assert_eq!(arena.row_bytes(slot), 8 + 4 + length);
        }
        let columns: [ArrayRef; 2] =
            [Arc::new(Int64Array::from(vec![3])), Arc::new(StringArray::from(vec!["long enough"]))];
        assert_eq!(arena.insert(&columns, &[0]).expect("same types"), [gone], "slots are used again");
        assert_eq!(arena.row_bytes(gone), 8 + 4 + 11);
    }
}
