//! Audit of access decisions: the events, the sink they go to, and a bounded queue between the two.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

use super::acl::{Operation, ResourceType};

/// The interface an action came in by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Interface {
    Kafka,
    Http,
}

impl Interface {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::Http => "http",
        }
    }
}

/// The resource of a decision.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AuditResource {
    pub kind: ResourceType,
    pub name: String,
}

/// One decision.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AuditEvent {
    /// Units: ms since epoch, UTC.
    pub time_ms: i64,
    /// `User:name`; of a failed authentication, the identity that was claimed, if any was.
    pub principal: Arc<str>,
    /// Address of the client; `None` for callers in this process.
    pub client: Option<IpAddr>,
    pub interface: Interface,
    /// Name of the Kafka API, kind of SQL statement, or HTTP endpoint; never a statement's text, which may hold secrets.
    pub action: Cow<'static, str>,
    /// The operation that was checked; `None` for authentication.
    pub operation: Option<Operation>,
    /// `None` for authentication.
    pub resource: Option<AuditResource>,
    pub allowed: bool,
    /// Equal decisions of frequent actions that were made since the last event about them and are not reported singly.
    pub repetitions: u64,
}

/// Destination of audit events.
///
/// Threads: called on async threads; an implementation neither blocks nor waits.
pub trait AuditSink: fmt::Debug + Send + Sync {
    fn record(&self, event: AuditEvent);
}

/// A sink with a limit: events that find it full are dropped and counted.
#[derive(Debug)]
pub struct AuditQueue {
    sender: mpsc::Sender<AuditEvent>,
    dropped: AtomicU64,
}

impl AuditQueue {
    /// A queue of at most `events_max` events, and the end they are taken from.
    pub fn new(events_max: usize) -> (Arc<Self>, mpsc::Receiver<AuditEvent>) {
        let (sender, receiver) = mpsc::channel(events_max.max(1));
        (Arc::new(Self { sender, dropped: AtomicU64::new(0) }), receiver)
    }

    /// Events dropped because the queue was full, or because its receiver is gone.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl AuditSink for AuditQueue {
    fn record(&self, event: AuditEvent) {
        if self.sender.try_send(event).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_drops_events_and_counts_them() {
        let (queue, mut receiver) = AuditQueue::new(2);
        let event = |time_ms| AuditEvent {
            time_ms,
            principal: "User:alice".into(),
            client: None,
            interface: Interface::Kafka,
            action: Cow::Borrowed("Produce"),
            operation: Some(Operation::Write),
            resource: Some(AuditResource { kind: ResourceType::Topic, name: "t".to_owned() }),
            allowed: true,
            repetitions: 0,
        };
        (0..5).for_each(|time_ms| queue.record(event(time_ms)));
        assert_eq!(queue.dropped(), 3);
        assert_eq!(receiver.try_recv(), Ok(event(0)));
        queue.record(event(9));
        assert_eq!(queue.dropped(), 3);
        drop(receiver);
        queue.record(event(10));
        assert_eq!(queue.dropped(), 4);
    }
}
