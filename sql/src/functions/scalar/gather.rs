//! Builds ARRAY and MAP columns out of elements of other columns.

use arrow::array::{Array, ArrayRef, new_null_array};
use arrow::buffer::NullBuffer;
use arrow::compute::interleave;
use arrow::error::ArrowError;

use crate::functions::budget::{Budget, bytes_of};
use crate::functions::call::{Call, KernelResult};
use crate::types::SqlType;
use crate::value::convert::{list_array, map_array};

/// Which elements make up each row. An element is named by source column and place in it.
#[derive(Debug)]
pub(crate) struct Gather<'a> {
    budget: &'a Budget,
    /// Set once the picks exceed the budget; nothing more is picked then.
    exceeded: Option<ArrowError>,
    picks: Vec<(usize, usize)>,
    offsets: Vec<i32>,
    valid: Vec<bool>,
}

impl<'a> Gather<'a> {
    pub(crate) fn new(call: &Call<'a>) -> Gather<'a> {
        let rows = call.rows;
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Gather {
            budget: call.budget(),
            exceeded: None,
            picks: Vec::new(),
            offsets,
            valid: Vec::with_capacity(rows),
        }
    }

    /// Adds an element to the open row.
    pub(crate) fn push(&mut self, source: usize, place: usize) {
        if self.exceeded.is_none() {
            self.exceeded = self.budget.charge(size_of::<(usize, usize)>()).err();
        }
        if self.exceeded.is_none() {
            self.picks.push((source, place));
        }
    }

    pub(crate) fn extend(&mut self, source: usize, places: impl Iterator<Item = usize>) {
        places.for_each(|place| self.push(source, place));
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
        self.budget.charge(self.picked_bytes(sources))?;
        let sources: Vec<&dyn Array> = sources.iter().map(|s| s.as_ref()).collect();
        interleave(&sources, &self.picks)
    }

    /// The bytes of the elements, taking each to be as long as the mean of its source.
    fn picked_bytes(&self, sources: &[&ArrayRef]) -> usize {
        let mean = |s: &&ArrayRef| bytes_of(s.as_ref(), 0, s.len()) / s.len().max(1) + 1;
        let means: Vec<usize> = sources.iter().map(mean).collect();
        self.picks.iter().map(|(source, _)| means[*source]).fold(0, usize::saturating_add)
    }

    /// An ARRAY column. Shape: every source has the element type.
    ///
    /// Errors: the lists exceed the budget of the evaluation.
    pub(crate) fn into_lists(mut self, sources: &[&ArrayRef], sql_type: &SqlType) -> KernelResult {
        self.exceeded.take().map_or(Ok(()), Err)?;
        let SqlType::Array(element) = sql_type else { return Err(wrong(sql_type)) };
        let elements = self.elements(sources, element)?;
        Ok(list_array(sql_type, self.offsets, elements, Some(NullBuffer::from(self.valid))))
    }

    /// A MAP column. Shape: `keys[i]` and `values[i]` have the same length.
    ///
    /// Errors: the maps exceed the budget of the evaluation.
    pub(crate) fn into_maps(
        mut self,
        keys: &[&ArrayRef],
        values: &[&ArrayRef],
        sql_type: &SqlType,
    ) -> KernelResult {
        self.exceeded.take().map_or(Ok(()), Err)?;
        let SqlType::Map(key, value) = sql_type else { return Err(wrong(sql_type)) };
        let (keys, values) = (self.elements(keys, key)?, self.elements(values, value)?);
        Ok(map_array(sql_type, self.offsets, keys, values, Some(NullBuffer::from(self.valid))))
    }
}

fn wrong(sql_type: &SqlType) -> ArrowError {
    ArrowError::ComputeError(format!("elements do not make up {sql_type}"))
}
