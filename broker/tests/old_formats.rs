//! What clients of before 2017 send: record formats v0 and v1, and the requests that carried them.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use weir_broker::broker::Broker;
use weir_broker::client::admin::Admin;
use weir_broker::config::BrokerConfig;
use weir_broker::net::config::ListenerConfig;
use weir_broker::protocol::error_code::ErrorCode;
use weir_broker::record::builder::{BatchOptions, RecordBatchBuilder};

const DEADLINE: Duration = Duration::from_secs(120);

/// CRC-32 as in Ethernet, by its definition.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

/// A message set with one message, in format v0 or v1.
fn message_set(magic: u8) -> Vec<u8> {
    let mut checked = vec![magic, 0];
    if magic == 1 {
        checked.extend_from_slice(&1_400_000_000_000_i64.to_be_bytes());
    }
    for field in [b"key", b"val"] {
        checked.extend_from_slice(&3_i32.to_be_bytes());
        checked.extend_from_slice(field);
    }
    let mut message = crc32(&checked).to_be_bytes().to_vec();
    message.extend_from_slice(&checked);
    let size = i32::try_from(message.len()).expect("small");
    [&0_i64.to_be_bytes()[..], &size.to_be_bytes(), &message].concat()
}

fn batch_v2() -> Vec<u8> {
    let mut builder = RecordBatchBuilder::new(BatchOptions::default());
    builder.append(1_400_000_000_000, Some(b"key"), Some(b"val"), &[]);
    builder.build().expect("the batch builds").to_vec()
}

/// A Produce request of one of the versions without compact types, to partition 0 of topic `t`.
fn produce(version: i16, records: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    for number in [0, version, 0, 7] {
        frame.extend_from_slice(&number.to_be_bytes());
    }
    frame.extend_from_slice(b"\0\x01c");
    if version >= 3 {
        // No transactional id.
        frame.extend_from_slice(&(-1_i16).to_be_bytes());
    }
    frame.extend_from_slice(&(-1_i16).to_be_bytes());
    frame.extend_from_slice(&5_000_i32.to_be_bytes());
    frame.extend_from_slice(b"\0\0\0\x01\0\x01t\0\0\0\x01\0\0\0\0");
    frame.extend_from_slice(&i32::try_from(records.len()).expect("small").to_be_bytes());
    frame.extend_from_slice(records);
    let length = i32::try_from(frame.len()).expect("small");
    [&length.to_be_bytes()[..], &frame].concat()
}

/// The partition's code in an answer. The answer begins with length, correlation id, one topic, its name, one partition.
async fn answer(stream: &mut TcpStream) -> ErrorCode {
    let length =
        tokio::time::timeout(DEADLINE, stream.read_i32()).await.expect("in time").expect("an answer");
    let mut frame = vec![0; usize::try_from(length).expect("a length")];
    stream.read_exact(&mut frame).await.expect("a whole answer");
    assert_eq!(frame[..19], *b"\0\0\0\x07\0\0\0\x01\0\x01t\0\0\0\x01\0\0\0\0");
    ErrorCode::from_code(i16::from_be_bytes([frame[19], frame[20]]))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_record_formats_are_refused_and_old_requests_end_the_connection() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut config = BrokerConfig::new(dir.path());
    config.listeners =
        vec![ListenerConfig { address: "127.0.0.1:0".to_owned(), ..ListenerConfig::default() }];
    let broker = Broker::start(config).await.expect("the broker starts");
    let address = broker.local_addr().expect("a listener");
    let admin = Admin::new(broker.transport());
    admin.create_topic("t", 1, &BTreeMap::new()).await.expect("created");
    let end = || {
        let figures = broker.partition_figures();
        let of_topic = figures.iter().find(|figures| *figures.partition.topic == *"t");
        of_topic.expect("exists").offsets.log_end
    };

    let mut stream = TcpStream::connect(address).await.expect("connects");
    let both = [message_set(0), batch_v2()].concat();
    for version in 3..=8 {
        for records in [&message_set(0), &message_set(1), &both] {
            stream.write_all(&produce(version, records)).await.expect("sent");
            assert_eq!(answer(&mut stream).await, ErrorCode::InvalidRecord, "version {version}");
        }
    }
    assert_eq!(end(), 0, "nothing was appended");
    // The same connection, and the same frames around format v2.
    for version in 3..=8 {
        stream.write_all(&produce(version, &batch_v2())).await.expect("sent");
        assert_eq!(answer(&mut stream).await, ErrorCode::None, "version {version}");
    }
    assert_eq!(end(), 6);

    for version in 0..=2 {
        for records in [message_set(0), message_set(1), batch_v2()] {
            let mut stream = TcpStream::connect(address).await.expect("connects");
            stream.write_all(&produce(version, &records)).await.expect("sent");
            let mut rest = Vec::new();
            let ended = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut rest)).await.expect("in time");
            assert_eq!((ended.unwrap_or(0), rest.len()), (0, 0), "version {version} gets no answer");
        }
    }
    assert_eq!(end(), 6, "nothing was appended");
    stream.write_all(&produce(3, &batch_v2())).await.expect("sent");
    assert_eq!(answer(&mut stream).await, ErrorCode::None, "others go on");
    broker.shutdown().await.expect("a clean end");
}
