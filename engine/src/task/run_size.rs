//! How many rows a task processes before it looks at what they became.

/// Bytes of output, and of state that a commit has to write, that one run of rows is to make at most, about.
const RUN_BYTES: usize = 8 << 20;

/// Bytes of output that one run of several rows may make: one that makes more is repeated with fewer rows.
pub(crate) const RUN_BYTES_MAX: usize = 256 << 20;

/// Rows of the first run.
const FIRST_ROWS: usize = 64;

/// Grows while rows become little, and follows the bytes that they become otherwise.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RunSize {
    rows: usize,
}

impl RunSize {
    pub(crate) fn new() -> RunSize {
        RunSize { rows: FIRST_ROWS }
    }

    /// All rows that there are, until they become large.
    pub(crate) fn whole() -> RunSize {
        RunSize { rows: usize::MAX }
    }

    pub(crate) fn rows(self) -> usize {
        self.rows
    }

    /// So many rows became so many bytes.
    pub(crate) fn observe(&mut self, rows: usize, bytes: usize) {
        if bytes > RUN_BYTES {
            let fitting = rows as u128 * RUN_BYTES as u128 / bytes as u128;
            self.rows = usize::try_from(fitting).unwrap_or(1).max(1);
        } else if rows >= self.rows && bytes <= RUN_BYTES / 2 {
            self.rows = self.rows.saturating_mul(2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_become_long_while_rows_are_small_and_short_when_they_are_large() {
        let mut run = RunSize::new();
        for _ in 0..7 {
            run.observe(run.rows(), run.rows() * 200);
        }
        assert_eq!(run.rows(), FIRST_ROWS << 7);
        run.observe(10, 2_000);
        assert_eq!(run.rows(), FIRST_ROWS << 7, "a short run says little");
        run.observe(100, 100 << 20);
        assert_eq!(run.rows(), 8);
        run.observe(1, usize::MAX);
        assert_eq!(run.rows(), 1);
        run.observe(1, 6 << 20);
        assert_eq!(run.rows(), 1);
        run.observe(1, 10);
        assert_eq!(run.rows(), 2);
    }
}
