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
use weir_broker::client::consumer::reader::{FetchOptions, FetchPosition, FetchedPartitions, Reader};
use weir_broker::client::error::ClientError;
use weir_broker::client::transport::Transport;

use crate::runtime::messages::{AttemptId, WorkerMessage};
use crate::runtime::supervise::{Waiting, supervised};

/// How long a request may take before it counts as waiting for news.
const ANSWER_SOON: Duration = Duration::from_millis(1);
/// Pause after a request failed as a whole.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// A partition from an offset.
pub(crate) type Wanted = FetchPosition;

#[derive(Debug)]
struct InFlight {
    id: u64,
    /// Shape: in the order of the request, which is that of the answers.
    wanted: Vec<Wanted>,
    since: Duration,
    abort: AbortHandle,
}

impl InFlight {
    /// True if the answer serves this wish, or must come before it can be served: it reads the partition at or before the
    /// offset, and is late only if there is nothing to read at the offset either.
    fn covers(&self, wanted: &Wanted) -> bool {
        let same = |w: &Wanted| w.topic_id == wanted.topic_id && w.partition == wanted.partition;
        self.wanted.iter().any(|w| w.offset <= wanted.offset && same(w))
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
        let assignments = one_offset_each(wanted.into_iter().collect());
        let asked = assignments.clone();
        let (reader, inbox, options) = (self.reader.clone(), self.inbox.clone(), self.options.clone());
        let work = async move {
            let outcome = reader.fetch_by_id(&assignments, &options).await;
            tracing::trace!(partitions = assignments.len(), "fetched");
            let _ = inbox.send(WorkerMessage::Fetched { fetch: id, outcome });
        };
        let task = self.runtime.spawn(supervised("fetch", Waiting::Fetch(id), self.inbox.clone(), work));
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
                let answers = in_flight.wanted.into_iter().zip(partitions);
                Some(Ok(answers.map(|(wanted, (_, outcome))| (wanted, outcome)).collect()))
            }
        }
    }

    /// The request is gone without an answer: it is repeated.
    pub(crate) fn lost(&mut self, id: u64, now: Duration) {
        if self.in_flight.take_if(|f| f.id == id).is_some() {
            self.pause_until = now + RETRY_PAUSE;
        }
    }

    /// Gives up what is under way.
    pub(crate) fn cancel(&mut self) {
        if let Some(in_flight) = self.in_flight.take() {
            in_flight.abort.abort();
        }
    }
}

pub(crate) type FetchedPartition =
    Result<weir_broker::client::consumer::reader::PartitionRecords, ClientError>;

/// A request asks for a partition once: of several offsets the lowest goes first, the others wait for their turn.
pub(crate) fn one_offset_each(mut wanted: Vec<Wanted>) -> Vec<Wanted> {
    wanted.sort_unstable();
    wanted.dedup_by(|b, a| a.topic_id == b.topic_id && a.partition == b.partition);
    wanted
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
    let worker = inbox.clone();
    let work = async move {
        let outcome = Reader::new(transport).fetch_by_id(&wanted, &options).await;
        let _ = inbox.send(WorkerMessage::ChangelogFetched { attempt, outcome });
    };
    runtime.spawn(supervised("changelog fetch", Waiting::Attempt(attempt), worker, work));
}
