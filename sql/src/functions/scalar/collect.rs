//! Builders of ARRAY<STRING> and MAP<STRING, STRING> results.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringBuilder};
use arrow::buffer::NullBuffer;
use arrow::error::ArrowError;
use indexmap::IndexMap;

use crate::functions::budget::Budget;
use crate::functions::call::{Call, KernelResult};
use crate::types::SqlType;
use crate::value::convert::{list_array, map_array};

/// Bytes of an element besides its text.
const ELEMENT_BYTES: usize = 5;

/// Bytes of an entry besides its texts, while its map is open.
const ENTRY_BYTES: usize = 100;

/// Charges what is built to the budget of the evaluation. Once that is exceeded nothing more is built.
#[derive(Debug)]
struct Charged<'a> {
    budget: &'a Budget,
    exceeded: Option<ArrowError>,
}

impl<'a> Charged<'a> {
    fn new(call: &Call<'a>) -> Charged<'a> {
        Charged { budget: call.budget(), exceeded: None }
    }

    /// False if there is no room for so many bytes.
    fn take(&mut self, bytes: usize) -> bool {
        if self.exceeded.is_none() {
            self.exceeded = self.budget.charge(bytes).err();
        }
        self.exceeded.is_none()
    }

    fn check(&mut self) -> Result<(), ArrowError> {
        self.exceeded.take().map_or(Ok(()), Err)
    }
}

/// Builds ARRAY<STRING>, row by row.
#[derive(Debug)]
pub(crate) struct StringLists<'a> {
    charged: Charged<'a>,
    elements: StringBuilder,
    offsets: Vec<i32>,
    valid: Vec<bool>,
    count: i32,
}

impl<'a> StringLists<'a> {
    pub(crate) fn new(call: &Call<'a>) -> StringLists<'a> {
        let rows = call.rows;
        StringLists {
            charged: Charged::new(call),
            elements: StringBuilder::new(),
            offsets: vec![0],
            valid: Vec::with_capacity(rows),
            count: 0,
        }
    }

    /// Adds an element to the open row.
    pub(crate) fn push(&mut self, element: &str) {
        if !self.charged.take(element.len() + ELEMENT_BYTES) {
            return;
        }
        self.elements.append_value(element);
        self.count += 1;
    }

    pub(crate) fn push_null(&mut self) {
        if !self.charged.take(ELEMENT_BYTES) {
            return;
        }
        self.elements.append_null();
        self.count += 1;
    }

    /// Closes the row; one that is not valid is NULL.
    pub(crate) fn finish_row(&mut self, valid: bool) {
        self.offsets.push(self.count);
        self.valid.push(valid);
    }

    pub(crate) fn append<'t>(&mut self, elements: impl IntoIterator<Item = &'t str>) {
        elements.into_iter().for_each(|e| self.push(e));
        self.finish_row(true);
    }

    /// Errors: the lists exceed the budget of the evaluation.
    pub(crate) fn finish(mut self, sql_type: &SqlType) -> KernelResult {
        self.charged.check()?;
        let elements: ArrayRef = Arc::new(self.elements.finish());
        Ok(list_array(sql_type, self.offsets, elements, Some(NullBuffer::from(self.valid))))
    }
}

/// Builds MAP<STRING, STRING>, row by row; of equal keys the last wins, at the place of the first.
#[derive(Debug)]
pub(crate) struct StringMaps<'a> {
    charged: Charged<'a>,
    keys: StringBuilder,
    values: StringBuilder,
    offsets: Vec<i32>,
    valid: Vec<bool>,
    open: IndexMap<String, Option<String>>,
    count: i32,
}

impl<'a> StringMaps<'a> {
    pub(crate) fn new(call: &Call<'a>) -> StringMaps<'a> {
        let rows = call.rows;
        StringMaps {
            charged: Charged::new(call),
            keys: StringBuilder::new(),
            values: StringBuilder::new(),
            offsets: vec![0],
            valid: Vec::with_capacity(rows),
            open: IndexMap::new(),
            count: 0,
        }
    }

    /// Sets an entry of the open row.
    pub(crate) fn put(&mut self, key: &str, value: Option<&str>) {
        if !self.charged.take(key.len() + value.map_or(0, str::len) + ENTRY_BYTES) {
            return;
        }
        self.open.insert(key.to_owned(), value.map(str::to_owned));
    }

    /// Closes the row; one that is not valid is NULL.
    pub(crate) fn finish_row(&mut self, valid: bool) {
        let open = std::mem::take(&mut self.open);
        if valid {
            for (key, value) in open {
                self.keys.append_value(key);
                self.values.append_option(value);
                self.count += 1;
            }
        }
        self.offsets.push(self.count);
        self.valid.push(valid);
    }

    /// Errors: the maps exceed the budget of the evaluation.
    pub(crate) fn finish(mut self, sql_type: &SqlType) -> KernelResult {
        self.charged.check()?;
        let (keys, values) = (Arc::new(self.keys.finish()), Arc::new(self.values.finish()));
        Ok(map_array(sql_type, self.offsets, keys, values, Some(NullBuffer::from(self.valid))))
    }
}
