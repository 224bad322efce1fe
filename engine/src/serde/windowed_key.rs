//! Keys of windowed topics: the key's bytes followed by the window's bounds.
//!
//! | window | after the key |
//! |---|---|
//! | tumbling, hopping | start, 8 bytes |
//! | session | end, 8 bytes; start, 8 bytes |
//!
//! Units: ms since the epoch, big-endian, signed. The end of a fixed window is its start plus the size that the
//! source declares; the end of a session is inclusive.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, Int64Builder};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::Int64Type;
use weir_sql::window::{WindowInfo, WindowKind};

use crate::serde::encoded::EncodedRows;
use crate::serde::error::{DecodeError, EncodeError, SerdeError};
use crate::serde::{Decoded, RowDecoder, RowEncoder};

/// Length of one bound.
const BOUND_BYTES: usize = 8;

/// Bytes that the bounds of a window take at the end of a key.
pub fn bounds_bytes(kind: WindowKind) -> usize {
    match kind {
        WindowKind::Tumbling | WindowKind::Hopping => BOUND_BYTES,
        WindowKind::Session => 2 * BOUND_BYTES,
    }
}

#[derive(Clone, Copy, Debug)]
enum Layout {
    Fixed { size_ms: i64 },
    Session,
}

impl Layout {
    fn suffix_bytes(self) -> usize {
        match self {
            Layout::Fixed { .. } => BOUND_BYTES,
            Layout::Session => 2 * BOUND_BYTES,
        }
    }

    /// Key bytes, start and end.
    fn split(self, record: &[u8]) -> Option<(&[u8], i64, i64)> {
        let (key, suffix) = record.split_at_checked(record.len().checked_sub(self.suffix_bytes())?)?;
        let (first, rest) = suffix.split_first_chunk::<BOUND_BYTES>()?;
        let first = i64::from_be_bytes(*first);
        match self {
            Layout::Fixed { size_ms } => Some((key, first, first.saturating_add(size_ms))),
            Layout::Session => {
                let start = i64::from_be_bytes(*rest.first_chunk::<BOUND_BYTES>()?);
                Some((key, start, first))
            }
        }
    }
}

#[derive(Debug)]
pub struct WindowedKeyDecoder {
    inner: Box<dyn RowDecoder>,
    layout: Layout,
}

impl WindowedKeyDecoder {
    /// Errors: fixed windows without a size, whose end would be unknown.
    pub fn new(inner: Box<dyn RowDecoder>, window: WindowInfo) -> Result<WindowedKeyDecoder, SerdeError> {
        let layout = match window.kind {
            WindowKind::Session => Layout::Session,
            WindowKind::Tumbling | WindowKind::Hopping => {
                Layout::Fixed { size_ms: window.size_ms.ok_or(SerdeError::WindowSizeMissing)? }
            }
        };
        Ok(WindowedKeyDecoder { inner, layout })
    }
}

impl RowDecoder for WindowedKeyDecoder {
    fn decode(&mut self, records: &[Option<&[u8]>]) -> Decoded {
        let mut starts = Int64Builder::with_capacity(records.len());
        let mut ends = Int64Builder::with_capacity(records.len());
        let mut errors = Vec::new();
        let keys: Vec<Option<&[u8]>> = records
            .iter()
            .enumerate()
            .map(|(row, record)| {
                let parts = record.and_then(|record| {
                    let parts = self.layout.split(record);
                    if parts.is_none() {
                        errors.push(too_short(row, record.len(), self.layout));
                    }
                    parts
                });
                starts.append_option(parts.map(|p| p.1));
                ends.append_option(parts.map(|p| p.2));
                parts.map(|p| p.0)
            })
            .collect();
        let mut decoded = self.inner.decode(&keys);
        decoded.columns.push(Arc::new(starts.finish()));
        decoded.columns.push(Arc::new(ends.finish()));
        if !errors.is_empty() {
            decoded.errors.extend(errors);
            decoded.errors.sort_by_key(|e| e.row);
        }
        decoded
    }
}

fn too_short(row: usize, length: usize, layout: Layout) -> DecodeError {
    let message = format!(
        "a windowed key ends with {} bytes of window bounds, this one has {length} bytes",
        layout.suffix_bytes()
    );
    DecodeError { row, path: "$".to_owned(), message }
}

#[derive(Debug)]
pub struct WindowedKeyEncoder {
    inner: Box<dyn RowEncoder>,
    key_columns: usize,
    kind: WindowKind,
    keys: EncodedRows,
}

impl WindowedKeyEncoder {
    pub fn new(inner: Box<dyn RowEncoder>, key_columns: usize, window: WindowInfo) -> WindowedKeyEncoder {
        WindowedKeyEncoder { inner, key_columns, kind: window.kind, keys: EncodedRows::new() }
    }
}

impl RowEncoder for WindowedKeyEncoder {
    fn encode(
        &mut self,
        columns: &[ArrayRef],
        rows: usize,
        present: Option<&BooleanBuffer>,
        out: &mut EncodedRows,
    ) -> Vec<EncodeError> {
        let (keys, bounds) = columns.split_at(self.key_columns);
        let bound = |i: usize| -> &Int64Array {
            use arrow::array::AsArray;
            bounds[i].as_primitive::<Int64Type>()
        };
        let (starts, ends) = (bound(0), bound(1));
        self.keys.clear();
        let mut errors = self.inner.encode(keys, rows, present, &mut self.keys);
        for row in 0..rows {
            let Some(key) = self.keys.get(row) else {
                out.push_null();
                continue;
            };
            if starts.is_null(row) || ends.is_null(row) {
                errors.push(EncodeError { row, message: "a windowed key has no window".to_owned() });
                out.push_null();
                continue;
            }
            let start = out.data_bytes();
            let buffer = out.buffer();
            buffer.extend_from_slice(key);
            if self.kind == WindowKind::Session {
                buffer.extend_from_slice(&ends.value(row).to_be_bytes());
            }
            buffer.extend_from_slice(&starts.value(row).to_be_bytes());
            out.end_row(start);
        }
        errors
    }
}
