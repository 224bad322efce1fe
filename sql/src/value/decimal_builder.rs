//! Building DECIMAL columns, with overflow noticed.

use std::sync::Arc;

use arrow::array::{ArrayRef, PrimitiveBuilder};
use arrow::datatypes::{Decimal128Type, Decimal256Type, i256};
use arrow::error::ArrowError;

use crate::value::DecimalValue;
use crate::value::decimal::power_of_ten_i256;

/// Builds a DECIMAL column of either Arrow width.
#[derive(Debug)]
pub(crate) enum DecimalBuilder {
    Narrow(PrimitiveBuilder<Decimal128Type>, u8, u8),
    Wide(PrimitiveBuilder<Decimal256Type>, u8, u8),
}

impl DecimalBuilder {
    pub(crate) fn new(precision: u8, scale: u8, capacity: usize) -> DecimalBuilder {
        if precision <= 38 {
            DecimalBuilder::Narrow(PrimitiveBuilder::with_capacity(capacity), precision, scale)
        } else {
            DecimalBuilder::Wide(PrimitiveBuilder::with_capacity(capacity), precision, scale)
        }
    }

    /// Appends an unscaled value; if it has too many digits appends NULL and says so.
    pub(crate) fn append(&mut self, value: Option<i256>) -> Result<(), String> {
        match self {
            DecimalBuilder::Narrow(builder, precision, scale) => {
                let limit = 10_i128.pow(u32::from(*precision));
                match value.map(|v| (v, v.to_i128().filter(|n| -limit < *n && *n < limit))) {
                    None => builder.append_null(),
                    Some((_, Some(narrow))) => builder.append_value(narrow),
                    Some((value, None)) => {
                        builder.append_null();
                        return Err(overflow(value, *precision, *scale));
                    }
                }
            }
            DecimalBuilder::Wide(builder, precision, scale) => {
                let limit = power_of_ten_i256(u32::from(*precision));
                match value {
                    None => builder.append_null(),
                    Some(v) if limit.is_none_or(|limit| v < limit && v > limit.wrapping_neg()) => {
                        builder.append_value(v);
                    }
                    Some(v) => {
                        builder.append_null();
                        return Err(overflow(v, *precision, *scale));
                    }
                }
            }
        }
        Ok(())
    }

    /// Appends an unscaled value, which may have more digits than the type as long as it fits the column: a carry of
    /// rounding. If it does not appends NULL and says so.
    pub(crate) fn append_carried(&mut self, value: Option<i256>) -> Result<(), String> {
        let Some(value) = value else { return self.append(None) };
        match self {
            DecimalBuilder::Narrow(builder, precision, scale) => match value.to_i128() {
                Some(narrow) => builder.append_value(narrow),
                None => {
                    builder.append_null();
                    return Err(overflow(value, *precision, *scale));
                }
            },
            DecimalBuilder::Wide(builder, ..) => builder.append_value(value),
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            DecimalBuilder::Narrow(mut builder, precision, scale) => {
                Arc::new(builder.finish().with_precision_and_scale(precision, scale as i8)?)
            }
            DecimalBuilder::Wide(mut builder, precision, scale) => {
                Arc::new(builder.finish().with_precision_and_scale(precision, scale as i8)?)
            }
        })
    }
}

fn overflow(unscaled: i256, precision: u8, scale: u8) -> String {
    let value = DecimalValue { unscaled, scale };
    format!("numeric field overflow: {value} does not fit DECIMAL({precision}, {scale})")
}
