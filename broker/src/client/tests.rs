//! A broker made of a function, for the client's tests.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::client::transport::{Answer, Transport, TransportError};
use crate::protocol::request::Request;
use crate::protocol::response::Response;

/// No test waits longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

type Script = dyn Fn(&Request) -> Result<Response, TransportError> + Send + Sync;

/// Answers requests as its script says, and keeps them.
pub(crate) struct ScriptedTransport {
    script: Box<Script>,
    requests: Mutex<Vec<Request>>,
    /// Answers to Produce requests that may be given.
    gate: Arc<Semaphore>,
}

impl fmt::Debug for ScriptedTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedTransport").finish_non_exhaustive()
    }
}

impl ScriptedTransport {
    pub(crate) fn new(
        script: impl Fn(&Request) -> Result<Response, TransportError> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Self::with_permits(script, Semaphore::MAX_PERMITS)
    }

    /// Answers no Produce request before [`ScriptedTransport::let_answers`].
    pub(crate) fn holding(
        script: impl Fn(&Request) -> Result<Response, TransportError> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Self::with_permits(script, 0)
    }

    fn with_permits(
        script: impl Fn(&Request) -> Result<Response, TransportError> + Send + Sync + 'static,
        permits: usize,
    ) -> Arc<Self> {
        let gate = Arc::new(Semaphore::new(permits));
        Arc::new(Self { script: Box::new(script), requests: Mutex::default(), gate })
    }

    pub(crate) fn let_answers(&self, count: usize) {
        self.gate.add_permits(count);
    }

    /// The requests so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().clone()
    }
}

impl Transport for ScriptedTransport {
    fn hand_over(&self, request: Request) -> BoxFuture<'_, Result<Answer, TransportError>> {
        let response = (self.script)(&request);
        let is_held = matches!(request, Request::Produce(_));
        self.requests.lock().push(request);
        let gate = Arc::clone(&self.gate);
        let answer: Answer = Box::pin(async move {
            if is_held {
                gate.acquire().await.expect("never closed").forget();
            }
            response
        });
        Box::pin(std::future::ready(Ok(answer)))
    }
}
