//! Fetches for all tasks of a worker, beside the worker's thread.
//!
//! One long-polling request is under way for everything that wants records. A partition that several queries read at the same
//! offset is asked for once. When more partitions want records while a request is waiting for news, it is given up and asked anew
//! with all of them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Sender;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use weir_broker::client::error::ClientError;
use weir_broker::client::reader::{FetchOptions, FetchedPartitions, Reader};
use weir_broker::client::transport::Transport;
use weir_broker::ids::{Offset, TopicPartition};

use crate::runtime::messages::{AttemptId, WorkerMessage};

/// How long a request may take before it counts as waiting for news.
const ANSWER_SOON: Duration = Duration::from_millis(1);
/// Pause after a request failed as a whole.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// A partition from an offset.
pub(crate) type Wanted = (TopicPartition, Offset);

#[derive(Debug)]
struct InFlight {
    id: u64,
    wanted: HashSet<Wanted>,
    since: Duration,
    abort: AbortHandle,
}

impl InFlight {
    /// True if the answer serves this wish, or must come before it can be served: it reads the partition at or before the
    /// offset, and is late only if there is nothing to read at the offset either.
    fn covers(&self, (partition, offset): &Wanted) -> bool {
        self.wanted.iter().any(|(p, o)| o <= offset && p == partition)
    }
}

#[derive(Debug)]
pub(crate) struct Fetcher {
    reader: Reader,
    runtime: Handle,
    inbox: Sender<WorkerMessage>,
    options: FetchOptions,
    in_flight: Option<InFlight>,
    next_id: u64,
    /// After a failure: no request before this time.
    pause_until: Duration,
}

impl Fetcher {
    pub(crate) fn new(
        transport: Arc<dyn Transport>,
        runtime: Handle,
        inbox: Sender<WorkerMessage>,
        options: FetchOptions,
    ) -> Fetcher {
        Fetcher {
            reader: Reader::new(transport),
            runtime,
            inbox,
            options,
            in_flight: None,
            next_id: 0,
            pause_until: Duration::ZERO,
        }
    }

    /// Makes sure that what is wanted is asked for. Gives the time at which to call again, if not told otherwise before.
    ///
    /// Units: `partition_bytes_max` is what a new request asks for at most of a partition.
    pub(crate) fn update(
        &mut self,
        wanted: HashSet<Wanted>,
        partition_bytes_max: usize,
        now: Duration,
    ) -> Option<Duration> {
        if now < self.pause_until && !wanted.is_empty() {
            return Some(self.pause_until);
        }
        if let Some(in_flight) = &self.in_flight {
            if wanted.iter().all(|w| in_flight.covers(w)) {
                return None;
            }
            let answer_by = in_flight.since + ANSWER_SOON;
            if now < answer_by {
                return Some(answer_by);
            }
            in_flight.abort.abort();
            self.in_flight = None;
        }
        if !wanted.is_empty() {
            self.options.partition_bytes_max = partition_bytes_max;
            self.send(wanted, now);
        }
        None
    }

    fn send(&mut self, wanted: HashSet<Wanted>, now: Duration) {
        self.next_id += 1;
        let id = self.next_id;
        let assignments = one_offset_each(&wanted);
        let asked = assignments.iter().cloned().collect();
        let (reader, inbox, options) = (self.reader.clone(), self.inbox.clone(), self.options.clone());
        let task = self.runtime.spawn(async move {
            let outcome = reader.fetch(&assignments, &options).await;
            tracing::trace!(partitions = assignments.len(), "fetched");
            let _ = inbox.send(WorkerMessage::Fetched { fetch: id, outcome });
        });
        self.in_flight = Some(InFlight { id, wanted: asked, since: now, abort: task.abort_handle() });
    }

    /// Takes an answer. None if it is not the one waited for; `Err` if the request failed and will be repeated.
    pub(crate) fn answered(
        &mut self,
        id: u64,
        outcome: Result<FetchedPartitions, ClientError>,
        now: Duration,
    ) -> Option<Result<Vec<(Wanted, FetchedPartition)>, ClientError>> {
        let in_flight = self.in_flight.take_if(|f| f.id == id)?;
        match outcome {
            Err(error) => {
                self.pause_until = now + RETRY_PAUSE;
                Some(Err(error))
            }
            Ok(partitions) => {
                let asked = |partition: &TopicPartition| {
                    in_flight.wanted.iter().find(|(p, _)| p == partition).map(|(_, offset)| *offset)
                };
                let answers = partitions.into_iter().filter_map(|(partition, outcome)| {
                    let offset = asked(&partition)?;
                    Some(((partition, offset), outcome))
                });
                Some(Ok(answers.collect()))
            }
        }
    }

    /// Gives up what is under way.
    pub(crate) fn cancel(&mut self) {
        if let Some(in_flight) = self.in_flight.take() {
            in_flight.abort.abort();
        }
    }
}

pub(crate) type FetchedPartition = Result<weir_broker::client::reader::PartitionRecords, ClientError>;

/// A request asks for a partition once: of several offsets the lowest goes first, the others wait for their turn.
fn one_offset_each(wanted: &HashSet<Wanted>) -> Vec<Wanted> {
    let mut sorted: Vec<Wanted> = wanted.iter().cloned().collect();
    sorted.sort_unstable();
    sorted.dedup_by(|b, a| a.0 == b.0);
    sorted
}

/// Reads changelogs for an attempt that restores. The answer is [`WorkerMessage::ChangelogFetched`].
pub(crate) fn fetch_changelogs(
    runtime: &Handle,
    transport: Arc<dyn Transport>,
    inbox: Sender<WorkerMessage>,
    attempt: AttemptId,
    wanted: Vec<Wanted>,
    options: FetchOptions,
) {
    runtime.spawn(async move {
        let outcome = Reader::new(transport).fetch(&wanted, &options).await;
        let _ = inbox.send(WorkerMessage::ChangelogFetched { attempt, outcome });
    });
}
