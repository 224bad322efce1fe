//! A loss of power after each acknowledgement: what a client was answered is still so after the start.
//!
//! Each case holds all syncs back while a request is under way: there must be no answer. Then the syncs go on, the
//! answer comes, and the disk as a loss of power at that moment leaves it is started anew.

mod groups;
mod metadata;
mod records;
mod transactions;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use weir_broker::auth::config::AuthorizerConfig;
use weir_broker::broker::{Broker, Effects};
use weir_broker::client::admin::Admin;
use weir_broker::client::transport::{Transport, TransportError};
use weir_broker::config::BrokerConfig;
use weir_broker::env::storage::memory::{Crash, MemoryStorage};
use weir_broker::protocol::request::Request;
use weir_broker::protocol::response::Response;

/// An answer that does not wait for the disk comes within this time; only a wrong one is waited for that long.
const HELD: Duration = Duration::from_millis(150);
const PATIENCE: Duration = Duration::from_secs(60);

/// Sends a request and takes the answer of the same API.
macro_rules! call {
    ($transport:expr, $api:ident, $request:expr) => {
        match $transport
            .send(weir_broker::protocol::request::Request::$api($request))
            .await
            .expect("answered")
        {
            weir_broker::protocol::response::Response::$api(response) => response,
            other => panic!("{other:?}"),
        }
    };
}

pub(crate) use call;

/// A request on its way.
type Answering = JoinHandle<Result<Response, TransportError>>;

async fn answered(answer: Answering) -> Response {
    let answer = tokio::time::timeout(PATIENCE, answer).await.expect("an answer in time");
    answer.expect("no panic").expect("answered")
}

/// A broker on a disk in memory.
struct Node {
    storage: MemoryStorage,
    broker: Broker,
    transport: Arc<dyn Transport>,
}

impl Node {
    async fn new() -> Self {
        Self::on(MemoryStorage::new()).await
    }

    async fn on(storage: MemoryStorage) -> Self {
        let effects = Effects { storage: Arc::new(storage.clone()), ..Effects::default() };
        let mut config = BrokerConfig::new("/data");
        config.listeners.clear();
        config.security.authorizer = Some(AuthorizerConfig::default());
        config.groups.group.initial_rebalance_delay_ms = 0;
        config.auto_create_topics = true;
        let broker = Broker::start_with(config, effects).await.expect("the broker starts");
        let transport = broker.transport();
        Self { storage, broker, transport }
    }

    async fn with_topic(name: &str, partitions: i32) -> Self {
        let node = Self::new().await;
        node.admin().create_topic(name, partitions, &BTreeMap::new()).await.expect("created");
        node
    }

    fn admin(&self) -> Admin {
        Admin::new(self.transport.clone())
    }

    /// The answer to a request that makes something durable, and a broker started on what a loss of power at the time
    /// of the answer leaves.
    async fn acknowledged(&self, request: Request) -> (Response, Node) {
        self.acknowledged_after(request, |_| true).await
    }

    /// As [`Self::acknowledged`]; only the syncs of some files are held back.
    async fn acknowledged_after(
        &self,
        request: Request,
        is_held: impl Fn(&Path) -> bool + Send + Sync + 'static,
    ) -> (Response, Node) {
        let held = self.storage.hold_syncs(is_held);
        let answer = self.unanswered(request, "").await;
        drop(held);
        (answered(answer).await, self.after_power_cut().await)
    }

    /// As [`Self::acknowledged`], of a request that is sent again before the first is answered, as by a client that has
    /// lost its connection. The answer is that to the second.
    async fn acknowledged_again(&self, request: Request) -> (Response, Node) {
        let held = self.storage.hold_syncs(|_| true);
        let first = self.unanswered(request.clone(), "").await;
        let again = self.unanswered(request, ", sent again,").await;
        drop(held);
        let (again, after) = (answered(again).await, self.after_power_cut().await);
        answered(first).await;
        (again, after)
    }

    /// Sends a request that must not be answered for the time being.
    async fn unanswered(&self, request: Request, how: &str) -> Answering {
        let api = request.api_key();
        let transport = self.transport.clone();
        let mut answer = tokio::spawn(async move { transport.send(request).await });
        let early = tokio::time::timeout(HELD, &mut answer).await;
        assert!(early.is_err(), "{api}{how} is answered before it is durable: {early:?}");
        answer
    }

    /// The same disk after a loss of power, for what is not acknowledged by one request.
    async fn after_power_cut(&self) -> Node {
        Self::on(self.storage.after_crash(Crash::Power)).await
    }
}
