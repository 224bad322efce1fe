//! What is built reads back; what is damaged is refused.

use bytes::{Bytes, BytesMut};
use kafka_protocol::records::{self, RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};

use crate::ids::{ProducerEpoch, ProducerId};
use crate::record::batch::{BatchIter, HEADER_BYTES, RecordBatch, TimestampType};
use crate::record::builder::{BatchOptions, RecordBatchBuilder};
use crate::record::compression::{Compression, DecompressBuf};
use crate::record::control::{EndTxnMarker, MarkerKind};
use crate::record::reader::Header;

#[derive(Debug, Clone, PartialEq)]
struct Owned {
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

fn record() -> impl Strategy<Value = Owned> {
    let bytes = || option::of(vec(any::<u8>(), 0..200));
    (-1..4_000_000_000_000i64, bytes(), bytes(), vec((".{0,8}", bytes()), 0..4))
        .prop_map(|(timestamp, key, value, headers)| Owned { timestamp, key, value, headers })
}

fn codec() -> impl Strategy<Value = Compression> {
    (0..Compression::ALL.len()).prop_map(|index| Compression::ALL[index])
}

fn build(records: &[Owned], options: BatchOptions) -> Bytes {
    let mut builder = RecordBatchBuilder::new(options);
    for record in records {
        let headers: Vec<_> = record
            .headers
            .iter()
            .map(|(key, value)| Header { key: key.as_str(), value: value.as_deref() })
            .collect();
        builder.append(record.timestamp, record.key.as_deref(), record.value.as_deref(), &headers);
    }
    builder.build().expect("build")
}

fn read(batch: &RecordBatch) -> Vec<Owned> {
    let mut scratch = DecompressBuf::default();
    let records = batch.records(&mut scratch).expect("records");
    let mut expected_offset = batch.base_offset();
    records
        .map(|record| {
            let record = record.expect("record");
            assert_eq!(record.offset, expected_offset);
            expected_offset += 1;
            Owned {
                timestamp: record.timestamp,
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
                headers: record
                    .headers
                    .iter()
                    .map(|h| (h.key.to_owned(), h.value.map(<[u8]>::to_vec)))
                    .collect(),
            }
        })
        .collect()
}

proptest! {
    #[test]
    fn another_implementation_reads_what_is_built_and_builds_what_is_read(
        mut records in vec(record(), 1..10), base_offset in 0..1i64 << 40,
    ) {
        for record in &mut records {
            // The other implementation keeps headers in a map.
            record.headers.sort();
            record.headers.dedup_by(|a, b| a.0 == b.0);
        }
        let options = BatchOptions {
            base_offset,
            producer_id: ProducerId(5),
            producer_epoch: ProducerEpoch(1),
            base_sequence: 7,
            ..BatchOptions::default()
        };
        let bytes = build(&records, options);
        let decoded = RecordBatchDecoder::decode(&mut bytes.clone()).expect("decode");
        let found: Vec<_> = decoded.records.iter().map(|record| Owned {
            timestamp: record.timestamp,
            key: record.key.as_ref().map(|key| key.to_vec()),
            value: record.value.as_ref().map(|value| value.to_vec()),
            headers: record.headers.iter().map(|(k, v)| (k.to_string(), v.as_ref().map(|v| v.to_vec()))).collect(),
        }).collect();
        prop_assert_eq!(&found, &records);
        let first = &decoded.records[0];
        prop_assert_eq!((first.offset, first.producer_id, first.sequence), (base_offset, 5, 7));
        let mut encoded = BytesMut::new();
        let options = RecordEncodeOptions { version: 2, compression: records::Compression::None };
        RecordBatchEncoder::encode(&mut encoded, &decoded.records, &options).expect("encode");
        let (batch, rest) = RecordBatch::parse(encoded.freeze()).expect("parse");
        prop_assert!(rest.is_empty());
        prop_assert_eq!(batch.base_offset(), base_offset);
        prop_assert_eq!(read(&batch), records);
    }

    #[test]
    fn batches_read_back(records in vec(record(), 1..30), codec in codec(), base_offset in 0..1i64 << 40) {
        let options = BatchOptions {
            base_offset,
            compression: codec,
            producer_id: ProducerId(7),
            producer_epoch: ProducerEpoch(3),
            base_sequence: i32::MAX - 2,
            transactional: true,
            ..BatchOptions::default()
        };
        let bytes = build(&records, options);
        let (batch, rest) = RecordBatch::parse(bytes).expect("parse");
        prop_assert!(rest.is_empty());
        prop_assert_eq!(batch.last_offset(), base_offset + records.len() as i64 - 1);
        prop_assert_eq!(batch.header().max_timestamp, records.iter().map(|r| r.timestamp).max().expect("one"));
        prop_assert_eq!(batch.header().compression().expect("codec"), codec);
        prop_assert!(batch.header().is_transactional() && !batch.header().is_control());
        prop_assert_eq!(read(&batch), records.clone());
        for other in Compression::ALL {
            let again = batch.clone().recompress(other, None, &mut DecompressBuf::default()).expect("recompress");
            prop_assert_eq!(read(&again), records.clone());
        }
    }

    #[test]
    fn a_flipped_bit_under_the_checksum_is_refused(
        records in vec(record(), 1..5), codec in codec(), at in any::<proptest::sample::Index>(), bit in 0..8u8,
    ) {
        let mut bytes = build(&records, BatchOptions { compression: codec, ..BatchOptions::default() }).to_vec();
        let at = 16 + at.index(bytes.len() - 16);
        bytes[at] ^= 1 << bit;
        prop_assert!(RecordBatch::parse(bytes.into()).is_err());
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..300), count in any::<i32>(), codec in 0..8u8) {
        // Behind a good header with a good checksum, so that the record reader sees them.
        let mut batch = build(&[], BatchOptions::default()).to_vec();
        batch.extend_from_slice(&bytes);
        batch[22] = codec;
        batch[57..61].copy_from_slice(&count.to_be_bytes());
        crate::record::batch::seal(&mut batch);
        let mut scratch = DecompressBuf::with_limit(1 << 20);
        if let Ok((batch, _)) = RecordBatch::parse(batch.into())
            && let Ok(records) = batch.records(&mut scratch)
        {
            prop_assert!(records.count() <= bytes.len().max(1 << 20) + 1);
        }
        let _ = BatchIter::new(bytes.into()).count();
    }
}

#[test]
fn log_append_time_overrides_every_record() {
    let records = [1, 2, 3].map(|timestamp| Owned { timestamp, key: None, value: None, headers: vec![] });
    let (batch, _) = RecordBatch::parse(build(&records, BatchOptions::default())).expect("parse");
    let stamped = batch.with_max_timestamp(99, TimestampType::LogAppendTime);
    let (stamped, _) = RecordBatch::parse(stamped.into_bytes()).expect("checksum was renewed");
    assert!(read(&stamped).iter().all(|record| record.timestamp == 99));
}

#[test]
fn markers_read_back() {
    for kind in [MarkerKind::Abort, MarkerKind::Commit] {
        let marker = EndTxnMarker { kind, coordinator_epoch: 5 };
        let (batch, _) =
            RecordBatch::parse(marker.to_batch(1, ProducerId(2), ProducerEpoch(3))).expect("parse");
        assert!(batch.header().is_control());
        assert_eq!(EndTxnMarker::parse(&batch).expect("marker"), Some(marker));
    }
}

#[test]
fn a_batch_cut_short_ends_iteration() {
    let records = [Owned { timestamp: 1, key: None, value: Some(vec![1; 10]), headers: vec![] }];
    let one = build(&records, BatchOptions::default());
    let two = [&one[..], &one[..]].concat();
    for cut in 0..two.len() {
        let whole = BatchIter::new(Bytes::copy_from_slice(&two[..cut])).filter(Result::is_ok).count();
        assert_eq!(whole, cut / one.len(), "cut at {cut}");
    }
    assert!(one.len() > HEADER_BYTES);
}
