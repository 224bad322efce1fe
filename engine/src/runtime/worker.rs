//! A worker: a thread that owns tasks of queries and goes round them.

use std::collections::{BTreeMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use weir_broker::client::error::ClientError;
use weir_broker::protocol::error_code::ErrorCode;

use crate::error::query::{RuntimeError, TopicChange};
use crate::metrics::QueryMetrics;
use crate::runtime::context::WorkerContext;
use crate::runtime::fetcher::{FetchedPartition, Fetcher, Wanted};
use crate::runtime::health::panic_message;
use crate::runtime::messages::{AttemptId, WorkerMessage};
use crate::runtime::pool::thread_name;
use crate::runtime::query_tasks::{Next, QueryTasks};
use crate::runtime::supervise::Waiting;

/// Panics in a row after which the queries of a worker end.
const PANICS_MAX: u32 = 10;
/// Panics further apart are not in a row.
const CALM: Duration = Duration::from_secs(60);

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
    context: WorkerContext,
    inbox: Receiver<WorkerMessage>,
    /// By query id.
    queries: BTreeMap<String, QueryTasks>,
    fetcher: Fetcher,
    attempts: u64,
    shut_down: bool,
    /// Monotonic time of the last panic outside the tasks.
    last_panic: Option<Duration>,
}

impl Worker {
    pub(crate) fn new(
        context: WorkerContext,
        inbox: Receiver<WorkerMessage>,
        fetch_transport: std::sync::Arc<dyn weir_broker::client::transport::Transport>,
    ) -> Worker {
        let fetcher = Fetcher::new(
            fetch_transport,
            context.runtime.clone(),
            context.inbox.clone(),
            context.fetch_options(),
        );
        Worker {
            context,
            inbox,
            queries: BTreeMap::new(),
            fetcher,
            attempts: 0,
            shut_down: false,
            last_panic: None,
        }
    }

    /// Runs until told to shut down. A panic outside the tasks restarts the loop, and with it the tasks.
    pub(crate) fn run(mut self) {
        let mut panics = 0;
        loop {
            let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.run_rounds())) else { return };
            if self.context.is_abandoned() {
                return;
            }
            panics = if self.is_calm() { 1 } else { panics + 1 };
            self.recover(&panic_message(panic.as_ref()), panics);
        }
    }

    fn run_rounds(&mut self) {
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

    /// True if the last panic is long ago.
    fn is_calm(&mut self) -> bool {
        let now = catch_unwind(AssertUnwindSafe(|| self.context.clock.monotonic())).ok();
        let last = std::mem::replace(&mut self.last_panic, now);
        matches!((now, last), (Some(now), Some(last)) if now.saturating_sub(last) > CALM)
    }

    /// After a panic: every query starts again, or ends if there were too many panics in a row.
    fn recover(&mut self, message: &str, panics: u32) {
        let (name, context) = (thread_name(self.context.worker), &self.context);
        context.step.end();
        context.health.panicked(&name, message, now_ms(context));
        context.health.restarted();
        let _ = catch_unwind(|| tracing::error!(thread = name, message, panics, "worker panicked"));
        self.fetcher.cancel();
        for tasks in self.queries.values_mut() {
            let (name, message) = (name.clone(), message.to_owned());
            let error = match panics <= PANICS_MAX {
                true => RuntimeError::LoopPanicked { name, message },
                false => RuntimeError::Panicked { query_id: tasks.query.query_id.clone(), message },
            };
            fail(tasks, error, &self.context);
        }
        let pause = Duration::from_millis(10_u64 << panics.min(7));
        let _ = crossbeam_channel::after(pause).recv();
    }

    /// Handles what has arrived, gives every query a turn, and asks for what inputs want.
    pub(crate) fn run_once(&mut self) -> Pace {
        while let Ok(message) = self.inbox.try_recv() {
            self.handle(message);
        }
        if self.shut_down {
            self.fetcher.cancel();
            self.queries.clear();
            return Pace::ShutDown;
        }
        let now = self.context.clock.monotonic();
        let mut pace = Pace::Wait(None);
        let mut done = Vec::new();
        for (query_id, tasks) in &mut self.queries {
            if tasks.is_due(now) {
                self.attempts += 1;
                let attempt = AttemptId(self.attempts);
                guarded(tasks, &self.context, |tasks, context| tasks.start(attempt, context));
            }
            // After a panic there are failed tasks to look at.
            let next = guarded(tasks, &self.context, |tasks, context| tasks.advance(now, context));
            if self.context.is_abandoned() {
                return Pace::ShutDown;
            }
            let next = next.unwrap_or(Next::Again);
            pace = sooner(pace, next);
            if next == Next::Done {
                done.push(query_id.clone());
            }
        }
        for query_id in done {
            self.queries.remove(&query_id);
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
        for tasks in self.queries.values_mut().filter(|tasks| !tasks.is_paused()) {
            let bytes_max = match tasks.awaits_first_output() {
                true => config.first_fetch_partition_bytes_max.min(config.input_bytes_max),
                false => config.input_bytes_max,
            };
            let inputs = tasks.inputs_mut().iter_mut().flat_map(|t| t.inputs_mut());
            let wanting = inputs.filter(|i| i.wants_fetch(bytes_max));
            wanted.extend(wanting.map(|i| Wanted {
                topic_id: i.topic_id(),
                partition: i.partition().clone(),
                offset: i.fetch_offset(),
            }));
        }
        wanted
    }

    /// Little while some query waits for its first output.
    fn partition_bytes_max(&self) -> usize {
        let config = &self.context.config;
        match self.queries.values().any(QueryTasks::awaits_first_output) {
            true => config.first_fetch_partition_bytes_max.min(config.fetch_partition_bytes_max),
            false => config.fetch_partition_bytes_max,
        }
    }

    fn handle(&mut self, message: WorkerMessage) {
        if self.context.is_abandoned() {
            // A successor has the queries, and writes their stores.
            self.shut_down = true;
            return;
        }
        match message {
            WorkerMessage::Start(assignment) => {
                let query_id = assignment.query.query_id.clone();
                let tasks = QueryTasks::new(assignment, &self.context);
                self.queries.insert(query_id, tasks);
            }
            WorkerMessage::ReadPartitions { query_id, topic, partitions } => {
                if let Some(tasks) = self.queries.get_mut(&query_id) {
                    guarded(tasks, &self.context, |tasks, context| {
                        tasks.read_partitions(&topic, partitions, context)
                    });
                }
            }
            WorkerMessage::Stop { query_id, done } => {
                if let Some(tasks) = self.queries.get_mut(&query_id) {
                    tasks.stop(done, self.context.clock.monotonic());
                }
            }
            WorkerMessage::Prepared { attempt, outcome } => {
                if let Some(tasks) = of_attempt(&mut self.queries, attempt) {
                    guarded(tasks, &self.context, |tasks, context| tasks.prepared(outcome, context));
                }
            }
            WorkerMessage::ChangelogFetched { attempt, outcome } => {
                if let Some(tasks) = of_attempt(&mut self.queries, attempt) {
                    guarded(tasks, &self.context, |tasks, context| tasks.changelog_fetched(outcome, context));
                }
            }
            WorkerMessage::Committed { attempt, outcome } => {
                if let Some(tasks) = of_attempt(&mut self.queries, attempt) {
                    guarded(tasks, &self.context, |tasks, context| tasks.committed(outcome, context));
                }
            }
            WorkerMessage::Found { attempt, partition, outcome } => {
                if let Some(tasks) = of_attempt(&mut self.queries, attempt) {
                    guarded(tasks, &self.context, |tasks, context| tasks.found(&partition, outcome, context));
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
            WorkerMessage::LoopPanicked { name, waiting, message } => {
                self.loop_panicked(name, waiting, message)
            }
            WorkerMessage::Wake => {
                for tasks in self.queries.values_mut() {
                    tasks.publish(&self.context);
                }
            }
            WorkerMessage::ShutDown => self.shut_down = true,
        }
    }

    /// Distributes what was read from a partition to everybody who stands where it begins.
    fn fetched(&mut self, wanted: &Wanted, answer: FetchedPartition) {
        let Wanted { topic_id, partition, offset } = wanted;
        for tasks in self.queries.values_mut() {
            let (mut failure, mut lost) = (None, None);
            let metrics_owner = tasks.query.clone();
            for input in tasks.inputs_mut().iter_mut().flat_map(|t| t.inputs_mut()) {
                let reads_it = input.topic_id() == *topic_id && input.partition() == partition;
                if !reads_it || input.fetch_offset() != *offset {
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
                tasks.look_up(partition, table, *offset, &self.context);
            }
            if let Some(source) = failure {
                let error = match source.code() {
                    Some(ErrorCode::UnknownTopicOrPartition) => RuntimeError::TopicMissing {
                        query_id: tasks.query.query_id.clone(),
                        topic: partition.topic.to_string(),
                    },
                    Some(ErrorCode::UnknownTopicId) => {
                        tasks.query.topic_changed(&partition.topic, TopicChange::Gone)
                    }
                    _ => RuntimeError::Client { action: "read records", source },
                };
                fail(tasks, error, &self.context);
            }
        }
    }
}

impl Worker {
    /// A loop beside the worker is gone: the query that waits for it starts again.
    fn loop_panicked(&mut self, name: &'static str, waiting: Waiting, message: String) {
        self.context.health.panicked(name, &message, now_ms(&self.context));
        match waiting {
            Waiting::Fetch(id) => {
                self.fetcher.lost(id, self.context.clock.monotonic());
                tracing::error!(message, "fetch panicked, trying again");
            }
            Waiting::Attempt(attempt) => {
                if let Some(tasks) = of_attempt(&mut self.queries, attempt) {
                    fail(tasks, RuntimeError::LoopPanicked { name: name.to_owned(), message }, &self.context);
                }
            }
        }
    }
}

fn is_passing(error: &ClientError) -> bool {
    let is_gone = |code| matches!(code, ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId);
    error.is_retriable() && !error.code().is_some_and(is_gone)
}

fn of_attempt(queries: &mut BTreeMap<String, QueryTasks>, attempt: AttemptId) -> Option<&mut QueryTasks> {
    queries.values_mut().find(|tasks| tasks.attempt == attempt)
}

/// Lets the tasks of a query work. A panic ends its query, not the worker.
fn guarded<T>(
    tasks: &mut QueryTasks,
    context: &WorkerContext,
    work: impl FnOnce(&mut QueryTasks, &WorkerContext) -> T,
) -> Option<T> {
    context.step.begin(&tasks.query, context.clock.monotonic());
    let outcome = catch_unwind(AssertUnwindSafe(|| work(tasks, context)));
    context.step.end();
    match outcome {
        Ok(done) => Some(done),
        Err(panic) => {
            let message = panic_message(panic.as_ref());
            context.health.panicked(&thread_name(context.worker), &message, now_ms(context));
            let query_id = tasks.query.query_id.clone();
            fail(tasks, RuntimeError::Panicked { query_id, message }, context);
            None
        }
    }
}

/// A failure is recorded even if to report it panics, too.
fn fail(tasks: &mut QueryTasks, error: RuntimeError, context: &WorkerContext) {
    let message = error.to_string();
    if catch_unwind(AssertUnwindSafe(|| tasks.fail(error, context))).is_err() {
        let query_id = tasks.query.query_id.clone();
        let error = RuntimeError::Panicked { query_id, message };
        let _ = catch_unwind(AssertUnwindSafe(|| tasks.give_up(&error, now_ms(context), context)));
    }
}

/// The wall clock; the epoch, if it panics.
fn now_ms(context: &WorkerContext) -> i64 {
    catch_unwind(AssertUnwindSafe(|| context.clock.now_ms())).unwrap_or(0)
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
