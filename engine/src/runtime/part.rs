//! The part of a query that runs on one worker.
//!
//! ```text
//!  Preparing --prepared--> Restoring --caught up--> Running
//!      ^                       |                       |
//!      +------- Waiting <------+------ failure --------+
//!                  |
//!                  +--> Ended      fatal failure, or finished
//! ```

mod commit;
mod lost;
mod offset_renewal;
mod pace;
mod publish;
mod refused;
mod transient;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::Sender;
use tokio::runtime::Handle;
use weir_broker::client::producer::progress::ProducerProgress;
use weir_broker::client::transport::Transport;
use weir_broker::env::clock::Clock;
use weir_broker::ids::{Offset, TopicPartition};

use crate::batch::RowBatch;
use crate::config::EngineConfig;
use crate::query::condition::QueryCondition;
use crate::query::handle::{PartStatus, Predecessors, QueryHandle};
use crate::query::metrics::QueryMetrics;
use crate::query::status::QueryState;
use crate::runtime::error::{Result, Retry, RuntimeError};
use crate::runtime::health::{HealthRecorder, StepClock};
use crate::runtime::messages::{Assignment, AttemptId, Mode, Prepared, Stopped, WorkerMessage};
use crate::runtime::part::offset_renewal::OffsetRenewal;
use crate::runtime::part::pace::Pace;
use crate::runtime::part::publish::{PUBLISH_INTERVAL, REFUSED_FOR};
use crate::runtime::prepare::{self, Preparation};
use crate::runtime::restore::Restore;
use crate::runtime::storage::StateStorage;
use crate::runtime::supervise::{Waiting, supervised};
use crate::runtime::topic_limits::TopicLimits;
use crate::runtime::transaction::{Refusals, TransactionSender};
use crate::state::backend::StateReader;
use crate::task::collector::RecordCollector;
use crate::task::commit::OutputTargets;
use crate::task::input::PartitionInput;
use crate::task::stream_task::{StreamTask, TaskId};

/// What parts share on a worker.
#[derive(Clone)]
pub(crate) struct PartContext {
    pub(crate) config: Arc<EngineConfig>,
    pub(crate) worker: usize,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) runtime: Handle,
    pub(crate) inbox: Sender<WorkerMessage>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) storage: Arc<dyn StateStorage>,
    pub(crate) health: Arc<HealthRecorder>,
    /// The step that the worker is in.
    pub(crate) step: Arc<StepClock>,
    /// The worker was replaced: it must not touch what its successor uses.
    pub(crate) abandoned: Arc<AtomicBool>,
}

#[derive(Debug)]
pub(crate) enum Phase {
    Preparing,
    Restoring { restore: Restore, prepared: Box<Prepared>, fetching: bool },
    Running,
    Waiting { until: Duration },
    Ended,
}

/// A commit under way.
#[derive(Debug)]
pub(crate) struct PendingCommit {
    since: Duration,
    /// Tasks whose state waits for the commit, by index.
    tasks: Vec<usize>,
    /// By sub-topology: where the inputs of its tasks were read to.
    read: Vec<(u32, Vec<(TopicPartition, Offset)>)>,
}

pub(crate) struct Part {
    pub(crate) query: Arc<QueryHandle>,
    pub(crate) attempt: AttemptId,
    pub(crate) phase: Phase,
    mode: Mode,
    task_ids: Vec<TaskId>,
    tasks: Vec<StreamTask>,
    /// What pull queries read: they may find damage that the tasks have not met.
    readers: Vec<Arc<dyn StateReader>>,
    targets: OutputTargets,
    collector: RecordCollector,
    /// Rows for the client that were not taken yet.
    rows: Vec<RowBatch>,
    transaction: Option<TransactionSender>,
    /// Before the first attempt; later ones follow it.
    predecessors: Predecessors,
    commit: Option<PendingCommit>,
    /// When the last commit was asked for.
    last_commit: Duration,
    pace: Pace,
    last_purge: Duration,
    last_publish: Duration,
    /// A commit of this attempt has succeeded.
    has_committed: bool,
    /// Failures since the last success.
    failures: u32,
    /// The last failure, while it is waited out.
    back_off: Option<QueryCondition>,
    /// The stage that the transactions of this attempt wait in.
    progress: Arc<ProducerProgress>,
    /// Begin of this attempt.
    attempt_since: Duration,
    /// The published status has conditions.
    shows_conditions: bool,
    /// Told when the part has ended.
    stopping: Vec<Stopped>,
    /// When the first of them came.
    stopping_since: Duration,
    refusals: Refusals,
    /// Tasks hold updates that their stores do not take.
    diverged: bool,
    /// Tasks begin anew from their stores: to others the part has been running all the time.
    reloading: bool,
    /// By topic: notes that go with its offsets.
    notes: Arc<BTreeMap<Arc<str>, String>>,
    /// Partitions that are noted and not read.
    written_only: Vec<TopicPartition>,
    renewal: OffsetRenewal,
    /// Bytes handed to the transaction since the last commit was asked for.
    output_bytes: usize,
    /// Rows processed since then.
    uncommitted_rows: usize,
    /// Records collected until then.
    committed_records: u64,
}

impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Part").field("query", &self.query).field("phase", &self.phase).finish_non_exhaustive()
    }
}

/// What a part wants of its worker next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// There is more to do.
    Again,
    /// Nothing before this time, or before something arrives.
    Wait(Option<Duration>),
    /// The part can be forgotten.
    Done,
}

impl Part {
    pub(crate) fn new(assignment: Assignment, context: &PartContext) -> Part {
        let config = &context.config;
        let collector = RecordCollector::new(config.compression, config.output_batch_bytes);
        let collector = match &assignment.mode {
            Mode::Persistent => collector,
            Mode::Transient(_) => collector.with_local_offsets(),
        };
        let predecessors = assignment.query.predecessors;
        let (topics, specs) = (&assignment.query.topics, assignment.query.factory.sub_topologies());
        let (notes, written_only) = (topics.notes(specs), topics.written_only(specs));
        Part {
            query: assignment.query,
            predecessors,
            attempt: AttemptId(0),
            phase: Phase::Waiting { until: Duration::ZERO },
            mode: assignment.mode,
            task_ids: assignment.tasks,
            tasks: Vec::new(),
            readers: Vec::new(),
            targets: OutputTargets::default(),
            collector,
            rows: Vec::new(),
            transaction: None,
            commit: None,
            last_commit: Duration::ZERO,
            pace: Pace::new(),
            last_purge: context.clock.monotonic(),
            last_publish: Duration::ZERO,
            has_committed: false,
            failures: 0,
            back_off: None,
            progress: Arc::default(),
            attempt_since: Duration::ZERO,
            shows_conditions: false,
            stopping: Vec::new(),
            stopping_since: Duration::ZERO,
            refusals: Refusals::Fail,
            diverged: false,
            reloading: false,
            notes: Arc::new(notes),
            written_only,
            renewal: OffsetRenewal::default(),
            output_bytes: 0,
            uncommitted_rows: 0,
            committed_records: 0,
        }
    }

    /// Begins an attempt to run.
    pub(crate) fn start(&mut self, attempt: AttemptId, context: &PartContext) {
        self.attempt = attempt;
        self.attempt_since = context.clock.monotonic();
        self.progress = Arc::default();
        match &self.mode {
            Mode::Persistent => {
                self.phase = Phase::Preparing;
                let preparation = Preparation {
                    attempt,
                    query: self.query.clone(),
                    tasks: self.task_ids.clone(),
                    worker: context.worker,
                    transaction_timeout_ms: context.config.transaction_timeout_ms,
                    predecessors: std::mem::replace(&mut self.predecessors, Predecessors::Possible),
                    refusals: self.refusals.clone(),
                    progress: self.progress.clone(),
                    storage: context.storage.clone(),
                };
                let work = prepare::run(preparation, context.transport.clone(), context.inbox.clone());
                let waiting = Waiting::Attempt(attempt);
                context.runtime.spawn(supervised("start of a query", waiting, context.inbox.clone(), work));
            }
            Mode::Transient(_) => {
                if let Err(error) = self.start_transient(context) {
                    self.fail(error, context);
                }
            }
        }
        self.publish(context);
    }

    /// Everything about the beginning is known: opens the stores and begins to restore them.
    pub(crate) fn prepared(&mut self, outcome: Result<Box<Prepared>>, context: &PartContext) {
        let begun = outcome.and_then(|prepared| {
            self.create_tasks(&prepared.limits, context)?;
            let now_ms = context.clock.now_ms();
            let restore = Restore::plan(&mut self.tasks, &self.query, &prepared, now_ms)?;
            QueryMetrics::add(&self.query.metrics.restore_remaining, restore.remaining());
            self.phase = Phase::Restoring { restore, prepared, fetching: false };
            Ok(())
        });
        if let Err(error) = begun {
            self.fail(error, context);
        }
        self.publish(context);
    }

    fn create_tasks(
        &mut self,
        limits: &BTreeMap<Arc<str>, TopicLimits>,
        context: &PartContext,
    ) -> Result<()> {
        self.tasks.clear();
        self.task_ids.clone().into_iter().try_for_each(|id| self.create_task(id, limits, context))
    }

    fn create_task(
        &mut self,
        id: TaskId,
        limits: &BTreeMap<Arc<str>, TopicLimits>,
        context: &PartContext,
    ) -> Result<()> {
        let query = self.query.clone();
        let spec = &query.factory.sub_topologies()[id.sub_topology as usize];
        let backend = match &self.mode {
            Mode::Persistent => context.storage.open(&query.application_id, id, &spec.stores)?,
            Mode::Transient(_) => Box::new(crate::state::memory::MemoryBackend::new(spec.stores.len())),
        };
        let processor = query
            .factory
            .create(id.sub_topology, id.partition, backend)
            .map_err(RuntimeError::task("build a task"))?;
        let mut task = StreamTask::new(id, processor, Vec::new());
        task.processor_mut().interrupt_by(query.cancellation().clone());
        self.tasks.push(task);
        let width = |topic: &Arc<str>| query.partition_count(topic).unwrap_or(1);
        self.targets.add(id.sub_topology, spec, |topic| {
            let target = self.collector.target(topic, width(topic));
            let bytes_max = limits.get(topic).map_or(usize::MAX, |limits| limits.batch_bytes_max);
            self.collector.set_batch_bytes_max(target, bytes_max);
            target
        });
        Ok(())
    }

    /// Stores are restored: processing begins.
    fn begin(&mut self, prepared: Prepared, context: &PartContext) -> Result<()> {
        let query = self.query.clone();
        let from: BTreeMap<_, _> = prepared.from.into_iter().collect();
        for task in &mut self.tasks {
            let id = task.id;
            let sources = &query.factory.sub_topologies()[id.sub_topology as usize].sources;
            let inputs = sources.iter().enumerate().map(|(at, source)| {
                let partition = TopicPartition::new(source.topic.clone(), id.partition);
                match from.get(&partition) {
                    Some(offset) => {
                        let id = query.topics.id(&source.topic);
                        Ok(PartitionInput::new(at, source.table, partition, *offset).of_topic(id))
                    }
                    None => Err(RuntimeError::OffsetUnknown { partition: partition.to_string() }),
                }
            });
            task.set_inputs(inputs.collect::<Result<_>>()?);
            query.progress.note_read(id.sub_topology, &task.source_positions());
            task.processor_mut().restored().map_err(RuntimeError::task("restore a task"))?;
        }
        let readers: Vec<_> =
            self.tasks.iter().filter_map(|t| Some((t.id, t.processor().reader()?))).collect();
        self.readers = readers.iter().map(|(_, reader)| reader.clone()).collect();
        query.set_readers(readers);
        self.transaction = prepared.transaction;
        self.last_commit = context.clock.monotonic();
        self.renewal = match query.accepts_changes() {
            // Notes about topics that were replaced are replaced themselves, also where there is nothing to read.
            true => OffsetRenewal::at_once(),
            false => OffsetRenewal::after(self.last_commit, context.offset_renewal_interval()),
        };
        self.pace = Pace::new();
        self.has_committed = false;
        self.reloading = false;
        query.progress.announce();
        self.phase = Phase::Running;
        tracing::debug!(query_id = %query.query_id, worker = context.worker, "processing begins");
        self.publish(context);
        Ok(())
    }

    /// Does some of what there is to do.
    pub(crate) fn advance(&mut self, now: Duration, context: &PartContext) -> Next {
        if self.query.is_failed() && !matches!(self.phase, Phase::Ended) {
            self.end(context);
        }
        let next = match &mut self.phase {
            Phase::Preparing if !self.stopping.is_empty() => Ok(Next::Done),
            // Looks from time to time whether the start is refused.
            Phase::Preparing => Ok(Next::Wait(Some(now + REFUSED_FOR))),
            Phase::Restoring { .. } if !self.stopping.is_empty() => Ok(Next::Done),
            Phase::Restoring { .. } => self.advance_restore(context),
            Phase::Running => self.advance_running(now, context),
            Phase::Waiting { .. } if !self.stopping.is_empty() => Ok(Next::Done),
            Phase::Waiting { until } => Ok(Next::Wait(Some(*until))),
            Phase::Ended if !self.stopping.is_empty() => Ok(Next::Done),
            Phase::Ended => Ok(Next::Wait(None)),
        };
        match next {
            Ok(Next::Done) if !context.is_abandoned() => {
                self.release();
                Next::Done
            }
            Ok(next) => {
                let changes = matches!(self.phase, Phase::Running | Phase::Preparing);
                if now >= self.last_publish + PUBLISH_INTERVAL && changes {
                    self.publish(context);
                }
                next
            }
            Err(error) => {
                self.fail(error, context);
                Next::Again
            }
        }
    }

    /// True if a new attempt is due.
    pub(crate) fn is_due(&self, now: Duration) -> bool {
        matches!(self.phase, Phase::Waiting { until } if now >= until) && self.stopping.is_empty()
    }

    fn advance_restore(&mut self, context: &PartContext) -> Result<Next> {
        let Phase::Restoring { restore, fetching, .. } = &mut self.phase else { return Ok(Next::Again) };
        if restore.is_done() {
            let Phase::Restoring { prepared, .. } = std::mem::replace(&mut self.phase, Phase::Running) else {
                return Ok(Next::Again);
            };
            self.begin(*prepared, context)?;
            return Ok(Next::Again);
        }
        if !*fetching {
            *fetching = true;
            let (transport, inbox) = (context.transport.clone(), context.inbox.clone());
            let options = context.fetch_options();
            let wanted = restore.wanted();
            crate::runtime::fetcher::fetch_changelogs(
                &context.runtime,
                transport,
                inbox,
                self.attempt,
                wanted,
                options,
            );
        }
        Ok(Next::Wait(None))
    }

    pub(crate) fn changelog_fetched(
        &mut self,
        outcome: std::result::Result<
            weir_broker::client::consumer::reader::FetchedPartitions,
            weir_broker::client::error::ClientError,
        >,
        context: &PartContext,
    ) {
        let Phase::Restoring { restore, fetching, .. } = &mut self.phase else { return };
        *fetching = false;
        let before = restore.remaining();
        let applied = outcome
            .map_err(RuntimeError::client("read changelogs"))
            .and_then(|fetched| restore.apply(&mut self.tasks, fetched));
        match applied {
            Ok(records) => {
                let after = restore.remaining();
                let metrics = &self.query.metrics;
                QueryMetrics::add(&metrics.restored_records, records);
                metrics.restore_remaining.fetch_sub(before - after, std::sync::atomic::Ordering::Relaxed);
            }
            Err(error) => self.fail(error, context),
        }
    }

    fn advance_running(&mut self, now: Duration, context: &PartContext) -> Result<Next> {
        if let Mode::Transient(_) = &self.mode {
            return self.advance_transient(now, context);
        }
        self.readers.iter().try_for_each(|r| r.check()).map_err(RuntimeError::task("read state"))?;
        let mut rows = 0;
        if self.may_process(context) {
            rows = self.process(context)?;
            if context.is_abandoned() {
                // A successor does this work again.
                return Ok(Next::Done);
            }
            self.send_ahead()?;
        }
        if self.renewal.is_due(now) && self.commit.is_none() {
            self.renewal = OffsetRenewal::after(now, context.offset_renewal_interval());
            self.tasks.iter_mut().for_each(StreamTask::renew_offsets);
        }
        let ending = !self.stopping.is_empty() || self.query.is_paused();
        let needs_commit = self.tasks.iter().any(StreamTask::needs_commit);
        if !self.stopping.is_empty() {
            let out_of_patience = now >= self.stopping_since + context.stop_timeout();
            if out_of_patience {
                tracing::warn!(query_id = %self.query.query_id, "query stopped without its last commit");
            }
            if out_of_patience || (!needs_commit && self.commit.is_none()) {
                return Ok(Next::Done);
            }
        }
        let longest = self.commit_interval(context);
        let interval = if self.has_output() { self.pace.interval(longest) } else { longest };
        let may_commit =
            needs_commit && self.commit.is_none() && self.tasks.iter().all(StreamTask::is_aligned);
        if may_commit {
            let drained = rows == 0 && self.tasks.iter().all(StreamTask::is_drained);
            let due = now >= self.last_commit + interval
                || self.is_full(context)
                || ending
                || !self.may_produce()
                || drained;
            if due {
                self.pace.committed(longest);
                if drained {
                    self.pace = Pace::new();
                }
                self.begin_commit(now)?;
                return Ok(Next::Again);
            }
        }
        self.purge(now, context);
        if rows > 0 {
            return Ok(Next::Again);
        }
        let commit_at = may_commit.then(|| self.last_commit + interval);
        let look_at = self.commit.as_ref().map(|_| now + REFUSED_FOR);
        let give_up_at = (!self.stopping.is_empty()).then(|| self.stopping_since + context.stop_timeout());
        let renew_at = self.commit.is_none().then(|| self.renewal.due_at());
        Ok(Next::Wait([commit_at, look_at, give_up_at, renew_at].into_iter().flatten().min()))
    }

    /// The longest time between two commits.
    fn commit_interval(&self, context: &PartContext) -> Duration {
        let configured = self.query.settings.commit_interval_ms;
        Duration::from_millis(configured.unwrap_or(context.config.commit_interval_ms))
    }

    /// True if enough is uncommitted: it takes memory.
    fn is_full(&self, context: &PartContext) -> bool {
        let state_bytes: usize = self.tasks.iter().map(StreamTask::uncommitted_bytes).sum();
        self.output_bytes + self.collector.bytes() >= context.config.output_bytes_max
            || state_bytes >= context.config.uncommitted_bytes_max
            || self.uncommitted_rows >= context.config.uncommitted_rows_max
    }

    /// True if a commit would show readers something new.
    fn has_output(&self) -> bool {
        self.collector.records() > self.committed_records || self.tasks.iter().any(StreamTask::is_fed)
    }

    /// While a commit is under way what is processed belongs to the next. Only the first has the processor for itself: somebody
    /// waits for it.
    fn may_process(&self, context: &PartContext) -> bool {
        let has_room = self.commit.is_none() || (self.has_committed && !self.is_full(context));
        let is_ending = self.query.is_paused() || !self.stopping.is_empty();
        has_room && self.may_produce() && (!is_ending || !self.tasks.iter().all(StreamTask::is_aligned))
    }

    fn may_produce(&self) -> bool {
        self.transaction.as_ref().is_none_or(TransactionSender::has_room)
    }

    /// Lets every task that may process some rows.
    fn process(&mut self, context: &PartContext) -> Result<usize> {
        let (before, begun) = (self.collector.records(), context.clock.monotonic());
        let mut rows = 0;
        let most = context.config.batch_rows_max;
        let (rows_max, bytes_max) = (self.pace.rows(most), context.config.output_bytes_max);
        for task in &mut self.tasks {
            let mut out = self.targets.output(task.id, &mut self.collector, &mut self.rows);
            rows += task.process(rows_max, bytes_max, self.query.cancellation(), &mut out)?;
        }
        self.report_oversized()?;
        if rows > 0 {
            if self.uncommitted_rows == 0 && !self.has_committed {
                tracing::debug!(query_id = %self.query.query_id, worker = context.worker, rows, "first rows processed");
            }
            self.pace.processed(most, context.clock.monotonic().saturating_sub(begun));
            self.uncommitted_rows += rows;
        }
        QueryMetrics::add(&self.query.metrics.rows_in, rows as u64);
        QueryMetrics::add(&self.query.metrics.records_out, self.collector.records() - before);
        Ok(rows)
    }

    /// Hands full batches to the broker before the commit, so that it has less to wait for.
    fn send_ahead(&mut self) -> Result<()> {
        if !self.collector.has_full() {
            return Ok(());
        }
        let before = self.collector.bytes();
        let batches = self.collector.take_full().map_err(RuntimeError::task("build record batches"))?;
        self.output_bytes += before - self.collector.bytes();
        if let Some(transaction) = &self.transaction {
            // If the loop has ended its reason is on the way.
            let _ = transaction.produce(batches);
        }
        Ok(())
    }

    /// The inputs that want records, while rows are processed at all.
    pub(crate) fn inputs_mut(&mut self) -> &mut [StreamTask] {
        match self.phase {
            Phase::Running if self.stopping.is_empty() => &mut self.tasks,
            _ => &mut [],
        }
    }

    /// True if the part runs, nobody has seen anything of it, and there may be something to see.
    pub(crate) fn awaits_first_output(&self) -> bool {
        let is_fresh = |task: &StreamTask| task.inputs().iter().all(|i| i.lag().is_none());
        let is_fed = |task: &StreamTask| task.inputs().iter().any(|i| i.has_rows() || i.buffered_bytes() > 0);
        let is_running = matches!(self.phase, Phase::Running);
        match self.mode {
            Mode::Persistent => {
                is_running && !self.has_committed && self.tasks.iter().any(|t| is_fresh(t) || is_fed(t))
            }
            Mode::Transient(_) => is_running && self.tasks.iter().any(is_fresh),
        }
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.query.is_paused()
    }

    /// A failure: everything uncommitted is dropped, and tried again later if that can help.
    pub(crate) fn fail(&mut self, error: RuntimeError, context: &PartContext) {
        if context.is_abandoned() || matches!(self.phase, Phase::Ended) {
            return;
        }
        if error.is_interruption() {
            tracing::debug!(query_id = %self.query.query_id, "step given up, its query is being stopped");
            self.end(context);
            return;
        }
        let is_refused = error.is_refused_record();
        let is_left_out = self.refusals != Refusals::Fail || self.query.settings.fail_on_production_error;
        let retry = match (&self.mode, error.retry()) {
            (Mode::Persistent, _) if is_refused && is_left_out => Retry::Never,
            (Mode::Persistent, retry) => retry,
            (Mode::Transient(_), _) => Retry::Never,
        };
        self.reloading = false;
        if is_refused {
            self.leave_out_refused();
        }
        self.query.fail(&error, context.clock.now_ms(), retry == Retry::Never);
        let query_id = &self.query.query_id;
        match retry {
            Retry::Never => {
                tracing::error!(%query_id, cause = error.chain(), "query stopped");
                self.end(context);
            }
            Retry::Backoff => {
                let pause = backoff(&context.config, self.failures);
                tracing::warn!(%query_id, cause = error.chain(), ?pause, "query part failed, restarting it");
                self.failures += 1;
                self.drop_tasks();
                QueryMetrics::add(&self.query.metrics.restarts, 1);
                self.phase = Phase::Waiting { until: context.clock.monotonic() + pause };
                let now_ms = context.clock.now_ms();
                let since_ms = self.back_off.as_ref().and_then(QueryCondition::since_ms).unwrap_or(now_ms);
                self.back_off = Some(QueryCondition::BackOff {
                    failures: self.failures,
                    cause: error.chain(),
                    since_ms,
                    retry_at_ms: now_ms.saturating_add(i64::try_from(pause.as_millis()).unwrap_or(i64::MAX)),
                });
                self.publish(context);
            }
        }
    }

    /// As a fatal [`Part::fail`] that logs nothing.
    pub(crate) fn give_up(&mut self, error: &RuntimeError, at_ms: i64, context: &PartContext) {
        if !self.query.is_failed() {
            self.query.fail(error, at_ms, true);
        }
        self.phase = Phase::Ended;
        let status = PartStatus { state: QueryState::Error, tasks: Vec::new(), conditions: Vec::new() };
        self.query.set_part(context.worker, status);
        self.drop_tasks();
    }

    /// Nothing of the query runs here any more.
    fn end(&mut self, context: &PartContext) {
        if context.is_abandoned() {
            return;
        }
        self.drop_tasks();
        self.phase = Phase::Ended;
        if let Mode::Transient(mode) = &mut self.mode {
            mode.sender = crate::push::subscription::channel(1).0;
        }
        self.publish(context);
    }

    fn drop_tasks(&mut self) {
        self.query.remove_readers(self.task_ids.iter().copied());
        self.discard();
    }

    /// Builds the tasks anew from their stores, which can be read meanwhile.
    fn reload(&mut self, now: Duration) {
        self.discard();
        self.reloading = true;
        self.phase = Phase::Waiting { until: now };
    }

    fn discard(&mut self) {
        self.readers.clear();
        // Uncommitted state goes with the tasks, what was produced is aborted when the sender is dropped.
        self.transaction = None;
        self.commit = None;
        self.tasks.clear();
        self.rows.clear();
        self.diverged = false;
        self.collector.discard();
        self.output_bytes = 0;
        self.uncommitted_rows = 0;
    }

    fn release(&mut self) {
        self.drop_tasks();
        self.stopping.clear();
    }

    pub(crate) fn stop(&mut self, done: Stopped, now: Duration) {
        if self.stopping.is_empty() {
            self.stopping_since = now;
        }
        self.stopping.push(done);
    }
}

impl PartContext {
    pub(crate) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }

    fn stop_timeout(&self) -> Duration {
        Duration::from_millis(self.config.stop_timeout_ms)
    }

    fn offset_renewal_interval(&self) -> Duration {
        Duration::from_millis(self.config.offset_renewal_interval_ms.max(1))
    }

    pub(crate) fn fetch_options(&self) -> weir_broker::client::consumer::reader::FetchOptions {
        weir_broker::client::consumer::reader::FetchOptions {
            bytes_max: self.config.fetch_bytes_max,
            partition_bytes_max: self.config.fetch_partition_bytes_max,
            wait_max: Duration::from_millis(self.config.fetch_wait_ms),
            ..weir_broker::client::consumer::reader::FetchOptions::default()
        }
    }
}

impl std::fmt::Debug for PartContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PartContext").field("worker", &self.worker).finish_non_exhaustive()
    }
}

fn backoff(config: &EngineConfig, failures: u32) -> Duration {
    let factor = 1_u64 << failures.min(20);
    Duration::from_millis(config.restart_backoff_ms.saturating_mul(factor).min(config.restart_backoff_max_ms))
}
