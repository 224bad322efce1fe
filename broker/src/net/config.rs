//! Limits of a listener.

use std::sync::Arc;
use std::time::Duration;

use crate::auth::sasl::SaslConfig;
use crate::net::tls::TlsServer;

/// Limits and timeouts of a listener. The names of Kafka's settings are given where they exist.
#[derive(Debug, Clone)]
pub struct ListenerConfig {
    /// Name of the listener in the log.
    pub name: String,
    /// Host and port to bind; port 0 takes a free one.
    pub address: String,
    /// Host and port that clients connect to (`advertised.listeners`). By default the address the listener is
    /// bound to or, if that is all addresses, the one that the client has connected to. Port 0 stands for the port
    /// that is bound; a wildcard address is refused.
    pub advertised: Option<(String, u16)>,
    /// TLS; `None`: connections are not encrypted.
    pub tls: Option<Arc<TlsServer>>,
    /// SASL settings; `None`: clients authenticate by certificate, or not at all.
    pub sasl: Option<SaslConfig>,
    /// Limit of a TLS handshake.
    pub handshake_timeout: Duration,
    /// Limit of the authentication, where it is required.
    pub authentication_timeout: Duration,
    /// Connections of one address open at a time (`max.connections.per.ip`).
    pub connections_per_ip_max: usize,
    /// Connections of all listeners open at a time; further ones are closed at once (`max.connections`).
    pub connections_max: usize,
    /// Longest request, in bytes (`socket.request.max.bytes`).
    pub request_bytes_max: usize,
    /// Longest request of a connection that has not yet authenticated and sent a valid one, in bytes.
    pub first_request_bytes_max: usize,
    /// Requests of one connection being answered at a time; further ones wait in the socket.
    pub in_flight_requests_max: usize,
    /// Bytes of requests of one connection being answered at a time. A single longer request is let through.
    pub in_flight_bytes_max: usize,
    /// Bytes of requests of all connections being read or answered at a time (`queued.max.request.bytes`).
    pub in_flight_bytes_max_total: usize,
    /// Bytes of responses waiting for a slow reader; while there are more, its requests wait, and fetches that are sent
    /// before the former is answered bring little. A single longer response is let through.
    pub unsent_bytes_max: usize,
    /// Bytes of responses of all connections waiting for their readers. While there are more, fetches bring little,
    /// connections are answered one request at a time, and readers that are slow are let go.
    pub unsent_bytes_max_total: usize,
    /// A connection without requests for this long is closed (`connections.max.idle.ms`).
    pub idle_timeout: Duration,
    /// A request must arrive completely within this time of its first byte, and a response must make progress.
    pub stall_timeout: Duration,
    /// Time for which a shutdown, or the end of a peer's input, waits for requests that are being answered.
    pub shutdown_grace: Duration,
}

impl ListenerConfig {
    /// Is it certain who every client is?
    pub fn authenticates(&self) -> bool {
        self.sasl.is_some() || self.tls.as_ref().is_some_and(|tls| tls.authenticates())
    }
}

impl Default for ListenerConfig {
    fn default() -> Self {
        Self {
            name: "PLAINTEXT".to_owned(),
            advertised: None,
            tls: None,
            sasl: None,
            handshake_timeout: Duration::from_secs(10),
            authentication_timeout: Duration::from_secs(30),
            connections_per_ip_max: usize::MAX,
            address: "127.0.0.1:9092".to_owned(),
            connections_max: 20_000,
            request_bytes_max: 100 * 1024 * 1024,
            first_request_bytes_max: 1024 * 1024,
            in_flight_requests_max: 16,
            in_flight_bytes_max: 64 * 1024 * 1024,
            in_flight_bytes_max_total: 256 * 1024 * 1024,
            unsent_bytes_max: 8 * 1024 * 1024,
            unsent_bytes_max_total: 256 * 1024 * 1024,
            idle_timeout: Duration::from_secs(600),
            stall_timeout: Duration::from_secs(30),
            shutdown_grace: Duration::from_secs(10),
        }
    }
}
