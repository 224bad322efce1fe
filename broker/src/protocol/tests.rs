//! Round trips, comparison with another codec, and hostile input.

mod hostile;
mod layout;
mod reference;

use bytes::{Bytes, BytesMut};

use crate::protocol::api_key::ApiKey;
use crate::protocol::primitive::Encoder;
use crate::protocol::request::Request;
use crate::protocol::response::Response;
use crate::protocol::sample::Samples;

/// Nullable fields null or not, and elements per array.
const POPULATIONS: [(bool, usize); 4] = [(false, 1), (false, 2), (true, 1), (false, 0)];

fn flat(encoder: Encoder) -> Bytes {
    let mut bytes = BytesMut::new();
    encoder.into_chunks().iter().for_each(|chunk| bytes.extend_from_slice(chunk));
    bytes.freeze()
}

fn encode_request(request: &Request, version: i16) -> Bytes {
    let mut out = Encoder::default();
    request.encode(version, &mut out).unwrap_or_else(|e| panic!("{} {version}: {e}", request.api_key()));
    flat(out)
}

fn encode_response(response: &Response, version: i16) -> Bytes {
    let mut out = Encoder::default();
    response.encode(version, &mut out).unwrap_or_else(|e| panic!("{} {version}: {e}", response.api_key()));
    flat(out)
}

/// Every API and version, with every population.
fn every_version() -> impl Iterator<Item = (ApiKey, i16, Samples)> {
    ApiKey::ALL.iter().flat_map(|&api| {
        api.known_versions().iter().flat_map(move |version| {
            POPULATIONS.iter().map(move |&(nulls, elements)| (api, version, Samples::new(nulls, elements)))
        })
    })
}

#[test]
fn every_request_survives_a_round_trip() {
    for (api, version, mut samples) in every_version() {
        let request = Request::sample(api, version, &mut samples);
        let bytes = encode_request(&request, version);
        assert_eq!(Request::decode(api, version, bytes), Ok(request), "{api} {version}");
    }
}

#[test]
fn every_response_survives_a_round_trip() {
    for (api, version, mut samples) in every_version() {
        let response = Response::sample(api, version, &mut samples);
        let bytes = encode_response(&response, version);
        assert_eq!(Response::decode(api, version, bytes), Ok(response), "{api} {version}");
    }
}
