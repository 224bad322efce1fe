//! Records of fetched batches, turned into slices that decoders take.

use std::sync::Arc;

use weir_broker::error::Error;
use weir_broker::ids::Offset;
use weir_broker::record::batch::RecordBatch;
use weir_broker::record::compression::DecompressBuf;
use weir_broker::record::reader::Headers;

use crate::batch::RecordHeaders;

/// Records of one partition, in offset order, borrowed from the batches they were fetched in.
///
/// Shape: `keys`, `values`, `timestamps` and `offsets` have one entry per record; `headers` too, or none if no record has any.
#[derive(Debug, Default)]
pub struct RecordColumns<'a> {
    pub partition: i32,
    pub keys: Vec<Option<&'a [u8]>>,
    pub values: Vec<Option<&'a [u8]>>,
    /// Units: ms since epoch.
    pub timestamps: Vec<i64>,
    pub offsets: Vec<Offset>,
    pub headers: Vec<Headers<'a>>,
}

impl<'a> RecordColumns<'a> {
    pub fn len(&self) -> usize {
        self.offsets.len()
    }

    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// Headers of each record; empty if no record has any.
    pub fn owned_headers(&self) -> Vec<Option<Arc<RecordHeaders>>> {
        self.headers.iter().map(owned_headers).collect()
    }

    /// Collects the records of `batches` whose offsets are in `from..to`.
    ///
    /// `scratch` holds what had to be decompressed, one buffer per batch.
    ///
    /// Errors: a batch that cannot be decompressed or is malformed.
    pub fn collect(
        partition: i32,
        batches: &'a [RecordBatch],
        scratch: &'a mut Vec<DecompressBuf>,
        from: Offset,
        to: Offset,
    ) -> Result<RecordColumns<'a>, Error> {
        if scratch.len() < batches.len() {
            scratch.resize_with(batches.len(), DecompressBuf::default);
        }
        let mut columns = RecordColumns { partition, ..RecordColumns::default() };
        let rows: usize = batches.iter().map(record_count).sum();
        columns.reserve(rows);
        for (batch, scratch) in batches.iter().zip(scratch.iter_mut()) {
            columns.append(batch, scratch, from, to)?;
        }
        Ok(columns)
    }

    fn reserve(&mut self, rows: usize) {
        self.keys.reserve(rows);
        self.values.reserve(rows);
        self.timestamps.reserve(rows);
        self.offsets.reserve(rows);
    }

    fn append(
        &mut self,
        batch: &'a RecordBatch,
        scratch: &'a mut DecompressBuf,
        from: Offset,
        to: Offset,
    ) -> Result<(), Error> {
        for record in batch.records(scratch)? {
            let record = record?;
            if record.offset < from || record.offset >= to {
                continue;
            }
            if !record.headers.is_empty() && self.headers.is_empty() {
                self.headers.resize(self.offsets.len(), Headers::default());
            }
            if !record.headers.is_empty() || !self.headers.is_empty() {
                self.headers.push(record.headers);
            }
            self.keys.push(record.key);
            self.values.push(record.value);
            self.timestamps.push(record.timestamp);
            self.offsets.push(record.offset);
        }
        Ok(())
    }
}

fn owned_headers(headers: &Headers<'_>) -> Option<Arc<RecordHeaders>> {
    if headers.is_empty() {
        return None;
    }
    let owned = headers.iter().map(|h| (h.key.to_owned(), h.value.map(<[u8]>::to_vec)));
    Some(Arc::new(owned.collect()))
}

/// Records in a batch, as its checked header says: no more than its bytes can hold once decompressed.
pub(crate) fn record_count(batch: &RecordBatch) -> usize {
    usize::try_from(batch.header().records_count).unwrap_or(0).min(1 << 16)
}

#[cfg(test)]
mod tests {
    use weir_broker::record::batch::BatchIter;
    use weir_broker::record::builder::{BatchOptions, RecordBatchBuilder};
    use weir_broker::record::compression::Compression;
    use weir_broker::record::reader::Header;

    use super::*;

    fn batch(base_offset: Offset, compression: Compression, values: &[&str]) -> RecordBatch {
        let options = BatchOptions { base_offset, compression, ..BatchOptions::default() };
        let mut builder = RecordBatchBuilder::new(options);
        for value in values {
            let header = Header { key: "h", value: Some(b"x") };
            let headers: &[Header<'_>] = if *value == "d" { &[header] } else { &[] };
            builder.append(7, None, Some(value.as_bytes()), headers);
        }
        let bytes = builder.build().expect("builds");
        BatchIter::new(bytes).next().expect("a batch").expect("valid")
    }

    #[test]
    fn records_outside_the_range_are_left_out() {
        let batches = [batch(10, Compression::Lz4, &["a", "b"]), batch(12, Compression::None, &["c", "d"])];
        let mut scratch = Vec::new();
        let columns = RecordColumns::collect(3, &batches, &mut scratch, 11, 13).expect("valid");
        assert_eq!(columns.values, [Some(&b"b"[..]), Some(b"c")]);
        assert_eq!(columns.offsets, [11, 12]);
        assert!(columns.headers.is_empty());
        let columns = RecordColumns::collect(3, &batches, &mut scratch, 0, 100).expect("valid");
        assert_eq!(columns.headers.iter().map(Headers::len).collect::<Vec<_>>(), [0, 0, 0, 1]);
    }
}
