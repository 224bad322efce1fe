//! Equality and identity of values inside columns, for functions over collections.

use std::cmp::Ordering;

use arrow::array::{Array, ArrayRef, make_comparator};
use arrow::compute::SortOptions;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, Rows, SortField};

use crate::types::SqlType;
use crate::value::convert::from_array;
use crate::value::order;

/// Compares rows of two columns of one type; NULL equals NULL.
pub(crate) struct Equality<'a> {
    compare: Box<dyn Fn(usize, usize) -> Ordering + Send + Sync + 'a>,
}

impl<'a> Equality<'a> {
    pub(crate) fn new(
        left: &'a ArrayRef,
        right: &'a ArrayRef,
        sql_type: &'a SqlType,
    ) -> Result<Equality<'a>, ArrowError> {
        if sql_type.contains_map() {
            return Ok(Equality {
                compare: Box::new(move |l, r| {
                    order::compare(&from_array(left, l, sql_type), &from_array(right, r, sql_type))
                }),
            });
        }
        Ok(Equality { compare: make_comparator(left, right, SortOptions::default())? })
    }

    pub(crate) fn equal(&self, left: usize, right: usize) -> bool {
        (self.compare)(left, right) == Ordering::Equal
    }
}

/// The values of columns of one type as byte strings: equal bytes for equal values. NULL is a value.
#[derive(Debug)]
pub(crate) struct Identities {
    converter: Option<RowConverter>,
    sql_type: SqlType,
}

/// Identities of one column.
#[derive(Debug)]
pub(crate) enum Keys {
    Rows(Rows),
    Texts(Vec<Vec<u8>>),
}

impl Identities {
    pub(crate) fn new(sql_type: &SqlType) -> Result<Identities, ArrowError> {
        let field = SortField::new(sql_type.to_arrow());
        let supported =
            !sql_type.contains_map() && RowConverter::supports_fields(std::slice::from_ref(&field));
        let converter = if supported { Some(RowConverter::new(vec![field])?) } else { None };
        Ok(Identities { converter, sql_type: sql_type.clone() })
    }

    pub(crate) fn keys(&self, array: &ArrayRef) -> Result<Keys, ArrowError> {
        debug_assert_eq!(*array.data_type(), self.arrow_type());
        match &self.converter {
            Some(converter) => Ok(Keys::Rows(converter.convert_columns(std::slice::from_ref(array))?)),
            None => {
                let text = |row| canonical(&from_array(array, row, &self.sql_type)).into_bytes();
                Ok(Keys::Texts((0..array.len()).map(text).collect()))
            }
        }
    }

    fn arrow_type(&self) -> DataType {
        self.sql_type.to_arrow()
    }
}

impl Keys {
    pub(crate) fn get(&self, row: usize) -> &[u8] {
        match self {
            Keys::Rows(rows) => rows.row(row).data(),
            Keys::Texts(texts) => &texts[row],
        }
    }
}

/// A text that two values share only if they are equal; entries of maps in the order of their keys.
fn canonical(value: &crate::value::SqlValue) -> String {
    use crate::value::SqlValue;
    match value {
        SqlValue::Map(entries) => {
            let mut entries = entries.clone();
            entries.sort_by(|a, b| order::compare(&a.0, &b.0));
            let parts: Vec<String> =
                entries.iter().map(|(k, v)| format!("{}:{}", canonical(k), canonical(v))).collect();
            format!("{{{}}}", parts.join(","))
        }
        SqlValue::Array(items) | SqlValue::Struct(items) => {
            format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(","))
        }
        other => format!("{other:?}"),
    }
}
