//! One connection: requests in, responses out in the same order.
//!
//! A connection is one task that owns its socket, its buffers and the futures of the requests being answered. It reads
//! only while it can answer, so a peer that sends faster than it is served, or does not read its responses, waits in
//! its own socket.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::FuturesOrdered;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::net::config::ListenerConfig;
use crate::net::frame_io::{Frame, FrameReader, FrameWriter, ReadError};
use crate::net::handler::{RequestContext, RequestHandler};
use crate::net::limits::ConnectionLimits;
use crate::net::memory_budget::{FETCH_BYTES_MIN, MemoryBudget, Unsent};
use crate::net::metrics::NetMetrics;
use crate::net::session::{Endpoint, Inadmissible, Session, authenticates};
use crate::protocol::api_key::ApiKey;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::frame::{EncodedFrame, RequestError, decode_request, encode_response};
use crate::protocol::header::{HeaderError, RequestHeader};
use crate::protocol::messages::api_versions::{ApiVersion, ApiVersionsResponse};
use crate::protocol::messages::sasl_authenticate::SaslAuthenticateRequest;
use crate::protocol::primitive::EncodeError;
use crate::protocol::request::Request;
use crate::protocol::response::Response;

/// Time for a refused client to read the answer and to close the connection itself.
const PEER_CLOSES_WITHIN: Duration = Duration::from_secs(1);

/// Parts that the connections of a listener share.
pub(crate) struct Shared {
    pub(crate) config: ListenerConfig,
    pub(crate) handler: Arc<dyn RequestHandler>,
    pub(crate) metrics: Arc<NetMetrics>,
    /// Shared by all listeners.
    pub(crate) limits: Arc<ConnectionLimits>,
    pub(crate) endpoint: Arc<Endpoint>,
    /// No further requests are read.
    pub(crate) draining: CancellationToken,
    /// Connections end at once.
    pub(crate) killed: CancellationToken,
}

/// Reason for which a connection ended, other than its peer or a shutdown.
#[derive(Debug, Error)]
pub(crate) enum ConnectionError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("agreeing on TLS failed")]
    Handshake(#[source] io::Error),
    #[error("writing failed")]
    Write(#[source] io::Error),
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error("{api_key} version {api_version} is not served")]
    NotServed { api_key: ApiKey, api_version: i16 },
    #[error("{api_key} request is not taken")]
    Inadmissible { api_key: ApiKey, source: Inadmissible },
    #[error("{api_key} response cannot be encoded in version {api_version}")]
    Response { api_key: ApiKey, api_version: i16, source: EncodeError },
    #[error("{what} for too long")]
    TimedOut { what: &'static str },
    #[error("shut down before every request was answered")]
    Killed,
}

/// A fetch is answered after this time with the available records: its peer may be gone. Clients do not wait as long.
const FETCH_WAIT_MAX_MS: i32 = 60_000;

/// A request that was answered.
struct Answer {
    /// The response, and what counts its bytes; `None` when there is nothing to send.
    frame: Option<(EncodedFrame, Unsent)>,
    request_len: usize,
    /// Upper bound of the response's bytes.
    promised_len: usize,
}

type AnswerFuture = BoxFuture<'static, Result<Answer, ConnectionError>>;

pub(crate) struct Connection<R, W> {
    shared: Arc<Shared>,
    session: Arc<Session>,
    reader: FrameReader<R>,
    writer: FrameWriter<W>,
    in_flight: FuturesOrdered<AnswerFuture>,
    in_flight_bytes: usize,
    /// Bytes that fetches being answered may bring.
    promised_bytes: usize,
    /// A valid request was read, and the client is who it has to be.
    proven: bool,
    /// A request that proves who the client is is being answered; nothing else is read meanwhile.
    authenticating: bool,
    muted_until: Option<Instant>,
    opened_at: Instant,
    /// The peer sends nothing more, or is not to.
    read_closed: bool,
    /// Until when a peer that has hung up, or sends nothing more at least, gets answers.
    hung_up_until: Option<Instant>,
    /// The last answer refused the client.
    refused: bool,
    active_at: Instant,
    client_id: Option<Arc<str>>,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Connection<R, W> {
    pub(crate) fn new(shared: Arc<Shared>, session: Session, source: R, sink: W) -> Self {
        let memory = shared.limits.memory().clone();
        let reader = FrameReader::new(source, memory.clone());
        Self {
            shared,
            session: Arc::new(session),
            reader,
            writer: FrameWriter::new(sink, memory),
            in_flight: FuturesOrdered::new(),
            in_flight_bytes: 0,
            promised_bytes: 0,
            proven: false,
            authenticating: false,
            muted_until: None,
            opened_at: Instant::now(),
            read_closed: false,
            hung_up_until: None,
            refused: false,
            active_at: Instant::now(),
            client_id: None,
        }
    }

    /// Answers requests until the peer closes, misbehaves or is silent for too long, or the listener shuts down.
    pub(crate) async fn run(mut self) -> Result<(), ConnectionError> {
        let result = self.serve().await;
        match &result {
            Ok(()) => {}
            Err(ConnectionError::Read(ReadError::Length { .. })) => {
                self.shared.metrics.connections_oversize.increment()
            }
            Err(ConnectionError::Request(_) | ConnectionError::NotServed { .. }) => {
                self.shared.metrics.connections_malformed.increment();
            }
            Err(ConnectionError::Inadmissible { .. }) => {
                self.shared.metrics.connections_unauthenticated.increment();
            }
            Err(ConnectionError::TimedOut { .. } | ConnectionError::Read(ReadError::TooSlow)) => {
                self.shared.metrics.connections_timed_out.increment();
            }
            Err(
                ConnectionError::Read(ReadError::Io(_) | ReadError::UnexpectedEnd)
                | ConnectionError::Handshake(_)
                | ConnectionError::Write(_)
                | ConnectionError::Response { .. }
                | ConnectionError::Killed,
            ) => {}
        }
        if self.refused && result.is_ok() {
            self.let_peer_close().await;
        }
        // The peer may be gone already.
        let _ = self.writer.shutdown().await;
        result
    }

    /// Some clients take an answer that arrives together with the end of the stream for the end only, and would try
    /// again with the same password.
    async fn let_peer_close(&mut self) {
        let shared = self.shared.clone();
        let length_max = shared.config.first_request_bytes_max;
        let until_closed = async { while let Ok(Some(_)) = self.reader.next_frame(length_max).await {} };
        tokio::select! {
            () = until_closed => {}
            () = sleep(PEER_CLOSES_WITHIN) => {}
            () = shared.draining.cancelled() => {}
            () = shared.killed.cancelled() => {}
        }
    }

    async fn serve(&mut self) -> Result<(), ConnectionError> {
        let shared = self.shared.clone();
        let config = &shared.config;
        let tick = config.idle_timeout.min(config.stall_timeout).min(config.authentication_timeout) / 2;
        let timer: Sleep = sleep_until(Instant::now() + tick);
        tokio::pin!(timer);
        loop {
            if self.read_closed && self.in_flight.is_empty() && self.writer.is_idle() {
                return Ok(());
            }
            let clogged = shared.limits.memory().is_clogged();
            let unsent = self.writer.pending();
            // A peer with nothing unsent always gets one more response.
            let can_answer = unsent == 0 || (unsent < config.unsent_bytes_max && !clogged);
            let requests_max = if clogged { 1 } else { config.in_flight_requests_max };
            let muted_until = self.muted_until.filter(|until| *until > Instant::now());
            self.muted_until = muted_until;
            let can_read = can_answer
                && !self.read_closed
                && !self.authenticating
                && muted_until.is_none()
                && self.in_flight.len() < requests_max
                && self.in_flight_bytes < config.in_flight_bytes_max;
            let length_max =
                if self.proven { config.request_bytes_max } else { config.first_request_bytes_max };
            tokio::select! {
                // Answers come first: before another request is read, the futures of those before it are polled.
                biased;
                () = shared.killed.cancelled() => return Err(ConnectionError::Killed),
                () = shared.draining.cancelled(), if !self.read_closed => self.read_closed = true,
                Some(answer) = self.in_flight.next(), if can_answer && !self.in_flight.is_empty() => {
                    self.take(answer?);
                }
                written = self.writer.write_some(), if !self.writer.is_idle() => {
                    shared.metrics.bytes_sent.add(written.map_err(write_failed)? as u64);
                }
                frame = self.reader.next_frame(length_max), if can_read => {
                    shared.metrics.bytes_received.add(self.reader.take_bytes_read());
                    match frame? {
                        Some(frame) => self.accept(frame)?,
                        None => {
                            self.read_closed = true;
                            self.hung_up_until = Some(Instant::now() + config.shutdown_grace);
                        }
                    }
                }
                // The peer may be gone before a slow answer is ready.
                () = moment(self.hung_up_until), if self.hung_up_until.is_some() && self.writer.is_idle() => {
                    return Ok(());
                }
                () = moment(muted_until), if muted_until.is_some() => {}
                () = &mut timer => {
                    self.check_timeouts(can_read)?;
                    timer.as_mut().reset(Instant::now() + tick);
                }
            }
        }
    }

    /// Takes an answer to be sent, and notes what answering has changed about the session.
    fn take(&mut self, answer: Answer) {
        self.in_flight_bytes -= answer.request_len;
        self.promised_bytes -= answer.promised_len;
        self.active_at = Instant::now();
        let answered = answer.frame.is_some();
        if let Some((frame, held)) = answer.frame {
            self.writer.push_held(frame, held);
        }
        self.muted_until = self.session.muted_until();
        if self.authenticating && self.in_flight.is_empty() {
            self.authenticating = false;
            self.proven = self.session.is_ready();
            self.refused = answered && self.session.is_closing();
        }
        self.read_closed |= self.session.is_closing();
    }

    fn check_timeouts(&self, can_read: bool) -> Result<(), ConnectionError> {
        let config = &self.shared.config;
        if self.opened_at.elapsed() >= config.authentication_timeout && !self.session.is_ready() {
            return Err(ConnectionError::TimedOut { what: "client did not authenticate" });
        }
        if !self.writer.is_idle() {
            if self.writer.progress_at().elapsed() >= config.stall_timeout {
                return Err(ConnectionError::TimedOut { what: "peer did not take its response" });
            }
            return Ok(());
        }
        if !can_read {
            return Ok(());
        }
        match self.reader.partial_since() {
            Some(since) if since.elapsed() >= config.stall_timeout => {
                Err(ConnectionError::TimedOut { what: "request did not arrive completely" })
            }
            Some(_) => Ok(()),
            None if self.in_flight.is_empty() && self.active_at.elapsed() >= config.idle_timeout => {
                Err(ConnectionError::TimedOut { what: "connection was idle" })
            }
            None => Ok(()),
        }
    }

    /// Begins answering one request.
    fn accept(&mut self, frame: Frame) -> Result<(), ConnectionError> {
        self.active_at = Instant::now();
        let Frame { bytes, permit } = frame;
        let request_len = bytes.len();
        if self.session.expects_raw_token() {
            let answer = self.answer_token(bytes, permit);
            self.in_flight_bytes += request_len;
            self.in_flight.push_back(answer);
            return Ok(());
        }
        let answer = match decode_request(bytes) {
            Ok((header, request)) => self.answer(header, request, request_len, permit)?,
            Err(RequestError::Header(HeaderError::UnknownVersion {
                api_key: ApiKey::ApiVersions,
                api_version: _,
                correlation_id,
            })) => self.api_versions_downgrade(correlation_id, request_len)?,
            Err(error) => return Err(error.into()),
        };
        self.in_flight_bytes += request_len;
        self.in_flight.push_back(answer);
        Ok(())
    }

    fn answer(
        &mut self,
        header: RequestHeader,
        mut request: Request,
        request_len: usize,
        permit: OwnedSemaphorePermit,
    ) -> Result<AnswerFuture, ConnectionError> {
        let RequestHeader { api_key, api_version, correlation_id, client_id } = header;
        if !api_key.served_versions().is_some_and(|served| served.contains(api_version)) {
            return match api_key {
                ApiKey::ApiVersions => self.api_versions_downgrade(correlation_id, request_len),
                _ => Err(ConnectionError::NotServed { api_key, api_version }),
            };
        }
        let admitted = self.session.admit(api_key, Instant::now());
        admitted.map_err(|source| ConnectionError::Inadmissible { api_key, source })?;
        self.authenticating |= authenticates(api_key);
        self.proven |= self.session.is_ready();
        if self.client_id.as_deref() != client_id.as_deref() {
            self.client_id = client_id.map(Arc::from);
        }
        let shared = self.shared.clone();
        let memory = shared.limits.memory().clone();
        let promised_len = self.bound_fetch(&mut request);
        self.promised_bytes += promised_len;
        shared.metrics.api(api_key).requests.increment();
        shared.metrics.api(api_key).bytes_received.add(request_len as u64);
        let context = self.context(api_version, request_len);
        let started_at = Instant::now();
        let response = shared.handler.handle(context, request);
        Ok(async move {
            let response = response.await;
            // The bytes of the request count for as long as the handler may hold on to them.
            drop(permit);
            shared.metrics.api(api_key).latency.record(started_at.elapsed());
            let frame = response
                .map(|response| encode_response(correlation_id, api_version, &response))
                .transpose()
                .map_err(|source| ConnectionError::Response { api_key, api_version, source })?;
            if let Some(frame) = &frame {
                shared.metrics.api(api_key).bytes_sent.add(frame.len() as u64);
            }
            Ok(Answer { frame: frame.map(|frame| held(frame, &memory)), request_len, promised_len })
        }
        .boxed())
    }

    /// Bounds the wait of a fetch, and its bytes by the free memory and by the bytes that the connection is to receive
    /// already. Returns the bytes that it may bring; 0 for any other request.
    fn bound_fetch(&self, request: &mut Request) -> usize {
        let Request::Fetch(fetch) = request else { return 0 };
        fetch.max_wait_ms = fetch.max_wait_ms.min(FETCH_WAIT_MAX_MS);
        let left = self.shared.limits.memory().fetch_bytes_max();
        let given = self.promised_bytes + self.writer.pending();
        let own = match given {
            0 => left,
            given => self.shared.config.unsent_bytes_max.saturating_sub(given).max(FETCH_BYTES_MIN),
        };
        fetch.max_bytes = fetch.max_bytes.min(i32::try_from(left.min(own)).unwrap_or(i32::MAX));
        usize::try_from(fetch.max_bytes).unwrap_or(0)
    }

    fn context(&self, api_version: i16, request_bytes: usize) -> RequestContext {
        let (client_id, session) = (self.client_id.clone(), self.session.clone());
        RequestContext { api_version, request_bytes, client_id, session }
    }

    /// Answers a token that came without header, as after version 0 of `SaslHandshake`. A failure has no answer: the
    /// connection ends.
    fn answer_token(&mut self, token: Bytes, permit: OwnedSemaphorePermit) -> AnswerFuture {
        self.authenticating = true;
        let request_len = token.len();
        let request = SaslAuthenticateRequest { auth_bytes: token };
        let response = self.shared.handler.handle(self.context(0, request_len), request.into());
        let memory = self.shared.limits.memory().clone();
        async move {
            let response = response.await;
            drop(permit);
            let frame = match response {
                Some(Response::SaslAuthenticate(response)) if response.error_code == ErrorCode::None => {
                    Some(EncodedFrame::bare(response.auth_bytes))
                }
                _ => None,
            };
            Ok(Answer { frame: frame.map(|frame| held(frame, &memory)), request_len, promised_len: 0 })
        }
        .boxed()
    }

    /// The answer to an unknown version of `ApiVersions`: version 0, which every client can read (KIP-511).
    fn api_versions_downgrade(
        &self,
        correlation_id: i32,
        request_len: usize,
    ) -> Result<AnswerFuture, ConnectionError> {
        let response = Response::ApiVersions(ApiVersionsResponse {
            error_code: ErrorCode::UnsupportedVersion,
            api_keys: ApiVersion::served(),
            ..ApiVersionsResponse::default()
        });
        let frame = encode_response(correlation_id, 0, &response).map_err(|source| {
            ConnectionError::Response { api_key: ApiKey::ApiVersions, api_version: 0, source }
        })?;
        let frame = Some(held(frame, self.shared.limits.memory()));
        Ok(async move { Ok(Answer { frame, request_len, promised_len: 0 }) }.boxed())
    }
}

/// A response with what counts its bytes.
fn held(frame: EncodedFrame, memory: &Arc<MemoryBudget>) -> (EncodedFrame, Unsent) {
    let unsent = memory.hold(frame.len());
    (frame, unsent)
}

fn write_failed(error: io::Error) -> ConnectionError {
    match error.kind() {
        io::ErrorKind::TimedOut => {
            ConnectionError::TimedOut { what: "peer took its responses slowly, and others waited," }
        }
        _ => ConnectionError::Write(error),
    }
}

/// Waits until a moment; not at all without one.
async fn moment(until: Option<Instant>) {
    if let Some(until) = until {
        sleep_until(until).await;
    }
}
