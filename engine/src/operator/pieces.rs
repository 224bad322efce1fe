//! Batches cut smaller: input, where an operator needs too much memory for all its rows, and output, where one row may
//! become many.

use weir_sql::expr::compile::batch_budget::BatchBudget;

use crate::batch::RowBatch;
use crate::error::Result;

/// A batch that needed too much memory is cut into this many.
const CUTS: usize = 8;

/// The rows that an operator emits at a time, if a row of its input may become many. What it emits in all is the same for
/// every limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PieceLimit {
    /// Invariant: at least 1.
    pub rows_max: usize,
    /// Bytes of the columns, about. One row may have more.
    pub bytes_max: usize,
}

impl Default for PieceLimit {
    fn default() -> PieceLimit {
        PieceLimit { rows_max: 1 << 14, bytes_max: 16 << 20 }
    }
}

/// Counts the bytes of the rows that a batch becomes, before its operator changes anything.
///
/// Errors: several rows exceed the budget: they come again, fewer at a time. One row becomes as large as the rows it meets,
/// and is never refused.
pub fn charge_result(budget: &BatchBudget, bytes: usize) -> Result<()> {
    match budget.charge(bytes) {
        Err(_) if budget.rows() <= 1 => Ok(()),
        charged => Ok(charged?),
    }
}

/// The rows that an operator is given, in order, each once: all at a time unless that takes too much memory.
///
/// An operator that fails for want of memory must have changed nothing: it is given fewer of the same rows again.
#[derive(Debug)]
pub struct Pieces {
    /// None once every row is taken.
    batch: Option<RowBatch>,
    /// Rows before it are taken.
    at: usize,
    size: usize,
}

impl Pieces {
    pub fn new(batch: RowBatch) -> Pieces {
        Pieces { size: batch.len(), batch: Some(batch), at: 0 }
    }

    /// The next rows. They stay next until they are [taken](Pieces::taken).
    pub fn next(&self) -> Result<Option<RowBatch>> {
        let Some(batch) = &self.batch else { return Ok(None) };
        let count = self.count(batch);
        if count == batch.len() {
            return Ok(Some(batch.clone()));
        }
        // A copy, so that no expression meets the elements of other rows.
        let rows: Vec<u32> = (self.at as u32..(self.at + count) as u32).collect();
        batch.take(&rows).map(Some)
    }

    /// True if the rows are given in more than one piece.
    pub fn is_cut(&self) -> bool {
        self.batch.as_ref().is_some_and(|batch| self.count(batch) < batch.len())
    }

    /// The next rows needed too much memory.
    pub fn cut(&mut self) {
        if let Some(batch) = &self.batch {
            self.size = (self.count(batch) / CUTS).max(1);
        }
    }

    /// The next rows are processed, within this budget.
    pub fn taken(&mut self, budget: &BatchBudget) {
        let Some(batch) = &self.batch else { return };
        self.at += self.count(batch);
        if self.at == batch.len() {
            self.batch = None;
        } else if budget.is_slack() {
            self.size = self.size.saturating_mul(2);
        }
    }

    fn count(&self, batch: &RowBatch) -> usize {
        self.size.min(batch.len() - self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(count: i64) -> RowBatch {
        RowBatch::new(Vec::new(), Vec::new(), (0..count).collect())
    }

    /// The sizes in which rows are taken by a step that holds `bytes` for each of them.
    fn sizes(count: i64, bytes: impl Fn(i64) -> usize) -> Vec<usize> {
        let mut pieces = Pieces::new(rows(count));
        let (mut sizes, mut next) = (Vec::new(), 0);
        while let Some(piece) = pieces.next().expect("rows can be copied") {
            assert_eq!(piece.rowtime[0], next, "rows are given in order");
            let budget = BatchBudget::for_rows(piece.len());
            match budget.charge(piece.rowtime.iter().map(|row| bytes(*row)).sum()) {
                Err(_) if piece.len() > 1 => pieces.cut(),
                Err(error) => panic!("row {next} alone: {error}"),
                Ok(()) => {
                    pieces.taken(&budget);
                    next += piece.len() as i64;
                    sizes.push(piece.len());
                }
            }
        }
        assert_eq!(next, count);
        sizes
    }

    #[test]
    fn batches_are_cut_until_they_fit_and_grow_again() {
        assert_eq!(sizes(1_000, |_| 1_000), [1_000]);
        assert_eq!(sizes(1_000, |_| 1 << 20).into_iter().max(), Some(15));
        let one_large = sizes(1_000, |row| if row == 500 { 200 << 20 } else { 10 });
        assert!(one_large.contains(&1), "{one_large:?}");
        assert!(one_large.last() > Some(&100), "{one_large:?}");
    }
}
