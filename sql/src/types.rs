//! SQL types and their Arrow form.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use serde::{Deserialize, Serialize};

/// The widest DECIMAL that has an Arrow form.
pub const DECIMAL_PRECISION_MAX: u8 = 76;
/// Nesting of ARRAY, MAP and STRUCT that is accepted.
pub const TYPE_DEPTH_MAX: usize = 64;

/// A SQL type, fully resolved (custom types are expanded when parsed).
///
/// Shape in Arrow, see [`SqlType::to_arrow`]: BOOLEAN Boolean, INTEGER Int32, BIGINT Int64, DOUBLE Float64,
/// DECIMAL(p, s) Decimal128 up to p = 38 and Decimal256 above, STRING Utf8, BYTES Binary, DATE Date32,
/// TIME Time32(ms), TIMESTAMP Timestamp(ms, no zone), ARRAY List, MAP Map, STRUCT Struct. Every field is nullable.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SqlType {
    Boolean,
    Integer,
    Bigint,
    Double,
    Decimal { precision: u8, scale: u8 },
    String,
    Bytes,
    Date,
    Time,
    Timestamp,
    Array(Box<SqlType>),
    Map(Box<SqlType>, Box<SqlType>),
    Struct(Vec<StructField>),
}

/// A named field of a STRUCT. Names keep their case; unquoted names were upper-cased by the parser.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StructField {
    pub name: String,
    pub sql_type: SqlType,
}

impl SqlType {
    pub fn decimal(precision: u8, scale: u8) -> SqlType {
        SqlType::Decimal { precision, scale }
    }

    pub fn array(element: SqlType) -> SqlType {
        SqlType::Array(Box::new(element))
    }

    pub fn map(key: SqlType, value: SqlType) -> SqlType {
        SqlType::Map(Box::new(key), Box::new(value))
    }

    pub fn structure<N: Into<String>>(fields: impl IntoIterator<Item = (N, SqlType)>) -> SqlType {
        SqlType::Struct(
            fields.into_iter().map(|(name, sql_type)| StructField { name: name.into(), sql_type }).collect(),
        )
    }

    /// INTEGER, BIGINT, DECIMAL or DOUBLE.
    pub fn is_numeric(&self) -> bool {
        matches!(self, SqlType::Integer | SqlType::Bigint | SqlType::Double | SqlType::Decimal { .. })
    }

    /// DATE, TIME or TIMESTAMP.
    pub fn is_time(&self) -> bool {
        matches!(self, SqlType::Date | SqlType::Time | SqlType::Timestamp)
    }

    /// ARRAY, MAP or STRUCT.
    pub fn is_nested(&self) -> bool {
        matches!(self, SqlType::Array(_) | SqlType::Map(..) | SqlType::Struct(_))
    }

    /// True if the type is a MAP or has one inside.
    pub fn contains_map(&self) -> bool {
        match self {
            SqlType::Map(..) => true,
            SqlType::Array(element) => element.contains_map(),
            SqlType::Struct(fields) => fields.iter().any(|f| f.sql_type.contains_map()),
            _ => false,
        }
    }

    /// The name without parameters, as error messages give it: `DECIMAL`, `ARRAY`.
    pub fn base_name(&self) -> &'static str {
        match self {
            SqlType::Boolean => "BOOLEAN",
            SqlType::Integer => "INTEGER",
            SqlType::Bigint => "BIGINT",
            SqlType::Double => "DOUBLE",
            SqlType::Decimal { .. } => "DECIMAL",
            SqlType::String => "STRING",
            SqlType::Bytes => "BYTES",
            SqlType::Date => "DATE",
            SqlType::Time => "TIME",
            SqlType::Timestamp => "TIMESTAMP",
            SqlType::Array(_) => "ARRAY",
            SqlType::Map(..) => "MAP",
            SqlType::Struct(_) => "STRUCT",
        }
    }

    /// The Arrow type that holds values of this type.
    pub fn to_arrow(&self) -> DataType {
        match self {
            SqlType::Boolean => DataType::Boolean,
            SqlType::Integer => DataType::Int32,
            SqlType::Bigint => DataType::Int64,
            SqlType::Double => DataType::Float64,
            SqlType::Decimal { precision, scale } if *precision <= 38 => {
                DataType::Decimal128(*precision, *scale as i8)
            }
            SqlType::Decimal { precision, scale } => DataType::Decimal256(*precision, *scale as i8),
            SqlType::String => DataType::Utf8,
            SqlType::Bytes => DataType::Binary,
            SqlType::Date => DataType::Date32,
            SqlType::Time => DataType::Time32(TimeUnit::Millisecond),
            SqlType::Timestamp => DataType::Timestamp(TimeUnit::Millisecond, None),
            SqlType::Array(element) => DataType::List(Arc::new(Field::new("item", element.to_arrow(), true))),
            SqlType::Map(key, value) => DataType::Map(
                Arc::new(Field::new(
                    "entries",
                    DataType::Struct(Fields::from(vec![
                        Field::new("key", key.to_arrow(), false),
                        Field::new("value", value.to_arrow(), true),
                    ])),
                    false,
                )),
                false,
            ),
            SqlType::Struct(fields) => DataType::Struct(
                fields.iter().map(|f| Field::new(&f.name, f.sql_type.to_arrow(), true)).collect(),
            ),
        }
    }
}

/// `name` in back quotes, inner back quotes doubled.
pub fn quote_identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

impl fmt::Display for SqlType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SqlType::Decimal { precision, scale } => write!(f, "DECIMAL({precision}, {scale})"),
            SqlType::Array(element) => write!(f, "ARRAY<{element}>"),
            SqlType::Map(key, value) => write!(f, "MAP<{key}, {value}>"),
            SqlType::Struct(fields) => {
                f.write_str("STRUCT<")?;
                for (i, field) in fields.iter().enumerate() {
                    if i > 0 {
                        f.write_str(", ")?;
                    }
                    write!(f, "{} {}", quote_identifier(&field.name), field.sql_type)?;
                }
                f.write_str(">")
            }
            other => f.write_str(other.base_name()),
        }
    }
}
