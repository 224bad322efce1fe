//! The writer of log lines. Lines go through a bounded queue to a thread of their own, so that standard error that is
//! closed, full, or a pipe without a reader costs log lines and never the thread that logs.
//!
//! Policy when the queue is full or a line cannot be written: the line is dropped and counted, and a later line says how
//! many were lost.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;
use weir_broker::env::spawn;

/// Lines that may wait.
const QUEUE_LINES_MAX: usize = 8_192;
/// Bytes that may wait.
const QUEUE_BYTES_MAX: usize = 8 * 1024 * 1024;

#[derive(Debug)]
enum Entry {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

#[derive(Debug, Default)]
struct Counters {
    queued_bytes: AtomicUsize,
    lost: AtomicU64,
}

/// The queue of log lines. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LogWriter {
    queue: SyncSender<Entry>,
    counters: Arc<Counters>,
}

impl LogWriter {
    /// Starts the thread that writes to standard error.
    ///
    /// Errors: the operating system's.
    pub fn start() -> io::Result<LogWriter> {
        // A descriptor without the lock of `io::stderr`: a write that blocks holds up this thread only.
        let file = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        LogWriter::start_to(file)
    }

    fn start_to(out: impl Write + Send + 'static) -> io::Result<LogWriter> {
        let (queue, entries) = sync_channel(QUEUE_LINES_MAX);
        let counters = Arc::new(Counters::default());
        let of_thread = Arc::clone(&counters);
        spawn::thread("weir-log", move || write_entries(out, &entries, &of_thread))?;
        Ok(LogWriter { queue, counters })
    }

    /// Waits until the lines so far are written, for at most this time.
    pub fn flush(&self, timeout: Duration) {
        let (done, written) = sync_channel(1);
        match self.queue.try_send(Entry::Flush(done)) {
            Ok(()) => match written.recv_timeout(timeout) {
                Ok(()) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            },
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }

    fn send(&self, line: &[u8]) {
        let queued = self.counters.queued_bytes.fetch_add(line.len(), Ordering::Relaxed);
        let fits = queued + line.len() <= QUEUE_BYTES_MAX;
        if !fits || self.queue.try_send(Entry::Line(line.to_vec())).is_err() {
            self.counters.queued_bytes.fetch_sub(line.len(), Ordering::Relaxed);
            self.counters.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl<'w> MakeWriter<'w> for LogWriter {
    type Writer = LineSink<'w>;

    fn make_writer(&'w self) -> LineSink<'w> {
        LineSink { writer: self }
    }
}

/// Takes whole lines, as the subscriber writes them. Never fails.
#[derive(Debug)]
pub struct LineSink<'w> {
    writer: &'w LogWriter,
}

impl Write for LineSink<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.writer.send(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_entries(mut out: impl Write, entries: &Receiver<Entry>, counters: &Counters) {
    // True after a line of which only a part was written.
    let mut torn = false;
    while let Ok(entry) = entries.recv() {
        let line = match entry {
            Entry::Line(line) => line,
            Entry::Flush(done) => {
                let _ = done.try_send(());
                continue;
            }
        };
        counters.queued_bytes.fetch_sub(line.len(), Ordering::Relaxed);
        match write_line(&mut out, &line, torn) {
            Ok(()) => {
                torn = false;
                let lost = counters.lost.swap(0, Ordering::Relaxed);
                if lost > 0 {
                    tracing::warn!(lost, "log lines could not be written");
                }
            }
            Err(is_torn) => {
                torn = is_torn;
                counters.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// Writes a line, on a line of its own.
///
/// Errors: it could not be written; true if a part of it was, or the line before is still torn.
fn write_line(out: &mut impl Write, line: &[u8], torn: bool) -> Result<(), bool> {
    if torn {
        write_bytes(out, b"\n").map_err(|_| true)?;
    }
    write_bytes(out, line).map_err(|written| written > 0)
}

/// Errors: how many bytes were written.
fn write_bytes(out: &mut impl Write, bytes: &[u8]) -> Result<(), usize> {
    let mut written = 0;
    while written < bytes.len() {
        match out.write(&bytes[written..]) {
            Ok(0) => return Err(written),
            Ok(more) => written += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Err(written),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(60);

    /// A file system with room for so many bytes.
    #[derive(Clone, Debug, Default)]
    struct Disk {
        bytes: Arc<Mutex<Vec<u8>>>,
        room_bytes: Arc<AtomicUsize>,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut written = self.bytes.lock().expect("not poisoned");
            let room = self.room_bytes.load(Ordering::SeqCst).saturating_sub(written.len());
            if room == 0 {
                return Err(io::Error::from(io::ErrorKind::StorageFull));
            }
            let taken = room.min(bytes.len());
            written.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_costs_the_lines_that_do_not_fit() {
        let disk = Disk::default();
        disk.room_bytes.store(6, Ordering::SeqCst);
        let writer = LogWriter::start_to(disk.clone()).expect("started");
        for line in ["one\n", "two\n", "three\n"] {
            let written = writer.make_writer().write(line.as_bytes());
            assert_eq!(written.expect("never fails"), line.len());
        }
        writer.flush(TIMEOUT);
        assert_eq!(writer.counters.lost.load(Ordering::SeqCst), 2);
        disk.room_bytes.store(1_000, Ordering::SeqCst);
        writer.make_writer().write_all(b"four\n").expect("never fails");
        writer.flush(TIMEOUT);
        let text = String::from_utf8(disk.bytes.lock().expect("not poisoned").clone()).expect("text");
        assert_eq!(text, "one\ntw\nfour\n");
        assert_eq!(writer.counters.lost.load(Ordering::SeqCst), 0, "they were reported");
        assert_eq!(writer.counters.queued_bytes.load(Ordering::SeqCst), 0);
    }

    /// A pipe that is never read.
    struct Stuck(Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_stands_still_holds_up_no_writer_of_lines() {
        let (release, stuck) = std::sync::mpsc::channel();
        let writer = LogWriter::start_to(Stuck(stuck)).expect("started");
        let line = vec![b'x'; 1_000];
        for _ in 0..QUEUE_LINES_MAX + 100 {
            writer.make_writer().write_all(&line).expect("never fails");
        }
        // One line is with the thread.
        let lost = writer.counters.lost.load(Ordering::SeqCst);
        assert!(lost >= 99, "{lost} lines were dropped");
        assert!(writer.counters.queued_bytes.load(Ordering::SeqCst) <= QUEUE_BYTES_MAX);
        writer.flush(Duration::from_millis(1));
        drop(release);
    }
}
