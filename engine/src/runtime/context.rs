//! The world around a worker, which its queries share.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::Sender;
use tokio::runtime::Handle;
use weir_broker::client::consumer::reader::FetchOptions;
use weir_broker::client::transport::Transport;
use weir_broker::env::clock::Clock;

use crate::config::EngineConfig;
use crate::runtime::health::{HealthRecorder, StepClock};
use crate::runtime::messages::WorkerMessage;
use crate::runtime::storage::StateStorage;

#[derive(Clone)]
pub(crate) struct WorkerContext {
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

impl fmt::Debug for WorkerContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerContext").field("worker", &self.worker).finish_non_exhaustive()
    }
}

impl WorkerContext {
    pub(crate) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }

    pub(crate) fn stop_timeout(&self) -> Duration {
        Duration::from_millis(self.config.stop_timeout_ms)
    }

    pub(crate) fn offset_renewal_interval(&self) -> Duration {
        Duration::from_millis(self.config.offset_renewal_interval_ms.max(1))
    }

    pub(crate) fn fetch_options(&self) -> FetchOptions {
        FetchOptions {
            bytes_max: self.config.fetch_bytes_max,
            partition_bytes_max: self.config.fetch_partition_bytes_max,
            wait_max: Duration::from_millis(self.config.fetch_wait_ms),
            ..FetchOptions::default()
        }
    }
}
