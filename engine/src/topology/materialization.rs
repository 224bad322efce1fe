//! Where a query's result table lies, and how to read it.

use std::sync::Arc;

use weir_sql::expr::compile::batch_budget::BatchBudget;
use weir_sql::plan::physical::{AggregateCall, Step};
use weir_sql::schema::{Column, LogicalSchema};
use weir_sql::types::SqlType;
use weir_sql::window::WindowInfo;

use crate::batch::RowBatch;
use crate::batch::windows::{WindowColumns, WindowEnds};
use crate::error::{EngineError, Result};
use crate::operator::aggregate::calls::AggregateCalls;
use crate::operator::pieces::Pieces;
use crate::operator::{BuildContext, Operator, OperatorContext, Output};
use crate::processing_log::DiscardLog;
use crate::state::backend::StoreId;
use crate::state::key_codec::{KeyDecoder, split_window_start};
use crate::state::memory::MemoryBackend;
use crate::state::row_codec::RowDecoder;
use crate::state::task_state::{META_KEY, TaskState};
use crate::topology::builder::stateless_operator;
use crate::topology::source::window_ends;

/// The store that serves pull queries. Shape: its keys are `key`, and the window start if `window` is set; rows go through
/// `suffix`, first step first, and then have `schema`.
#[derive(Clone, Debug)]
pub struct Materialization {
    pub sub_topology: usize,
    pub store: StoreId,
    pub key: Vec<Column>,
    pub window: Option<WindowInfo>,
    pub rows: StoredRows,
    pub suffix: Vec<Step>,
    pub schema: LogicalSchema,
}

/// What the rows of the store are.
#[derive(Clone, Debug)]
pub enum StoredRows {
    /// Value columns.
    Values(Vec<Column>),
    /// States of aggregates, one column per call.
    Aggregates(Vec<AggregateCall>),
}

/// Turns entries of the store into rows of the result.
#[derive(Debug)]
pub struct MaterializedReader {
    key: KeyDecoder,
    window_ends: Option<WindowEnds>,
    /// True if store keys end in the window end as well: sessions, but not those of an aggregation.
    end_in_key: bool,
    row: RowDecoder,
    calls: Option<AggregateCalls>,
    suffix: Vec<Box<dyn Operator>>,
    state: TaskState,
    schema: LogicalSchema,
}

impl MaterializedReader {
    /// Rows that fail in it failed, and were reported, when they were new.
    pub fn new(materialization: &Materialization, context: &BuildContext) -> Result<MaterializedReader> {
        let context = &BuildContext { log: Arc::new(DiscardLog), ..context.clone() };
        let (row, calls) = match &materialization.rows {
            StoredRows::Values(columns) => {
                let types: Vec<SqlType> = columns.iter().map(|c| c.sql_type.clone()).collect();
                (RowDecoder::new(&types), None)
            }
            StoredRows::Aggregates(calls) => {
                let calls = AggregateCalls::build(calls, "Pull", context)?;
                (RowDecoder::new(calls.state_types()), Some(calls))
            }
        };
        let suffix = materialization
            .suffix
            .iter()
            .map(|step| Ok(stateless_operator(step, context)?.1))
            .collect::<Result<_>>()?;
        Ok(MaterializedReader {
            key: KeyDecoder::new(materialization.key.iter().map(|c| &c.sql_type)),
            window_ends: materialization.window.map(window_ends),
            end_in_key: calls.is_none()
                && materialization.window.is_some_and(|w| window_ends(w) == WindowEnds::OfSession),
            row,
            calls,
            suffix,
            state: TaskState::new(Vec::new(), Box::new(MemoryBackend::new(0))),
            schema: materialization.schema.clone(),
        })
    }

    /// Rows of the result, in the order of the entries (key, value); those that a filter leaves out are missing.
    pub fn read<'a>(&mut self, entries: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Result<RowBatch> {
        let mut starts = Vec::new();
        for (key, value) in entries {
            if key == META_KEY {
                continue;
            }
            let rest = self.key.push(key)?;
            if self.window_ends.is_some() {
                let rest =
                    if self.end_in_key { split_window_start(rest).map_or(rest, |(r, _)| r) } else { rest };
                let (_, start) = split_window_start(rest).ok_or_else(|| EngineError::CorruptRow {
                    store: String::new(),
                    reason: "its key has no window".to_owned(),
                })?;
                starts.push(start);
            }
            self.row.push(value)?;
        }
        let key = self.key.finish();
        let rows = self.row.finish();
        let count = rows.rowtimes.len();
        let value = match &mut self.calls {
            None => rows.columns,
            Some(calls) => {
                let slots: Vec<u32> = (0..count as u32).collect();
                calls.reserve(count);
                slots.iter().for_each(|s| calls.reset(*s));
                calls.load(&slots, &rows.columns);
                calls.evaluate(&slots)
            }
        };
        let window = self.window_ends.map(|kind| WindowColumns {
            start: starts.into(),
            end: rows.extras.into(),
            kind,
        });
        self.apply_suffix(RowBatch { window, ..RowBatch::new(key, value, rows.rowtimes.into()) })
    }

    fn apply_suffix(&mut self, batch: RowBatch) -> Result<RowBatch> {
        let mut current = batch;
        for operator in &mut self.suffix {
            let answered = BatchBudget::for_whole(current.len());
            let mut pieces = Pieces::new(current);
            let mut parts = Vec::new();
            while let Some(piece) = pieces.next()? {
                let (rows, budget) = (piece.len(), BatchBudget::for_rows(piece.len()));
                let mut context = OperatorContext { state: &mut self.state, partition: 0, budget: &budget };
                let mut out = Output::default();
                match operator.process(0, piece, &mut context, &mut out) {
                    Err(error) if error.exceeds_memory() && rows > 1 => {
                        pieces.cut();
                        continue;
                    }
                    processed => processed?,
                }
                pieces.taken(&budget);
                let Some((_, part)) = out.take().pop() else { continue };
                let part = match &part.absent {
                    Some(absent) => {
                        let present = !absent;
                        part.filter(&present)?
                    }
                    None => part,
                };
                answered.charge(part.bytes())?;
                parts.push(part);
            }
            let Some(rows) = RowBatch::concat(&parts)? else { return Ok(RowBatch::empty(&self.schema)) };
            current = rows;
        }
        Ok(current)
    }
}
