//! The wish that a long computation ends early.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Set once, asked often. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Cancellation(Arc<AtomicBool>);

impl Cancellation {
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
