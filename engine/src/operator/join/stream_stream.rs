//! Stream-stream join within a window.

pub mod unmatched;
pub mod window_buffer;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::buffer::BooleanBuffer;
use weir_sql::plan::physical::JoinKind;

use crate::batch::windows::{WindowColumns, WindowEnds};
use crate::batch::{RowBatch, some_bits};
use crate::error::Result;
use crate::operator::join::side::side_columns;
use crate::operator::join::stream_stream::unmatched::{Unmatched, UnmatchedRows};
use crate::operator::join::stream_stream::window_buffer::{BufferedRow, WindowBuffer};
use crate::operator::keys::{NULL_KEY, batch_keys, null_keys};
use crate::operator::{Operator, OperatorContext, Output};
use crate::processing_log::StepReporter;
use crate::state::key_codec::{EncodedKeys, split_window_start};
use crate::state::row_arena::NO_ROW;
use crate::state::task_state::{META_KEY, TaskState};

/// The older behaviour without GRACE PERIOD keeps rows this long.
pub const DEFAULT_GRACE_MS: i64 = 24 * 60 * 60 * 1000;

/// A pair joins if −`before_ms` ≤ secondary time − primary time ≤ `after_ms`. The primary side is the left one, but the right
/// one of a RIGHT join. Units: ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JoinWindow {
    pub before_ms: i64,
    pub after_ms: i64,
    /// None: unmatched rows are emitted at once, and may be followed by a match.
    pub grace_ms: Option<i64>,
}

impl JoinWindow {
    /// How long rows are kept.
    pub fn retention_ms(&self) -> i64 {
        let grace = self.grace_ms.unwrap_or(DEFAULT_GRACE_MS);
        self.before_ms.saturating_add(self.after_ms).saturating_add(grace)
    }

    /// False if partners of a row of this time may come after the last timestamp there is.
    fn takes(&self, time: i64) -> bool {
        time <= i64::MAX - self.before_ms.max(self.after_ms).max(1)
    }

    /// True if stream time is past the time, the reach and the grace period: no partner can follow.
    fn is_past(time: i64, reach_ms: i64, grace_ms: i64, stream_time: i64) -> bool {
        time.saturating_add(reach_ms).saturating_add(grace_ms) < stream_time
    }

    /// How far before and after its own time a row of a side finds partners.
    fn reach(&self, is_primary: bool) -> (i64, i64) {
        if is_primary { (self.before_ms, self.after_ms) } else { (self.after_ms, self.before_ms) }
    }
}

/// Joins rows of equal key within the window. Rows without a value are dropped; rows with a null key match nothing and come out of
/// the outer side of an outer join.
#[derive(Debug)]
pub struct StreamStreamJoinOperator {
    kind: JoinKind,
    window: JoinWindow,
    /// Left, right.
    buffers: [WindowBuffer; 2],
    unmatched: UnmatchedRows,
    /// Largest time seen on either side.
    stream_time: i64,
    stored_time: i64,
    opened: bool,
    keys: EncodedKeys,
    /// Room for the partners of a row.
    found: Vec<BufferedRow>,
    reporter: StepReporter,
}

/// A row to emit.
#[derive(Clone, Copy, Debug)]
struct Pair {
    /// Left, right.
    slots: [u32; 2],
    time: i64,
    window: (i64, i64),
    /// The input row that brought it about.
    trigger: u32,
    null_key: bool,
}

impl StreamStreamJoinOperator {
    pub fn new(
        kind: JoinKind,
        window: JoinWindow,
        buffers: [WindowBuffer; 2],
        unmatched: UnmatchedRows,
        reporter: StepReporter,
    ) -> StreamStreamJoinOperator {
        StreamStreamJoinOperator {
            kind,
            window,
            buffers,
            unmatched,
            stream_time: i64::MIN,
            stored_time: i64::MIN,
            opened: false,
            keys: EncodedKeys::default(),
            found: Vec::new(),
            reporter,
        }
    }

    fn open(&mut self, context: &OperatorContext<'_>) -> Result<()> {
        if self.opened {
            return Ok(());
        }
        self.opened = true;
        self.buffers.iter_mut().try_for_each(|b| b.open(context.state))?;
        self.unmatched.open(context.state)?;
        if let Some(meta) = context.state.get(self.unmatched.store(), META_KEY)?
            && let Some(time) = meta.first_chunk::<8>()
        {
            self.stream_time = i64::from_le_bytes(*time);
            self.stored_time = self.stream_time;
        }
        Ok(())
    }

    fn primary_port(&self) -> usize {
        match self.kind {
            JoinKind::Inner | JoinKind::Left | JoinKind::Outer => 0,
            JoinKind::Right => 1,
        }
    }

    /// True if rows of this port come out without a partner.
    fn is_outer(&self, port: usize) -> bool {
        match self.kind {
            JoinKind::Inner => false,
            JoinKind::Left => port == 0,
            JoinKind::Right => port == 1,
            JoinKind::Outer => true,
        }
    }

    /// Emits unmatched rows whose window has closed.
    fn emit_unmatched(
        &mut self,
        trigger: u32,
        ends: Option<WindowEnds>,
        state: &TaskState,
        pairs: &mut Vec<Pair>,
    ) -> Result<()> {
        let Some(grace) = self.window.grace_ms else { return Ok(()) };
        let closed = |row: &Unmatched| {
            let (_, after) = self.window.reach(row.is_primary);
            JoinWindow::is_past(row.time, after, grace, self.stream_time)
        };
        let earliest = self.window.before_ms.min(self.window.after_ms);
        let stream_time = self.stream_time;
        let may_be_past = |time: i64| JoinWindow::is_past(time, earliest, grace, stream_time);
        if !self.unmatched.first_time().is_some_and(may_be_past) {
            return Ok(());
        }
        let found: Vec<Unmatched> = self
            .unmatched
            .take_while(|r| may_be_past(r.time), state)?
            .filter(|r| closed(r))
            .cloned()
            .collect();
        for row in found {
            self.unmatched.remove(&row, state)?;
            let primary = self.primary_port();
            let port = if row.is_primary { primary } else { 1 - primary };
            let buffered = self.buffers[port].find(&row.key, row.time, row.sequence, state)?;
            let Some(buffered) = buffered else { continue };
            let mut slots = [NO_ROW; 2];
            slots[port] = buffered.slot;
            let start = ends.map_or(0, |ends| window_start(&row.key, ends));
            let window = (start, buffered.window_end);
            pairs.push(Pair { slots, time: row.time, window, trigger, null_key: false });
        }
        Ok(())
    }

    /// Gives true if the row was buffered.
    fn process_row(
        &mut self,
        port: usize,
        batch: &RowBatch,
        (row, slot): (usize, u32),
        state: &TaskState,
        pairs: &mut Vec<Pair>,
    ) -> Result<bool> {
        let time = batch.rowtime[row];
        let window = batch.window.as_ref().map_or((0, 0), |w| (w.start[row], w.end[row]));
        let is_primary = port == self.primary_port();
        if time >= self.stream_time {
            self.stream_time = time;
            self.emit_unmatched(row as u32, batch.window.as_ref().map(|w| w.kind), state, pairs)?;
        }
        let key = self.keys.get(row);
        let is_buffered = self.buffers[port].push(key, time, window.1, slot);
        let (before, after) = self.window.reach(is_primary);
        let (from, to) = (time.saturating_sub(before).max(0), time.saturating_add(after).max(0));
        let matches = self.buffers[1 - port].matches(key, from, to, state, &mut self.found)?;
        for other in matches {
            let mut slots = [slot; 2];
            slots[1 - port] = other.slot;
            let time = time.max(other.time);
            pairs.push(Pair { slots, time, window, trigger: row as u32, null_key: false });
            if !self.unmatched.is_empty() {
                let partner = Unmatched {
                    time: other.time,
                    is_primary: !is_primary,
                    key: key.into(),
                    sequence: other.sequence,
                };
                self.unmatched.remove(&partner, state)?;
            }
        }
        if matches.is_empty() && self.is_outer(port) {
            if self.window.grace_ms.is_none() || to < self.stream_time || !is_buffered {
                let mut slots = [NO_ROW; 2];
                slots[port] = slot;
                pairs.push(Pair { slots, time, window, trigger: row as u32, null_key: false });
            } else {
                let sequence = self.buffers[port].last_sequence();
                self.unmatched.add(Unmatched { time, is_primary, key: key.into(), sequence });
            }
        }
        Ok(is_buffered)
    }

    /// The pairs as rows.
    fn emitted(&mut self, batch: &RowBatch, pairs: &[Pair]) -> Result<RowBatch> {
        let slots = |port: usize| pairs.iter().map(|p| p.slots[port]).collect::<Vec<u32>>();
        let (left, right) = (slots(0), slots(1));
        let mut value = self.buffers[0].gather(&left)?;
        let mut others = self.buffers[1].gather(&right)?;
        let has_left =
            BooleanArray::new(BooleanBuffer::collect_bool(left.len(), |i| left[i] != NO_ROW), None);
        let key: Vec<ArrayRef> = (0..batch.key.len())
            .map(|c| Ok(arrow::compute::kernels::zip::zip(&has_left, &value[c], &others[c])?))
            .collect::<Result<_>>()?;
        value.append(&mut others);
        let triggers: Vec<u32> = pairs.iter().map(|p| p.trigger).collect();
        let window = batch.window.is_some().then(|| WindowColumns {
            start: pairs.iter().map(|p| p.window.0).collect(),
            end: pairs.iter().map(|p| p.window.1).collect(),
            kind: batch.window.as_ref().map_or(WindowEnds::Fixed, |w| w.kind),
        });
        Ok(RowBatch {
            key,
            value,
            rowtime: pairs.iter().map(|p| p.time).collect(),
            window,
            null_key: some_bits(pairs.iter().map(|p| p.null_key).collect()),
            absent: None,
            origin: None,
            old: None,
            ..batch.take_side(&triggers)
        })
    }
}

/// The window start in a store key that [`batch_keys`] made.
fn window_start(key: &[u8], ends: WindowEnds) -> i64 {
    let fixed = match ends {
        WindowEnds::Fixed => Some(key),
        WindowEnds::OfSession => split_window_start(key).map(|(rest, _)| rest),
    };
    fixed.and_then(split_window_start).map_or(0, |(_, start)| start)
}

impl Operator for StreamStreamJoinOperator {
    fn process(
        &mut self,
        port: usize,
        batch: RowBatch,
        context: &mut OperatorContext<'_>,
        out: &mut Output,
    ) -> Result<()> {
        self.open(context)?;
        let batch = match &batch.absent {
            Some(absent) => {
                let present = !absent;
                batch.filter(&present)?
            }
            None => batch,
        };
        batch_keys(&batch, &mut self.keys)?;
        let all: Vec<u32> = (0..batch.len() as u32).collect();
        let slots = self.buffers[port].add_columns(&side_columns(&batch), &all)?;
        let nulls = null_keys(&batch);
        let mut pairs = Vec::new();
        let mut dropped = Vec::new();
        let mut late = 0;
        for (row, slot) in slots.into_iter().enumerate() {
            // A row may have many partners.
            context.state.check_interrupted()?;
            if !self.window.takes(batch.rowtime[row]) {
                // Such a row does not move stream time: every later row would be late.
                self.reporter.unwindowed_row(batch.rowtime[row]);
                dropped.push(slot);
            } else if nulls.as_ref().is_some_and(|n| n.value(row)) {
                self.stream_time = self.stream_time.max(batch.rowtime[row]);
                if self.is_outer(port) {
                    let mut slots = [NO_ROW; 2];
                    slots[port] = slot;
                    let window = batch.window.as_ref().map_or((0, 0), |w| (w.start[row], w.end[row]));
                    let (time, trigger) = (batch.rowtime[row], row as u32);
                    pairs.push(Pair { slots, time, window, trigger, null_key: true });
                } else {
                    self.reporter.record_error(NULL_KEY);
                }
                dropped.push(slot);
            } else if !self.process_row(port, &batch, (row, slot), context.state, &mut pairs)? {
                dropped.push(slot);
                late += 1;
            }
        }
        self.reporter.late_rows(late, self.stream_time);
        out.emit(self.emitted(&batch, &pairs)?);
        dropped.into_iter().for_each(|slot| self.buffers[port].drop_columns(slot));
        self.buffers.iter_mut().try_for_each(WindowBuffer::release)
    }

    fn flush(&mut self, context: &mut OperatorContext<'_>, _out: &mut Output) -> Result<()> {
        self.open(context)?;
        let keep_from = self.unmatched.first_time();
        self.buffers.iter_mut().try_for_each(|b| b.flush(keep_from, context.state))?;
        self.unmatched.flush(context.state);
        if self.stream_time > self.stored_time {
            self.stored_time = self.stream_time;
            let meta = self.stream_time.to_le_bytes().to_vec();
            context.state.put(self.unmatched.store(), META_KEY.to_vec(), Some(meta));
        }
        Ok(())
    }
}
