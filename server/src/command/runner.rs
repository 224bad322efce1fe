//! Commands are written and carried out one at a time.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{MutexGuard, watch};
use weir_broker::env::spawn;
use weir_broker::error::chain;

use crate::command::apply::{Failure, carry_out, check_queries, create_topics, delete_topics};
use crate::command::error::CommandLogError;
use crate::command::log::CommandLog;
use crate::command::record::{Command, Place};
use crate::command::scan::Degradation;
use crate::command::status::CommandStatuses;
use crate::context::Context;
use crate::error::{ApiError, ErrorCode};

/// Commands without effect that may lie in the topic before they are deleted.
const GARBAGE_MAX: usize = 1_000;
/// How long a request waits for the command that it names. Source: `ksql.server.command.response.timeout.ms`.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(5);

/// The command topic of a node, and the status of its commands. Cheap to clone.
#[derive(Clone)]
pub struct CommandRunner {
    context: Context,
    shared: Arc<Shared>,
}

struct Shared {
    log: tokio::sync::Mutex<CommandLog>,
    /// A task deletes commands without effect.
    compacting: AtomicBool,
    /// Why commands are refused.
    degradation: OnceLock<Degradation>,
    next_offset: AtomicI64,
    /// The last command that was carried out; -1 before the first.
    applied: watch::Sender<i64>,
    statuses: CommandStatuses,
}

impl fmt::Debug for CommandRunner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommandRunner").field("context", &self.context).finish_non_exhaustive()
    }
}

impl CommandRunner {
    pub(crate) fn new(context: Context, log: CommandLog, degradation: Option<Degradation>) -> CommandRunner {
        let shared = Shared {
            next_offset: AtomicI64::new(log.next_offset()),
            applied: watch::Sender::new(log.next_offset() - 1),
            log: tokio::sync::Mutex::new(log),
            compacting: AtomicBool::new(false),
            degradation: degradation.map_or_else(OnceLock::new, OnceLock::from),
            statuses: CommandStatuses::default(),
        };
        CommandRunner { context, shared: Arc::new(shared) }
    }

    pub(crate) fn context(&self) -> &Context {
        &self.context
    }

    /// Why commands are refused; None: they are taken.
    pub(crate) fn degradation(&self) -> Option<&Degradation> {
        self.shared.degradation.get()
    }

    /// Refuses commands from now on. A record that cannot be read is the first cause, and stays.
    pub(crate) fn degrade(&self, degradation: Degradation) {
        let _ = self.shared.degradation.set(degradation);
    }

    pub(crate) fn statuses(&self) -> &CommandStatuses {
        &self.shared.statuses
    }

    /// The offset that the next command gets.
    pub(crate) fn next_offset(&self) -> i64 {
        self.shared.next_offset.load(Ordering::Acquire)
    }

    /// Waits until a command is carried out, so that what a client does next sees what it did before.
    ///
    /// Errors: it is not, within ksqlDB's five seconds.
    pub(crate) async fn wait_applied(&self, sequence: Option<i64>) -> Result<(), ApiError> {
        let Some(sequence) = sequence else { return Ok(()) };
        let mut applied = self.shared.applied.subscribe();
        let reached = applied.wait_for(|applied| *applied >= sequence);
        match tokio::time::timeout(CATCH_UP_TIMEOUT, reached).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(ApiError::new(ErrorCode::ShuttingDown, "the server is shutting down")),
            Err(_) => Err(ApiError::new(
                ErrorCode::CommandTimeout,
                format!(
                    "Timed out while waiting for a previous command to execute. command sequence number: {sequence}"
                ),
            )),
        }
    }

    /// Holds off every other command until dropped.
    ///
    /// Errors: the node is degraded and takes no commands.
    pub(crate) async fn lock(&self) -> Result<CommandGuard<'_>, ApiError> {
        match self.degradation() {
            Some(degradation) => Err(ApiError::server(format!(
                "The node is degraded and takes no statements that change it: {degradation}. Back the command topic up \
                 (weir command-topic backup FILE), restore it without the unreadable records (weir command-topic \
                 restore FILE --skip-unreadable) and start the node again."
            ))),
            None => Ok(self.guard().await),
        }
    }

    pub(crate) async fn guard(&self) -> CommandGuard<'_> {
        CommandGuard { runner: self, log: self.shared.log.lock().await }
    }

    /// Deletes commands without effect from the topic. Failures are tried again after the next command.
    pub(crate) async fn compact(&self) {
        let mut guard = self.guard().await;
        let compacted = guard.log.compact(self.context.now_ms()).await;
        guard.publish_offset();
        if let Err(error) = compacted {
            tracing::warn!(%error, "commands without effect cannot be deleted");
        }
    }

    fn mark_applied(&self, sequence: i64) {
        self.shared.applied.send_if_modified(|applied| {
            let newer = sequence > *applied;
            *applied = sequence.max(*applied);
            newer
        });
    }
}

/// The command topic, locked. Keeps the runner's idea of the next offset true.
#[derive(Debug)]
pub(crate) struct CommandGuard<'r> {
    runner: &'r CommandRunner,
    log: MutexGuard<'r, CommandLog>,
}

impl CommandGuard<'_> {
    pub(crate) fn next_offset(&self) -> i64 {
        self.log.next_offset()
    }

    /// Makes the topics of a command, writes it and carries it out; gives its offset.
    ///
    /// Errors: nothing of the command is in force, unless it had ended queries or deleted topics by then.
    pub(crate) async fn run(&mut self, command: &Command, message: &str) -> Result<i64, ApiError> {
        let context = self.runner.context();
        check_queries(context, command)?;
        // Topics come first: a command whose topic cannot be made must not be written.
        let made = create_topics(context, command).await?;
        let place = match self.append(command).await {
            Ok(place) => place,
            Err(error) => {
                delete_topics(context, &made).await;
                let cause = chain(&error);
                return Err(ApiError::server(format!("the command could not be written: {cause}")));
            }
        };
        let offset = place.offset;
        let outcome = match carry_out(context, command).await {
            Ok(()) => {
                self.note(place, command);
                Ok(())
            }
            Err(Failure::Partial(error)) => {
                self.note(place, command);
                Err(error)
            }
            Err(Failure::Undone(error)) => {
                self.revoke(place).await;
                delete_topics(context, &made).await;
                Err(error)
            }
        };
        self.runner.statuses().record(&command.id, &outcome, message);
        self.runner.mark_applied(offset);
        outcome.map(|()| offset)
    }

    async fn append(&mut self, command: &Command) -> Result<Place, CommandLogError> {
        let appended = self.log.append(command, self.runner.context.now_ms()).await;
        self.publish_offset();
        appended
    }

    async fn revoke(&mut self, place: Place) {
        let key = place.key.clone();
        let revoked = self.log.revoke(place, self.runner.context.now_ms()).await;
        self.publish_offset();
        if let Err(error) = revoked {
            // Tried again before the next command is written.
            tracing::error!(key, %error, "a command that failed cannot be taken back yet");
        }
    }

    /// Notes a command that is in force, and has the topic compacted in the background if that is worth it.
    fn note(&mut self, place: Place, command: &Command) {
        self.log.note(place, command);
        if self.log.garbage_count() >= GARBAGE_MAX
            && !self.runner.shared.compacting.swap(true, Ordering::AcqRel)
        {
            let runner = self.runner.clone();
            spawn::task("command-compaction", async move {
                runner.compact().await;
                runner.shared.compacting.store(false, Ordering::Release);
            });
        }
    }

    pub(crate) fn note_replayed(&mut self, place: &Place, command: &Command) {
        self.log.note(place.clone(), command);
    }

    pub(crate) fn garbage_count(&self) -> usize {
        self.log.garbage_count()
    }

    fn publish_offset(&self) {
        self.runner.shared.next_offset.store(self.log.next_offset(), Ordering::Release);
    }
}
