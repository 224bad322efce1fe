//! Deletes old segments, by time and by size.

use std::sync::Arc;

use crate::error::Result;
use crate::ids::Offset;
use crate::log::config::LogConfig;
use crate::log::partition_log::Log;
use crate::log::segment::Segment;

/// Deletes what the settings of `log` say is too old or too much. Returns the bytes freed.
///
/// Only whole segments below the high watermark go. An active segment whose records are all too old is rolled first.
///
/// # Errors
/// Those of the file system; a closed log is left alone.
pub(crate) fn apply(log: &Log, now_ms: i64) -> Result<u64> {
    let config = log.config();
    if !config.cleanup_policy.delete || log.is_closed() {
        return Ok(0);
    }
    let maintenance = log.begin_maintenance();
    let high_watermark = log.offsets().high_watermark;
    let mut segments = log.segments();
    let expired = count_expired(&segments, &config, now_ms, high_watermark)?;
    if expired == segments.len() && segments.last().is_some_and(|active| !active.is_empty()) {
        log.roll_active(&maintenance)?;
        segments = log.segments();
    }
    let surplus = count_surplus(&segments, &config);
    let doomed = expired.max(surplus).min(segments.len() - 1);
    let Some(kept) = segments.get(doomed) else { return Ok(0) };
    if doomed == 0 {
        return Ok(0);
    }
    let freed = log.delete_segments_before(kept.base_offset().min(high_watermark), &maintenance)?;
    if freed > 0 {
        tracing::info!(tp = %log.topic_partition(), freed, "deleted old segments");
    }
    Ok(freed)
}

/// Segments at the front whose newest record is older than the retention time.
fn count_expired(
    segments: &[Arc<Segment>],
    config: &LogConfig,
    now_ms: i64,
    high_watermark: Offset,
) -> Result<usize> {
    let Some(retention_ms) = config.retention_ms else { return Ok(0) };
    for (index, segment) in segments.iter().enumerate() {
        let newest = match segment.max_timestamp()? {
            timestamp if timestamp >= 0 => timestamp,
            _ => segment.created_ms(),
        };
        let next_base = segments.get(index + 1).map(|next| next.base_offset());
        let visible = next_base.is_none_or(|next| next <= high_watermark);
        if !visible || now_ms.saturating_sub(newest) <= retention_ms {
            return Ok(index);
        }
    }
    Ok(segments.len())
}

/// Segments at the front without which the log is still at least as large as it may be.
fn count_surplus(segments: &[Arc<Segment>], config: &LogConfig) -> usize {
    let Some(retention_bytes) = config.retention_bytes else { return 0 };
    let total: u64 = segments.iter().map(|segment| segment.size_bytes()).sum();
    let mut surplus = total.saturating_sub(retention_bytes);
    let fits = |segment: &&Arc<Segment>| {
        let fits = segment.size_bytes() <= surplus && surplus > 0;
        surplus = surplus.saturating_sub(segment.size_bytes());
        fits
    };
    segments.iter().take_while(fits).count()
}
