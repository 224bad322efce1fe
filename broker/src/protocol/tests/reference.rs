//! Every API and version against the messages of the `kafka-protocol` crate, both ways.

use std::fmt::Debug;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey as ReferenceKey, RequestKind, ResponseKind};

use super::{encode_request, encode_response, every_version};
use crate::protocol::api_key::ApiKey;
use crate::protocol::header::{RequestHeader, ResponseHeader};
use crate::protocol::primitive::{Decoder, Encoder};
use crate::protocol::request::Request;
use crate::protocol::response::Response;

fn reference_key(api: ApiKey) -> ReferenceKey {
    ReferenceKey::try_from(api.code()).unwrap_or_else(|()| panic!("{api} is not in the reference"))
}

/// Request versions newer than the reference; their layout is checked byte by byte in `layout`.
fn is_newer_than_reference(api: ApiKey, version: i16) -> bool {
    matches!(
        (api, version),
        (ApiKey::ListOffsets, 11)
            | (ApiKey::InitProducerId, 6)
            | (ApiKey::OffsetCommit | ApiKey::OffsetFetch, 10)
    )
}

/// Names and values of the numeric fields in a debug representation, sorted. Proves that both codecs mean the same
/// field by the same bytes.
fn numbers(value: &impl Debug) -> Vec<(String, i64)> {
    let text = format!("{value:?}");
    let mut found = Vec::new();
    for (at, _) in text.match_indices(": ") {
        let name = text[..at].rsplit(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
        // Ids are wrapped in the reference: `BrokerId(1)`.
        let rest = text[at + 2..].trim_start_matches(|c: char| c.is_alphabetic() || c == '(');
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '-').unwrap_or(rest.len());
        if let Ok(number) = rest[..end].parse()
            && !name.ends_with("error_code")
        {
            found.push((name.to_owned(), number));
        }
    }
    found.sort();
    found
}

#[test]
fn every_request_is_what_the_reference_writes_and_reads() {
    let (mut compared, mut fields) = (0, 0);
    for (api, version, mut samples) in every_version() {
        if is_newer_than_reference(api, version) {
            continue;
        }
        let request = Request::sample(api, version, &mut samples);
        let bytes = encode_request(&request, version);
        let mut rest = bytes.clone();
        let reference = RequestKind::decode(reference_key(api), &mut rest, version)
            .unwrap_or_else(|e| panic!("{api} {version} is not read by the reference: {e}"));
        assert!(rest.is_empty(), "{api} {version}: {} bytes left by the reference", rest.len());
        let named: Vec<_> = numbers(&request).into_iter().filter(|(_, n)| *n > 0 && *n < 1 << 40).collect();
        let theirs = numbers(&reference);
        for field in &named {
            assert!(theirs.contains(field), "{api} {version}: {field:?} is not in {reference:?}");
        }
        fields += named.len();
        let mut written = BytesMut::new();
        reference.encode(&mut written, version).unwrap_or_else(|e| panic!("{api} {version}: {e}"));
        assert_eq!(written, bytes, "{api} {version}");
        assert_eq!(Request::decode(api, version, written.freeze()), Ok(request), "{api} {version}");
        compared += 1;
    }
    assert!(compared > 400 && fields > 1_000, "{compared} messages and {fields} numbers compared");
}

#[test]
fn every_response_is_what_the_reference_writes_and_reads() {
    let (mut compared, mut fields) = (0, 0);
    for (api, version, mut samples) in every_version() {
        if (api, version) == (ApiKey::ListOffsets, 11) {
            continue;
        }
        let response = Response::sample(api, version, &mut samples);
        let bytes = encode_response(&response, version);
        let mut rest = bytes.clone();
        let reference = ResponseKind::decode(reference_key(api), &mut rest, version)
            .unwrap_or_else(|e| panic!("{api} {version} is not read by the reference: {e}"));
        assert!(rest.is_empty(), "{api} {version}: {} bytes left by the reference", rest.len());
        let named: Vec<_> = numbers(&response).into_iter().filter(|(_, n)| *n > 0 && *n < 1 << 40).collect();
        let theirs = numbers(&reference);
        for field in &named {
            assert!(theirs.contains(field), "{api} {version}: {field:?} is not in {reference:?}");
        }
        fields += named.len();
        let mut written = BytesMut::new();
        reference.encode(&mut written, version).unwrap_or_else(|e| panic!("{api} {version}: {e}"));
        assert_eq!(written, bytes, "{api} {version}");
        assert_eq!(Response::decode(api, version, written.freeze()), Ok(response), "{api} {version}");
        compared += 1;
    }
    assert!(compared > 400 && fields > 1_000, "{compared} messages and {fields} numbers compared");
}

#[test]
fn every_header_is_what_the_reference_writes_and_reads() {
    use kafka_protocol::messages::{RequestHeader as TheirRequest, ResponseHeader as TheirResponse};
    use kafka_protocol::protocol::{Decodable, Encodable};

    for &api_key in ApiKey::ALL {
        for api_version in api_key.known_versions().iter() {
            let key = reference_key(api_key);
            let request_version = key.request_header_version(api_version);
            let response_version = key.response_header_version(api_version);
            assert_eq!(
                api_key.request_header_version(api_version),
                request_version,
                "{api_key} {api_version}"
            );
            assert_eq!(
                api_key.response_header_version(api_version),
                response_version,
                "{api_key} {api_version}"
            );
            for client_id in [None, Some("a client")] {
                let ours = RequestHeader {
                    api_key,
                    api_version,
                    correlation_id: 77,
                    client_id: client_id.map(str::to_owned),
                };
                let mut out = Encoder::default();
                ours.encode(&mut out).expect("short enough");
                let bytes = out.into_chunks().remove(0);
                let theirs = TheirRequest::decode(&mut bytes.clone(), request_version).expect("readable");
                let mut written = BytesMut::new();
                theirs.encode(&mut written, request_version).expect("writable");
                assert_eq!(written, bytes);
                assert_eq!(RequestHeader::decode(&mut Decoder::new(written.freeze())), Ok(ours));
            }
            let mut out = Encoder::default();
            ResponseHeader { correlation_id: 9 }.encode(&mut out, api_key, api_version);
            let bytes: Bytes = out.into_chunks().remove(0);
            let theirs = TheirResponse::decode(&mut bytes.clone(), response_version).expect("readable");
            assert_eq!(theirs.correlation_id, 9);
            let header = ResponseHeader::decode(&mut Decoder::new(bytes), api_key, api_version);
            assert_eq!(header, Ok(ResponseHeader { correlation_id: 9 }));
        }
    }
}
