//! Accepting connections.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::{debug, error, info, warn};

use crate::env::spawn;
use crate::net::config::ListenerConfig;
use crate::net::connection::{Connection, ConnectionError, Shared};
use crate::net::handler::RequestHandler;
use crate::net::limits::{ConnectionLimits, OpenConnection};
use crate::net::metrics::NetMetrics;
use crate::net::session::{Endpoint, Session};
use crate::net::tls::{TlsServer, name};

/// Pause after a failed accept, so that running out of file descriptors does not spin.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);
/// Interval between two log lines about failed accepts.
const ACCEPT_WARNING_INTERVAL: Duration = Duration::from_secs(10);

/// Connection ids are unique within the process; 0 is for in-process callers.
static NEXT_CONNECTION_ID: AtomicU64 = AtomicU64::new(1);

/// Reason for which a listener cannot be opened.
#[derive(Debug, Error)]
#[error("listening on \"{address}\" failed")]
pub struct ListenError {
    pub address: String,
    pub source: io::Error,
}

/// A bound address whose connections are being answered. Dropping it ends them at once.
pub struct Listener {
    local_addr: SocketAddr,
    shared: Arc<Shared>,
    tasks: TaskTracker,
    _kill_on_drop: DropGuard,
}

impl Listener {
    /// Binds the address of `config` and begins answering requests with `handler`.
    ///
    /// Threads: within a tokio runtime, on which the connections run.
    pub async fn bind(
        config: ListenerConfig,
        handler: Arc<dyn RequestHandler>,
        metrics: Arc<NetMetrics>,
        limits: Arc<ConnectionLimits>,
    ) -> Result<Self, ListenError> {
        let address = config.address.clone();
        if let Some((host, _)) = &config.advertised
            && is_wildcard(host)
        {
            let reason = format!("the advertised host \"{host}\" is no address that a client can connect to");
            let source = io::Error::new(io::ErrorKind::InvalidInput, reason);
            return Err(ListenError { address, source });
        }
        let bound = async {
            let socket = TcpListener::bind(&address).await?;
            let local_addr = socket.local_addr()?;
            Ok((socket, local_addr))
        };
        let (socket, local_addr) = bound.await.map_err(|source| ListenError { address, source })?;
        if config.advertised.is_none() && local_addr.ip().is_unspecified() {
            info!(
                listener = %local_addr,
                "clients are given the address they connect to; behind NAT or port mapping set an advertised listener"
            );
        }
        let killed = CancellationToken::new();
        let shared = Arc::new(Shared {
            limits,
            endpoint: Arc::new(endpoint(&config, local_addr)),
            config,
            handler,
            metrics,
            draining: CancellationToken::new(),
            killed: killed.clone(),
        });
        let tasks = TaskTracker::new();
        spawn::task("listener", tasks.track_future(accept_loop(socket, shared.clone(), tasks.clone())));
        Ok(Self { local_addr, shared, tasks, _kill_on_drop: killed.drop_guard() })
    }

    /// The bound address, with the port that was taken when the configured one is 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The listener as its clients know it.
    pub fn endpoint(&self) -> &Endpoint {
        &self.shared.endpoint
    }

    /// TLS of the listener, if it has any.
    pub fn tls(&self) -> Option<&TlsServer> {
        self.shared.config.tls.as_deref()
    }

    /// Stops accepting and reading, answers the requests already read, and ends what is left after the grace period.
    pub async fn shutdown(&self) {
        self.shared.draining.cancel();
        self.tasks.close();
        if timeout(self.shared.config.shutdown_grace, self.tasks.wait()).await.is_err() {
            warn!(listener = %self.local_addr, connections = self.tasks.len(), "connections ended before they were done");
            self.shared.killed.cancel();
            self.tasks.wait().await;
        }
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("local_addr", &self.local_addr).finish_non_exhaustive()
    }
}

fn endpoint(config: &ListenerConfig, bound: SocketAddr) -> Endpoint {
    let (host, port) = match &config.advertised {
        Some((host, 0)) => (host.clone(), bound.port()),
        Some((host, port)) => (host.clone(), *port),
        None if bound.ip().is_unspecified() => ("localhost".to_owned(), bound.port()),
        None => (bound.ip().to_string(), bound.port()),
    };
    Endpoint { name: config.name.clone(), host, port, sasl: config.sasl.clone() }
}

/// Is the host one that only a server can use?
fn is_wildcard(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.is_empty() || host.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified())
}

/// The listener as the client of one connection knows it. A listener on all addresses has no address of its own: the
/// one the client connected to can be reached by this client for certain.
fn endpoint_of(shared: &Shared, stream: &TcpStream) -> Arc<Endpoint> {
    let shared_endpoint = &shared.endpoint;
    if shared.config.advertised.is_some() {
        return shared_endpoint.clone();
    }
    match stream.local_addr() {
        Ok(local) if !local.ip().is_unspecified() => {
            let host = local.ip().to_canonical().to_string();
            if host == shared_endpoint.host {
                return shared_endpoint.clone();
            }
            Arc::new(Endpoint { host, port: local.port(), ..Endpoint::clone(shared_endpoint) })
        }
        // The connection has ended already.
        Ok(_) | Err(_) => shared_endpoint.clone(),
    }
}

async fn accept_loop(socket: TcpListener, shared: Arc<Shared>, tasks: TaskTracker) {
    let mut warned_at = None;
    loop {
        let accepted = tokio::select! {
            () = shared.draining.cancelled() => return,
            () = shared.killed.cancelled() => return,
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => match shared.limits.enter(&shared.config, peer.ip()) {
                Ok(open) => {
                    shared.metrics.connections_accepted.increment();
                    let task = connection_task(stream, peer, shared.clone(), open);
                    spawn::task("connection", tasks.track_future(task));
                }
                Err(reason) => {
                    shared.metrics.connections_refused.increment();
                    debug!(%peer, %reason, "connection refused");
                }
            },
            // The peer has given up; those behind it have not.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                shared.metrics.accepts_failed.increment();
                if warned_at.is_none_or(|at: Instant| at.elapsed() >= ACCEPT_WARNING_INTERVAL) {
                    warned_at = Some(Instant::now());
                    let open = shared.metrics.connections.get();
                    warn!(%error, open, "connections cannot be accepted, and wait: trying again");
                }
                tokio::select! {
                    () = shared.draining.cancelled() => return,
                    () = shared.killed.cancelled() => return,
                    () = sleep(ACCEPT_RETRY) => {}
                }
            }
        }
    }
}

async fn connection_task(stream: TcpStream, peer: SocketAddr, shared: Arc<Shared>, open: OpenConnection) {
    let _open = open;
    // Only latency is lost without it.
    let _ = stream.set_nodelay(true);
    let connection_id = NEXT_CONNECTION_ID.fetch_add(1, Ordering::Relaxed);
    let endpoint = endpoint_of(&shared, &stream);
    let outcome = match shared.config.tls.clone() {
        None => {
            let session = Session::remote(connection_id, peer, endpoint, None);
            let (source, sink) = stream.into_split();
            Connection::new(shared, session, source, sink).run().await
        }
        Some(tls) => Box::pin(tls_connection(stream, (connection_id, peer, endpoint), shared, &tls)).await,
    };
    match outcome {
        Ok(()) => debug!(connection = connection_id, %peer, "connection closed"),
        // Nothing a peer does leads here: the handler answered with something the version cannot say.
        Err(error @ ConnectionError::Response { .. }) => {
            let error = &error as &dyn std::error::Error;
            error!(connection = connection_id, %peer, error, "connection ended");
        }
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            debug!(connection = connection_id, %peer, error, "connection ended");
        }
    }
}

/// Agrees on TLS, and serves what comes through it.
async fn tls_connection(
    stream: TcpStream,
    (connection_id, peer, endpoint): (u64, SocketAddr, Arc<Endpoint>),
    shared: Arc<Shared>,
    tls: &TlsServer,
) -> Result<(), ConnectionError> {
    let failed = |source| {
        shared.metrics.tls_handshakes_failed.increment();
        ConnectionError::Handshake(source)
    };
    let handshake = timeout(shared.config.handshake_timeout, tls.acceptor().accept(stream));
    let stream = tokio::select! {
        () = shared.draining.cancelled() => return Ok(()),
        () = shared.killed.cancelled() => return Ok(()),
        outcome = handshake => match outcome {
            Ok(outcome) => outcome.map_err(failed)?,
            Err(_) => return Err(failed(io::ErrorKind::TimedOut.into())),
        },
    };
    let certified = match stream.get_ref().1.peer_certificates().and_then(<[_]>::first) {
        None => None,
        Some(certificate) => match name::subject(certificate) {
            Some(subject) => Some(format!("User:{subject}")),
            None => return Err(failed(io::ErrorKind::InvalidData.into())),
        },
    };
    let session = Session::remote(connection_id, peer, endpoint, certified);
    let (source, sink) = tokio::io::split(stream);
    Connection::new(shared, session, source, sink).run().await
}
