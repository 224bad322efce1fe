//! Connections over loopback sockets: order, limits, and peers that misbehave.

mod limits;
mod misbehaviour;
mod order;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

use super::config::ListenerConfig;
use super::handler::{RequestContext, RequestHandler};
use super::limits::ConnectionLimits;
use super::listener::Listener;
use super::metrics::NetMetrics;
use crate::protocol::api_key::ApiKey;
use crate::protocol::frame::{decode_response, encode_request};
use crate::protocol::header::RequestHeader;
use crate::protocol::messages::api_versions::{ApiVersion, ApiVersionsRequest, ApiVersionsResponse};
use crate::protocol::messages::fetch::{FetchRequest, FetchResponse, FetchableTopicResponse, PartitionData};
use crate::protocol::messages::metadata::{MetadataRequest, MetadataResponse};
use crate::protocol::messages::produce::{ProduceRequest, ProduceResponse};
use crate::protocol::request::Request;
use crate::protocol::response::Response;

/// Nothing here takes longer unless it is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Answers Metadata and ApiVersions at once, Produce with its throttle time set to the count of topics, and Fetch when
/// the test lets it.
pub(crate) struct Scripted {
    /// Every request, when the handler is called.
    seen: mpsc::UnboundedSender<(ApiKey, i16)>,
    /// One permit lets one fetch go on.
    pub(crate) gate: Arc<Semaphore>,
    /// Record bytes of fetch responses.
    pub(crate) records: Bytes,
    /// `min_bytes` of fetches, in the order in which their futures were first polled.
    polled: Arc<Mutex<Vec<i32>>>,
    fetching: Arc<AtomicUsize>,
    pub(crate) fetching_peak: Arc<AtomicUsize>,
}

impl Scripted {
    pub(crate) fn new() -> (Arc<Self>, mpsc::UnboundedReceiver<(ApiKey, i16)>) {
        let (seen, requests) = mpsc::unbounded_channel();
        let handler = Self {
            seen,
            gate: Arc::new(Semaphore::new(0)),
            records: Bytes::from(vec![42; 100_000]),
            polled: Arc::default(),
            fetching: Arc::default(),
            fetching_peak: Arc::default(),
        };
        (Arc::new(handler), requests)
    }

    fn fetched(&self, offset: i64) -> Response {
        let partition = PartitionData {
            high_watermark: offset,
            records: Some(self.records.clone()),
            ..PartitionData::default()
        };
        let topic =
            FetchableTopicResponse { partitions: vec![partition], ..FetchableTopicResponse::default() };
        FetchResponse { responses: vec![topic], ..FetchResponse::default() }.into()
    }
}

impl RequestHandler for Scripted {
    fn handle(&self, context: RequestContext, request: Request) -> BoxFuture<'static, Option<Response>> {
        // The test may be over.
        let _ = self.seen.send((request.api_key(), context.api_version));
        let response = match request {
            Request::ApiVersions(_) => {
                ApiVersionsResponse { api_keys: ApiVersion::served(), ..ApiVersionsResponse::default() }
                    .into()
            }
            Request::Metadata(_) => {
                MetadataResponse { controller_id: 7, ..MetadataResponse::default() }.into()
            }
            Request::Produce(request) if request.acks == 0 => return async { None }.boxed(),
            Request::Produce(request) => {
                let throttle_time_ms = request.topic_data.len() as i32;
                ProduceResponse { throttle_time_ms, ..ProduceResponse::default() }.into()
            }
            Request::Fetch(request) => {
                let (gate, fetching, polled) =
                    (self.gate.clone(), self.fetching.clone(), self.polled.clone());
                self.fetching_peak.fetch_max(fetching.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let response = self.fetched(i64::from(request.min_bytes));
                return async move {
                    polled.lock().push(request.min_bytes);
                    gate.acquire().await.expect("never closed").forget();
                    fetching.fetch_sub(1, Ordering::SeqCst);
                    Some(response)
                }
                .boxed();
            }
            other => panic!("unexpected {} request", other.api_key()),
        };
        async move { Some(response) }.boxed()
    }
}

pub(crate) fn config() -> ListenerConfig {
    ListenerConfig { address: "127.0.0.1:0".to_owned(), ..ListenerConfig::default() }
}

pub(crate) async fn listen(config: ListenerConfig, handler: Arc<Scripted>) -> (Listener, Arc<NetMetrics>) {
    let metrics = Arc::new(NetMetrics::default());
    let limits = Arc::new(ConnectionLimits::new(metrics.clone(), &config));
    let bound = Listener::bind(config, handler, metrics.clone(), limits).await;
    let listener = bound.expect("loopback can be bound");
    (listener, metrics)
}

pub(crate) fn fetch(marker: i32) -> Request {
    FetchRequest { min_bytes: marker, ..FetchRequest::default() }.into()
}

pub(crate) fn metadata() -> Request {
    MetadataRequest::default().into()
}

fn produce(acks: i16) -> Request {
    ProduceRequest { acks, ..ProduceRequest::default() }.into()
}

fn api_versions() -> Request {
    ApiVersionsRequest::default().into()
}

/// A client that writes and reads frames by hand.
struct Peer {
    stream: TcpStream,
}

impl Peer {
    async fn connect(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.expect("the listener accepts") }
    }

    async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("the peer reads");
    }

    async fn send(&mut self, correlation_id: i32, version: i16, request: &Request) {
        self.write(&frame(correlation_id, version, request)).await;
    }

    /// The next frame without its prefix; `None` when the connection was closed, cleanly or not.
    async fn frame(&mut self) -> Option<Bytes> {
        let read = async {
            let length = self.stream.read_i32().await.ok()?;
            let mut bytes = BytesMut::zeroed(usize::try_from(length).expect("frames have a length"));
            self.stream.read_exact(&mut bytes).await.ok()?;
            Some(bytes.freeze())
        };
        timeout(PATIENCE, read).await.expect("a frame or the end")
    }

    async fn response(&mut self, api: ApiKey, version: i16) -> (i32, Response) {
        let frame = self.frame().await.expect("a response");
        decode_response(api, version, frame).expect("responses are well-formed")
    }

    async fn is_closed(&mut self) -> bool {
        self.frame().await.is_none()
    }
}

fn frame(correlation_id: i32, api_version: i16, request: &Request) -> Bytes {
    let client_id = Some("peer".to_owned());
    let header = RequestHeader { api_key: request.api_key(), api_version, correlation_id, client_id };
    encode_request(&header, request).expect("requests of tests are encodable").to_bytes()
}

/// Waits until `condition` holds.
async fn eventually(condition: impl Fn() -> bool) {
    let waited = timeout(PATIENCE, async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    });
    waited.await.expect("the condition holds in the end");
}
