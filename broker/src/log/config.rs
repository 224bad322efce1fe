//! Settings of one log: the topic settings of Kafka which storage obeys, under their Kafka names.

use std::collections::BTreeMap;
use std::fmt;

use crate::error::{Error, Result};
use crate::record::batch::TimestampType;
use crate::record::compression::Compression;

/// Meaning of an acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// The data is on the disk: fsync comes first, in groups.
    #[default]
    Fsync,
    /// The data is in the page cache and reaches the disk within a second or so: a power cut may take it.
    Relaxed,
}

/// Treatment of old records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CleanupPolicy {
    /// Segments past the retention time or size are deleted.
    pub delete: bool,
    /// Only the last value of each key is kept.
    pub compact: bool,
}

/// Form in which the broker stores a batch, compared with the form in which it arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopicCompression {
    /// As the producer compressed it.
    Producer,
    /// With this codec.
    Fixed(Compression),
}

/// Settings of one log. Fields are named after the topic setting. Units: bytes and ms, as the names say.
#[derive(Debug, Clone, PartialEq)]
pub struct LogConfig {
    pub segment_bytes: u32,
    pub segment_ms: i64,
    /// At most by how much `segment_ms` is shortened, differently for each segment.
    pub segment_jitter_ms: i64,
    pub segment_index_bytes: u32,
    pub index_interval_bytes: u32,
    /// `None` keeps records for ever.
    pub retention_ms: Option<i64>,
    /// `None` sets no limit.
    pub retention_bytes: Option<u64>,
    pub cleanup_policy: CleanupPolicy,
    pub min_cleanable_dirty_ratio: f64,
    pub min_compaction_lag_ms: i64,
    pub max_compaction_lag_ms: i64,
    pub delete_retention_ms: i64,
    pub max_message_bytes: usize,
    pub message_timestamp_type: TimestampType,
    pub message_timestamp_before_max_ms: i64,
    pub message_timestamp_after_max_ms: i64,
    pub compression_type: TopicCompression,
    /// -1 is the codec's own default.
    pub compression_gzip_level: i32,
    pub compression_zstd_level: i32,
}

impl Default for LogConfig {
    /// The defaults of Kafka 4.
    fn default() -> Self {
        LogConfig {
            segment_bytes: 1 << 30,
            segment_ms: 7 * DAY_MS,
            segment_jitter_ms: 0,
            segment_index_bytes: 10 << 20,
            index_interval_bytes: 4096,
            retention_ms: Some(7 * DAY_MS),
            retention_bytes: None,
            cleanup_policy: CleanupPolicy { delete: true, compact: false },
            min_cleanable_dirty_ratio: 0.5,
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: i64::MAX,
            delete_retention_ms: DAY_MS,
            max_message_bytes: 1_048_588,
            message_timestamp_type: TimestampType::CreateTime,
            message_timestamp_before_max_ms: i64::MAX,
            message_timestamp_after_max_ms: 60 * 60 * 1000,
            compression_type: TopicCompression::Producer,
            compression_gzip_level: -1,
            compression_zstd_level: 3,
        }
    }
}

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// The names [`LogConfig::set`] knows.
pub const SETTINGS: [&str; 19] = [
    "cleanup.policy",
    "compression.gzip.level",
    "compression.type",
    "compression.zstd.level",
    "delete.retention.ms",
    "index.interval.bytes",
    "max.compaction.lag.ms",
    "max.message.bytes",
    "message.timestamp.after.max.ms",
    "message.timestamp.before.max.ms",
    "message.timestamp.type",
    "min.cleanable.dirty.ratio",
    "min.compaction.lag.ms",
    "retention.bytes",
    "retention.ms",
    "segment.bytes",
    "segment.index.bytes",
    "segment.jitter.ms",
    "segment.ms",
];

impl LogConfig {
    /// The defaults with `properties` on top. Names which are not in [`SETTINGS`] are left to their owners.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for the first bad value.
    pub fn from_properties(properties: &BTreeMap<String, String>) -> Result<Self> {
        let mut config = LogConfig::default();
        for (key, value) in properties {
            config.set(key, value)?;
        }
        Ok(config)
    }

    /// The level for batches compressed anew with `codec`; `None` leaves it to the codec.
    #[must_use]
    pub fn compression_level(&self, codec: Compression) -> Option<i32> {
        match codec {
            Compression::Gzip => Some(self.compression_gzip_level).filter(|level| *level >= 0),
            Compression::Zstd => Some(self.compression_zstd_level),
            Compression::None | Compression::Snappy | Compression::Lz4 => None,
        }
    }

    /// Sets one setting from text. Returns whether `key` is one of [`SETTINGS`].
    ///
    /// # Errors
    /// [`Error::InvalidConfig`].
    pub fn set(&mut self, key: &str, value: &str) -> Result<bool> {
        let setting = Setting { key, value };
        match key {
            "cleanup.policy" => self.cleanup_policy = setting.cleanup_policy()?,
            "compression.gzip.level" => self.compression_gzip_level = setting.within(-1, 9)?,
            "compression.zstd.level" => self.compression_zstd_level = setting.within(-131_072, 22)?,
            "compression.type" => {
                self.compression_type = match value {
                    "producer" => TopicCompression::Producer,
                    "uncompressed" => TopicCompression::Fixed(Compression::None),
                    codec => TopicCompression::Fixed(codec.parse().map_err(|_| {
                        setting.invalid("one of producer, uncompressed, gzip, snappy, lz4, zstd")
                    })?),
                };
            }
            "delete.retention.ms" => self.delete_retention_ms = setting.at_least(0)?,
            "index.interval.bytes" => self.index_interval_bytes = setting.narrow(0, u32::MAX >> 1)?,
            "max.compaction.lag.ms" => self.max_compaction_lag_ms = setting.at_least(1)?,
            "max.message.bytes" => self.max_message_bytes = setting.narrow(0, u32::MAX >> 1)? as usize,
            "message.timestamp.after.max.ms" => self.message_timestamp_after_max_ms = setting.at_least(0)?,
            "message.timestamp.before.max.ms" => {
                self.message_timestamp_before_max_ms = setting.at_least(0)?
            }
            "message.timestamp.type" => {
                self.message_timestamp_type = match value {
                    "CreateTime" => TimestampType::CreateTime,
                    "LogAppendTime" => TimestampType::LogAppendTime,
                    _ => return Err(setting.invalid("CreateTime or LogAppendTime")),
                };
            }
            "min.cleanable.dirty.ratio" => {
                self.min_cleanable_dirty_ratio = value
                    .parse()
                    .ok()
                    .filter(|ratio| (0.0..=1.0).contains(ratio))
                    .ok_or_else(|| setting.invalid("a number from 0 to 1"))?;
            }
            "min.compaction.lag.ms" => self.min_compaction_lag_ms = setting.at_least(0)?,
            "retention.bytes" => self.retention_bytes = u64::try_from(setting.at_least(-1)?).ok(),
            "retention.ms" => self.retention_ms = Some(setting.at_least(-1)?).filter(|ms| *ms >= 0),
            "segment.bytes" => self.segment_bytes = setting.narrow(SEGMENT_BYTES_MIN, u32::MAX >> 1)?,
            "segment.index.bytes" => self.segment_index_bytes = setting.narrow(4, u32::MAX >> 1)?,
            "segment.jitter.ms" => self.segment_jitter_ms = setting.at_least(0)?,
            "segment.ms" => self.segment_ms = setting.at_least(1)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// The smallest `segment.bytes` accepted. Kafka's own limit of 1 MiB (from 4.0 on) would only make tests slow.
const SEGMENT_BYTES_MIN: u32 = 14;

struct Setting<'a> {
    key: &'a str,
    value: &'a str,
}

impl Setting<'_> {
    fn invalid(&self, expected: &'static str) -> Error {
        Error::InvalidConfig { key: self.key.to_owned(), value: self.value.to_owned(), expected }
    }

    fn at_least(&self, least: i64) -> Result<i64> {
        let expected = match least {
            -1 => "a whole number, -1 or more",
            0 => "a whole number, 0 or more",
            _ => "a whole number, 1 or more",
        };
        self.value.parse().ok().filter(|n| *n >= least).ok_or_else(|| self.invalid(expected))
    }

    fn narrow(&self, least: u32, most: u32) -> Result<u32> {
        self.value
            .parse()
            .ok()
            .filter(|n| (least..=most).contains(n))
            .ok_or_else(|| self.invalid("a whole number of bytes below 2 GiB"))
    }

    fn within(&self, least: i32, most: i32) -> Result<i32> {
        self.value
            .parse()
            .ok()
            .filter(|n| (least..=most).contains(n))
            .ok_or_else(|| self.invalid("a level of the codec"))
    }

    fn cleanup_policy(&self) -> Result<CleanupPolicy> {
        let mut policy = CleanupPolicy { delete: false, compact: false };
        for part in self.value.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            match part {
                "delete" => policy.delete = true,
                "compact" => policy.compact = true,
                _ => return Err(self.invalid("a list of delete and compact")),
            }
        }
        Ok(policy)
    }
}

impl fmt::Display for CleanupPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.compact, self.delete) {
            (true, true) => "compact,delete",
            (true, false) => "compact",
            (false, true) => "delete",
            (false, false) => "",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{LogConfig, SETTINGS};

    #[test]
    fn known_settings_are_taken_and_bad_values_refused() {
        let mut config = LogConfig::default();
        for key in SETTINGS {
            assert!(config.set(key, "nonsense").is_err(), "{key}");
        }
        assert!(!config.set("min.insync.replicas", "2").expect("not ours"));
        let properties =
            [("cleanup.policy", "compact, delete"), ("retention.ms", "-1"), ("retention.bytes", "5")]
                .map(|(k, v)| (k.to_owned(), v.to_owned()));
        let config = LogConfig::from_properties(&BTreeMap::from(properties)).expect("good");
        assert!(config.cleanup_policy.compact && config.cleanup_policy.delete);
        assert_eq!((config.retention_ms, config.retention_bytes), (None, Some(5)));
    }
}
