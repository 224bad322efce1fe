//! The step that a transactional producer waits for, for observers on other threads.

use std::fmt::Display;

use parking_lot::Mutex;

/// A step of a transactional producer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProducerStage {
    /// The transactional id is being taken over.
    #[default]
    Initializing,
    /// No transaction is being ended.
    Idle,
    /// Records and offsets of a transaction have to be accepted before it can end.
    Writing,
    /// The end of a transaction is requested.
    Committing,
}

/// The present step, and why the broker refused it last. Threads: written by the producer, read by
/// any.
#[derive(Debug, Default)]
pub struct ProducerProgress {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    stage: ProducerStage,
    refusal: Option<String>,
}

impl ProducerProgress {
    #[must_use]
    pub fn stage(&self) -> ProducerStage {
        self.state.lock().stage
    }

    /// Why the last attempt of the present step was refused. None: no attempt was refused.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        self.state.lock().refusal.clone()
    }

    pub(crate) fn enter(&self, stage: ProducerStage) {
        *self.state.lock() = State { stage, refusal: None };
    }

    pub(crate) fn refused(&self, cause: &dyn Display) {
        self.state.lock().refusal = Some(cause.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_belongs_to_its_stage() {
        let progress = ProducerProgress::default();
        assert_eq!((progress.stage(), progress.refusal()), (ProducerStage::Initializing, None));
        progress.enter(ProducerStage::Writing);
        progress.refused(&"disk full");
        assert_eq!(progress.refusal().as_deref(), Some("disk full"));
        progress.enter(ProducerStage::Committing);
        assert_eq!((progress.stage(), progress.refusal()), (ProducerStage::Committing, None));
    }
}
