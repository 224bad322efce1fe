//! The producers of a log out of its files: the newest snapshot, and the batches after it.

use std::path::Path;
use std::sync::Arc;

use crate::env::storage::Storage;
use crate::error::{Error, Result};
use crate::ids::Offset;
use crate::log::files::{SNAPSHOT_SUFFIX, parse_name, path_of, remove_if_present};
use crate::log::producer_state::ProducerStates;
use crate::log::segment::Segment;

/// The producers as of `log_end`: the newest good snapshot and the batches after it.
pub(crate) fn replay_producers(
    storage: &dyn Storage,
    dir: &Path,
    segments: &[Arc<Segment>],
    log_end: Offset,
) -> Result<ProducerStates> {
    let (mut producers, from) = newest_snapshot(storage, dir, log_end)?;
    for (index, segment) in segments.iter().enumerate() {
        let next_base = segments.get(index + 1).map_or(log_end, |next| next.base_offset());
        if next_base > from {
            replay_segment(segment, &mut producers, from)?;
        }
    }
    Ok(producers)
}

/// Applies the batches of a segment from `from` on.
pub(crate) fn replay_segment(segment: &Segment, producers: &mut ProducerStates, from: Offset) -> Result<()> {
    let (position, _) = segment.position_of(from)?;
    let mut scan = segment.scan(position)?;
    while let Some((_, batch)) = scan.next_batch().map_err(|error| segment.scan_error(from, error))? {
        producers.replay(&batch)?;
    }
    Ok(())
}

/// The newest good snapshot at or before `offset`, and its offset; bad ones are removed.
pub(crate) fn newest_snapshot(
    storage: &dyn Storage,
    dir: &Path,
    offset: Offset,
) -> Result<(ProducerStates, Offset)> {
    let entries = storage.read_dir(dir).map_err(|error| Error::io("list", dir, error))?;
    let mut offsets: Vec<Offset> = entries
        .iter()
        .filter_map(|entry| parse_name(&entry.name))
        .filter(|(at, suffix)| *suffix == SNAPSHOT_SUFFIX && *at <= offset)
        .map(|(at, _)| at)
        .collect();
    offsets.sort_unstable();
    for at in offsets.into_iter().rev() {
        let path = path_of(dir, at, SNAPSHOT_SUFFIX);
        let bytes = storage.read(&path).map_err(|error| Error::io("read", &path, error))?;
        match ProducerStates::decode(&bytes, &path) {
            Ok(producers) => return Ok((producers, at)),
            Err(error) => {
                tracing::warn!(%error, "ignoring a producer snapshot");
                remove_if_present(storage, &path)?;
            }
        }
    }
    Ok((ProducerStates::default(), 0))
}
