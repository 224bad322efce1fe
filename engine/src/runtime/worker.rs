//! A worker: a thread that owns parts of queries and goes round them.

use std::collections::{BTreeMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use weir_broker::client::error::ClientError;
use weir_broker::protocol::error_code::ErrorCode;

use crate::query::metrics::QueryMetrics;
use crate::runtime::error::RuntimeError;
use crate::runtime::fetcher::{FetchedPartition, Fetcher, Wanted};
use crate::runtime::messages::{AttemptId, WorkerMessage};
use crate::runtime::part::{Next, Part, PartContext};

/// When a worker wants to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    Again,
    /// When a message arrives, or at this time.
    Wait(Option<Duration>),
    ShutDown,
}

#[derive(Debug)]
pub(crate) struct Worker {
    context: PartContext,
    inbox: Receiver<WorkerMessage>,
    /// By query id.
    parts: BTreeMap<String, Part>,
    fetcher: Fetcher,
    attempts: u64,
    shut_down: bool,
}

impl Worker {
    pub(crate) fn new(
        context: PartContext,
        inbox: Receiver<WorkerMessage>,
        fetch_transport: std::sync::Arc<dyn weir_broker::client::transport::Transport>,
    ) -> Worker {
        let fetcher = Fetcher::new(
            fetch_transport,
            context.runtime.clone(),
            context.inbox.clone(),
            context.fetch_options(),
        );
        Worker { context, inbox, parts: BTreeMap::new(), fetcher, attempts: 0, shut_down: false }
    }

    /// Runs until told to shut down.
    pub(crate) fn run(mut self) {
        loop {
            let message = match self.run_once() {
                Pace::Again => continue,
                Pace::ShutDown => return,
                Pace::Wait(None) => self.inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Pace::Wait(Some(until)) => {
                    let pause = until.saturating_sub(self.context.clock.monotonic());
                    self.inbox.recv_timeout(pause)
                }
            };
            match message {
                Ok(message) => self.handle(message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Handles what has arrived, gives every part a turn, and asks for what inputs want.
    pub(crate) fn run_once(&mut self) -> Pace {
        while let Ok(message) = self.inbox.try_recv() {
            self.handle(message);
        }
        if self.shut_down {
            self.fetcher.cancel();
            self.parts.clear();
            return Pace::ShutDown;
        }
        let now = self.context.clock.monotonic();
        let mut pace = Pace::Wait(None);
        let mut done = Vec::new();
        for (query_id, part) in &mut self.parts {
            if part.is_due(now) {
                self.attempts += 1;
                part.start(AttemptId(self.attempts), &self.context);
            }
            let next = advance(part, now, &self.context);
            pace = sooner(pace, next);
            if next == Next::Done {
                done.push(query_id.clone());
            }
        }
        for query_id in done {
            self.parts.remove(&query_id);
        }
        let wanted = self.wanted();
        let bytes_max = self.partition_bytes_max();
        if let Some(at) = self.fetcher.update(wanted, bytes_max, now) {
            pace = sooner(pace, Next::Wait(Some(at)));
        }
        pace
    }

    fn wanted(&mut self) -> HashSet<Wanted> {
        let config = &self.context.config;
        let mut wanted = HashSet::new();
        for part in self.parts.values_mut().filter(|p| !p.is_paused()) {
            let bytes_max = match part.awaits_first_output() {
                true => config.first_fetch_partition_bytes_max.min(config.input_bytes_max),
                false => config.input_bytes_max,
            };
            let inputs = part.inputs_mut().iter_mut().flat_map(|t| t.inputs_mut());
            let wanting = inputs.filter(|i| i.wants_fetch(bytes_max));
            wanted.extend(wanting.map(|i| (i.partition().clone(), i.fetch_offset())));
        }
        wanted
    }

    /// Little while some query waits for its first output.
    fn partition_bytes_max(&self) -> usize {
        let config = &self.context.config;
        match self.parts.values().any(Part::awaits_first_output) {
            true => config.first_fetch_partition_bytes_max.min(config.fetch_partition_bytes_max),
            false => config.fetch_partition_bytes_max,
        }
    }

    fn handle(&mut self, message: WorkerMessage) {
        match message {
            WorkerMessage::Start(assignment) => {
                let query_id = assignment.query.query_id.clone();
                let part = Part::new(assignment, &self.context);
                self.parts.insert(query_id, part);
            }
            WorkerMessage::Stop { query_id, done } => {
                if let Some(part) = self.parts.get_mut(&query_id) {
                    part.stop(done);
                }
            }
            WorkerMessage::Prepared { attempt, outcome } => {
                if let Some(part) = part_of(&mut self.parts, attempt) {
                    part.prepared(outcome, &self.context);
                }
            }
            WorkerMessage::ChangelogFetched { attempt, outcome } => {
                if let Some(part) = part_of(&mut self.parts, attempt) {
                    part.changelog_fetched(outcome, &self.context);
                }
            }
            WorkerMessage::Committed { attempt, outcome } => {
                if let Some(part) = part_of(&mut self.parts, attempt) {
                    part.committed(outcome, &self.context);
                }
            }
            WorkerMessage::Found { attempt, partition, outcome } => {
                if let Some(part) = part_of(&mut self.parts, attempt) {
                    part.found(&partition, outcome, &self.context);
                }
            }
            WorkerMessage::Fetched { fetch, outcome } => {
                let now = self.context.clock.monotonic();
                match self.fetcher.answered(fetch, outcome, now) {
                    Some(Ok(answers)) => {
                        answers.into_iter().for_each(|(asked, answer)| self.fetched(&asked, answer))
                    }
                    Some(Err(error)) => tracing::warn!(%error, "fetch failed, trying again"),
                    None => {}
                }
            }
            WorkerMessage::Wake => {
                for part in self.parts.values_mut() {
                    part.publish(&self.context);
                }
            }
            WorkerMessage::ShutDown => self.shut_down = true,
        }
    }

    /// Distributes what was read from a partition to everybody who stands where it begins.
    fn fetched(&mut self, (partition, offset): &Wanted, answer: FetchedPartition) {
        for part in self.parts.values_mut() {
            let (mut failure, mut lost) = (None, None);
            let metrics_owner = part.query.clone();
            for input in part.inputs_mut().iter_mut().flat_map(|t| t.inputs_mut()) {
                if input.partition() != partition || input.fetch_offset() != *offset {
                    continue;
                }
                match &answer {
                    Ok(records) => {
                        let bytes: usize = records.batches.iter().map(|b| b.bytes().len()).sum();
                        QueryMetrics::add(&metrics_owner.metrics.bytes_in, bytes as u64);
                        input.push(records.clone());
                    }
                    Err(error) if error.code() == Some(ErrorCode::OffsetOutOfRange) => {
                        input.lose();
                        lost = Some(input.table);
                    }
                    Err(error) if is_passing(error) => {}
                    Err(error) => failure = Some(error.clone()),
                }
            }
            if let Some(table) = lost {
                part.look_up(partition, table, *offset, &self.context);
            }
            if let Some(source) = failure {
                let error = match source.code() {
                    Some(ErrorCode::UnknownTopicOrPartition) => RuntimeError::TopicMissing {
                        query_id: part.query.query_id.clone(),
                        topic: partition.topic.to_string(),
                    },
                    _ => RuntimeError::Client { action: "read records", source },
                };
                part.fail(error, &self.context);
            }
        }
    }
}

fn is_passing(error: &ClientError) -> bool {
    error.is_retriable() && error.code() != Some(ErrorCode::UnknownTopicOrPartition)
}

fn part_of(parts: &mut BTreeMap<String, Part>, attempt: AttemptId) -> Option<&mut Part> {
    parts.values_mut().find(|p| p.attempt == attempt)
}

/// A panic ends its query, not the worker.
fn advance(part: &mut Part, now: Duration, context: &PartContext) -> Next {
    match catch_unwind(AssertUnwindSafe(|| part.advance(now, context))) {
        Ok(next) => next,
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
            let message = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            let query_id = part.query.query_id.clone();
            part.fail(RuntimeError::Panicked { query_id, message }, context);
            Next::Again
        }
    }
}

fn sooner(pace: Pace, next: Next) -> Pace {
    match (pace, next) {
        (Pace::ShutDown, _) => Pace::ShutDown,
        (Pace::Again, _) | (_, Next::Again) => Pace::Again,
        (pace, Next::Done | Next::Wait(None)) => pace,
        (Pace::Wait(None), Next::Wait(until)) => Pace::Wait(until),
        (Pace::Wait(Some(a)), Next::Wait(Some(b))) => Pace::Wait(Some(a.min(b))),
    }
}
