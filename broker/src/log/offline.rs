//! Logs that cannot be served: the rest of the directory goes on without them.

use std::path::PathBuf;

use hashbrown::HashMap;
use parking_lot::RwLock;

use crate::error::Error;
use crate::ids::{Offset, TopicId, TopicPartition};

/// A damaged log. It answers nothing until an operator has repaired or deleted it.
#[derive(Debug, Clone)]
pub struct OfflineLog {
    pub partition: TopicPartition,
    pub dir: PathBuf,
    /// [`TopicId::NONE`] if it could not be read.
    pub topic_id: TopicId,
    /// The damage, with file and offset.
    pub error: Error,
    pub(crate) checkpoints: KeptCheckpoints,
}

/// Checkpoints of an offline log. They are kept, because without a recovery point the next start would take the damage
/// for a torn write and cut it off.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct KeptCheckpoints {
    pub(crate) recovery_point: Offset,
    pub(crate) log_start: Offset,
    pub(crate) high_watermark: Offset,
}

/// The damaged logs of a directory. Threads: any.
#[derive(Debug, Default)]
pub(crate) struct OfflineLogs(RwLock<HashMap<TopicPartition, OfflineLog>>);

impl OfflineLogs {
    /// Notes a damaged log, loudly.
    pub(crate) fn insert(&self, log: OfflineLog) {
        let source = std::error::Error::source(&log.error).map(|source| format!(": {source}"));
        tracing::error!(
            topic = %log.partition.topic,
            partition = log.partition.partition,
            dir = %log.dir.display(),
            error = %format!("{}{}", log.error, source.unwrap_or_default()),
            "partition is offline, all others are served: repair or delete its log"
        );
        self.0.write().insert(log.partition.clone(), log);
    }

    pub(crate) fn get(&self, tp: &TopicPartition) -> Option<OfflineLog> {
        let logs = self.0.read();
        // The usual case, without hashing.
        if logs.is_empty() { None } else { logs.get(tp).cloned() }
    }

    pub(crate) fn remove(&self, tp: &TopicPartition) -> Option<OfflineLog> {
        self.0.write().remove(tp)
    }

    pub(crate) fn all(&self) -> Vec<OfflineLog> {
        self.0.read().values().cloned().collect()
    }
}

/// Whether an error concerns one log alone: damage or an unreadable sector, not missing rights or file handles.
pub(crate) fn is_damage(error: &Error) -> bool {
    /// `EIO`.
    const INPUT_OUTPUT_ERROR: i32 = 5;
    match error {
        Error::CorruptLog { .. } | Error::CorruptFile { .. } | Error::CorruptBatch { .. } => true,
        Error::Io { source, .. } => {
            matches!(source.kind(), std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof)
                || source.raw_os_error() == Some(INPUT_OUTPUT_ERROR)
        }
        _ => false,
    }
}
