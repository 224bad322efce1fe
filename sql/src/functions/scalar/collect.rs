//! Builders of ARRAY<STRING> and MAP<STRING, STRING> results.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringBuilder};
use arrow::buffer::NullBuffer;
use indexmap::IndexMap;

use crate::functions::call::KernelResult;
use crate::types::SqlType;
use crate::value::convert::{list_array, map_array};

/// Builds ARRAY<STRING>, row by row.
#[derive(Debug)]
pub(crate) struct StringLists {
    elements: StringBuilder,
    offsets: Vec<i32>,
    valid: Vec<bool>,
    count: i32,
}

impl StringLists {
    pub(crate) fn new(rows: usize) -> StringLists {
        StringLists {
            elements: StringBuilder::new(),
            offsets: vec![0],
            valid: Vec::with_capacity(rows),
            count: 0,
        }
    }

    /// Adds an element to the open row.
    pub(crate) fn push(&mut self, element: &str) {
        self.elements.append_value(element);
        self.count += 1;
    }

    pub(crate) fn push_null(&mut self) {
        self.elements.append_null();
        self.count += 1;
    }

    /// Closes the row; one that is not valid is NULL.
    pub(crate) fn finish_row(&mut self, valid: bool) {
        self.offsets.push(self.count);
        self.valid.push(valid);
    }

    pub(crate) fn append<'a>(&mut self, elements: impl IntoIterator<Item = &'a str>) {
        elements.into_iter().for_each(|e| self.push(e));
        self.finish_row(true);
    }

    pub(crate) fn finish(mut self, sql_type: &SqlType) -> KernelResult {
        let elements: ArrayRef = Arc::new(self.elements.finish());
        Ok(list_array(sql_type, self.offsets, elements, Some(NullBuffer::from(self.valid))))
    }
}

/// Builds MAP<STRING, STRING>, row by row; of equal keys the last wins, at the place of the first.
#[derive(Debug)]
pub(crate) struct StringMaps {
    keys: StringBuilder,
    values: StringBuilder,
    offsets: Vec<i32>,
    valid: Vec<bool>,
    open: IndexMap<String, Option<String>>,
    count: i32,
}

impl StringMaps {
    pub(crate) fn new(rows: usize) -> StringMaps {
        StringMaps {
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

    pub(crate) fn finish(mut self, sql_type: &SqlType) -> KernelResult {
        let (keys, values) = (Arc::new(self.keys.finish()), Arc::new(self.values.finish()));
        Ok(map_array(sql_type, self.offsets, keys, values, Some(NullBuffer::from(self.valid))))
    }
}
