//! What may be appended, when segments roll, what retention takes.

use bytes::Bytes;

use super::{Fixture, NOW_MS, batch, log_file, tp};
use crate::env::clock::Clock;
use crate::env::storage::Storage;
use crate::error::{BatchDefect, Error};
use crate::ids::{TopicId, TopicPartition};
use crate::log::access::{AppendOrigin, Isolation, OffsetSpec};
use crate::log::config::{CleanupPolicy, LogConfig, TopicCompression};
use crate::record::batch::{BatchIter, TimestampType};
use crate::record::builder::{BatchOptions, RecordBatchBuilder};
use crate::record::compression::Compression;

#[test]
fn offsets_are_assigned_in_order() {
    let fixture = Fixture::new(LogConfig::default());
    assert_eq!(fixture.put(&["a", "b"]).base_offset, 0);
    let several: Bytes = [batch(&["c"]), batch(&["d", "e"])].concat().into();
    let appended = fixture.append(several).expect("append");
    assert_eq!((appended.base_offset, appended.last_offset), (2, 4));
    fixture.manager.flush();
    assert_eq!(fixture.values(), ["a", "b", "c", "d", "e"]);
}

#[test]
fn bad_batches_are_refused_and_leave_no_trace() {
    let config =
        LogConfig { max_message_bytes: 200, message_timestamp_after_max_ms: 1000, ..LogConfig::default() };
    let fixture = Fixture::new(config);
    let mut flipped = batch(&["a"]).to_vec();
    *flipped.last_mut().expect("bytes") ^= 1;
    let error = fixture.append(flipped.into()).expect_err("checksum");
    assert!(matches!(error, Error::CorruptBatch { reason: BatchDefect::Checksum { .. } }), "{error}");
    let error = fixture.append(Bytes::new()).expect_err("nothing");
    assert!(matches!(error, Error::InvalidRecord { reason: BatchDefect::Empty }), "{error}");
    let error = fixture.append(batch(&[&"x".repeat(300)])).expect_err("large");
    assert!(matches!(error, Error::BatchTooLarge { limit: 200, .. }), "{error}");
    let mut future = RecordBatchBuilder::new(BatchOptions::default());
    future.append(NOW_MS + 1001, None, None, &[]);
    let error = fixture.append(future.build().expect("build")).expect_err("future");
    assert!(matches!(error, Error::InvalidTimestamp { .. }), "{error}");
    let mut control = RecordBatchBuilder::new(BatchOptions { control: true, ..BatchOptions::default() });
    control.append(NOW_MS, None, None, &[]);
    let error = fixture.append(control.build().expect("build")).expect_err("control");
    assert!(matches!(error, Error::InvalidRecord { reason: BatchDefect::ControlFromClient }), "{error}");
    assert_eq!(fixture.log.offsets().log_end, 0);
}

#[test]
fn compacted_topics_want_keys() {
    let cleanup_policy = CleanupPolicy { delete: false, compact: true };
    let fixture = Fixture::new(LogConfig { cleanup_policy, ..LogConfig::default() });
    let mut builder = RecordBatchBuilder::new(BatchOptions::default());
    for key in [None, Some(b"k"), None] {
        builder.append(NOW_MS, key.map(|key| &key[..]), Some(b"v"), &[]);
    }
    let error = fixture.append(builder.build().expect("build")).expect_err("no key");
    assert!(matches!(error, Error::InvalidRecord { reason: BatchDefect::MissingKey { .. } }), "{error}");
    assert_eq!(error.bad_records(), [0, 2]);
}

#[test]
fn all_records_with_bad_timestamps_are_named() {
    let config = LogConfig {
        message_timestamp_before_max_ms: 1000,
        message_timestamp_after_max_ms: 1000,
        ..LogConfig::default()
    };
    let fixture = Fixture::new(config);
    let mut builder = RecordBatchBuilder::new(BatchOptions::default());
    for timestamp in [NOW_MS, NOW_MS - 1001, NOW_MS + 1000, NOW_MS + 1001] {
        builder.append(timestamp, None, Some(b"v"), &[]);
    }
    let error = fixture.append(builder.build().expect("build")).expect_err("two of them");
    let first = NOW_MS - 1001;
    assert!(matches!(error, Error::InvalidTimestamp { timestamp, .. } if timestamp == first), "{error}");
    assert_eq!(error.bad_records(), [1, 3]);
}

#[test]
fn a_batch_that_grows_too_large_when_it_is_compressed_anew_is_refused() {
    let fixture = Fixture::new(LogConfig {
        max_message_bytes: 400,
        compression_type: TopicCompression::Fixed(Compression::None),
        ..LogConfig::default()
    });
    let options = BatchOptions { compression: Compression::Gzip, ..BatchOptions::default() };
    let mut builder = RecordBatchBuilder::new(options);
    builder.append(NOW_MS, None, Some(&[b'x'; 1000]), &[]);
    let small = builder.build().expect("build");
    assert!(small.len() < 400);
    let error = fixture.append(small).expect_err("1000 bytes");
    assert!(matches!(error, Error::BatchTooLarge { limit: 400, .. }), "{error}");
}

#[test]
fn producers_do_not_decide_what_brokers_stamp() {
    let fixture = Fixture::new(LogConfig::default());
    let mut builder = RecordBatchBuilder::new(BatchOptions {
        timestamp_type: TimestampType::LogAppendTime,
        ..BatchOptions::default()
    });
    builder.append(5, None, Some(b"a"), &[]);
    builder.append(9, None, Some(b"b"), &[]);
    fixture.append(builder.build().expect("build")).expect("append");
    fixture.manager.flush();
    let records = super::records(&fixture.log, Isolation::ReadUncommitted);
    assert_eq!(records.iter().map(|record| record.timestamp).collect::<Vec<_>>(), [5, 9]);
}

#[test]
fn a_clock_set_a_day_ahead_deletes_nothing_early() {
    const HOUR_MS: u64 = 60 * 60 * 1000;
    let retention_ms = Some(48 * 60 * 60 * 1000);
    let fixture = Fixture::new(LogConfig { segment_bytes: 200, retention_ms, ..LogConfig::default() });
    for value in 0..9 {
        fixture.put(&[&format!("value number {value}")]);
    }
    fixture.clock.advance_ms(30 * HOUR_MS);
    fixture.manager.housekeep();
    let right = fixture.clock.now_ms();
    fixture.clock.set_now_ms(right + 24 * 60 * 60 * 1000);
    fixture.manager.housekeep();
    fixture.clock.advance_ms(HOUR_MS);
    fixture.manager.housekeep();
    assert_eq!(fixture.log.offsets().log_start, 0);
    fixture.clock.set_now_ms(right);
    fixture.clock.advance_ms(20 * HOUR_MS);
    fixture.manager.housekeep();
    assert_eq!(fixture.log.offsets().log_start, 9);
}

#[test]
fn the_topic_may_choose_timestamps_and_codec() {
    let fixture = Fixture::new(LogConfig {
        message_timestamp_type: TimestampType::LogAppendTime,
        compression_type: TopicCompression::Fixed(Compression::Zstd),
        ..LogConfig::default()
    });
    let mut builder = RecordBatchBuilder::new(BatchOptions::default());
    builder.append(5, None, Some(b"v"), &[]);
    let appended = fixture.append(builder.build().expect("build")).expect("append");
    assert_eq!(appended.log_append_time, Some(NOW_MS));
    fixture.manager.flush();
    let data = fixture.read(0, Isolation::ReadUncommitted);
    let batch = BatchIter::new(data.bytes).next().expect("one").expect("good");
    assert_eq!(batch.header().compression().expect("codec"), Compression::Zstd);
    assert_eq!(super::records(&fixture.log, Isolation::ReadUncommitted)[0].timestamp, NOW_MS);
}

#[test]
fn the_topic_may_choose_the_level_of_its_codec() {
    let value: String = (0..20_000_u32).map(|n| char::from(b'a' + (n.wrapping_mul(n) % 23) as u8)).collect();
    let stored_bytes = |config: LogConfig| {
        let fixture = Fixture::new(config);
        fixture.put(&[&value]);
        fixture.log.size_bytes()
    };
    let zstd = |compression_zstd_level| LogConfig {
        compression_type: TopicCompression::Fixed(Compression::Zstd),
        compression_zstd_level,
        ..LogConfig::default()
    };
    assert!(stored_bytes(zstd(19)) < stored_bytes(zstd(-100)));
    let gzip = |compression_gzip_level| LogConfig {
        compression_type: TopicCompression::Fixed(Compression::Gzip),
        compression_gzip_level,
        ..LogConfig::default()
    };
    assert!(stored_bytes(gzip(9)) < stored_bytes(gzip(0)));
    assert!(stored_bytes(gzip(-1)) < stored_bytes(gzip(0)));
}

#[test]
fn jitter_makes_segments_roll_at_different_ages() {
    let fixture =
        Fixture::new(LogConfig { segment_ms: 1000, segment_jitter_ms: 900, ..LogConfig::default() });
    for step in 0..300 {
        let mut builder = RecordBatchBuilder::new(BatchOptions::default());
        builder.append(NOW_MS + step * 10, None, None, &[]);
        fixture.append(builder.build().expect("build")).expect("append");
    }
    let bases: Vec<i64> = fixture.log.segments().iter().map(|segment| segment.base_offset()).collect();
    let ages: Vec<i64> = bases.windows(2).map(|pair| (pair[1] - pair[0]) * 10).collect();
    assert!(ages.iter().all(|age| (100..=1_010).contains(age)), "{ages:?}");
    assert!(ages.windows(2).any(|pair| pair[0] != pair[1]), "{ages:?}");
}

#[test]
fn segments_roll_by_size_and_by_age() {
    let fixture = Fixture::new(LogConfig { segment_bytes: 200, segment_ms: 1000, ..LogConfig::default() });
    for _ in 0..4 {
        fixture.put(&["0123456789"]);
    }
    assert_eq!(fixture.log.segments().len(), 2);
    let fixture = Fixture::new(LogConfig { segment_ms: 1000, ..LogConfig::default() });
    for step in [0, 1000, 1001] {
        let mut builder = RecordBatchBuilder::new(BatchOptions::default());
        builder.append(NOW_MS + step, None, None, &[]);
        fixture.append(builder.build().expect("build")).expect("append");
    }
    let bases: Vec<_> = fixture.log.segments().iter().map(|segment| segment.base_offset()).collect();
    assert_eq!(bases, [0, 2]);
}

#[test]
fn retention_by_time_takes_whole_segments_and_even_the_active_one() {
    let retention_ms = Some(10_000);
    let fixture = Fixture::new(LogConfig { segment_bytes: 200, retention_ms, ..LogConfig::default() });
    for value in 0..9 {
        fixture.put(&[&format!("value number {value}")]);
        fixture.clock.advance_ms(1);
    }
    fixture.manager.housekeep();
    assert_eq!(fixture.log.offsets().log_start, 0);
    fixture.clock.advance_ms(20_000);
    fixture.manager.housekeep();
    let offsets = fixture.log.offsets();
    assert_eq!((offsets.log_start, offsets.log_end), (9, 9));
    assert_eq!(fixture.log.size_bytes(), 0);
    assert!(!fixture.storage.exists(&log_file(0, ".log")));
    assert_eq!(fixture.put(&["next"]).base_offset, 9);
    let fixture = fixture.restart();
    assert_eq!(fixture.log.offsets().log_start, 9);
    assert_eq!(fixture.values(), ["next"]);
}

#[test]
fn retention_by_size_keeps_at_least_what_was_asked_for() {
    let retention_bytes = Some(500);
    let fixture = Fixture::new(LogConfig { segment_bytes: 200, retention_bytes, ..LogConfig::default() });
    for value in 0..20 {
        fixture.put(&[&format!("value number {value:03}")]);
    }
    fixture.manager.housekeep();
    let size = fixture.log.size_bytes();
    assert!((500..700).contains(&size), "{size}");
    assert!(fixture.log.offsets().log_start > 0);
}

#[test]
fn deleted_records_stay_deleted() {
    let fixture = Fixture::new(LogConfig { segment_bytes: 200, ..LogConfig::default() });
    for value in 0..10 {
        fixture.put(&[&format!("value number {value}")]);
    }
    assert_eq!(fixture.log.delete_records_before(7).expect("delete"), 7);
    assert_eq!(fixture.log.delete_records_before(3).expect("delete"), 7);
    assert!(matches!(fixture.log.delete_records_before(11), Err(Error::OffsetOutOfRange { .. })));
    let fixture = fixture.restart();
    assert_eq!(fixture.values(), ["value number 7", "value number 8", "value number 9"]);
    let earliest = fixture.log.lookup(OffsetSpec::Earliest, Isolation::ReadUncommitted).expect("lookup");
    assert_eq!(earliest.expect("some").offset, 7);
}

#[test]
fn truncation_cuts_whole_batches_and_appending_goes_on() {
    let fixture = Fixture::new(LogConfig { segment_bytes: 200, ..LogConfig::default() });
    for value in 0..10 {
        fixture.put(&[&format!("a{value}"), &format!("b{value}")]);
    }
    fixture.log.truncate_to(7).expect("truncate");
    assert_eq!(fixture.log.offsets().log_end, 6);
    assert_eq!(fixture.put(&["new"]).base_offset, 6);
    let fixture = fixture.crash(super::Crash::Process).expect("reopen");
    assert_eq!(fixture.values(), ["a0", "b0", "a1", "b1", "a2", "b2", "new"]);
}

#[test]
fn a_directory_belongs_to_one_manager() {
    let fixture = Fixture::new(LogConfig::default());
    let again = Fixture::open(fixture.storage.clone(), fixture.clock.clone(), super::manager_config());
    assert!(matches!(again.err(), Some(Error::DirLocked { .. })));
}

#[test]
fn deleted_partitions_refuse_everything_and_can_be_made_again() {
    let fixture = Fixture::new(LogConfig::default());
    let ticket = fixture.append(batch(&["a"])).expect("append").flush;
    assert!(matches!(
        fixture.manager.create(&tp(), TopicId::NONE, LogConfig::default()),
        Err(Error::PartitionExists(_))
    ));
    fixture.manager.delete(&tp()).expect("delete");
    assert!(ticket.wait_blocking().is_err());
    assert!(matches!(fixture.append(batch(&["a"])), Err(Error::PartitionClosed(_))));
    assert!(matches!(fixture.manager.delete(&tp()), Err(Error::UnknownPartition(_))));
    let id = TopicId(uuid::Uuid::from_u128(7));
    let log = fixture.manager.create(&tp(), id, LogConfig::default()).expect("create");
    let appended = log.append(batch(&["b"]), AppendOrigin::Client, 0).expect("append");
    assert_eq!(appended.base_offset, 0);
    fixture.manager.flush();
    let restarted = fixture.crash(super::Crash::Power).expect("reopen");
    assert_eq!(restarted.values(), ["b"]);
    assert_eq!(restarted.manager.logs()[0].1, id);
    let bad = TopicPartition::new("../x", 0);
    assert!(restarted.manager.create(&bad, id, LogConfig::default()).is_err());
}
