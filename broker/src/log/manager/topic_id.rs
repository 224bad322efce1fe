//! The file `partition.metadata`, which holds the topic id of a partition.

use std::path::Path;
use std::sync::Arc;

use crate::env::storage::{OpenMode, Storage, StorageFile};
use crate::error::{Error, Result};
use crate::ids::TopicId;
use crate::log::context::{FreshFiles, LogContext};

pub(super) const METADATA_FILE: &str = "partition.metadata";

/// Files and directories of a new log that its first flush syncs.
pub(super) fn fresh_files(context: &LogContext, dir: &Arc<Path>) -> FreshFiles {
    FreshFiles {
        files: vec![dir.join(METADATA_FILE)],
        dirs: vec![Arc::clone(dir), Arc::clone(&context.data_dir)],
    }
}

pub(super) fn write_topic_id(
    storage: &dyn Storage,
    path: &Path,
    topic_id: TopicId,
) -> Result<Arc<dyn StorageFile>> {
    let write = || {
        let file = storage.open(path, OpenMode::Create)?;
        file.write_all_at(format!("version: 0\ntopic_id: {topic_id}\n").as_bytes(), 0)?;
        Ok(file)
    };
    write().map_err(|error| Error::io("write", path, error))
}

/// The topic id of a partition; [`TopicId::NONE`] if the file is lost or torn.
pub(super) fn read_topic_id(storage: &dyn Storage, path: &Path) -> Result<TopicId> {
    let bytes = match storage.read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(TopicId::NONE),
        Err(error) => return Err(Error::io("read", path, error)),
    };
    let text = String::from_utf8_lossy(&bytes);
    let id = text.lines().find_map(|line| line.strip_prefix("topic_id: ")?.parse().ok());
    // A torn file belongs to a log without durable records; the replica manager gives it its id again.
    Ok(id.map_or(TopicId::NONE, TopicId))
}
