//! The way of decisions to the audit sink: what clients do all the time is reported once in a while.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::audit::{AuditEvent, AuditSink};

/// How often equal decisions about frequent actions are reported.
pub const REPETITION_INTERVAL_MS: i64 = 60_000;
/// Decisions remembered; with more, all are forgotten and reported anew.
const REMEMBERED_MAX: usize = 10_000;

/// Whether an action is part of a client's normal work or a change by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frequency {
    /// Equal decisions are reported once in [`REPETITION_INTERVAL_MS`], with their number.
    Repeated,
    /// Every decision is reported.
    Single,
}

/// When a decision was last reported, and how many equal ones were made since.
#[derive(Debug)]
struct Reported {
    time_ms: i64,
    repetitions: u64,
}

/// Decisions on their way to a sink.
#[derive(Debug)]
pub struct AuditTrail {
    sink: Arc<dyn AuditSink>,
    /// Keys are events without time and repetitions.
    reported: Mutex<HashMap<AuditEvent, Reported>>,
}

impl AuditTrail {
    pub fn new(sink: Arc<dyn AuditSink>) -> Self {
        Self { sink, reported: Mutex::default() }
    }

    /// Reports a decision, unless an equal one about a frequent action was reported lately.
    pub fn record(&self, mut event: AuditEvent, frequency: Frequency) {
        if frequency == Frequency::Repeated {
            match self.repetitions(&event) {
                Some(repetitions) => event.repetitions = repetitions,
                None => return,
            }
        }
        self.sink.record(event);
    }

    /// Unreported decisions that are equal to `event`; `None` if it is not to be reported now.
    fn repetitions(&self, event: &AuditEvent) -> Option<u64> {
        let key = AuditEvent { time_ms: 0, repetitions: 0, ..event.clone() };
        let mut reported = self.reported.lock();
        if let Some(last) = reported.get_mut(&key) {
            // A clock that was set back reports at once.
            if event.time_ms.abs_diff(last.time_ms) < REPETITION_INTERVAL_MS.unsigned_abs() {
                last.repetitions += 1;
                return None;
            }
            last.time_ms = event.time_ms;
            return Some(std::mem::take(&mut last.repetitions));
        }
        if reported.len() >= REMEMBERED_MAX {
            reported.clear();
        }
        reported.insert(key, Reported { time_ms: event.time_ms, repetitions: 0 });
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::auth::acl::{Operation, ResourceType};
    use crate::auth::audit::{AuditQueue, AuditResource, Interface};

    fn event(time_ms: i64, topic: usize) -> AuditEvent {
        AuditEvent {
            time_ms,
            principal: "User:alice".into(),
            client: None,
            interface: Interface::Kafka,
            action: Cow::Borrowed("Produce"),
            operation: Some(Operation::Write),
            resource: Some(AuditResource { kind: ResourceType::Topic, name: topic.to_string() }),
            allowed: true,
            repetitions: 0,
        }
    }

    #[test]
    fn frequent_decisions_are_counted_and_others_reported_each() {
        let (queue, mut events) = AuditQueue::new(100_000);
        let trail = AuditTrail::new(queue.clone());
        let mut seen = || std::iter::from_fn(|| events.try_recv().ok()).collect::<Vec<_>>();
        (0..5).for_each(|time_ms| trail.record(event(time_ms, 0), Frequency::Repeated));
        trail.record(event(5, 1), Frequency::Repeated);
        assert_eq!(seen(), [event(0, 0), event(5, 1)]);
        trail.record(AuditEvent { allowed: false, ..event(6, 0) }, Frequency::Repeated);
        trail.record(event(60_000, 0), Frequency::Repeated);
        let expected =
            [AuditEvent { allowed: false, ..event(6, 0) }, AuditEvent { repetitions: 4, ..event(60_000, 0) }];
        assert_eq!(seen(), expected);
        (0..3).for_each(|time_ms| trail.record(event(time_ms, 0), Frequency::Single));
        assert_eq!(seen().len(), 3);
        (0..2 * REMEMBERED_MAX).for_each(|topic| trail.record(event(0, topic + 2), Frequency::Repeated));
        assert_eq!(seen().len(), 2 * REMEMBERED_MAX);
        assert!(trail.reported.lock().len() <= REMEMBERED_MAX);
    }
}
