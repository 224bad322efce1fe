//! The listener: accepts sockets, detects the HTTP version, serves until told to stop.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use futures::future::OptionFuture;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Sleep;
use tokio_util::task::TaskTracker;
use tower::Layer;
use tracing::{debug, warn};
use weir_broker::net::tls::TlsServer;

use crate::config::HttpConfig;
use crate::http::connections::{Connections, Slot};
use crate::http::peer::Peer;
use crate::http::request_line::RequestLine;

/// Streams a client may have open on one HTTP/2 connection.
const HTTP2_STREAMS_MAX: u32 = 256;
/// Bytes of a request's head.
const HEAD_BYTES_MAX: u32 = 64 * 1024;
/// An HTTP/2 connection is asked for a sign of life after this time without frames.
const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(30);
const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time that answers have to end once the node stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// A bound HTTP port.
#[derive(Debug)]
pub struct HttpListener {
    listener: TcpListener,
    address: SocketAddr,
}

/// What all connections of a listener share.
#[derive(Clone)]
struct Service {
    router: Router,
    tls: Option<Arc<TlsServer>>,
    /// Time in which a request's head must arrive; idle connections are closed after it.
    request_timeout: Duration,
    stop: watch::Receiver<bool>,
}

impl HttpListener {
    /// Errors: the address is taken or not this machine's.
    pub async fn bind(address: SocketAddr) -> io::Result<HttpListener> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(HttpListener { listener, address })
    }

    /// The address with the port that the kernel chose, if it was asked for port 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves `router` until `stop` turns true, then lets the answers under way end for a moment.
    pub async fn serve(self, router: Router, config: HttpConfig, stop: watch::Receiver<bool>) {
        let connections = Connections::new(config.connections_max, config.connections_per_ip_max);
        let mut stopping = stop.clone();
        let service = Service { router, tls: config.tls, request_timeout: config.request_timeout, stop };
        let tasks = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                _ = stopping.wait_for(|s| *s) => break,
            };
            let (socket, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, say: wait for one to be freed instead of spinning.
                    warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let Some(slot) = connections.admit(peer.ip()) else {
                debug!(%peer, "connection refused: all others are busy");
                continue;
            };
            tasks.spawn(service.clone().run(socket, peer, slot));
        }
        drop(self.listener);
        tasks.close();
        // Connections end by themselves within this time; it bounds what they wait for.
        let _ = tokio::time::timeout(2 * DRAIN_TIMEOUT, tasks.wait()).await;
    }
}

impl Service {
    async fn run(self, socket: TcpStream, address: SocketAddr, slot: Slot) {
        if let Err(error) = socket.set_nodelay(true) {
            debug!(%error, "cannot set TCP_NODELAY");
        }
        let slot = Arc::new(slot);
        let Some(tls) = self.tls.clone() else {
            let peer = Peer { address, certified: None, is_secure: false, slot };
            return self.serve(RequestLine::new(socket), peer).await;
        };
        let accepting = tokio::time::timeout(TLS_HANDSHAKE_TIMEOUT, tls.accept(socket));
        let accepted = tokio::select! {
            accepted = accepting => accepted,
            () = slot.activity.evicted() => return,
        };
        match accepted {
            Ok(Ok((stream, certified))) => {
                let peer = Peer { address, certified: certified.map(Into::into), is_secure: true, slot };
                self.serve(RequestLine::new(stream), peer).await;
            }
            Ok(Err(error)) => debug!(%address, %error, "TLS handshake failed"),
            Err(_) => debug!(%address, "TLS handshake took too long"),
        }
    }

    /// Serves one connection until it ends, gives way, is idle for too long, or the node stops.
    async fn serve<I>(mut self, stream: I, peer: Peer)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (address, slot) = (peer.address, Arc::clone(&peer.slot));
        let service = TowerToHyperService::new(Extension(peer).layer(self.router));
        let mut builder = auto::Builder::new(TokioExecutor::new());
        let mut http1 = builder.http1();
        http1.timer(TokioTimer::new()).header_read_timeout(self.request_timeout);
        http1.max_buf_size(8 * HEAD_BYTES_MAX as usize);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(HTTP2_STREAMS_MAX)
            .max_header_list_size(HEAD_BYTES_MAX)
            .keep_alive_interval(Some(HTTP2_PING_INTERVAL));
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let mut drained = std::pin::pin!(OptionFuture::<Sleep>::from(None));
        let mut is_stopping = false;
        loop {
            tokio::select! {
                served = connection.as_mut() => {
                    if let Err(error) = served {
                        debug!(%address, %error, "connection ended");
                    }
                    return;
                }
                () = slot.activity.evicted() => return,
                () = idle(&slot, self.request_timeout) => return,
                _ = self.stop.wait_for(|s| *s), if !is_stopping => {
                    is_stopping = true;
                    connection.as_mut().graceful_shutdown();
                    drained.set(Some(tokio::time::sleep(DRAIN_TIMEOUT)).into());
                }
                Some(()) = drained.as_mut() => return,
            }
        }
    }
}

/// Resolves once the connection has been idle for `limit`.
async fn idle(slot: &Slot, limit: Duration) {
    loop {
        let left = match slot.activity.idle_for() {
            Some(idle) if idle >= limit => return,
            Some(idle) => limit - idle,
            None => limit,
        };
        tokio::time::sleep(left).await;
    }
}
