//! Store keys of batches.

use arrow::array::{Array, ArrayRef};
use arrow::buffer::BooleanBuffer;

use crate::batch::RowBatch;
use crate::batch::windows::WindowEnds;
use crate::error::Result;
use crate::state::column_reader::ColumnReader;
use crate::state::key_codec::{EncodedKeys, encode_key, encode_window_start};

/// What is reported of a row that a join leaves out for want of a key.
pub const NULL_KEY: &str = "skipping record due to null key: it joins nothing";

/// The store keys of a batch: its key columns, its window start if keys are windowed, and the window end
/// of sessions.
pub fn batch_keys(batch: &RowBatch, keys: &mut EncodedKeys) -> Result<()> {
    match &batch.window {
        None => keys.encode(&batch.key, batch.len()),
        Some(window) => {
            let readers = ColumnReader::all(&batch.key)?;
            keys.encode_with(batch.len(), |row, out| {
                encode_key(&readers, row, out)?;
                encode_window_start(window.start[row], out);
                if window.kind == WindowEnds::OfSession {
                    encode_window_start(window.end[row], out);
                }
                Ok(())
            })
        }
    }
}

/// Rows in which some key column is NULL, or the key as a whole. None: there is none.
pub fn null_keys(batch: &RowBatch) -> Option<BooleanBuffer> {
    let nulls = rows_with_null(&batch.key, batch.len());
    match (nulls, &batch.null_key) {
        (Some(a), Some(b)) => Some(&a | b),
        (Some(a), None) => Some(a),
        (None, b) => b.clone(),
    }
}

/// Rows in which some column is NULL. None: there is none.
pub fn rows_with_null(columns: &[ArrayRef], rows: usize) -> Option<BooleanBuffer> {
    let mut found: Option<BooleanBuffer> = None;
    for column in columns {
        let Some(valid) = column.logical_nulls().filter(|n| n.null_count() > 0) else { continue };
        debug_assert_eq!(valid.len(), rows);
        let nulls = !valid.inner();
        found = Some(match found {
            Some(before) => &before | &nulls,
            None => nulls,
        });
    }
    found
}

/// Rows in which every column is NULL. None: there is none, or there are no columns.
pub fn rows_all_null(columns: &[ArrayRef]) -> Option<BooleanBuffer> {
    let mut found: Option<BooleanBuffer> = None;
    for column in columns {
        let nulls = !column.logical_nulls().filter(|n| n.null_count() > 0)?.inner();
        found = Some(match found {
            Some(before) => &before & &nulls,
            None => nulls,
        });
    }
    found.filter(|bits| bits.count_set_bits() > 0)
}
