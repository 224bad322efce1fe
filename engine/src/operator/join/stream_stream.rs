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
use crate::operator::join::stream_stream::window_buffer::{BufferedRow, Place, Search, WindowBuffer};
use crate::operator::keys::{NULL_KEY, batch_keys, null_keys};
use crate::operator::pieces::PieceLimit;
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
///
/// A row may have any number of partners. Joined rows are emitted in pieces: when one is full the join stops, within a row if need
/// be, and goes on once the piece has been passed on.
#[derive(Debug)]
pub struct StreamStreamJoinOperator {
    kind: JoinKind,
    window: JoinWindow,
    /// Left, right.
    buffers: [WindowBuffer; 2],
    unmatched: UnmatchedRows,
    limit: PieceLimit,
    /// Largest time seen on either side.
    stream_time: i64,
    stored_time: i64,
    opened: bool,
    keys: EncodedKeys,
    /// Room for the partners of a row.
    found: Vec<BufferedRow>,
    joining: Option<Joining>,
    reporter: StepReporter,
}

/// Rows that are being joined. Shape: `slots` has one entry per row.
#[derive(Debug)]
struct Joining {
    port: usize,
    batch: RowBatch,
    slots: Vec<u32>,
    nulls: Option<BooleanBuffer>,
    /// Rows before it are joined.
    row: usize,
    /// The next step of that row.
    step: Step,
    /// Rows that were too old to be buffered.
    late: u64,
}

impl Joining {
    fn time(&self) -> i64 {
        self.batch.rowtime[self.row]
    }

    fn slot(&self) -> u32 {
        self.slots[self.row]
    }

    /// Start and end of the window of the row's key.
    fn window(&self) -> (i64, i64) {
        self.batch.window.as_ref().map_or((0, 0), |w| (w.start[self.row], w.end[self.row]))
    }

    /// The row without a partner.
    fn alone(&self, null_key: bool) -> Pair {
        let mut slots = [NO_ROW; 2];
        slots[self.port] = self.slot();
        Pair { slots, time: self.time(), window: self.window(), trigger: self.row as u32, null_key }
    }
}

/// The steps in which a row is joined. A step that fills a piece continues in the next piece.
#[derive(Debug)]
enum Step {
    Arrive,
    /// Unmatched rows whose windows the row closes come out; those up to `after` have.
    Close {
        after: Option<Unmatched>,
    },
    /// The row meets its partners; those up to `after` it has met.
    Meet {
        after: Place,
        has_met: bool,
        is_buffered: bool,
    },
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

/// Rows to emit together.
#[derive(Debug)]
struct Piece {
    limit: PieceLimit,
    pairs: Vec<Pair>,
    bytes: usize,
    /// Slots of joined rows that are not buffered: they go when the piece is emitted.
    dropped: Vec<u32>,
}

impl Piece {
    fn new(limit: PieceLimit) -> Piece {
        Piece { limit, pairs: Vec::new(), bytes: 0, dropped: Vec::new() }
    }

    fn push(&mut self, pair: Pair, bytes: usize) {
        self.pairs.push(pair);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    fn is_full(&self) -> bool {
        self.pairs.len() >= self.limit.rows_max || self.bytes >= self.limit.bytes_max
    }

    /// The rows that still fit.
    fn left(&self) -> PieceLimit {
        PieceLimit {
            rows_max: self.limit.rows_max.saturating_sub(self.pairs.len()),
            bytes_max: self.limit.bytes_max.saturating_sub(self.bytes),
        }
    }
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
            limit: PieceLimit::default(),
            stream_time: i64::MIN,
            stored_time: i64::MIN,
            opened: false,
            keys: EncodedKeys::default(),
            found: Vec::new(),
            joining: None,
            reporter,
        }
    }

    /// Bounds the rows emitted at a time.
    #[must_use]
    pub fn with_piece(self, limit: PieceLimit) -> StreamStreamJoinOperator {
        StreamStreamJoinOperator { limit, ..self }
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

    /// Joins rows until a piece is full, and emits it. False: there are none left.
    fn join_piece(&mut self, context: &OperatorContext<'_>, out: &mut Output) -> Result<bool> {
        let Some(mut joining) = self.joining.take() else { return Ok(false) };
        let mut piece = Piece::new(self.limit);
        while joining.row < joining.batch.len() && !piece.is_full() {
            // A row may have many partners.
            context.state.check_interrupted()?;
            match self.join_row(&mut joining, context.state, &mut piece)? {
                Some(step) => joining.step = step,
                None => (joining.row, joining.step) = (joining.row + 1, Step::Arrive),
            }
        }
        out.emit(self.emitted(&joining.batch, &piece.pairs)?);
        piece.dropped.into_iter().for_each(|slot| self.buffers[joining.port].drop_columns(slot));
        self.buffers.iter_mut().try_for_each(WindowBuffer::release)?;
        if joining.row < joining.batch.len() {
            self.joining = Some(joining);
        } else {
            self.reporter.late_rows(joining.late, self.stream_time);
        }
        Ok(true)
    }

    /// Carries out the next step of a row. None: the row is joined.
    fn join_row(
        &mut self,
        joining: &mut Joining,
        state: &TaskState,
        piece: &mut Piece,
    ) -> Result<Option<Step>> {
        match std::mem::replace(&mut joining.step, Step::Arrive) {
            Step::Arrive => Ok(self.arrive(joining, piece)),
            Step::Close { after } => self.close(joining, after, state, piece).map(Some),
            Step::Meet { after, has_met, is_buffered } => {
                let (next, found) = self.meet(joining, after, state, piece)?;
                let has_met = has_met || found;
                if let Some(after) = next {
                    return Ok(Some(Step::Meet { after, has_met, is_buffered }));
                }
                if !has_met && self.is_outer(joining.port) {
                    self.leave_alone(joining, is_buffered, piece);
                }
                if !is_buffered {
                    piece.dropped.push(joining.slot());
                    joining.late += 1;
                }
                Ok(None)
            }
        }
    }

    fn arrive(&mut self, joining: &Joining, piece: &mut Piece) -> Option<Step> {
        let time = joining.time();
        if !self.window.takes(time) {
            // Such a row does not move stream time: every later row would be late.
            self.reporter.unwindowed_row(time);
            piece.dropped.push(joining.slot());
            return None;
        }
        if joining.nulls.as_ref().is_some_and(|n| n.value(joining.row)) {
            self.stream_time = self.stream_time.max(time);
            if self.is_outer(joining.port) {
                self.push_alone(joining, true, piece);
            } else {
                self.reporter.record_error(NULL_KEY);
            }
            piece.dropped.push(joining.slot());
            return None;
        }
        if time < self.stream_time {
            return Some(self.buffer(joining));
        }
        self.stream_time = time;
        Some(Step::Close { after: None })
    }

    /// Emits unmatched rows whose windows have closed, until there are none or the piece is full. Gives the step after.
    fn close(
        &mut self,
        joining: &Joining,
        mut after: Option<Unmatched>,
        state: &TaskState,
        piece: &mut Piece,
    ) -> Result<Step> {
        let Some(grace) = self.window.grace_ms else { return Ok(self.buffer(joining)) };
        let ends = joining.batch.window.as_ref().map(|w| w.kind);
        let earliest = self.window.before_ms.min(self.window.after_ms);
        let stream_time = self.stream_time;
        let may_be_past = |row: &Unmatched| JoinWindow::is_past(row.time, earliest, grace, stream_time);
        while let Some(row) = self.unmatched.next_after(after.as_ref(), may_be_past, state)? {
            let (_, reach) = self.window.reach(row.is_primary);
            if JoinWindow::is_past(row.time, reach, grace, stream_time) {
                self.unmatched.remove(&row, state)?;
                let primary = self.primary_port();
                let port = if row.is_primary { primary } else { 1 - primary };
                if let Some(buffered) = self.buffers[port].find(&row.key, (row.time, row.sequence), state)? {
                    let mut slots = [NO_ROW; 2];
                    slots[port] = buffered.slot;
                    let start = ends.map_or(0, |ends| window_start(&row.key, ends));
                    let window = (start, buffered.window_end);
                    let trigger = joining.row as u32;
                    let pair = Pair { slots, time: row.time, window, trigger, null_key: false };
                    piece.push(pair, self.buffers[port].row_bytes(buffered.slot));
                }
            }
            after = Some(row);
            if piece.is_full() {
                return Ok(Step::Close { after });
            }
        }
        Ok(self.buffer(joining))
    }

    /// Buffers a row, so that it can meet its partners.
    fn buffer(&mut self, joining: &Joining) -> Step {
        let (time, (_, window_end)) = (joining.time(), joining.window());
        let key = self.keys.get(joining.row);
        let is_buffered = self.buffers[joining.port].push(key, time, window_end, joining.slot());
        let (first, _) = self.partner_times(joining);
        Step::Meet { after: (first, i64::MIN), has_met: false, is_buffered }
    }

    /// The first and the last time of a partner.
    fn partner_times(&self, joining: &Joining) -> (i64, i64) {
        let (before, after) = self.window.reach(joining.port == self.primary_port());
        let time = joining.time();
        (time.saturating_sub(before).max(0), time.saturating_add(after).max(0))
    }

    /// Joins a row with the partners that follow a place, until the piece is full. Gives the place to go on after, if there are
    /// more, and whether there was any.
    fn meet(
        &mut self,
        joining: &Joining,
        after: Place,
        state: &TaskState,
        piece: &mut Piece,
    ) -> Result<(Option<Place>, bool)> {
        let (port, slot, time) = (joining.port, joining.slot(), joining.time());
        let partner_is_primary = port != self.primary_port();
        let (window, trigger, key) = (joining.window(), joining.row as u32, self.keys.get(joining.row));
        let (_, to) = self.partner_times(joining);
        let other_bytes = self.buffers[port].row_bytes(slot);
        let search = Search { after, to, other_bytes, limit: piece.left() };
        let matches = self.buffers[1 - port].matches(key, &search, state, &mut self.found)?;
        piece.bytes = piece.bytes.saturating_add(matches.bytes);
        for other in matches.rows {
            let mut slots = [slot; 2];
            slots[1 - port] = other.slot;
            piece.pairs.push(Pair { slots, time: time.max(other.time), window, trigger, null_key: false });
            if !self.unmatched.is_empty() {
                let partner = Unmatched {
                    time: other.time,
                    is_primary: partner_is_primary,
                    key: key.into(),
                    sequence: other.sequence,
                };
                self.unmatched.remove(&partner, state)?;
            }
        }
        let last = matches.rows.last().map(|row| (row.time, row.sequence));
        Ok((last.filter(|_| !matches.is_last), last.is_some()))
    }

    /// A row of an outer side has no partner: it comes out at once, unless one may follow.
    fn leave_alone(&mut self, joining: &Joining, is_buffered: bool, piece: &mut Piece) {
        let (_, to) = self.partner_times(joining);
        if self.window.grace_ms.is_none() || to < self.stream_time || !is_buffered {
            self.push_alone(joining, false, piece);
        } else {
            self.unmatched.add(Unmatched {
                time: joining.time(),
                is_primary: joining.port == self.primary_port(),
                key: self.keys.get(joining.row).into(),
                sequence: self.buffers[joining.port].last_sequence(),
            });
        }
    }

    fn push_alone(&self, joining: &Joining, null_key: bool, piece: &mut Piece) {
        piece.push(joining.alone(null_key), self.buffers[joining.port].row_bytes(joining.slot()));
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
        self.joining = Some(Joining { port, batch, slots, nulls, row: 0, step: Step::Arrive, late: 0 });
        self.join_piece(context, out)?;
        Ok(())
    }

    fn resume(&mut self, context: &mut OperatorContext<'_>, out: &mut Output) -> Result<bool> {
        self.join_piece(context, out)
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
