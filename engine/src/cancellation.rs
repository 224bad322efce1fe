//! The wish that a long computation ends early.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::error::{EngineError, Result};

const CANCELLED: u8 = 1;
const INTERRUPTED: u8 = 2;

/// Only ever rises, and is asked often. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Cancellation(Arc<AtomicU8>);

impl Cancellation {
    /// The computation is to end where its result can be kept.
    pub fn cancel(&self) {
        self.0.fetch_max(CANCELLED, Ordering::AcqRel);
    }

    /// The computation is to end at once; its result is not kept.
    pub fn interrupt(&self) {
        self.0.fetch_max(INTERRUPTED, Ordering::AcqRel);
    }

    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire) >= CANCELLED
    }

    pub fn is_interrupted(&self) -> bool {
        self.0.load(Ordering::Acquire) >= INTERRUPTED
    }

    /// Errors: the computation is interrupted.
    pub fn check(&self) -> Result<()> {
        if self.is_interrupted() { Err(EngineError::Interrupted) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interruption_is_also_a_cancellation_and_stays() {
        let cancellation = Cancellation::default();
        let shared = cancellation.clone();
        assert!(!shared.is_cancelled() && shared.check().is_ok());
        cancellation.cancel();
        assert!(shared.is_cancelled() && shared.check().is_ok());
        cancellation.interrupt();
        cancellation.cancel();
        assert!(shared.is_cancelled() && matches!(shared.check(), Err(EngineError::Interrupted)));
    }
}
