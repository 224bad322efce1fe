//! Walks the batches of a `.log` file from front to back.

use std::sync::Arc;

use bytes::Bytes;

use crate::env::storage::StorageFile;
use crate::error::{BatchDefect, Error};
use crate::ids::{FIRST_LEADER_EPOCH, Offset};
use crate::record::batch::{BatchHeader, HEADER_BYTES, RecordBatch};

/// Bytes read at a time.
const CHUNK_BYTES: usize = 256 << 10;

/// Reason for which a scan stopped before the end of the file.
#[derive(Debug)]
pub(crate) enum ScanError {
    Io(std::io::Error),
    /// There is no good batch at this position.
    Defect {
        position: u64,
        error: Error,
    },
}

/// A walk over `[position, end)` of a file.
#[derive(Debug)]
pub(crate) struct BatchScan {
    file: Arc<dyn StorageFile>,
    position: u64,
    end: u64,
    /// Bytes of the file from `position` on.
    buffer: Bytes,
    /// Whether each batch begins where the one before it ends.
    contiguous: bool,
    /// Base offset of the next batch, if known.
    next_offset: Option<Offset>,
}

/// Checks the header fields that no checksum covers, as far as possible.
pub(crate) fn check_unsummed(header: &BatchHeader, expected: Option<Offset>) -> Result<(), BatchDefect> {
    let actual = header.base_offset;
    match expected {
        Some(expected) if actual != expected => return Err(BatchDefect::OffsetOrder { expected, actual }),
        _ => {}
    }
    match header.partition_leader_epoch {
        FIRST_LEADER_EPOCH => Ok(()),
        never => Err(BatchDefect::LeaderEpoch(never)),
    }
}

impl BatchScan {
    pub(crate) fn new(file: Arc<dyn StorageFile>, position: u64, end: u64) -> Self {
        BatchScan { file, position, end, buffer: Bytes::new(), contiguous: false, next_offset: None }
    }

    /// From here on every batch begins where the one before it ends, the next at `next_offset` if that is known.
    pub(crate) fn contiguous_from(mut self, next_offset: Option<Offset>) -> Self {
        (self.contiguous, self.next_offset) = (true, next_offset);
        self
    }

    /// The next header and the position of its batch; the checksum is not checked. `None` at the end.
    pub(crate) fn next_header(&mut self) -> Result<Option<(u64, BatchHeader)>, ScanError> {
        let position = self.position;
        let Some(header) = self.peek()? else { return Ok(None) };
        self.skip(&header);
        Ok(Some((position, header)))
    }

    /// The next batch, checked, and its position. `None` at the end.
    pub(crate) fn next_batch(&mut self) -> Result<Option<(u64, RecordBatch)>, ScanError> {
        let position = self.position;
        let Some(header) = self.peek()? else { return Ok(None) };
        self.fill(header.size_bytes())?;
        let bytes = self.buffer.slice(..header.size_bytes());
        let (batch, _) = RecordBatch::parse(bytes).map_err(|error| ScanError::Defect { position, error })?;
        self.skip(&header);
        Ok(Some((position, batch)))
    }

    fn peek(&mut self) -> Result<Option<BatchHeader>, ScanError> {
        if self.position == self.end {
            return Ok(None);
        }
        let left = self.end - self.position;
        self.fill(HEADER_BYTES.min(usize::try_from(left).unwrap_or(usize::MAX)))?;
        let defect = |error| ScanError::Defect { position: self.position, error };
        let header = BatchHeader::parse(&self.buffer).map_err(defect)?;
        if header.size_bytes() as u64 > left {
            let (needed, actual) = (header.size_bytes(), left as usize);
            let reason = BatchDefect::Truncated { needed, actual };
            return Err(defect(Error::CorruptBatch { reason }));
        }
        check_unsummed(&header, self.next_offset).map_err(|reason| defect(Error::CorruptBatch { reason }))?;
        Ok(Some(header))
    }

    /// Makes at least `wanted` bytes available, which the file is known to have.
    fn fill(&mut self, wanted: usize) -> Result<(), ScanError> {
        if self.buffer.len() >= wanted {
            return Ok(());
        }
        let left = usize::try_from(self.end - self.position).unwrap_or(usize::MAX);
        let fresh = self.file.read_vec_at(left.min(wanted.max(CHUNK_BYTES)), self.position);
        let fresh = fresh.map_err(ScanError::Io)?;
        if fresh.len() < wanted {
            return Err(ScanError::Io(std::io::ErrorKind::UnexpectedEof.into()));
        }
        self.buffer = fresh.into();
        Ok(())
    }

    fn skip(&mut self, header: &BatchHeader) {
        let bytes = header.size_bytes();
        self.next_offset = self.contiguous.then(|| header.next_offset());
        self.position += bytes as u64;
        self.buffer = if bytes <= self.buffer.len() { self.buffer.slice(bytes..) } else { Bytes::new() };
    }
}
