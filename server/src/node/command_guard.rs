//! The command topic, locked: commands are written and carried out one at a time.

use std::sync::atomic::Ordering;

use tokio::sync::MutexGuard;

use crate::command::compact::Place;
use crate::command::log::{CommandLog, CommandLogError};
use crate::command::record::Command;
use crate::error::ApiError;
use crate::node::Node;
use crate::node::apply::Failure;

/// Commands without effect that may lie in the topic before they are deleted.
const GARBAGE_MAX: usize = 1_000;

/// Keeps the node's idea of the next offset true.
#[derive(Debug)]
pub struct CommandGuard<'n> {
    node: &'n Node,
    log: MutexGuard<'n, CommandLog>,
}

impl Node {
    /// Holds off every other command until dropped.
    ///
    /// Errors: the node is degraded and takes no commands.
    pub async fn lock_commands(&self) -> Result<CommandGuard<'_>, ApiError> {
        match self.degradation() {
            Some(degradation) => Err(ApiError::server(format!(
                "The node is degraded and takes no statements that change it: {degradation}. Back the command topic up \
                 (weir command-topic backup FILE), restore it without the unreadable records (weir command-topic \
                 restore FILE --skip-unreadable) and start the node again."
            ))),
            None => Ok(self.command_guard().await),
        }
    }

    pub(crate) async fn command_guard(&self) -> CommandGuard<'_> {
        CommandGuard { node: self, log: self.shared.commands.lock().await }
    }

    /// Deletes commands without effect from the topic. Failures are tried again after the next command.
    pub(crate) async fn compact_commands(&self) {
        let mut guard = self.command_guard().await;
        let compacted = guard.log.compact(self.now_ms()).await;
        guard.publish_offset();
        if let Err(error) = compacted {
            tracing::warn!(%error, "commands without effect cannot be deleted");
        }
    }
}

impl CommandGuard<'_> {
    pub fn next_offset(&self) -> i64 {
        self.log.next_offset()
    }

    /// Makes the topics of a command, writes it and carries it out; gives its offset.
    ///
    /// Errors: nothing of the command is in force, unless it had ended queries or deleted topics by then.
    pub async fn run(&mut self, command: &Command, message: &str) -> Result<i64, ApiError> {
        self.node.check_queries(command)?;
        // Topics come first: a command whose topic cannot be made must not be written.
        let made = self.node.create_topics(command).await?;
        let place = match self.append(command).await {
            Ok(place) => place,
            Err(error) => {
                self.node.delete_topics(&made).await;
                let cause = error_chain(&error);
                return Err(ApiError::server(format!("the command could not be written: {cause}")));
            }
        };
        let offset = place.offset;
        let outcome = match self.node.carry_out(command).await {
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
                self.node.delete_topics(&made).await;
                Err(error)
            }
        };
        self.node.record_status(&command.id, &outcome, message);
        self.node.mark_applied(offset);
        outcome.map(|()| offset)
    }

    async fn append(&mut self, command: &Command) -> Result<Place, CommandLogError> {
        let appended = self.log.append(command, self.node.now_ms()).await;
        self.publish_offset();
        appended
    }

    async fn revoke(&mut self, place: Place) {
        let key = place.key.clone();
        let revoked = self.log.revoke(place, self.node.now_ms()).await;
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
            && !self.node.shared.compacting.swap(true, Ordering::AcqRel)
        {
            let node = self.node.clone();
            tokio::spawn(async move {
                node.compact_commands().await;
                node.shared.compacting.store(false, Ordering::Release);
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
        self.node.shared.next_command_offset.store(self.log.next_offset(), Ordering::Release);
    }
}

fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
