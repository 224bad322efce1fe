//! Rows on their way between operators, as Arrow columns.

pub(crate) mod column_builder;
pub mod input_schema;
pub mod windows;

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanBufferBuilder, UInt32Array, new_null_array};
use arrow::buffer::{BooleanBuffer, ScalarBuffer};
use weir_sql::expr::compile::batch_budget::column_bytes;
use weir_sql::schema::LogicalSchema;

use crate::batch::windows::WindowColumns;
use crate::error::Result;

/// The headers of one record, in order. A value may be null.
pub type RecordHeaders = Vec<(String, Option<Vec<u8>>)>;

/// A micro-batch of stream rows or table changes.
///
/// Shape: every column and buffer has as many rows as `rowtime`. `key[i]` is column `i` of `schema.key`; `value` holds the
/// columns of `schema.value` and then those of `schema.headers`.
///
/// Row `i` of a table is a change of the row under its key (and window): `value` is what it is now, or nothing where it is
/// [absent](RowBatch::is_absent); `old` is what it was before, carried only where a consumer needs it.
#[derive(Clone, Debug)]
pub struct RowBatch {
    pub key: Vec<ArrayRef>,
    pub value: Vec<ArrayRef>,
    /// Units: ms since epoch, UTC.
    pub rowtime: ScalarBuffer<i64>,
    /// Set where keys are windowed.
    pub window: Option<WindowColumns>,
    /// Rows whose record key is null as a whole. None: there is none.
    pub null_key: Option<BooleanBuffer>,
    /// Rows without a value: the record value is null. None: there is none.
    pub absent: Option<BooleanBuffer>,
    /// Where the rows were read, as long as they are still rows of a source.
    pub origin: Option<Origin>,
    /// Record headers. None: no row has any.
    pub headers: Option<Vec<Option<Arc<RecordHeaders>>>>,
    pub old: Option<OldRows>,
}

/// The place of rows in their topic. ROWPARTITION and ROWOFFSET read it.
#[derive(Clone, Debug)]
pub struct Origin {
    pub partition: ScalarBuffer<i32>,
    pub offset: ScalarBuffer<i64>,
}

/// What the rows of a table were before the change.
#[derive(Clone, Debug)]
pub struct OldRows {
    /// Shape: as [`RowBatch::value`].
    pub value: Vec<ArrayRef>,
    /// Rows that did not exist. None: all did.
    pub absent: Option<BooleanBuffer>,
}

impl RowBatch {
    /// A batch of rows with keys and values and nothing else.
    pub fn new(key: Vec<ArrayRef>, value: Vec<ArrayRef>, rowtime: ScalarBuffer<i64>) -> RowBatch {
        let rows = rowtime.len();
        debug_assert!(key.iter().chain(&value).all(|c| c.len() == rows));
        RowBatch {
            key,
            value,
            rowtime,
            window: None,
            null_key: None,
            absent: None,
            origin: None,
            headers: None,
            old: None,
        }
    }

    /// No rows of this schema.
    pub fn empty(schema: &LogicalSchema) -> RowBatch {
        let column = |c: &weir_sql::schema::Column| new_null_array(&c.sql_type.to_arrow(), 0);
        let key = schema.key.iter().map(column).collect();
        let value = schema.columns().skip(schema.key.len()).map(column).collect();
        RowBatch::new(key, value, ScalarBuffer::from(Vec::new()))
    }

    pub fn len(&self) -> usize {
        self.rowtime.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rowtime.is_empty()
    }

    /// Bytes of the columns.
    pub fn bytes(&self) -> usize {
        let old = self.old.iter().flat_map(|old| &old.value);
        self.key.iter().chain(&self.value).chain(old).map(column_bytes).sum()
    }

    pub fn is_absent(&self, row: usize) -> bool {
        self.absent.as_ref().is_some_and(|a| a.value(row))
    }

    pub fn is_null_key(&self, row: usize) -> bool {
        self.null_key.as_ref().is_some_and(|a| a.value(row))
    }

    /// True if there was no row under the key before. Only for batches that carry old values.
    pub fn is_old_absent(&self, row: usize) -> bool {
        self.old.as_ref().and_then(|o| o.absent.as_ref()).is_some_and(|a| a.value(row))
    }

    pub fn row_headers(&self, row: usize) -> Option<&Arc<RecordHeaders>> {
        self.headers.as_ref().and_then(|h| h[row].as_ref())
    }

    /// Rows `offset .. offset + length`, without copying columns.
    pub fn slice(&self, offset: usize, length: usize) -> RowBatch {
        let columns = |c: &[ArrayRef]| c.iter().map(|a| a.slice(offset, length)).collect();
        let bits = |b: &Option<BooleanBuffer>| b.as_ref().map(|b| b.slice(offset, length));
        RowBatch {
            key: columns(&self.key),
            value: columns(&self.value),
            rowtime: self.rowtime.slice(offset, length),
            window: self.window.as_ref().map(|w| w.slice(offset, length)),
            null_key: bits(&self.null_key),
            absent: bits(&self.absent),
            origin: self.origin.as_ref().map(|o| Origin {
                partition: o.partition.slice(offset, length),
                offset: o.offset.slice(offset, length),
            }),
            headers: self.headers.as_ref().map(|h| h[offset..offset + length].to_vec()),
            old: self.old.as_ref().map(|o| OldRows { value: columns(&o.value), absent: bits(&o.absent) }),
        }
    }

    /// The rows at `indices`, in that order; rows may repeat.
    pub fn take(&self, indices: &[u32]) -> Result<RowBatch> {
        let array = UInt32Array::new(ScalarBuffer::from(indices.to_vec()), None);
        let old = match &self.old {
            Some(old) => Some(OldRows {
                value: take_columns(&old.value, &array)?,
                absent: take_bits(&old.absent, indices),
            }),
            None => None,
        };
        Ok(RowBatch {
            key: take_columns(&self.key, &array)?,
            value: take_columns(&self.value, &array)?,
            old,
            ..self.take_side(indices)
        })
    }

    /// As [`RowBatch::take`], but keeping only what travels beside the columns: `key`, `value` and `old` are empty.
    pub fn take_side(&self, indices: &[u32]) -> RowBatch {
        RowBatch {
            key: Vec::new(),
            value: Vec::new(),
            rowtime: take_values(&self.rowtime, indices),
            window: self.window.as_ref().map(|w| w.take(indices)),
            null_key: take_bits(&self.null_key, indices),
            absent: take_bits(&self.absent, indices),
            origin: self.origin.as_ref().map(|o| Origin {
                partition: indices.iter().map(|i| o.partition[*i as usize]).collect(),
                offset: take_values(&o.offset, indices),
            }),
            headers: self.headers.as_ref().map(|h| indices.iter().map(|i| h[*i as usize].clone()).collect()),
            old: None,
        }
    }

    /// The rows for which `keep` is set. Gives the batch itself if all are.
    pub fn filter(self, keep: &BooleanBuffer) -> Result<RowBatch> {
        if keep.count_set_bits() == self.len() {
            return Ok(self);
        }
        let indices: Vec<u32> = keep.set_indices().map(|i| i as u32).collect();
        self.take(&indices)
    }

    /// The same rows with other value columns; old values are dropped.
    pub fn with_value(self, value: Vec<ArrayRef>) -> RowBatch {
        RowBatch { value, old: None, ..self }
    }

    /// Rows of several batches of the same shape, in order.
    pub fn concat(batches: &[RowBatch]) -> Result<Option<RowBatch>> {
        let Some(first) = batches.first() else { return Ok(None) };
        if batches.len() == 1 {
            return Ok(Some(first.clone()));
        }
        let old = match &first.old {
            None => None,
            Some(old) => {
                let olds: Vec<&OldRows> = batches.iter().filter_map(|b| b.old.as_ref()).collect();
                let value = (0..old.value.len())
                    .map(|c| concat_column(olds.iter().map(|o| &o.value[c])))
                    .collect::<Result<_>>()?;
                let absent = concat_bits(
                    batches.iter().map(|b| (b.len(), b.old.as_ref().and_then(|o| o.absent.as_ref()))),
                );
                Some(OldRows { value, absent })
            }
        };
        let headers = batches.iter().any(|b| b.headers.is_some()).then(|| {
            batches.iter().flat_map(|b| b.headers.clone().unwrap_or_else(|| vec![None; b.len()])).collect()
        });
        let origin = first.origin.is_some().then(|| Origin {
            partition: batches
                .iter()
                .filter_map(|b| b.origin.as_ref())
                .flat_map(|o| o.partition.iter().copied())
                .collect(),
            offset: batches
                .iter()
                .filter_map(|b| b.origin.as_ref())
                .flat_map(|o| o.offset.iter().copied())
                .collect(),
        });
        Ok(Some(RowBatch {
            key: (0..first.key.len())
                .map(|c| concat_column(batches.iter().map(|b| &b.key[c])))
                .collect::<Result<_>>()?,
            value: (0..first.value.len())
                .map(|c| concat_column(batches.iter().map(|b| &b.value[c])))
                .collect::<Result<_>>()?,
            rowtime: batches.iter().flat_map(|b| b.rowtime.iter().copied()).collect(),
            window: WindowColumns::concat(batches.iter().filter_map(|b| b.window.as_ref())),
            null_key: concat_bits(batches.iter().map(|b| (b.len(), b.null_key.as_ref()))),
            absent: concat_bits(batches.iter().map(|b| (b.len(), b.absent.as_ref()))),
            origin,
            headers,
            old,
        }))
    }
}

pub(crate) fn take_columns(columns: &[ArrayRef], indices: &UInt32Array) -> Result<Vec<ArrayRef>> {
    columns.iter().map(|c| Ok(arrow::compute::take(c, indices, None)?)).collect()
}

pub(crate) fn take_bits(bits: &Option<BooleanBuffer>, indices: &[u32]) -> Option<BooleanBuffer> {
    bits.as_ref().map(|b| BooleanBuffer::collect_bool(indices.len(), |i| b.value(indices[i] as usize)))
}

pub(crate) fn take_values(values: &ScalarBuffer<i64>, indices: &[u32]) -> ScalarBuffer<i64> {
    indices.iter().map(|i| values[*i as usize]).collect()
}

/// None if no bit is set.
pub(crate) fn some_bits(bits: BooleanBuffer) -> Option<BooleanBuffer> {
    (bits.count_set_bits() > 0).then_some(bits)
}

fn concat_column<'a>(parts: impl Iterator<Item = &'a ArrayRef>) -> Result<ArrayRef> {
    let parts: Vec<&dyn arrow::array::Array> = parts.map(AsRef::as_ref).collect();
    Ok(arrow::compute::concat(&parts)?)
}

fn concat_bits<'a>(
    parts: impl Iterator<Item = (usize, Option<&'a BooleanBuffer>)> + Clone,
) -> Option<BooleanBuffer> {
    if parts.clone().all(|(_, bits)| bits.is_none()) {
        return None;
    }
    let mut builder = BooleanBufferBuilder::new(0);
    for (rows, bits) in parts {
        match bits {
            Some(bits) => builder.append_buffer(bits),
            None => builder.append_n(rows, false),
        }
    }
    Some(builder.finish())
}

#[cfg(test)]
mod tests;
