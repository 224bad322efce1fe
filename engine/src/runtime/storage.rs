//! Where tasks keep their stores.

use std::fmt;

use crate::runtime::error::Result;
use crate::state::backend::{StateBackend, StoreSpec};
use crate::state::memory::MemoryBackend;
use crate::task::stream_task::TaskId;

/// Opens the stores of tasks. Threads: any.
pub trait StateStorage: Send + Sync + fmt::Debug {
    /// The stores of a task, as its last commit left them. Stores that cannot be read are emptied: the changelog has everything.
    fn open(&self, application_id: &str, task: TaskId, stores: &[StoreSpec])
    -> Result<Box<dyn StateBackend>>;

    /// Removes everything a query has here; its tasks have ended.
    fn delete(&self, application_id: &str) -> Result<()>;
}

/// Keeps nothing between two starts of a task: every start restores from the changelog.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryStorage;

impl StateStorage for MemoryStorage {
    fn open(
        &self,
        _application_id: &str,
        _task: TaskId,
        stores: &[StoreSpec],
    ) -> Result<Box<dyn StateBackend>> {
        Ok(Box::new(MemoryBackend::new(stores.len())))
    }

    fn delete(&self, _application_id: &str) -> Result<()> {
        Ok(())
    }
}
