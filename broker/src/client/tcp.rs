//! Requests over TCP to one broker.

mod driver;
mod link;
mod versions;

use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::client::security::ClientSecurity;
use crate::client::tcp::driver::{Driver, Outgoing};
use crate::client::transport::{Answer, Transport, TransportError};
use crate::env::spawn;
use crate::protocol::request::Request;

/// Limits of a connection to a broker. The names of Kafka's client settings are given where they exist.
#[derive(Debug, Clone)]
pub struct TcpTransportConfig {
    /// What the client calls itself (`client.id`).
    pub client_id: Option<String>,
    /// How long to wait for a response, beyond the time the request itself lets the broker wait
    /// (`request.timeout.ms`).
    pub request_timeout: Duration,
    /// How long connecting and learning the broker's versions may take (`socket.connection.setup.timeout.ms`).
    pub connect_timeout: Duration,
    /// Pause after the first failed attempt to connect (`reconnect.backoff.ms`); doubles with each further one.
    pub backoff_min: Duration,
    /// Longest pause between attempts (`reconnect.backoff.max.ms`).
    pub backoff_max: Duration,
    /// Requests sent and not yet answered; further ones wait their turn.
    pub in_flight_max: usize,
    /// Longest response, in bytes.
    pub response_bytes_max: usize,
    pub security: ClientSecurity,
}

impl Default for TcpTransportConfig {
    fn default() -> Self {
        Self {
            client_id: None,
            request_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            backoff_min: Duration::from_millis(50),
            backoff_max: Duration::from_secs(1),
            in_flight_max: 64,
            response_bytes_max: 256 * 1024 * 1024,
            security: ClientSecurity::default(),
        }
    }
}

/// One connection to a broker, made when it is first needed and made anew after it was lost.
///
/// Requests of all callers share the connection and are sent without waiting for earlier responses. A request that was
/// sent when the connection is lost fails with [`TransportError::Disconnected`] and is not sent again: whether that is
/// right only its caller knows. While a broker cannot be reached, each request makes at most one attempt, and attempts
/// are spaced by a growing pause.
#[derive(Debug, Clone)]
pub struct TcpTransport {
    address: String,
    request_timeout: Duration,
    outgoing: mpsc::Sender<Outgoing>,
}

impl TcpTransport {
    /// A transport to the broker at `address`, as `host:port`. Nothing is sent yet.
    ///
    /// Threads: within a tokio runtime, on which the connection runs until the last clone is dropped.
    pub fn new(address: impl Into<String>, config: TcpTransportConfig) -> Self {
        let address = address.into();
        let (outgoing, incoming) = mpsc::channel(config.in_flight_max.max(1));
        let request_timeout = config.request_timeout;
        spawn::task("tcp transport", Driver::new(address.clone(), config, incoming).run());
        Self { address, request_timeout, outgoing }
    }

    /// Where the broker is.
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl Transport for TcpTransport {
    fn hand_over(&self, request: Request) -> BoxFuture<'_, Result<Answer, TransportError>> {
        Box::pin(async move {
            let (reply, response) = oneshot::channel();
            let timeout = self.request_timeout.saturating_add(broker_wait(&request));
            let outgoing = Outgoing { request, deadline: Instant::now() + timeout, timeout, reply };
            self.outgoing.send(outgoing).await.map_err(|_| TransportError::Closed)?;
            Ok(Box::pin(async { response.await.map_err(|_| TransportError::Closed)? }) as Answer)
        })
    }
}

/// How long the request itself lets the broker wait before it answers.
fn broker_wait(request: &Request) -> Duration {
    let ms = match request {
        Request::Fetch(request) => request.max_wait_ms,
        Request::Produce(request) => request.timeout_ms,
        Request::JoinGroup(request) => request.rebalance_timeout_ms.max(request.session_timeout_ms),
        Request::CreateTopics(request) => request.timeout_ms,
        Request::DeleteTopics(request) => request.timeout_ms,
        Request::CreatePartitions(request) => request.timeout_ms,
        Request::DeleteRecords(request) => request.timeout_ms,
        // A follower's sync waits for its leader's.
        Request::SyncGroup(_) => 30_000,
        _ => 0,
    };
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

#[cfg(test)]
mod tests;
