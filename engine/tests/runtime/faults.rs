//! A transport that fails as a test wants, and a clock that panics.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use parking_lot::Mutex;
use weir_broker::client::transport::{Answer, Transport, TransportError};
use weir_broker::env::clock::{Clock, SystemClock};
use weir_broker::protocol::api_key::ApiKey;
use weir_broker::protocol::error_code::ErrorCode;
use weir_broker::protocol::messages::end_txn::EndTxnResponse;
use weir_broker::protocol::messages::txn_offset_commit::{
    TxnOffsetCommitResponse, TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use weir_broker::protocol::request::Request;
use weir_broker::protocol::response::Response;

/// What happens to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The transport panics when a transaction is to be committed.
    PanicAtCommit,
    /// The commit of a transaction is refused; it has no effect.
    RefuseCommit(ErrorCode),
    /// The offsets of a transaction are refused.
    RefuseOffsets(ErrorCode),
    /// The connection is lost before a request of this API is sent.
    Disconnect(ApiKey),
}

/// The next fault, and how many there were.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    next: Mutex<Option<Fault>>,
    happened: AtomicUsize,
}

impl Faults {
    pub(crate) fn inject(&self, fault: Fault) {
        *self.next.lock() = Some(fault);
    }

    pub(crate) fn happened(&self) -> usize {
        self.happened.load(Ordering::SeqCst)
    }

    fn take(&self, fits: impl Fn(Fault) -> bool) -> Option<Fault> {
        let taken = self.next.lock().take_if(|fault| fits(*fault));
        self.happened.fetch_add(usize::from(taken.is_some()), Ordering::SeqCst);
        taken
    }

    fn answer(&self, request: &Request) -> Option<Response> {
        match request {
            Request::EndTxn(request) if request.committed => {
                match self.take(|fault| matches!(fault, Fault::PanicAtCommit | Fault::RefuseCommit(_)))? {
                    Fault::RefuseCommit(error_code) => {
                        Some(Response::EndTxn(EndTxnResponse { error_code, ..EndTxnResponse::default() }))
                    }
                    Fault::PanicAtCommit | Fault::RefuseOffsets(_) | Fault::Disconnect(_) => {
                        panic!("injected")
                    }
                }
            }
            Request::TxnOffsetCommit(request) => {
                let Fault::RefuseOffsets(error_code) =
                    self.take(|fault| matches!(fault, Fault::RefuseOffsets(_)))?
                else {
                    return None;
                };
                let topics = request.topics.iter().map(|topic| TxnOffsetCommitResponseTopic {
                    name: topic.name.clone(),
                    partitions: topic
                        .partitions
                        .iter()
                        .map(|p| TxnOffsetCommitResponsePartition {
                            partition_index: p.partition_index,
                            error_code,
                        })
                        .collect(),
                });
                let response = TxnOffsetCommitResponse {
                    topics: topics.collect(),
                    ..TxnOffsetCommitResponse::default()
                };
                Some(Response::TxnOffsetCommit(response))
            }
            _ => None,
        }
    }
}

pub(crate) struct FaultyTransport {
    pub(crate) inner: Arc<dyn Transport>,
    pub(crate) faults: Arc<Faults>,
}

impl Transport for FaultyTransport {
    fn hand_over(&self, request: Request) -> BoxFuture<'_, Result<Answer, TransportError>> {
        let api = request.api_key();
        if self.faults.take(|fault| fault == Fault::Disconnect(api)).is_some() {
            let (address, reason) = ("broker".to_owned(), "injected".to_owned());
            return Box::pin(std::future::ready(Err(TransportError::Disconnected { address, reason })));
        }
        match self.faults.answer(&request) {
            None => self.inner.hand_over(request),
            Some(response) => {
                let answer: Answer = Box::pin(std::future::ready(Ok(response)));
                Box::pin(std::future::ready(Ok(answer)))
            }
        }
    }
}

/// A clock that panics on worker threads: once when the time passes, or whenever the wall clock is read.
#[derive(Debug, Default)]
pub(crate) struct PanickingClock {
    inner: SystemClock,
    pub(crate) next_monotonic: AtomicBool,
    pub(crate) wall: AtomicBool,
}

fn is_worker() -> bool {
    std::thread::current().name().is_some_and(|name| name.starts_with("weir-worker"))
}

impl Clock for PanickingClock {
    fn now_ms(&self) -> i64 {
        assert!(!(is_worker() && self.wall.load(Ordering::SeqCst)), "injected");
        self.inner.now_ms()
    }

    fn monotonic(&self) -> Duration {
        assert!(!(is_worker() && self.next_monotonic.swap(false, Ordering::SeqCst)), "injected");
        self.inner.monotonic()
    }
}
