//! The listener: accepts sockets, detects the HTTP version, serves until told to stop.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tracing::{debug, warn};

/// Connections served at once; further ones wait in the kernel's queue.
pub const CONNECTIONS_MAX: usize = 4_096;
/// Time a client has to send its request head.
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(30);
/// Streams a client may have open on one HTTP/2 connection.
const HTTP2_STREAMS_MAX: u32 = 256;

/// A bound HTTP port.
#[derive(Debug)]
pub struct HttpListener {
    listener: TcpListener,
    address: SocketAddr,
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

    /// Serves `router` until `stop` turns true, then lets open requests see their connection closed.
    pub async fn serve(self, router: Router, mut stop: watch::Receiver<bool>) {
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                _ = stop.wait_for(|s| *s) => return,
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
            if let Err(error) = socket.set_nodelay(true) {
                debug!(%error, "cannot set TCP_NODELAY");
            }
            let service = TowerToHyperService::new(router.clone());
            let mut stop = stop.clone();
            tokio::spawn(async move {
                let mut builder = auto::Builder::new(TokioExecutor::new());
                builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_READ_TIMEOUT);
                builder.http2().timer(TokioTimer::new()).max_concurrent_streams(HTTP2_STREAMS_MAX);
                let connection = builder.serve_connection_with_upgrades(TokioIo::new(socket), service);
                let connection = std::pin::pin!(connection);
                tokio::select! {
                    served = connection => {
                        if let Err(error) = served {
                            debug!(%peer, %error, "connection ended");
                        }
                    }
                    _ = stop.wait_for(|s| *s) => {}
                }
                drop(slot);
            });
        }
    }
}
