//! When batches open and close, and what they cost.

use std::time::Duration;

use super::*;
use crate::record::batch::BatchIter;
use crate::record::compression::{Compression, DecompressBuf};

const LINGER: Duration = Duration::from_millis(5);
const BATCH_BYTES: usize = 1_000;
const PARTITIONS: i32 = 3;

fn accumulator(buffer_bytes_max: usize) -> (RecordAccumulator, TopicIndex) {
    compressing(buffer_bytes_max, Compression::None)
}

fn compressing(buffer_bytes_max: usize, compression: Compression) -> (RecordAccumulator, TopicIndex) {
    let mut accumulator = RecordAccumulator::new(ProducerConfig {
        linger: LINGER,
        batch_bytes: BATCH_BYTES,
        buffer_bytes_max,
        compression,
        ..ProducerConfig::default()
    });
    let topic = ProducerTopic { batch_bytes_max: 2_000, ..ProducerTopic::new("t", PARTITIONS) };
    let topic = accumulator.add_topic(topic, 1);
    (accumulator, topic)
}

fn record(value: &[u8]) -> ProducerRecord<'_> {
    ProducerRecord { value: Some(value), ..ProducerRecord::default() }
}

/// Appends at time 0. True if the record was taken.
fn append(accumulator: &mut RecordAccumulator, topic: TopicIndex, record: &ProducerRecord<'_>) -> bool {
    let appended = accumulator.append(topic, record, Tracking::Untracked, || Duration::ZERO);
    matches!(appended.expect("a good record"), Appended::Added { .. })
}

/// Partition and number of records of each batch that is taken.
fn take(accumulator: &mut RecordAccumulator, now: Duration) -> Vec<(i32, usize)> {
    let taken = accumulator.take(now, usize::MAX);
    let counts = taken.into_iter().map(|batch| {
        let partition = batch.partition.partition;
        accumulator.release(batch.charged_bytes);
        let (bytes, _) = batch.encode().expect("encodes");
        let batch = BatchIter::new(bytes).next().expect("one batch").expect("valid");
        let mut scratch = DecompressBuf::default();
        (partition, batch.records(&mut scratch).expect("readable").count())
    });
    counts.collect()
}

#[test]
fn a_batch_is_closed_when_it_has_lingered() {
    let (mut accumulator, topic) = accumulator(usize::MAX);
    assert_eq!(accumulator.next_deadline(), None);
    assert!(append(&mut accumulator, topic, &record(b"a")));
    assert!(append(&mut accumulator, topic, &record(b"b")));
    assert_eq!(accumulator.next_deadline(), Some(LINGER));
    assert!(take(&mut accumulator, LINGER - Duration::from_nanos(1)).is_empty());
    assert_eq!(take(&mut accumulator, LINGER), [(1, 2)]);
    assert_eq!(accumulator.charged_bytes, 0, "everything is released");
}

#[test]
fn records_without_a_key_stay_in_a_partition_until_its_batch_is_closed() {
    let (mut accumulator, topic) = accumulator(usize::MAX);
    for _ in 0..12 {
        append(&mut accumulator, topic, &record(&[0; 300]));
    }
    // Three of them are below the bytes at which a batch is closed, four are not.
    assert_eq!(take(&mut accumulator, Duration::ZERO), [(1, 4), (2, 4), (0, 4)]);
}

#[test]
fn keys_and_given_partitions_decide() {
    let (mut accumulator, topic) = accumulator(usize::MAX);
    let key = b"21".as_slice();
    for _ in 0..2 {
        append(&mut accumulator, topic, &ProducerRecord { key: Some(key), ..record(b"v") });
        append(&mut accumulator, topic, &ProducerRecord { partition: Some(2), ..record(b"v") });
    }
    accumulator.close_all();
    let mut expected = [(partition_for_key(key, PARTITIONS), 2), (2, 2)];
    expected.sort_unstable();
    assert_ne!(expected[0].0, expected[1].0, "the key is of another partition");
    let mut taken = take(&mut accumulator, Duration::ZERO);
    taken.sort_unstable();
    assert_eq!(taken, expected);
    for partition in [-1, PARTITIONS] {
        let wrong = ProducerRecord { partition: Some(partition), ..record(b"v") };
        let refused = accumulator.append(topic, &wrong, Tracking::Untracked, || Duration::ZERO);
        assert!(matches!(refused, Err(ProducerError::NoPartition { last: 2, .. })), "{refused:?}");
    }
}

#[test]
fn memory_is_bounded_until_batches_are_released() {
    let (mut accumulator, topic) = accumulator(700);
    assert!(append(&mut accumulator, topic, &record(&[0; 300])));
    assert!(append(&mut accumulator, topic, &record(&[0; 200])));
    assert!(!append(&mut accumulator, topic, &record(&[0; 200])), "no memory");
    // The open batch goes at once, for its memory is wanted.
    let taken = accumulator.take(Duration::ZERO, usize::MAX);
    assert_eq!(taken.len(), 1);
    assert!(!append(&mut accumulator, topic, &record(&[0; 200])), "still under way");
    accumulator.release(taken[0].charged_bytes);
    assert!(append(&mut accumulator, topic, &record(&[0; 200])));
}

#[test]
fn a_record_larger_than_all_memory_is_taken_alone() {
    let (mut accumulator, topic) = accumulator(100);
    assert!(append(&mut accumulator, topic, &record(&[0; 900])));
    assert!(!append(&mut accumulator, topic, &record(b"")));
}

#[test]
fn a_record_that_does_not_fit_beside_others_goes_alone() {
    let (mut accumulator, topic) = accumulator(usize::MAX);
    append(&mut accumulator, topic, &ProducerRecord { partition: Some(0), ..record(&[0; 800]) });
    append(&mut accumulator, topic, &ProducerRecord { partition: Some(0), ..record(&[0; 1_500]) });
    assert_eq!(take(&mut accumulator, Duration::ZERO), [(0, 1), (0, 1)]);
}

#[test]
fn compression_decides_whether_a_large_record_fits() {
    let (mut plain, topic) = accumulator(usize::MAX);
    append(&mut plain, topic, &record(b"before"));
    let refused = plain.append(topic, &record(&[0; 5_000]), Tracking::Tracked, || Duration::ZERO);
    let Err(ProducerError::RecordTooLarge { bytes, bytes_max: 2_000, .. }) = refused else {
        panic!("{refused:?}")
    };
    assert!((5_000..5_100).contains(&bytes), "{bytes}");
    assert_eq!(take(&mut plain, LINGER), [(1, 1)], "others are not affected");
    assert_eq!(plain.charged_bytes, 0);

    let (mut zstd, topic) = compressing(usize::MAX, Compression::Zstd);
    assert!(append(&mut zstd, topic, &record(&[0; 5_000])));
    assert_eq!(take(&mut zstd, Duration::ZERO), [(1, 1)]);
}

#[test]
fn work_is_announced_once() {
    let (mut accumulator, topic) = accumulator(usize::MAX);
    let mut has_work = |bytes: usize| {
        let value = vec![0; bytes];
        let appended = accumulator.append(topic, &record(&value), Tracking::Untracked, || Duration::ZERO);
        matches!(appended, Ok(Appended::Added { has_work: true, .. }))
    };
    assert!(has_work(10), "the first deadline");
    assert!(!has_work(10), "the deadline is known");
    assert!(has_work(1_000), "a full batch");
    assert!(has_work(10), "the first deadline again");
}

#[test]
fn a_request_takes_some_of_the_batches() {
    let (mut accumulator, topic) = accumulator(usize::MAX);
    for _ in 0..3 {
        append(&mut accumulator, topic, &record(&[0; 1_000]));
    }
    assert_eq!(accumulator.take(Duration::ZERO, 1_500).len(), 2, "one is less than 1,500 bytes");
    assert_eq!(accumulator.closed_count(), 1);
    let left = accumulator.clear();
    assert_eq!((left.len(), accumulator.charged_bytes), (1, 0));
}
