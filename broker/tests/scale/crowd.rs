//! Connections by hand, many of them.

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use weir_broker::protocol::frame::encode_request;
use weir_broker::protocol::header::RequestHeader;
use weir_broker::protocol::messages::api_versions::ApiVersionsRequest;
use weir_broker::protocol::messages::metadata::MetadataRequest;
use weir_broker::protocol::request::Request;

use crate::scale::child::PATIENCE;

/// Connections being made at a time.
const AT_ONCE: usize = 100;

/// A client that writes and reads frames by hand.
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
}

impl Peer {
    pub(crate) async fn connect(address: &str) -> Self {
        let connected = timeout(PATIENCE, TcpStream::connect(address)).await;
        Self { stream: connected.expect("in time").expect("the listener accepts") }
    }

    /// A client for which sockets keep little, if it does not read.
    pub(crate) async fn connect_narrow(address: &str) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(8 << 10).expect("it is not connected yet");
        let address = address.parse().expect("an address");
        let connected = timeout(PATIENCE, socket.connect(address)).await;
        Self { stream: connected.expect("in time").expect("the listener accepts") }
    }

    pub(crate) async fn send(&mut self, request: &Request, version: i16) -> std::io::Result<()> {
        self.stream.write_all(&frame(request, version)).await
    }

    /// The next frame without its prefix; `None` when the connection was closed, cleanly or not.
    pub(crate) async fn receive(&mut self) -> Option<Vec<u8>> {
        let read = async {
            let length = self.stream.read_i32().await.ok()?;
            let mut bytes = vec![0; usize::try_from(length).expect("frames have a length")];
            self.stream.read_exact(&mut bytes).await.ok()?;
            Some(bytes)
        };
        timeout(PATIENCE, read).await.expect("a frame or the end")
    }

    /// Asks for the versions served, as every client does first. Returns whether there was an answer.
    pub(crate) async fn greet(&mut self) -> bool {
        self.send(&ApiVersionsRequest::default().into(), 3).await.is_ok() && self.receive().await.is_some()
    }

    pub(crate) async fn ask(&mut self) -> bool {
        let no_topics = MetadataRequest { topics: Some(Vec::new()), ..MetadataRequest::default() };
        self.send(&no_topics.into(), 12).await.is_ok() && self.receive().await.is_some()
    }
}

pub(crate) fn frame(request: &Request, api_version: i16) -> Bytes {
    let client_id = Some("scale".to_owned());
    let header = RequestHeader { api_key: request.api_key(), api_version, correlation_id: 1, client_id };
    encode_request(&header, request).expect("requests of tests are encodable").to_bytes()
}

/// Does `work` `count` times, some at once.
pub(crate) async fn many<T, F: Future<Output = T>>(count: usize, work: impl Fn(usize) -> F) -> Vec<T> {
    let mut running = FuturesUnordered::new();
    let mut done = Vec::with_capacity(count);
    for index in 0..count {
        if running.len() == AT_ONCE {
            done.extend(running.next().await);
        }
        running.push(work(index));
    }
    while let Some(result) = running.next().await {
        done.push(result);
    }
    done
}
