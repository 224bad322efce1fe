//! Decides which records of a batch outlive a compaction.

use bytes::Bytes;

use crate::error::Result;
use crate::ids::Offset;
use crate::log::cleaner::offset_map::OffsetMap;
use crate::log::cleaner::txn_tracker::Disposition;
use crate::record::batch::{BatchHeader, RecordBatch, TimestampType};
use crate::record::builder::{BatchOptions, RecordBatchBuilder};
use crate::record::compression::DecompressBuf;
use crate::record::reader::Record;

/// The remainder of a batch after compaction.
#[derive(Debug)]
pub(crate) enum Filtered {
    /// All of it.
    Kept(Bytes),
    /// Some of it, under the same offsets.
    Rewritten(Bytes),
    Dropped,
}

/// The rules of one pass.
#[derive(Debug)]
pub(crate) struct Filter<'a> {
    pub(crate) map: &'a OffsetMap,
    /// The map knows nothing at or after this offset.
    pub(crate) map_end: Offset,
    pub(crate) delete_retention_ms: i64,
    pub(crate) now_ms: i64,
}

/// Fate of a record.
enum Fate {
    Keep,
    KeepTombstone,
    Drop,
}

impl Filter<'_> {
    /// Filters a batch. `needed` keeps a batch without records, for the sequence of its producer.
    ///
    /// # Errors
    /// Those of decompression and of malformed records.
    pub(crate) fn apply(
        &self,
        batch: RecordBatch,
        disposition: Disposition,
        needed: bool,
        scratch: &mut DecompressBuf,
    ) -> Result<Filtered> {
        match disposition {
            _ if batch.base_offset() >= self.map_end => Ok(Filtered::Kept(batch.into_bytes())),
            Disposition::Control => Ok(Filtered::Kept(batch.into_bytes())),
            Disposition::EmptyMarker => self.filter_marker(batch, scratch),
            Disposition::Aborted if needed => empty(batch.header()).map(Filtered::Rewritten),
            Disposition::Aborted => Ok(Filtered::Dropped),
            Disposition::Data => self.filter_data(batch, needed, scratch),
        }
    }

    fn filter_marker(&self, batch: RecordBatch, scratch: &mut DecompressBuf) -> Result<Filtered> {
        match batch.header().delete_horizon_ms() {
            Some(horizon) if horizon <= self.now_ms => Ok(Filtered::Dropped),
            Some(_) => Ok(Filtered::Kept(batch.into_bytes())),
            None => {
                let mut builder = RecordBatchBuilder::new(self.options(batch.header(), true)?);
                for record in batch.records(scratch)? {
                    copy_record(&mut builder, &record?);
                }
                finish(builder, batch.header()).map(Filtered::Rewritten)
            }
        }
    }

    fn filter_data(&self, batch: RecordBatch, needed: bool, scratch: &mut DecompressBuf) -> Result<Filtered> {
        let header = *batch.header();
        let (mut kept, mut tombstones) = (0, false);
        for record in batch.records(scratch)? {
            match self.fate(&record?, &header) {
                Fate::Keep => kept += 1,
                Fate::KeepTombstone => {
                    kept += 1;
                    tombstones = true;
                }
                Fate::Drop => {}
            }
        }
        let sets_horizon = tombstones && header.delete_horizon_ms().is_none();
        if kept == header.records_count && !sets_horizon && (kept > 0 || needed) {
            return Ok(Filtered::Kept(batch.into_bytes()));
        }
        if kept == 0 {
            return if needed { empty(&header).map(Filtered::Rewritten) } else { Ok(Filtered::Dropped) };
        }
        let mut builder =
            RecordBatchBuilder::with_capacity(self.options(&header, tombstones)?, header.size_bytes());
        for record in batch.records(scratch)? {
            let record = record?;
            if !matches!(self.fate(&record, &header), Fate::Drop) {
                copy_record(&mut builder, &record);
            }
        }
        finish(builder, &header).map(Filtered::Rewritten)
    }

    fn fate(&self, record: &Record<'_>, header: &BatchHeader) -> Fate {
        if record.offset >= self.map_end {
            return Fate::Keep;
        }
        // A record without a key can neither replace nor be replaced; such topics refuse them.
        let Some(key) = record.key else { return Fate::Drop };
        if self.map.get(key).is_some_and(|last| last > record.offset) {
            return Fate::Drop;
        }
        match (record.value, header.delete_horizon_ms()) {
            (Some(_), _) => Fate::Keep,
            (None, Some(horizon)) if horizon <= self.now_ms => Fate::Drop,
            (None, _) => Fate::KeepTombstone,
        }
    }

    /// The options of a batch that replaces another; a horizon is set if there is none yet and there should be.
    fn options(&self, header: &BatchHeader, with_horizon: bool) -> Result<BatchOptions> {
        let horizon = with_horizon.then(|| self.now_ms.saturating_add(self.delete_retention_ms));
        let delete_horizon_ms = header.delete_horizon_ms().or(horizon);
        Ok(BatchOptions { delete_horizon_ms, ..same_options(header)? })
    }
}

fn same_options(header: &BatchHeader) -> Result<BatchOptions> {
    Ok(BatchOptions {
        base_offset: header.base_offset,
        partition_leader_epoch: header.partition_leader_epoch,
        compression: header.compression()?,
        timestamp_type: header.timestamp_type(),
        producer_id: header.producer_id,
        producer_epoch: header.producer_epoch,
        base_sequence: header.base_sequence,
        transactional: header.is_transactional(),
        control: header.is_control(),
        delete_horizon_ms: header.delete_horizon_ms(),
    })
}

fn copy_record(builder: &mut RecordBatchBuilder, record: &Record<'_>) {
    builder.append_at(record.offset, record.timestamp, record.key, record.value, record.headers.iter());
}

/// A batch without records which says that its producer was here.
fn empty(header: &BatchHeader) -> Result<Bytes> {
    let mut builder = RecordBatchBuilder::new(same_options(header)?);
    builder.set_max_timestamp(header.max_timestamp);
    finish(builder, header)
}

fn finish(mut builder: RecordBatchBuilder, header: &BatchHeader) -> Result<Bytes> {
    builder.extend_to(header.last_offset());
    if header.timestamp_type() == TimestampType::LogAppendTime {
        builder.set_max_timestamp(header.max_timestamp);
    }
    builder.build()
}
