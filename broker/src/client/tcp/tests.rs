//! The TCP transport against the listener, and against brokers that fail.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::{TcpTransport, TcpTransportConfig};
use crate::client::transport::{LocalTransport, Transport, TransportError};
use crate::net::tests::{PATIENCE, Scripted, config, fetch, listen, metadata};
use crate::protocol::api_key::ApiKey;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::frame::{decode_request, encode_response};
use crate::protocol::header::RequestHeader;
use crate::protocol::messages::api_versions::{ApiVersion, ApiVersionsResponse};
use crate::protocol::messages::metadata::MetadataResponse;
use crate::protocol::messages::produce::{ProduceRequest, TopicProduceData};
use crate::protocol::request::Request;
use crate::protocol::response::Response;

fn produce(acks: i16, topics: usize) -> Request {
    let topic = TopicProduceData { name: "t".to_owned(), ..TopicProduceData::default() };
    ProduceRequest { acks, topic_data: vec![topic; topics], ..ProduceRequest::default() }.into()
}

async fn send(transport: &dyn Transport, request: Request) -> Result<Response, TransportError> {
    timeout(PATIENCE, transport.send(request)).await.expect("an answer or an error")
}

/// A broker made of one socket, for failures the real one does not have.
struct Fake {
    socket: TcpListener,
}

impl Fake {
    async fn start() -> (Self, String) {
        let socket = TcpListener::bind("127.0.0.1:0").await.expect("loopback can be bound");
        let address = socket.local_addr().expect("bound").to_string();
        (Self { socket }, address)
    }

    async fn accept(&self) -> FakeConnection {
        let (stream, _) =
            timeout(PATIENCE, self.socket.accept()).await.expect("a connection").expect("accepted");
        FakeConnection { stream }
    }

    /// Accepts a connection and tells it the versions.
    async fn greet(&self) -> FakeConnection {
        let mut connection = self.accept().await;
        let (header, _) = connection.request().await;
        let response =
            ApiVersionsResponse { api_keys: ApiVersion::served(), ..ApiVersionsResponse::default() };
        connection.respond(header.correlation_id, header.api_version, response).await;
        connection
    }
}

struct FakeConnection {
    stream: TcpStream,
}

impl FakeConnection {
    async fn frame(&mut self) -> Bytes {
        let length = timeout(PATIENCE, self.stream.read_i32()).await.expect("a request").expect("a request");
        let mut bytes = BytesMut::zeroed(length as usize);
        self.stream.read_exact(&mut bytes).await.expect("the rest of the request");
        bytes.freeze()
    }

    async fn request(&mut self) -> (RequestHeader, Request) {
        decode_request(self.frame().await).expect("requests are well-formed")
    }

    async fn respond(&mut self, correlation_id: i32, version: i16, response: impl Into<Response>) {
        let frame = encode_response(correlation_id, version, &response.into()).expect("encodable");
        self.stream.write_all(&frame.to_bytes()).await.expect("the transport reads");
    }
}

#[tokio::test]
async fn both_transports_reach_the_same_handler() {
    let (handler, _seen) = Scripted::new();
    let (listener, _) = listen(config(), handler.clone()).await;
    let remote = TcpTransport::new(listener.local_addr().to_string(), TcpTransportConfig::default());
    let local = LocalTransport::new(handler.clone(), Some("test"));
    for transport in [&remote as &dyn Transport, &local as &dyn Transport] {
        let Ok(Response::Metadata(answer)) = send(transport, metadata()).await else {
            panic!("metadata is due")
        };
        assert_eq!(answer.controller_id, 7);
        handler.gate.add_permits(1);
        let Ok(Response::Fetch(answer)) = send(transport, fetch(55)).await else { panic!("a fetch is due") };
        let partition = &answer.responses[0].partitions[0];
        assert_eq!((partition.high_watermark, partition.records.as_ref()), (55, Some(&handler.records)));
        let Ok(Response::Produce(answer)) = send(transport, produce(1, 3)).await else {
            panic!("produce is due")
        };
        assert_eq!(answer.throttle_time_ms, 3);
        assert!(matches!(send(transport, produce(0, 3)).await, Ok(Response::Produce(_))));
    }
}

#[tokio::test]
async fn local_responses_share_their_record_bytes() {
    let (handler, _seen) = Scripted::new();
    let local = LocalTransport::new(handler.clone(), None);
    handler.gate.add_permits(1);
    let Ok(Response::Fetch(answer)) = send(&local, fetch(1)).await else { panic!("a fetch is due") };
    let records = answer.responses[0].partitions[0].records.as_ref().map(|bytes| bytes.as_ptr());
    assert_eq!(records, Some(handler.records.as_ptr()));
}

#[tokio::test]
async fn many_callers_share_one_connection() {
    let (handler, _seen) = Scripted::new();
    let (listener, metrics) = listen(config(), handler).await;
    let limits = TcpTransportConfig { in_flight_max: 5, ..TcpTransportConfig::default() };
    let transport = Arc::new(TcpTransport::new(listener.local_addr().to_string(), limits));
    let answers = join_all((1..200).map(|topics| {
        let transport = transport.clone();
        async move { (topics as i32, send(&*transport, produce(1, topics)).await) }
    }))
    .await;
    for (topics, answer) in answers {
        let Ok(Response::Produce(answer)) = answer else { panic!("produce is due: {answer:?}") };
        assert_eq!(answer.throttle_time_ms, topics);
    }
    assert_eq!(metrics.connections_accepted.get(), 1);
}

#[tokio::test]
async fn a_lost_connection_fails_what_was_sent_and_is_made_anew() {
    let (fake, address) = Fake::start().await;
    let transport = TcpTransport::new(address, TcpTransportConfig::default());
    let broker = async {
        let mut first = fake.greet().await;
        first.request().await;
        drop(first);
        let mut second = fake.greet().await;
        let (header, _) = second.request().await;
        let response = MetadataResponse { controller_id: 3, ..MetadataResponse::default() };
        second.respond(header.correlation_id, header.api_version, response).await;
        second
    };
    let client = async {
        let lost = send(&transport, metadata()).await;
        assert!(
            matches!(&lost, Err(error @ TransportError::Disconnected { .. }) if error.is_retriable()),
            "{lost:?}"
        );
        send(&transport, metadata()).await
    };
    let (_broker, answer) = futures::join!(broker, client);
    assert!(matches!(answer, Ok(Response::Metadata(answer)) if answer.controller_id == 3));
}

#[tokio::test]
async fn requests_that_are_not_answered_time_out() {
    let (fake, address) = Fake::start().await;
    let limits =
        TcpTransportConfig { request_timeout: Duration::from_millis(30), ..TcpTransportConfig::default() };
    let transport = TcpTransport::new(address, limits);
    let (_broker, answer) = futures::join!(fake.greet(), send(&transport, metadata()));
    assert!(
        matches!(answer, Err(TransportError::Timeout { api: ApiKey::Metadata, timeout_ms: 30, .. })),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_response_to_another_request_ends_the_connection() {
    let (fake, address) = Fake::start().await;
    let transport = TcpTransport::new(address, TcpTransportConfig::default());
    let broker = async {
        let mut connection = fake.greet().await;
        let (header, _) = connection.request().await;
        let wrong = header.correlation_id + 1;
        connection.respond(wrong, header.api_version, MetadataResponse::default()).await;
        connection
    };
    let (_broker, answer) = futures::join!(broker, send(&transport, metadata()));
    assert!(matches!(answer, Err(TransportError::Disconnected { .. })), "{answer:?}");
}

#[tokio::test]
async fn older_brokers_are_asked_again_in_their_version() {
    let (fake, address) = Fake::start().await;
    let transport = TcpTransport::new(address, TcpTransportConfig::default());
    let entry = |api: ApiKey, max_version| ApiVersion { api_key: api.code(), min_version: 0, max_version };
    let served = vec![entry(ApiKey::ApiVersions, 1), entry(ApiKey::Metadata, 5)];
    let broker = async {
        let mut connection = fake.accept().await;
        let (header, _) = connection.request().await;
        assert_eq!(header.api_version, 4);
        let error_code = ErrorCode::UnsupportedVersion;
        let refusal =
            ApiVersionsResponse { error_code, api_keys: served.clone(), ..ApiVersionsResponse::default() };
        connection.respond(header.correlation_id, 0, refusal).await;
        let (header, _) = connection.request().await;
        assert_eq!(header.api_version, 1);
        let answer = ApiVersionsResponse { api_keys: served.clone(), ..ApiVersionsResponse::default() };
        connection.respond(header.correlation_id, 1, answer).await;
        let (header, _) = connection.request().await;
        assert_eq!(header.api_version, 5);
        connection.respond(header.correlation_id, 5, MetadataResponse::default()).await;
        connection
    };
    let (_broker, answer) = futures::join!(broker, send(&transport, metadata()));
    assert!(answer.is_ok(), "{answer:?}");
    let missing = send(&transport, produce(1, 1)).await;
    assert!(matches!(missing, Err(TransportError::UnsupportedVersion { api: ApiKey::Produce })));
}

#[tokio::test]
async fn brokers_that_cannot_be_reached_are_reported() {
    let (fake, address) = Fake::start().await;
    drop(fake);
    let limits =
        TcpTransportConfig { backoff_min: Duration::from_millis(1), ..TcpTransportConfig::default() };
    let transport = TcpTransport::new(address.clone(), limits);
    for _ in 0..3 {
        let answer = send(&transport, metadata()).await;
        assert!(
            matches!(&answer, Err(TransportError::Connect { address: a, .. }) if *a == address),
            "{answer:?}"
        );
    }
}
