//! NONE: a side of a topic without columns. Nothing is read, and null is written.

use arrow::array::ArrayRef;
use arrow::buffer::BooleanBuffer;
use weir_sql::format::Format;
use weir_sql::schema::Column;

use crate::serde::encoded::EncodedRows;
use crate::serde::error::{EncodeError, SerdeError};
use crate::serde::{Decoded, RowDecoder, RowEncoder};

#[derive(Debug)]
pub struct NoneSerde;

impl NoneSerde {
    pub fn new(columns: &[Column]) -> Result<NoneSerde, SerdeError> {
        match columns.len() {
            0 => Ok(NoneSerde),
            actual => Err(SerdeError::ColumnCount { format: Format::None, expected: 0, actual }),
        }
    }
}

impl RowDecoder for NoneSerde {
    fn decode(&mut self, records: &[Option<&[u8]>]) -> Decoded {
        let present = records.iter().map(Option::is_some).collect();
        Decoded { columns: Vec::new(), present, errors: Vec::new() }
    }
}

impl RowEncoder for NoneSerde {
    fn encode(
        &mut self,
        _columns: &[ArrayRef],
        rows: usize,
        _present: Option<&BooleanBuffer>,
        out: &mut EncodedRows,
    ) -> Vec<EncodeError> {
        for _ in 0..rows {
            out.push_null();
        }
        Vec::new()
    }
}
