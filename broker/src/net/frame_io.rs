//! Reading and writing frames on a byte stream. Every future here may be dropped and made anew without losing bytes.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::PollSemaphore;

use crate::net::memory_budget::{MemoryBudget, TransferRate, Unsent, Waiting};
use crate::protocol::frame::{EncodedFrame, LENGTH_LEN};

/// Room made for the first bytes of a frame. Idle connections hold this much.
const READ_LEN: usize = 2 * 1024;
/// Room for a frame is made in steps of at least this size, and at most what has arrived already or came as one frame
/// before, so that memory is taken by bytes and not by announcements.
const GROWTH_LEN_MIN: usize = 128 * 1024;
/// Chunks passed to one vectored write.
const WRITE_CHUNKS_MAX: usize = 32;

/// Reason for which no further frame can be read.
#[derive(Debug, Error)]
pub(crate) enum ReadError {
    #[error("reading failed")]
    Io(#[from] io::Error),
    #[error("frame of {length} bytes announced, at most {max} allowed")]
    Length { length: i32, max: usize },
    #[error("stream ended inside a frame")]
    UnexpectedEnd,
    #[error("a frame came too slowly while others waited for room")]
    TooSlow,
}

/// A frame without its length prefix.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) bytes: Bytes,
    /// The frame's share of the budget; given back when dropped.
    pub(crate) permit: OwnedSemaphorePermit,
}

/// Cuts a byte stream into frames.
#[derive(Debug)]
pub(crate) struct FrameReader<R> {
    source: R,
    buffer: BytesMut,
    /// Bytes that frames may take, one permit each.
    budget: PollSemaphore,
    memory: Arc<MemoryBudget>,
    permit: Option<OwnedSemaphorePermit>,
    partial_since: Option<Instant>,
    /// The budget, not the peer, is what the next frame waits for.
    starved: Option<Waiting>,
    rate: TransferRate,
    /// Length of the longest frame that came completely: there is room for another of the kind at once.
    complete_max: usize,
    bytes_read: u64,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// A reader of frames from `source` that takes the length of each out of `memory`.
    pub(crate) fn new(source: R, memory: Arc<MemoryBudget>) -> Self {
        Self {
            source,
            buffer: BytesMut::new(),
            budget: PollSemaphore::new(memory.requests()),
            memory,
            permit: None,
            partial_since: None,
            starved: None,
            rate: TransferRate::begin(),
            complete_max: GROWTH_LEN_MIN,
            bytes_read: 0,
        }
    }

    /// Since when part of a frame is here, not counting the time the budget makes it wait.
    pub(crate) fn partial_since(&self) -> Option<Instant> {
        self.partial_since.filter(|_| self.starved.is_none())
    }

    /// Bytes read since the last call.
    pub(crate) fn take_bytes_read(&mut self) -> u64 {
        std::mem::take(&mut self.bytes_read)
    }

    /// The next frame; `None` when the stream ends between frames.
    pub(crate) async fn next_frame(&mut self, length_max: usize) -> Result<Option<Frame>, ReadError> {
        loop {
            let room = match self.announced(length_max)? {
                None => READ_LEN,
                Some(length) => {
                    self.acquire(length).await;
                    let missing = (LENGTH_LEN + length).saturating_sub(self.buffer.len());
                    if missing == 0 {
                        return Ok(self.split_frame(length));
                    }
                    missing.min(self.buffer.len().max(self.complete_max))
                }
            };
            self.buffer.reserve(room);
            let count = self.read_some().await?;
            self.bytes_read += count as u64;
            if count == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err(ReadError::UnexpectedEnd) };
            }
            self.partial_since.get_or_insert_with(Instant::now);
        }
    }

    /// Reads available bytes. A peer that holds memory for a frame while others wait for it must send swiftly.
    async fn read_some(&mut self) -> Result<usize, ReadError> {
        if self.permit.is_none() {
            return Ok(self.source.read_buf(&mut self.buffer).await?);
        }
        loop {
            tokio::select! {
                biased;
                read = self.source.read_buf(&mut self.buffer) => {
                    let count = read?;
                    self.rate.add(count);
                    return Ok(count);
                }
                () = sleep_until(self.rate.due()) => {}
            }
            if !self.rate.judge() && self.memory.is_contended() {
                return Err(ReadError::TooSlow);
            }
        }
    }

    /// The length of the frame at the front of the buffer.
    fn announced(&self, max: usize) -> Result<Option<usize>, ReadError> {
        let Some(prefix) = self.buffer.first_chunk::<LENGTH_LEN>() else { return Ok(None) };
        let length = i32::from_be_bytes(*prefix);
        match usize::try_from(length) {
            Ok(len) if len <= max => Ok(Some(len)),
            Ok(_) | Err(_) => Err(ReadError::Length { length, max }),
        }
    }

    async fn acquire(&mut self, length: usize) {
        if self.permit.is_some() {
            return;
        }
        let count = u32::try_from(length.min(self.memory.requests_max())).unwrap_or(u32::MAX);
        let (budget, starved, memory) = (&mut self.budget, &mut self.starved, &self.memory);
        let permit = poll_fn(|cx| {
            let polled = budget.poll_acquire_many(cx, count);
            if polled.is_pending() {
                starved.get_or_insert_with(|| memory.wait());
            }
            polled
        })
        .await;
        if self.starved.take().is_some() {
            self.partial_since = Some(Instant::now());
        }
        self.rate = TransferRate::begin();
        self.permit = Some(permit.expect("budgets are never closed"));
    }

    fn split_frame(&mut self, length: usize) -> Option<Frame> {
        self.buffer.advance(LENGTH_LEN);
        let bytes = self.buffer.split_to(length).freeze();
        self.complete_max = self.complete_max.max(length);
        self.partial_since = (!self.buffer.is_empty()).then(Instant::now);
        let permit = self.permit.take()?;
        Some(Frame { bytes, permit })
    }
}

/// Writes frames in order, many chunks per system call.
#[derive(Debug)]
pub(crate) struct FrameWriter<W> {
    sink: W,
    queue: VecDeque<Bytes>,
    memory: Arc<MemoryBudget>,
    pending: Unsent,
    flushed: bool,
    progress_at: Instant,
    rate: TransferRate,
}

impl<W: AsyncWrite + Unpin> FrameWriter<W> {
    pub(crate) fn new(sink: W, memory: Arc<MemoryBudget>) -> Self {
        let pending = memory.hold(0);
        let (progress_at, rate) = (Instant::now(), TransferRate::begin());
        Self { sink, queue: VecDeque::new(), memory, pending, flushed: true, progress_at, rate }
    }

    /// Queues a frame behind those queued before.
    pub(crate) fn push(&mut self, frame: EncodedFrame) {
        let held = self.memory.hold(frame.len());
        self.push_held(frame, held);
    }

    /// As [`FrameWriter::push`], for a frame whose bytes `held` counts already.
    pub(crate) fn push_held(&mut self, frame: EncodedFrame, held: Unsent) {
        if self.is_idle() {
            self.progress_at = Instant::now();
            self.rate = TransferRate::begin();
        }
        self.pending.merge(held);
        self.queue.extend(frame.into_chunks().into_iter().filter(|chunk| !chunk.is_empty()));
    }

    /// Bytes queued and not yet written.
    pub(crate) fn pending(&self) -> usize {
        self.pending.bytes()
    }

    /// Whether everything queued is written and flushed.
    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.flushed
    }

    /// When the peer last took bytes, or the queue stopped being empty.
    pub(crate) fn progress_at(&self) -> Instant {
        self.progress_at
    }

    /// Writes what the peer takes now, or flushes when everything is written. Returns the count of bytes written.
    ///
    /// Errors: `TimedOut` if the peer takes its responses too slowly while there is no room for those of others.
    pub(crate) async fn write_some(&mut self) -> io::Result<usize> {
        loop {
            let due = self.rate.due();
            tokio::select! {
                biased;
                written = self.write_now() => return written,
                () = sleep_until(due) => {}
            }
            if !self.rate.judge() && self.memory.is_clogged() {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }

    async fn write_now(&mut self) -> io::Result<usize> {
        if self.queue.is_empty() {
            self.sink.flush().await?;
            self.flushed = true;
            return Ok(0);
        }
        let mut slices = [IoSlice::new(&[]); WRITE_CHUNKS_MAX];
        let mut count = 0;
        for (slice, chunk) in slices.iter_mut().zip(&self.queue) {
            *slice = IoSlice::new(chunk);
            count += 1;
        }
        let written = self.sink.write_vectored(&slices[..count]).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.flushed = false;
        self.progress_at = Instant::now();
        self.rate.add(written);
        self.pending.release(written);
        self.advance(written);
        Ok(written)
    }

    fn advance(&mut self, mut written: usize) {
        while let Some(front) = self.queue.front_mut() {
            if written < front.len() {
                front.advance(written);
                return;
            }
            written -= front.len();
            self.queue.pop_front();
        }
    }

    /// Closes the sending half of the connection.
    pub(crate) async fn shutdown(&mut self) -> io::Result<()> {
        self.sink.shutdown().await
    }
}
