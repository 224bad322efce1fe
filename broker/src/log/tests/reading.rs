//! Reads and look-ups against a list of everything that was appended.

use proptest::collection::vec;
use proptest::prelude::{Strategy, prop_assert_eq, proptest};

use super::{Crash, Fixture, Kv, NOW_MS, log_file, records};
use crate::error::Error;
use crate::log::access::{Isolation, OffsetSpec, ReadRequest};
use crate::log::config::LogConfig;
use crate::record::batch::BatchIter;
use crate::record::builder::{BatchOptions, RecordBatchBuilder};
use crate::record::compression::Compression;

/// Batches as lists of (timestamp, size of the value).
fn batches() -> impl Strategy<Value = Vec<Vec<(i64, usize)>>> {
    vec(vec((0..1000i64, 0..60usize), 1..6), 1..40)
}

fn fill(fixture: &Fixture, batches: &[Vec<(i64, usize)>]) -> Vec<Kv> {
    let mut model = Vec::new();
    for (index, records) in batches.iter().enumerate() {
        let compression = Compression::ALL[index % Compression::ALL.len()];
        let mut builder = RecordBatchBuilder::new(BatchOptions { compression, ..BatchOptions::default() });
        for (timestamp, size) in records {
            let (timestamp, value) = (NOW_MS + timestamp, vec![index as u8; *size]);
            builder.append(timestamp, None, Some(&value), &[]);
            model.push(Kv { offset: model.len() as i64, timestamp, key: None, value: Some(value) });
        }
        fixture.append(builder.build().expect("build")).expect("append");
        fixture.manager.flush();
    }
    model
}

fn check(fixture: &Fixture, model: &[Kv], bytes_max: usize) {
    assert_eq!(records(&fixture.log, Isolation::ReadUncommitted), model);
    for kv in model {
        let request = ReadRequest {
            offset: kv.offset,
            bytes_max,
            isolation: Isolation::ReadUncommitted,
            at_least_one_batch: true,
        };
        let data = fixture.log.read(&request).expect("read");
        let first = BatchIter::new(data.bytes.clone()).next().expect("at least one").expect("good");
        assert!((first.base_offset()..=first.last_offset()).contains(&kv.offset));
        assert!(data.bytes.len() <= bytes_max.max(first.bytes().len()));
        let bounded = ReadRequest { at_least_one_batch: false, ..request };
        assert!(fixture.log.read(&bounded).expect("read").bytes.len() <= bytes_max);
    }
    for timestamp in (NOW_MS - 1..NOW_MS + 1001).step_by(7) {
        let expected = model.iter().find(|kv| kv.timestamp >= timestamp).map(|kv| (kv.offset, kv.timestamp));
        let found = fixture.log.lookup(OffsetSpec::Timestamp(timestamp), Isolation::ReadUncommitted);
        assert_eq!(
            found.expect("lookup").map(|found| (found.offset, found.timestamp)),
            expected,
            "{timestamp}"
        );
    }
    let newest = model.iter().rev().max_by_key(|kv| kv.timestamp).map(|kv| kv.offset);
    let found = fixture.log.lookup(OffsetSpec::MaxTimestamp, Isolation::ReadUncommitted).expect("lookup");
    assert_eq!(found.map(|found| found.offset), newest);
}

proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(40))]
    #[test]
    fn reads_and_lookups_agree_with_a_linear_scan(
        batches in batches(),
        segment_bytes in 150..3000u32,
        index_interval_bytes in 0..400u32,
        bytes_max in 0..2000usize,
    ) {
        let config = LogConfig { segment_bytes, index_interval_bytes, ..LogConfig::default() };
        let fixture = Fixture::new(config);
        let model = fill(&fixture, &batches);
        check(&fixture, &model, bytes_max);
        check(&fixture.crash(Crash::Power).expect("reopen"), &model, bytes_max);
        check(&fixture.restart(), &model, bytes_max);
    }

    #[test]
    fn damaged_indexes_are_rebuilt(
        batches in vec(vec((0..1000i64, 0..60usize), 1..6), 20..40),
        garbage in vec(proptest::prelude::any::<u8>(), 0..100),
        remove in proptest::prelude::any::<bool>(),
    ) {
        let config = LogConfig { segment_bytes: 600, index_interval_bytes: 100, ..LogConfig::default() };
        let fixture = Fixture::new(config);
        let model = fill(&fixture, &batches);
        let bases: Vec<_> = fixture.log.segments().iter().map(|segment| segment.base_offset()).collect();
        let fixture = fixture.restart();
        for base in bases {
            // Behind the back of the running log, and for the next start.
            let _ = fixture.storage.tamper(&log_file(base, ".index"), |bytes| {
                if remove { bytes.clear(); } else {
                    let len = bytes.len().min(garbage.len());
                    bytes[..len].copy_from_slice(&garbage[..len]);
                }
            });
        }
        prop_assert_eq!(records(&fixture.log, Isolation::ReadUncommitted), model.clone());
        let crashed = fixture.crash(Crash::Process).expect("reopen");
        prop_assert_eq!(records(&crashed.log, Isolation::ReadUncommitted), model);
    }
}

#[test]
fn offsets_out_of_range_are_refused_and_the_end_is_empty() {
    let fixture = Fixture::new(LogConfig::default());
    fixture.put(&["a", "b"]);
    assert!(fixture.read(2, Isolation::ReadUncommitted).bytes.is_empty());
    for offset in [-1, 3] {
        let request = ReadRequest {
            offset,
            bytes_max: 100,
            isolation: Isolation::ReadUncommitted,
            at_least_one_batch: true,
        };
        let error = fixture.log.read(&request).expect_err("out of range");
        assert!(matches!(error, Error::OffsetOutOfRange { start: 0, end: 2, .. }), "{error}");
    }
}

#[test]
fn a_flipped_bit_is_never_served() {
    let fixture = Fixture::new(LogConfig::default());
    fixture.put(&["a"]);
    fixture.put(&["b"]);
    fixture
        .storage
        .tamper(&log_file(0, ".log"), |bytes| *bytes.last_mut().expect("bytes") ^= 1)
        .expect("tamper");
    let request = |offset| ReadRequest {
        offset,
        bytes_max: 1000,
        isolation: Isolation::ReadUncommitted,
        at_least_one_batch: true,
    };
    let error = fixture.log.read(&request(1)).expect_err("flipped");
    assert!(matches!(error, Error::CorruptLog { offset: 1, .. }), "{error}");
}

#[test]
fn damaged_time_indexes_are_no_danger() {
    let fixture =
        Fixture::new(LogConfig { segment_bytes: 300, index_interval_bytes: 0, ..LogConfig::default() });
    let batches: Vec<_> = (0..20).map(|index| vec![(index, 20)]).collect();
    let model = fill(&fixture, &batches);
    let fixture = fixture.restart();
    fixture.storage.tamper(&log_file(0, ".timeindex"), |bytes| bytes.push(0)).expect("tamper");
    check(&fixture.crash(Crash::Process).expect("reopen"), &model, 100);
}
