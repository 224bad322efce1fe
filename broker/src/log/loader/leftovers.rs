//! Clears away what a crash left half done in a partition directory.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::env::storage::DirEntry;
use crate::error::{Error, Result};
use crate::ids::Offset;
use crate::log::context::LogContext;
use crate::log::files::{
    CLEANED_SUFFIX, DELETED_SUFFIX, LOG_SUFFIX, OFFSET_INDEX_SUFFIX, SEGMENT_SUFFIXES, SWAP_SUFFIX,
    TIME_INDEX_SUFFIX, TXN_INDEX_SUFFIX, parse_name, path_of, remove_if_present,
};
use crate::log::scan::BatchScan;
use crate::log::segment::SegmentFiles;
use crate::log::segment_manifest::MANIFEST_FILE;

/// The segments of a directory.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) segments: BTreeMap<Offset, SegmentFiles>,
    /// Whether there is a manifest of sealed segments.
    pub(crate) has_manifest: bool,
}

/// Completes replacements, removes files that belong to nothing, and lists the segments.
///
/// # Errors
/// [`Error::Io`].
pub(crate) fn clear_away(context: &LogContext, dir: &Arc<Path>) -> Result<Listing> {
    let mut entries = list(context, dir)?;
    let swaps: Vec<Offset> = entries
        .iter()
        .filter_map(|entry| parse_name(&entry.name))
        .filter(|(_, suffix)| *suffix == format!("{LOG_SUFFIX}{SWAP_SUFFIX}"))
        .map(|(base, _)| base)
        .collect();
    for base in &swaps {
        complete_swap(context, dir, *base, &entries)?;
    }
    if !swaps.is_empty() {
        entries = list(context, dir)?;
    }
    let has_manifest = entries.iter().any(|entry| entry.name == MANIFEST_FILE);
    let mut listing = Listing { has_manifest, ..Listing::default() };
    for entry in &entries {
        match parse_name(&entry.name) {
            Some((base, LOG_SUFFIX)) => listing.segments.entry(base).or_default().log_len = entry.len,
            Some((_, suffix))
                if [CLEANED_SUFFIX, SWAP_SUFFIX, DELETED_SUFFIX].iter().any(|end| suffix.ends_with(end)) =>
            {
                remove_if_present(context.storage(), &dir.join(&entry.name))?;
            }
            _ => {}
        }
    }
    for entry in &entries {
        let Some((base, suffix)) = parse_name(&entry.name) else { continue };
        if ![OFFSET_INDEX_SUFFIX, TIME_INDEX_SUFFIX, TXN_INDEX_SUFFIX].contains(&suffix) {
            continue;
        }
        let Some(files) = listing.segments.get_mut(&base) else {
            remove_if_present(context.storage(), &dir.join(&entry.name))?;
            continue;
        };
        match suffix {
            OFFSET_INDEX_SUFFIX => files.offset_index_len = Some(entry.len),
            TIME_INDEX_SUFFIX => files.time_index_len = Some(entry.len),
            _ => files.txn_index_len = Some(entry.len),
        }
    }
    Ok(listing)
}

fn list(context: &LogContext, dir: &Path) -> Result<Vec<DirEntry>> {
    context.storage().read_dir(dir).map_err(|error| Error::io("list", dir, error))
}

/// Finishes the replacement of segments by a compacted one, which the `.log.swap` file had made final.
fn complete_swap(context: &LogContext, dir: &Arc<Path>, base: Offset, entries: &[DirEntry]) -> Result<()> {
    let swap = path_of(dir, base, &format!("{LOG_SUFFIX}{SWAP_SUFFIX}"));
    let file = context.files.existing(swap.clone()).get().map_err(|error| Error::io("open", &swap, error))?;
    let len = file.len().map_err(|error| Error::io("open", &swap, error))?;
    let mut scan = BatchScan::new(file, 0, len);
    let mut last_offset = base;
    while let Ok(Some((_, header))) = scan.next_header() {
        last_offset = header.last_offset();
    }
    for entry in entries {
        if let Some((old, LOG_SUFFIX)) = parse_name(&entry.name)
            && old > base
            && old <= last_offset
        {
            for kind in SEGMENT_SUFFIXES {
                remove_if_present(context.storage(), &path_of(dir, old, kind))?;
            }
        }
    }
    finish_swap(context, dir, base)
}

/// Renames the `.swap` files of a segment, the log last. An index that is not there has been renamed before.
pub(crate) fn finish_swap(context: &LogContext, dir: &Path, base: Offset) -> Result<()> {
    for kind in SEGMENT_SUFFIXES.iter().rev() {
        let from = path_of(dir, base, &format!("{kind}{SWAP_SUFFIX}"));
        match context.storage().rename(&from, &path_of(dir, base, kind)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("rename", &from, error));
            }
            _ => {}
        }
    }
    context.storage().sync_dir(dir).map_err(|error| Error::io("sync directory", dir, error))
}
