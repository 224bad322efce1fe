//! Builds ARRAY and MAP columns out of elements of other columns.

use arrow::array::{Array, ArrayRef, new_null_array};
use arrow::buffer::NullBuffer;
use arrow::compute::interleave;
use arrow::error::ArrowError;

use crate::functions::call::KernelResult;
use crate::types::SqlType;
use crate::value::convert::{list_array, map_array};

/// Which elements make up each row. An element is named by source column and place in it.
#[derive(Debug)]
pub(crate) struct Gather {
    picks: Vec<(usize, usize)>,
    offsets: Vec<i32>,
    valid: Vec<bool>,
}

impl Gather {
    pub(crate) fn new(rows: usize) -> Gather {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Gather { picks: Vec::new(), offsets, valid: Vec::with_capacity(rows) }
    }

    /// Adds an element to the open row.
    pub(crate) fn push(&mut self, source: usize, place: usize) {
        self.picks.push((source, place));
    }

    pub(crate) fn extend(&mut self, source: usize, places: impl Iterator<Item = usize>) {
        self.picks.extend(places.map(|place| (source, place)));
    }

    /// Closes the row; one that is not valid is NULL and loses its elements.
    pub(crate) fn finish_row(&mut self, valid: bool) {
        if !valid {
            self.picks.truncate(*self.offsets.last().expect("there is a first offset") as usize);
        }
        self.offsets.push(self.picks.len() as i32);
        self.valid.push(valid);
    }

    fn elements(&self, sources: &[&ArrayRef], sql_type: &SqlType) -> Result<ArrayRef, ArrowError> {
        if self.picks.is_empty() {
            return Ok(new_null_array(&sql_type.to_arrow(), 0));
        }
        let sources: Vec<&dyn Array> = sources.iter().map(|s| s.as_ref()).collect();
        interleave(&sources, &self.picks)
    }

    /// An ARRAY column. Shape: every source has the element type.
    pub(crate) fn into_lists(self, sources: &[&ArrayRef], sql_type: &SqlType) -> KernelResult {
        let SqlType::Array(element) = sql_type else { return Err(wrong(sql_type)) };
        let elements = self.elements(sources, element)?;
        Ok(list_array(sql_type, self.offsets, elements, Some(NullBuffer::from(self.valid))))
    }

    /// A MAP column. Shape: `keys[i]` and `values[i]` have the same length.
    pub(crate) fn into_maps(
        self,
        keys: &[&ArrayRef],
        values: &[&ArrayRef],
        sql_type: &SqlType,
    ) -> KernelResult {
        let SqlType::Map(key, value) = sql_type else { return Err(wrong(sql_type)) };
        let (keys, values) = (self.elements(keys, key)?, self.elements(values, value)?);
        Ok(map_array(sql_type, self.offsets, keys, values, Some(NullBuffer::from(self.valid))))
    }
}

fn wrong(sql_type: &SqlType) -> ArrowError {
    ArrowError::ComputeError(format!("elements do not make up {sql_type}"))
}
