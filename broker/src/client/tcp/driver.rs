//! The task that owns the connection of a [`TcpTransport`](super::TcpTransport).

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tracing::debug;

use crate::client::tcp::TcpTransportConfig;
use crate::client::tcp::link::{Link, LinkError};
use crate::client::transport::TransportError;
use crate::env::rng::{Rng, SystemRng};
use crate::net::frame_io::ReadError;
use crate::protocol::api_key::ApiKey;
use crate::protocol::frame::{decode_response, encode_request};
use crate::protocol::header::{RequestHeader, ResponseHeader};
use crate::protocol::messages::produce::ProduceResponse;
use crate::protocol::request::Request;
use crate::protocol::response::Response;

type Reply = oneshot::Sender<Result<Response, TransportError>>;

/// A request on its way to the connection.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) request: Request,
    pub(super) deadline: Instant,
    pub(super) timeout: Duration,
    pub(super) reply: Reply,
}

/// A request that was sent and not yet answered.
struct InFlight {
    correlation_id: i32,
    api: ApiKey,
    version: i16,
    deadline: Instant,
    timeout: Duration,
    reply: Reply,
}

/// Why a connection is given up.
enum LinkEnd {
    /// The last transport was dropped.
    Unused,
    Lost(String),
    /// The request at this position in the queue of those in flight was not answered in time.
    TimedOut(usize),
}

pub(super) struct Driver {
    address: String,
    config: TcpTransportConfig,
    incoming: mpsc::Receiver<Outgoing>,
    in_flight: VecDeque<InFlight>,
    correlation_id: i32,
    /// Attempts to connect that failed since the last that did not.
    failures: u32,
    retry_at: Instant,
}

impl Driver {
    pub(super) fn new(
        address: String,
        config: TcpTransportConfig,
        incoming: mpsc::Receiver<Outgoing>,
    ) -> Self {
        Self {
            address,
            config,
            incoming,
            in_flight: VecDeque::new(),
            correlation_id: 0,
            failures: 0,
            retry_at: Instant::now(),
        }
    }

    /// Runs until the last transport is dropped.
    pub(super) async fn run(mut self) {
        while let Some(first) = self.incoming.recv().await {
            if first.reply.is_closed() {
                continue;
            }
            // Callers that are turned away wait for the pause to pass, so that their retries are spaced.
            if timeout_at(first.deadline, sleep_until(self.retry_at)).await.is_err() {
                let error = self.timed_out(first.request.api_key(), first.timeout);
                let _ = first.reply.send(Err(error));
                continue;
            }
            match self.connect().await {
                Ok(link) => {
                    self.failures = 0;
                    if self.drive(link, first).await {
                        return;
                    }
                }
                Err(error) => {
                    self.back_off();
                    self.refuse_waiting(first, &error);
                }
            }
        }
    }

    fn back_off(&mut self) {
        let pause = self.config.backoff_min.saturating_mul(1 << self.failures.min(16));
        let pause = pause.min(self.config.backoff_max);
        self.failures = self.failures.saturating_add(1);
        // Up to a fifth more, so that clients that lost the same broker do not come back at once.
        let jitter_us = SystemRng.below(1 + pause.as_micros() as u64 / 5);
        self.retry_at = Instant::now() + pause + Duration::from_micros(jitter_us);
    }

    /// Fails every request that waits for the connection.
    fn refuse_waiting(&mut self, first: Outgoing, error: &TransportError) {
        debug!(broker = %self.address, %error, "connecting failed");
        let _ = first.reply.send(Err(error.clone()));
        while let Ok(waiting) = self.incoming.try_recv() {
            let _ = waiting.reply.send(Err(error.clone()));
        }
    }

    fn timed_out(&self, api: ApiKey, timeout: Duration) -> TransportError {
        let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        TransportError::Timeout { address: self.address.clone(), api, timeout_ms }
    }

    async fn connect(&mut self) -> Result<Link, TransportError> {
        let address = self.address.clone();
        let opening = Box::pin(Link::open(&self.address, &self.config));
        match timeout(self.config.connect_timeout, opening).await {
            Ok(Ok(link)) => Ok(link),
            Ok(Err(LinkError::Unreachable(reason))) => Err(TransportError::Connect { address, reason }),
            Ok(Err(LinkError::Authentication(reason))) => {
                Err(TransportError::Authentication { address, reason })
            }
            Err(_) => Err(TransportError::Connect { address, reason: "timed out".to_owned() }),
        }
    }

    fn next_header(&mut self, api_key: ApiKey, api_version: i16) -> RequestHeader {
        self.correlation_id = self.correlation_id.wrapping_add(1) & i32::MAX;
        let client_id = self.config.client_id.clone();
        RequestHeader { api_key, api_version, correlation_id: self.correlation_id, client_id }
    }

    /// Carries requests over `link` until it ends. Returns whether the driver is done.
    async fn drive(&mut self, mut link: Link, first: Outgoing) -> bool {
        self.dispatch(&mut link, first);
        let end = self.exchange(&mut link).await;
        let reason = match end {
            LinkEnd::Unused => return true,
            LinkEnd::Lost(reason) => reason,
            LinkEnd::TimedOut(position) => {
                if let Some(late) = self.in_flight.remove(position) {
                    let error = self.timed_out(late.api, late.timeout);
                    let _ = late.reply.send(Err(error));
                }
                "an earlier request timed out".to_owned()
            }
        };
        debug!(broker = %self.address, %reason, in_flight = self.in_flight.len(), "connection lost");
        for lost in self.in_flight.drain(..) {
            let error =
                TransportError::Disconnected { address: self.address.clone(), reason: reason.clone() };
            let _ = lost.reply.send(Err(error));
        }
        false
    }

    async fn exchange(&mut self, link: &mut Link) -> LinkEnd {
        let mut unused = false;
        loop {
            if unused && self.in_flight.is_empty() && link.writer.is_idle() {
                return LinkEnd::Unused;
            }
            let oldest = self.in_flight.iter().enumerate().min_by_key(|(_, sent)| sent.deadline);
            let oldest = oldest.map(|(position, sent)| (position, sent.deadline));
            let renewing = link.renew_at.is_some_and(|renew_at| renew_at <= Instant::now());
            if renewing && self.in_flight.is_empty() && link.writer.is_idle() {
                return LinkEnd::Lost("authentication is due to be renewed".to_owned());
            }
            let can_send = !unused && !renewing && self.in_flight.len() < self.config.in_flight_max;
            tokio::select! {
                biased;
                frame = link.reader.next_frame(self.config.response_bytes_max) => match frame {
                    Ok(Some(frame)) => {
                        if let Err(reason) = self.deliver(frame.bytes) {
                            return LinkEnd::Lost(reason);
                        }
                    }
                    Ok(None) => return LinkEnd::Lost("closed by broker".to_owned()),
                    Err(error) => return LinkEnd::Lost(read_reason(error)),
                },
                written = link.writer.write_some(), if !link.writer.is_idle() => {
                    if let Err(error) = written {
                        return LinkEnd::Lost(error.to_string());
                    }
                }
                outgoing = self.incoming.recv(), if can_send => match outgoing {
                    Some(outgoing) => self.dispatch(link, outgoing),
                    None => unused = true,
                },
                () = renewal(link.renew_at), if !renewing => {}
                position = expiry(oldest) => return LinkEnd::TimedOut(position),
            }
        }
    }

    /// Encodes a request and queues it for writing.
    fn dispatch(&mut self, link: &mut Link, outgoing: Outgoing) {
        let Outgoing { request, deadline, timeout, reply } = outgoing;
        if reply.is_closed() {
            return;
        }
        let api = request.api_key();
        if deadline <= Instant::now() {
            let _ = reply.send(Err(self.timed_out(api, timeout)));
            return;
        }
        let version = match link.versions.choose(&request) {
            Ok(version) => version,
            Err(error) => {
                let _ = reply.send(Err(error));
                return;
            }
        };
        let header = self.next_header(api, version);
        match encode_request(&header, &request) {
            Ok(frame) => link.writer.push(frame),
            Err(source) => {
                let _ = reply.send(Err(TransportError::Encode { api, source }));
                return;
            }
        }
        if request.expects_response() {
            let correlation_id = header.correlation_id;
            self.in_flight.push_back(InFlight { correlation_id, api, version, deadline, timeout, reply });
        } else {
            let _ = reply.send(Ok(Response::Produce(ProduceResponse::default())));
        }
    }

    /// Hands a response to whoever waits for it. Brokers answer in order.
    fn deliver(&mut self, bytes: Bytes) -> Result<(), String> {
        let correlation_id = ResponseHeader::peek_correlation_id(&bytes).map_err(|e| e.to_string())?;
        let sent = self.in_flight.pop_front().ok_or("response without a request")?;
        if sent.correlation_id != correlation_id {
            let reason = format!("response to request {correlation_id} where {} is due", sent.correlation_id);
            self.in_flight.push_front(sent);
            return Err(reason);
        }
        let decoded = decode_response(sent.api, sent.version, bytes)
            .map(|(_, response)| response)
            .map_err(|source| TransportError::Decode { api: sent.api, source });
        // The caller may have stopped waiting.
        let _ = sent.reply.send(decoded);
        Ok(())
    }
}

/// Waits until the authentication should be renewed, if ever.
async fn renewal(renew_at: Option<Instant>) {
    match renew_at {
        Some(renew_at) => sleep_until(renew_at).await,
        None => std::future::pending().await,
    }
}

/// Waits for the deadline; without one, for ever.
async fn expiry(oldest: Option<(usize, Instant)>) -> usize {
    match oldest {
        Some((position, deadline)) => {
            sleep_until(deadline).await;
            position
        }
        None => std::future::pending().await,
    }
}

fn read_reason(error: ReadError) -> String {
    match error {
        ReadError::Io(error) => error.to_string(),
        ReadError::Length { .. } | ReadError::UnexpectedEnd | ReadError::TooSlow => error.to_string(),
    }
}
