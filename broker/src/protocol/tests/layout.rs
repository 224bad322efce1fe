//! Layouts written out byte by byte: versions the reference codec does not have, and rules of the format.

use bytes::Bytes;
use uuid::Uuid;

use super::{encode_request, encode_response};
use crate::protocol::api_key::ApiKey;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::frame::{decode_request, decode_response, encode_response as encode_frame};
use crate::protocol::header::{HeaderError, RequestHeader};
use crate::protocol::messages::api_versions::ApiVersionsResponse;
use crate::protocol::messages::fetch::{FetchRequest, FetchTopic};
use crate::protocol::messages::init_producer_id::InitProducerIdRequest;
use crate::protocol::messages::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use crate::protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic};
use crate::protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use crate::protocol::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use crate::protocol::messages::produce::{ProduceRequest, TopicProduceData};
use crate::protocol::primitive::{DecodeErrorKind, EncodeError, Encoder};
use crate::protocol::request::Request;
use crate::protocol::response::Response;

fn check(request: impl Into<Request>, version: i16, expected: &[&[u8]]) {
    let request = request.into();
    let bytes = encode_request(&request, version);
    assert_eq!(bytes, expected.concat());
    assert_eq!(Request::decode(request.api_key(), version, bytes), Ok(request));
}

const ID: Uuid = Uuid::from_u128(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10);

#[test]
fn init_producer_id_6_adds_two_phase_commit() {
    let request = InitProducerIdRequest {
        transactional_id: Some("t".to_owned()),
        transaction_timeout_ms: 5,
        enable_2_pc: true,
        ..InitProducerIdRequest::default()
    };
    check(request, 6, &[b"\x02t", &[0, 0, 0, 5], &[0xff; 8], &[0xff; 2], &[1, 0], &[0]]);
}

#[test]
fn list_offsets_11_is_laid_out_like_10() {
    let partition = ListOffsetsPartition { partition_index: 1, current_leader_epoch: 2, timestamp: -3 };
    let topic = ListOffsetsTopic { name: "t".to_owned(), partitions: vec![partition] };
    let request =
        ListOffsetsRequest { replica_id: -1, isolation_level: 1, topics: vec![topic], timeout_ms: 9 };
    let timestamp = (-3i64).to_be_bytes();
    let expected: &[&[u8]] = &[
        &[0xff; 4],
        &[1, 2],
        b"\x02t",
        &[2, 0, 0, 0, 1, 0, 0, 0, 2],
        &timestamp,
        &[0, 0],
        &[0, 0, 0, 9],
        &[0],
    ];
    check(request.clone(), 10, expected);
    check(request, 11, expected);
}

#[test]
fn offset_commit_10_names_topics_by_id() {
    let partition = OffsetCommitRequestPartition {
        partition_index: 1,
        committed_offset: 2,
        committed_leader_epoch: 3,
        committed_metadata: None,
    };
    let topic = OffsetCommitRequestTopic { name: String::new(), topic_id: ID, partitions: vec![partition] };
    let request = OffsetCommitRequest {
        group_id: "g".to_owned(),
        generation_id_or_member_epoch: 4,
        member_id: "m".to_owned(),
        topics: vec![topic],
        ..OffsetCommitRequest::default()
    };
    let partition: &[u8] = &[2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0];
    check(request, 10, &[b"\x02g", &[0, 0, 0, 4], b"\x02m", &[0], &[2], ID.as_bytes(), partition, &[0, 0]]);
}

#[test]
fn offset_fetch_10_names_topics_by_id() {
    let topic = OffsetFetchRequestTopics { name: String::new(), topic_id: ID, partition_indexes: vec![7] };
    let group = OffsetFetchRequestGroup {
        group_id: "g".to_owned(),
        topics: Some(vec![topic]),
        ..OffsetFetchRequestGroup::default()
    };
    let request = OffsetFetchRequest { groups: vec![group], ..OffsetFetchRequest::default() };
    let head: &[u8] = b"\x02\x02g\x00\xff\xff\xff\xff\x02";
    check(request, 10, &[head, ID.as_bytes(), &[2, 0, 0, 0, 7], &[0], &[0], &[0], &[0]]);
}

#[test]
fn unknown_tagged_fields_are_skipped() {
    // Metadata 12 without topics, followed by two tagged fields nobody knows.
    let body = Bytes::from_static(&[0, 1, 0, 2, 5, 3, 1, 2, 3, 0xff, 0x7f, 0]);
    assert_eq!(
        Request::decode(ApiKey::Metadata, 12, body),
        Ok(MetadataRequest { topics: None, ..MetadataRequest::default() }.into())
    );
}

#[test]
fn bytes_after_a_request_are_ignored() {
    // What librdkafka 2.16 sends to ask for all topics: three bytes too many.
    let body = Bytes::from_static(&[0, 0, 0, 0, 1, 0, 0]);
    let request =
        MetadataRequest { topics: None, allow_auto_topic_creation: false, ..MetadataRequest::default() };
    assert_eq!(Request::decode(ApiKey::Metadata, 13, body), Ok(request.into()));
}

#[test]
fn known_tagged_fields_must_be_read_to_their_end() {
    // ApiVersions 3 response with finalized_features_epoch (tag 1) said to be nine bytes long.
    let body = Bytes::from_static(&[0, 0, 1, 0, 0, 0, 0, 1, 1, 9, 0, 0, 0, 0, 0, 0, 0, 5, 0]);
    let error = Response::decode(ApiKey::ApiVersions, 3, body).expect_err("a byte too long");
    assert_eq!(error.kind, DecodeErrorKind::Trailing { count: 1 });
}

#[test]
fn null_is_refused_where_the_version_has_none() {
    let all = Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 1]);
    let error = Request::decode(ApiKey::Metadata, 0, all.slice(..4)).expect_err("version 0 has no null");
    assert_eq!(error.kind, DecodeErrorKind::Null);
    assert_eq!(error.field, Some("MetadataRequest.topics"));
    assert_eq!(
        Request::decode(ApiKey::Metadata, 4, all),
        Ok(MetadataRequest { topics: None, ..MetadataRequest::default() }.into())
    );
    let request = Request::from(MetadataRequest { topics: None, ..MetadataRequest::default() });
    assert_eq!(request.encode(0, &mut Encoder::default()), Err(EncodeError::Null { version: 0 }));
}

#[test]
fn fields_that_matter_are_not_dropped() {
    let request =
        Request::from(MetadataRequest { allow_auto_topic_creation: false, ..MetadataRequest::default() });
    assert_eq!(
        request.encode(3, &mut Encoder::default()),
        Err(EncodeError::FieldNotInVersion {
            field: "MetadataRequest.allow_auto_topic_creation",
            version: 3
        })
    );
}

#[test]
fn strings_are_bounded_by_their_length_prefix() {
    let topic = MetadataRequestTopic { name: Some("x".repeat(40_000)), ..MetadataRequestTopic::default() };
    let request = Request::from(MetadataRequest { topics: Some(vec![topic]), ..MetadataRequest::default() });
    let too_long = EncodeError::TooLong { length: 40_000, max: 32_767 };
    assert_eq!(request.encode(1, &mut Encoder::default()), Err(too_long));
    assert_eq!(request.encode(9, &mut Encoder::default()), Ok(()));
}

#[test]
fn topics_without_ids_limit_the_version() {
    let named = TopicProduceData { name: "t".to_owned(), ..TopicProduceData::default() };
    let identified = TopicProduceData { topic_id: ID, ..named.clone() };
    let produce =
        |topic| Request::from(ProduceRequest { topic_data: vec![topic], ..ProduceRequest::default() });
    assert_eq!(produce(named).version_max(), 12);
    assert_eq!(produce(identified).version_max(), 13);
    let topic = FetchTopic { topic: "t".to_owned(), ..FetchTopic::default() };
    let fetch = FetchRequest { topics: vec![topic], ..FetchRequest::default() };
    assert_eq!(Request::from(fetch).version_max(), 12);
}

#[test]
fn the_version_is_named_when_it_is_not_known() {
    let frame = Bytes::from_static(&[0, 18, 0, 99, 0, 0, 0, 7, 0xff, 0xff, 0]);
    let unknown =
        HeaderError::UnknownVersion { api_key: ApiKey::ApiVersions, api_version: 99, correlation_id: 7 };
    assert_eq!(decode_request(frame), Err(unknown.into()));
    let frame = Bytes::from_static(&[0x12, 0x34, 0, 0, 0, 0, 0, 7, 0xff, 0xff]);
    assert_eq!(decode_request(frame), Err(HeaderError::UnknownApi { api_key: 0x1234 }.into()));
}

#[test]
fn frames_carry_header_and_length() {
    let response = Response::from(ApiVersionsResponse {
        error_code: ErrorCode::UnsupportedVersion,
        ..ApiVersionsResponse::default()
    });
    let frame = encode_frame(7, 0, &response).expect("encodable").to_bytes();
    assert_eq!(frame[..], [0, 0, 0, 10, 0, 0, 0, 7, 0, 35, 0, 0, 0, 0]);
    assert_eq!(decode_response(ApiKey::ApiVersions, 0, frame.slice(4..)), Ok((7, response.clone())));
    assert_eq!(encode_response(&response, 0).len(), 6);

    let header =
        RequestHeader { api_key: ApiKey::Metadata, api_version: 12, correlation_id: 3, client_id: None };
    let request = Request::from(MetadataRequest::default());
    let frame = crate::protocol::frame::encode_request(&header, &request).expect("encodable").to_bytes();
    assert_eq!(decode_request(frame.slice(4..)), Ok((header, request)));
}
