//! Encoded rows in one buffer.

/// The keys or values of a batch, as bytes. Reused from batch to batch: [`EncodedRows::clear`] keeps the memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EncodedRows {
    data: Vec<u8>,
    /// Start and end of each row in `data`; the start of a null row is `NULL`.
    spans: Vec<(usize, usize)>,
}

const NULL: usize = usize::MAX;

impl EncodedRows {
    pub fn new() -> EncodedRows {
        EncodedRows::default()
    }

    /// Forgets all rows, keeps the memory.
    pub fn clear(&mut self) {
        self.data.clear();
        self.spans.clear();
    }

    pub fn len(&self) -> usize {
        self.spans.len()
    }

    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The bytes of a row; None for Kafka's null. Panics if there is no such row.
    pub fn get(&self, row: usize) -> Option<&[u8]> {
        match self.spans[row] {
            (NULL, _) => None,
            (start, end) => Some(&self.data[start..end]),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = Option<&[u8]>> {
        (0..self.len()).map(|row| self.get(row))
    }

    /// Bytes of all rows together.
    pub fn data_bytes(&self) -> usize {
        self.data.len()
    }

    pub fn push_null(&mut self) {
        self.spans.push((NULL, self.data.len()));
    }

    pub fn push(&mut self, row: &[u8]) {
        let start = self.data.len();
        self.data.extend_from_slice(row);
        self.spans.push((start, self.data.len()));
    }

    /// The buffer to which an encoder appends the next row; [`EncodedRows::end_row`] closes it.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.data
    }

    /// Makes a row of everything appended to the buffer since the last row.
    pub(crate) fn end_row(&mut self, start: usize) {
        self.spans.push((start, self.data.len()));
    }

    pub(crate) fn reserve(&mut self, rows: usize, bytes: usize) {
        self.spans.reserve(rows);
        self.data.reserve(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_rows_differ_from_null_rows() {
        let mut rows = EncodedRows::new();
        rows.push(b"ab");
        rows.push_null();
        rows.push(b"");
        assert_eq!(rows.iter().collect::<Vec<_>>(), [Some(&b"ab"[..]), None, Some(&b""[..])]);
        rows.clear();
        assert!(rows.is_empty());
    }
}
