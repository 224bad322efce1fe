//! Bytes that are no messages: decoding ends with an error and takes little memory.

use bytes::{Bytes, BytesMut};
use proptest::prelude::{ProptestConfig, any, prop, proptest};

use super::{encode_request, encode_response, every_version};
use crate::protocol::api_key::ApiKey;
use crate::protocol::frame::{decode_request, decode_response};
use crate::protocol::primitive::DecodeErrorKind;
use crate::protocol::request::Request;
use crate::protocol::response::Response;
use crate::protocol::sample::Samples;

/// 2,000 cases, or as many as `PROPTEST_CASES` says.
fn config() -> ProptestConfig {
    let default = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { 2_000 };
    ProptestConfig { cases, ..default }
}

fn decode_both(api: ApiKey, version: i16, bytes: &Bytes) {
    // Only the absence of panics, hangs and huge allocations counts.
    let _ = Request::decode(api, version, bytes.clone());
    let _ = Response::decode(api, version, bytes.clone());
}

#[test]
fn messages_cut_anywhere_are_refused() {
    for (api, version, mut samples) in every_version() {
        let request = encode_request(&Request::sample(api, version, &mut samples), version);
        let response = encode_response(&Response::sample(api, version, &mut samples), version);
        // Long byte fields make thousands of cuts that are all alike.
        for cut in (0..request.len()).filter(|cut| *cut < 400 || request.len() - cut < 50) {
            assert!(Request::decode(api, version, request.slice(..cut)).is_err(), "{api} {version} at {cut}");
        }
        for cut in (0..response.len()).filter(|cut| *cut < 400 || response.len() - cut < 50) {
            assert!(
                Response::decode(api, version, response.slice(..cut)).is_err(),
                "{api} {version} at {cut}"
            );
        }
    }
}

#[test]
fn responses_with_bytes_left_over_are_refused() {
    for (api, version, mut samples) in every_version() {
        let mut bytes =
            BytesMut::from(encode_response(&Response::sample(api, version, &mut samples), version));
        bytes.extend_from_slice(&[0]);
        assert!(Response::decode(api, version, bytes.freeze()).is_err(), "{api} {version}");
    }
}

#[test]
fn huge_counts_anywhere_take_no_memory() {
    let patterns: [&[u8]; 4] =
        [&[0x7f, 0xff, 0xff, 0xff], &[0xff, 0xff, 0xff, 0xff, 0x0f], &[0xff; 5], &[0xff, 0xff, 0xff, 0x7f]];
    for (api, version, _) in every_version().step_by(4) {
        let samples = &mut Samples::new(false, 1);
        let request = encode_request(&Request::sample(api, version, samples), version);
        let response = encode_response(&Response::sample(api, version, samples), version);
        for bytes in [request, response] {
            for at in 0..bytes.len().min(300) {
                for pattern in patterns {
                    let mut mutated = bytes.to_vec();
                    mutated.truncate(at);
                    mutated.extend_from_slice(pattern);
                    mutated.extend_from_slice(bytes.get(at + pattern.len()..).unwrap_or_default());
                    decode_both(api, version, &Bytes::from(mutated));
                }
            }
        }
    }
}

#[test]
fn a_small_body_cannot_ask_for_gigabytes() {
    // Metadata 1: an array of 2^31 - 1 topics in an eight-byte body.
    let body = Bytes::from_static(&[0x7f, 0xff, 0xff, 0xff, 0, 1, b'a', 0]);
    let error = Request::decode(ApiKey::Metadata, 1, body).expect_err("not that many topics");
    assert_eq!(error.kind, DecodeErrorKind::Count { count: 0x7fff_ffff, remaining: 4 });
}

#[test]
fn elements_that_are_larger_in_memory_than_on_the_wire_are_bounded() {
    // DeleteTopics 1: four bytes per name of two letters on the wire, a `String` each in memory.
    let count = 500_000u32;
    let delete = |name: &[u8]| {
        let mut body = BytesMut::from(&count.to_be_bytes()[..]);
        (0..count).for_each(|_| body.extend_from_slice(name));
        body.extend_from_slice(&[0; 4]);
        body.freeze()
    };
    let named = delete(&[0, 2, b'a', b'b']);
    let len = named.len();
    assert!(Request::decode(ApiKey::DeleteTopics, 1, named).is_ok());
    // Empty names, which topics do not have, are too much for their two bytes.
    let error = Request::decode(ApiKey::DeleteTopics, 1, delete(&[0, 0])).expect_err("too much memory");
    assert!(matches!(error.kind, DecodeErrorKind::Memory { .. }), "{error}");

    // Metadata 9: a topic is two bytes on the wire and twenty times as much in memory.
    let mut body = BytesMut::from(&[0x80, 0x89, 0x7a][..]);
    body.resize(len, 0);
    let error = Request::decode(ApiKey::Metadata, 9, body.freeze()).expect_err("too much memory");
    assert!(matches!(error.kind, DecodeErrorKind::Memory { .. } | DecodeErrorKind::Count { .. }), "{error}");
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn random_bytes_are_no_trouble(
        api in prop::sample::select(ApiKey::ALL),
        version in 0i16..19,
        bytes in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let bytes = Bytes::from(bytes);
        decode_both(api, version, &bytes);
        let _ = decode_request(bytes.clone());
        let _ = decode_response(api, version, bytes);
    }

    #[test]
    fn mutated_messages_are_no_trouble(
        api in prop::sample::select(ApiKey::ALL),
        version in 0i16..19,
        elements in 0usize..3,
        mutations in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        inserted in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
    ) {
        let known = api.known_versions();
        let version = version.clamp(known.min, known.max);
        let samples = &mut Samples::new(false, elements);
        let request = encode_request(&Request::sample(api, version, samples), version);
        let response = encode_response(&Response::sample(api, version, samples), version);
        for bytes in [request, response] {
            let mut bytes = bytes.to_vec();
            for (at, byte) in &inserted {
                let at = at.index(bytes.len() + 1);
                bytes.insert(at, *byte);
            }
            for (at, byte) in &mutations {
                if !bytes.is_empty() {
                    let at = at.index(bytes.len());
                    bytes[at] = *byte;
                }
            }
            decode_both(api, version, &Bytes::from(bytes));
        }
    }
}
