//! Values that a group keeps, with the bytes that they hold.

use std::ops::Deref;

use crate::functions::aggregate::fold::value_bytes;
use crate::value::SqlValue;

/// A list that knows its bytes, so that they need not be counted again with every row.
#[derive(Clone, Debug, Default)]
pub(crate) struct CountedList {
    items: Vec<SqlValue>,
    bytes: usize,
}

impl CountedList {
    pub(crate) fn new(items: Vec<SqlValue>) -> CountedList {
        CountedList { bytes: items.iter().map(value_bytes).sum(), items }
    }

    /// From a saved value; another shape gives an empty list.
    pub(crate) fn load(value: &SqlValue) -> CountedList {
        match value {
            SqlValue::Array(items) => CountedList::new(items.clone()),
            _ => CountedList::default(),
        }
    }

    pub(crate) fn to_value(&self) -> SqlValue {
        SqlValue::Array(self.items.clone())
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn push(&mut self, value: SqlValue) {
        self.insert(self.items.len(), value);
    }

    pub(crate) fn insert(&mut self, at: usize, value: SqlValue) {
        self.bytes += value_bytes(&value);
        self.items.insert(at, value);
    }

    pub(crate) fn remove(&mut self, at: usize) {
        self.bytes -= value_bytes(&self.items.remove(at));
    }

    pub(crate) fn truncate(&mut self, length: usize) {
        while self.items.len() > length {
            self.remove(self.items.len() - 1);
        }
    }

    pub(crate) fn into_items(self) -> Vec<SqlValue> {
        self.items
    }
}

impl Deref for CountedList {
    type Target = [SqlValue];

    fn deref(&self) -> &[SqlValue] {
        &self.items
    }
}
