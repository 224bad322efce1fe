//! Subscriptions, schedules, and metrics written as Protocol Buffers by hand.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use crate::env::rng::SeededRng;
use crate::metadata::image::MetadataImage;
use crate::metadata::record::MetadataRecord;
use crate::protocol::error_code::ErrorCode;
use crate::record::compression::Compression;
use crate::telemetry::client::Client;
use crate::telemetry::otlp::Number;
use crate::telemetry::series::{Pushed, SERIES_PER_CLIENT_MAX, SeriesKey};
use crate::telemetry::service::{ClientPush, PUSH_BYTES_MAX, SERIES_MAX, Telemetry};

/// A field with a message, a string or bytes.
fn field(number: u8, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    let mut out = vec![number << 3 | 2];
    let mut len = bytes.len();
    while len >= 0x80 {
        out.push((len & 0x7f) as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
    out.extend_from_slice(bytes);
    out
}

fn fixed(number: u8, bits: u64) -> Vec<u8> {
    [&[number << 3 | 1][..], &bits.to_le_bytes()].concat()
}

/// An attribute in the field with this number.
fn attribute(number: u8, name: &str, value: &str) -> Vec<u8> {
    field(number, [field(1, name), field(2, field(1, value))].concat())
}

/// The points of a metric in the field of its kind, followed by its name: fields come in any order.
fn metric(name: &str, kind: u8, data: Vec<u8>) -> Vec<u8> {
    field(2, [field(kind, data), field(1, name)].concat())
}

/// One part of a message: what sent it, and its metrics.
fn message(resource: &[u8], metrics: &[Vec<u8>]) -> Bytes {
    let scope = field(2, metrics.concat());
    field(1, [field(1, resource), scope].concat()).into()
}

const GAUGE: u8 = 5;
const SUM: u8 = 7;
const HISTOGRAM: u8 = 9;

/// A number of each kind and a histogram.
pub(crate) fn sample() -> Bytes {
    let gauge = field(1, [attribute(7, "topic", "t"), fixed(4, 1.5_f64.to_bits())].concat());
    let sum = [vec![0x10, 2], field(1, fixed(6, (-7_i64).cast_unsigned()))].concat();
    let histogram = field(1, [fixed(4, 3), fixed(5, 4.5_f64.to_bits()), attribute(9, "node", "1")].concat());
    message(
        &attribute(1, "group_id", "g"),
        &[metric("lag", GAUGE, gauge), metric("sent", SUM, sum), metric("latency", HISTOGRAM, histogram)],
    )
}

fn delta(value: i64) -> Bytes {
    let point = field(1, fixed(6, value.cast_unsigned()));
    message(&[], &[metric("sent", SUM, [point, vec![0x10, 1]].concat())])
}

fn key(metric: &str, attributes: &[(&str, &str)]) -> SeriesKey {
    let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    SeriesKey { metric: metric.to_owned(), attributes: attributes.collect() }
}

#[test]
fn every_kind_of_metric_is_read() {
    let pushed = Pushed::read(&sample(), 100).expect("well-formed");
    assert_eq!(pushed.resource, [("group_id".to_owned(), "g".to_owned())]);
    let values = pushed.after(&BTreeMap::new(), 100);
    let expected = [
        (key("lag", &[("topic", "t")]), Number::Double(1.5)),
        (key("latency.count", &[("node", "1")]), Number::Int(3)),
        (key("latency.sum", &[("node", "1")]), Number::Double(4.5)),
        (key("sent", &[]), Number::Int(-7)),
    ];
    assert_eq!(values.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn a_message_of_many_parts_names_its_sender_once() {
    let part = |number: u64| {
        let point = field(1, fixed(6, number));
        message(&attribute(1, "group_id", "g"), &[metric(&format!("m{number}"), GAUGE, point)])
    };
    let pushed = Pushed::read(&[part(1), part(2), part(3)].concat(), 100).expect("well-formed");
    assert_eq!(pushed.resource, [("group_id".to_owned(), "g".to_owned())]);
    assert_eq!(pushed.len(), 3);
}

#[test]
fn messages_cut_anywhere_are_malformed_or_shorter() {
    let whole = sample();
    let mut malformed = 0;
    for cut in 0..whole.len() {
        malformed += usize::from(Pushed::read(&whole[..cut], 100).is_err());
    }
    assert_eq!(malformed, whole.len() - 1, "only nothing at all is a message as well");
}

#[test]
fn series_and_texts_are_bounded() {
    let many: Vec<Vec<u8>> =
        (0..50).map(|number| metric(&format!("m{number}"), GAUGE, field(1, fixed(6, number)))).collect();
    let pushed = Pushed::read(&message(&[], &many), 20).expect("well-formed");
    assert_eq!((pushed.len(), pushed.dropped), (20, 30));
    let attributes: Vec<u8> =
        (0..100).flat_map(|at| attribute(7, &format!("a{at}"), &"ä".repeat(999))).collect();
    let point = field(1, [attributes, fixed(6, 1)].concat());
    let long = message(&[], &[metric(&"n".repeat(999), GAUGE, point)]);
    let values = Pushed::read(&long, 20).expect("well-formed").after(&BTreeMap::new(), 20);
    let (key, _) = values.first_key_value().expect("a series");
    assert_eq!((key.metric.len(), key.attributes.len()), (200, 16));
    assert!(key.attributes.iter().all(|(_, value)| value.chars().count() == 200));
}

fn client(name: &str) -> Client {
    Client {
        client_id: name.into(),
        software_name: "librdkafka".into(),
        software_version: "2.16.0".into(),
        address: "127.0.0.1".to_owned(),
        port: "5000".to_owned(),
    }
}

fn image(subscriptions: &[(&str, &[(&str, &str)])]) -> MetadataImage {
    let mut image = MetadataImage::default();
    for (name, configs) in subscriptions {
        let configs = configs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        image
            .apply(&MetadataRecord::ClientMetricsChanged { name: (*name).to_owned(), configs })
            .expect("valid");
    }
    image
}

const ID: Uuid = Uuid::from_u128(77);

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn push_of(subscription_id: i32, metrics: Bytes) -> ClientPush {
    ClientPush { subscription_id, terminating: false, codec: 0, metrics }
}

#[test]
fn a_client_is_asked_for_all_that_matches_at_the_shortest_interval() {
    let image = image(&[
        ("everybody", &[("metrics", "b.,a."), ("interval.ms", "9000")]),
        ("orders", &[("metrics", "c."), ("interval.ms", "400"), ("match", "client_id=orders.*")]),
        ("java", &[("metrics", "*"), ("match", "client_software_name=apache-kafka-java")]),
    ]);
    let other = client("other").wanted(ID, &image);
    assert_eq!((other.metrics, other.interval_ms), (vec!["a.".to_owned(), "b.".to_owned()], 9_000));
    let orders = client("orders-1").wanted(ID, &image);
    assert_eq!((orders.metrics.len(), orders.interval_ms), (3, 400));
    let java = Client { software_name: "apache-kafka-java".into(), ..client("orders-1") };
    let java = java.wanted(ID, &image);
    assert_eq!((java.metrics, java.interval_ms), (vec!["*".to_owned()], 400));
    let nothing = client("other").wanted(ID, &MetadataImage::default());
    assert_eq!((nothing.metrics.len(), nothing.interval_ms), (0, 300_000));
    // The id tells both what is asked and whom.
    let ids = [other.subscription_id, orders.subscription_id, nothing.subscription_id];
    assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2]);
    assert_eq!(client("other").wanted(ID, &image).subscription_id, other.subscription_id);
    assert_ne!(client("other").wanted(Uuid::from_u128(78), &image).subscription_id, other.subscription_id);
}

#[tokio::test]
async fn requests_come_once_in_an_interval() {
    let image = image(&[("all", &[("metrics", "*"), ("interval.ms", "10000")])]);
    let (telemetry, rng, client) = (Telemetry::default(), SeededRng::new(1), client("c"));
    let get = |id, image: &MetadataImage, at| telemetry.subscribe(&client, id, image, seconds(at), &rng);
    let push = |id, push, image, at| telemetry.push(&client, id, push, image, seconds(at));

    let (id, wanted) = get(Uuid::nil(), &image, 100).expect("the first");
    assert!(id.as_u128() > 1);
    assert_eq!(get(id, &image, 101), Err(ErrorCode::ThrottlingQuotaExceeded));
    let first = push_of(wanted.subscription_id, delta(3));
    assert_eq!(
        push(id, first.clone(), &image, 102).await,
        Ok(()),
        "the first one after a get comes at any time"
    );
    assert_eq!(push(id, first.clone(), &image, 105).await, Err(ErrorCode::ThrottlingQuotaExceeded));
    assert_eq!(push(id, first.clone(), &image, 112).await, Ok(()));
    // What was told as differences adds up.
    let mut seen = Vec::new();
    telemetry.visit(seconds(112), |_, instance| seen.extend(instance.series.values().copied()));
    assert_eq!(seen, [Number::Int(6)]);
    // The subscriptions change: the client is told, and gets the new ones at once.
    let changed = self::image(&[("all", &[("metrics", "a."), ("interval.ms", "10000")])]);
    assert_eq!(push(id, first, &changed, 122).await, Err(ErrorCode::UnknownSubscriptionId));
    let (again, wanted) = get(id, &changed, 123).expect("must be able to have the new ones");
    assert_eq!(again, id);
    let bad_codec = ClientPush { codec: 9, ..push_of(wanted.subscription_id, delta(1)) };
    assert_eq!(push(id, bad_codec, &changed, 124).await, Err(ErrorCode::UnsupportedCompressionType));
    get(id, &changed, 125).expect("must be able to see the codecs");
    let large = push_of(wanted.subscription_id, vec![0; PUSH_BYTES_MAX + 1].into());
    assert_eq!(push(id, large, &changed, 126).await, Err(ErrorCode::TelemetryTooLarge));
    // A last push needs not wait, and nothing follows it.
    let last = ClientPush { terminating: true, ..push_of(wanted.subscription_id, delta(1)) };
    assert_eq!(push(id, last.clone(), &changed, 126).await, Ok(()));
    assert_eq!(push(id, last, &changed, 200).await, Err(ErrorCode::InvalidRequest));
    let nobody = push_of(wanted.subscription_id, delta(1));
    assert_eq!(push(Uuid::nil(), nobody, &changed, 200).await, Err(ErrorCode::InvalidRequest));
    let counts = telemetry.counts();
    assert_eq!((counts.accepted, counts.throttled, counts.malformed), (3, 2, 0));
    assert_eq!(counts.refused, 5);
}

#[tokio::test]
async fn pushes_are_decompressed_within_bounds() {
    let image = image(&[("all", &[("metrics", "*"), ("interval.ms", "1000")])]);
    let (telemetry, client) = (Telemetry::default(), client("c"));
    let subscription_id = client.wanted(ID, &image).subscription_id;
    let mut at = 0;
    for codec in Compression::ALL {
        let mut metrics = Vec::new();
        codec.compress(&sample(), &mut metrics).expect("compresses");
        let codec_id = codec.id().cast_signed();
        let push = ClientPush { codec: codec_id, ..push_of(subscription_id, metrics.into()) };
        at += 1;
        assert_eq!(telemetry.push(&client, ID, push, &image, seconds(at)).await, Ok(()), "{codec}");
        if codec == Compression::None {
            continue;
        }
        let mut bomb = Vec::new();
        codec.compress(&vec![0; 20 << 20], &mut bomb).expect("compresses");
        for (metrics, expected) in [
            (Bytes::from(bomb), ErrorCode::TelemetryTooLarge),
            (Bytes::from_static(b"\x82SNAPPY\0garbage"), ErrorCode::InvalidRecord),
        ] {
            let push = ClientPush { codec: codec_id, ..push_of(subscription_id, metrics) };
            at += 1;
            assert_eq!(
                telemetry.push(&client, ID, push, &image, seconds(at)).await,
                Err(expected),
                "{codec}"
            );
        }
    }
    let garbage = push_of(subscription_id, Bytes::from_static(b"garbage"));
    assert_eq!(
        telemetry.push(&client, ID, garbage, &image, seconds(at + 1)).await,
        Err(ErrorCode::InvalidRecord)
    );
    let mut series = 0;
    telemetry.visit(seconds(at + 1), |_, instance| series += instance.series.len());
    assert_eq!(series, 4, "what was refused changes nothing");
}

#[tokio::test]
async fn clients_and_series_are_bounded() {
    let image = image(&[("all", &[("metrics", "*")])]);
    let (telemetry, rng) = (Telemetry::with_limit(30), SeededRng::new(1));
    let full: Vec<Vec<u8>> = (0..SERIES_PER_CLIENT_MAX as u64)
        .map(|number| metric(&format!("m{number}"), GAUGE, field(1, fixed(6, number))))
        .collect();
    let full = message(&[], &full);
    for number in 2..42 {
        let (client, id) = (client(&format!("c{number}")), Uuid::from_u128(number));
        telemetry.subscribe(&client, id, &image, seconds(1), &rng).expect("the first");
        let push = push_of(client.wanted(id, &image).subscription_id, full.clone());
        telemetry.push(&client, id, push, &image, seconds(1)).await.expect("well-formed");
    }
    let count = |at| {
        let (mut instances, mut series) = (Vec::new(), 0);
        telemetry.visit(seconds(at), |id, instance| {
            instances.push(id.as_u128());
            series += instance.series.len();
        });
        (instances, series)
    };
    let (instances, series) = count(1);
    assert_eq!(instances, (12..42).collect::<Vec<_>>(), "those that were silent for longest went");
    assert!(series <= SERIES_MAX, "{series}");
    assert!(telemetry.counts().dropped > 0);
    // Three intervals of five minutes later they are gone.
    assert_eq!(count(1 + 900).0.len(), 30);
    assert_eq!(count(1 + 901), (Vec::new(), 0));
}
