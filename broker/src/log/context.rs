//! Parts that logs share, and values that pass between a log, its loader and its manager.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::env::clock::Clock;
use crate::env::storage::Storage;
use crate::ids::Offset;
use crate::log::config::Durability;
use crate::log::failure::DirHealth;
use crate::log::files::FileCache;
use crate::log::flusher::Flusher;
use crate::log::producer_state::ProducerStates;
use crate::log::segment::Segment;

/// Parts that all logs of one directory share.
#[derive(Debug)]
pub(crate) struct LogContext {
    pub(crate) data_dir: Arc<Path>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) files: Arc<FileCache>,
    pub(crate) flusher: Flusher,
    pub(crate) health: Arc<DirHealth>,
    pub(crate) durability: Durability,
}

impl LogContext {
    pub(crate) fn storage(&self) -> &dyn Storage {
        self.files.storage()
    }
}

/// A log as the loader found it.
#[derive(Debug)]
pub(crate) struct LoadedLog {
    /// Never empty.
    pub(crate) segments: BTreeMap<Offset, Arc<Segment>>,
    pub(crate) log_start: Offset,
    pub(crate) log_end: Offset,
    pub(crate) producers: ProducerStates,
    /// Set for a log whose last segment is empty: it may never have been synced.
    pub(crate) fresh: Option<FreshFiles>,
    /// Nothing was checked and nothing cut: what a clean shutdown left in the files is all there is.
    pub(crate) as_closed: bool,
}

/// Files and directories which become durable with the first record of a segment, and need not before: a log without
/// records that a power cut takes is made again, as the metadata wants it.
///
/// The files are not held open, or ten thousand new partitions would hold as many.
#[derive(Debug)]
pub(crate) struct FreshFiles {
    pub(crate) files: Vec<PathBuf>,
    pub(crate) dirs: Vec<Arc<Path>>,
}

/// The state of a log at a clean shutdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CleanState {
    pub(crate) log_end: Offset,
    pub(crate) active_base: Offset,
    pub(crate) active_size: u64,
    /// Whether there were producers; a snapshot, or the batches after one, have them.
    pub(crate) has_producers: bool,
    /// Entries of the transaction index of the active segment.
    pub(crate) active_txns: u64,
}
