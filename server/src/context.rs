//! The parts of a node that statements, commands and metrics share.
//!
//! Each part has its own module and its own rules; this one only says which parts there are.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::RwLock;
use weir_broker::client::admin::Admin;
use weir_broker::client::transport::Transport;
use weir_broker::env::clock::Clock;
use weir_broker::env::rng::{Rng, SystemRng};
use weir_engine::engine::Engine;
use weir_engine::pull::executor::PullExecutor;
use weir_sql::metastore::Metastore;
use weir_sql::session::Session;

use crate::config::NodeConfig;
use crate::inserts::Inserts;
use crate::local_broker::LocalBroker;
use crate::processing_log::QueuedLog;
use crate::push_queries::PushRegistry;
use crate::query_starts::QueryStarts;
use crate::topics::TopicPolicy;

/// The shared parts. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    parts: Arc<Parts>,
}

/// Parts that a context is made of when a node starts.
pub(crate) struct Parts {
    pub(crate) config: NodeConfig,
    /// The session that requests start from.
    pub(crate) session: Session,
    pub(crate) broker: LocalBroker,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) engine: Engine,
    pub(crate) pull: PullExecutor,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) topic_policy: TopicPolicy,
    pub(crate) inserts: Inserts,
    pub(crate) processing_log: Arc<QueuedLog>,
    pub(crate) http_address: SocketAddr,
    pub(crate) pushes: PushRegistry,
    pub(crate) starts: QueryStarts,
    pub(crate) metastore: RwLock<Arc<Metastore>>,
    /// Numbers of transient queries.
    pub(crate) transient: AtomicI64,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("config", &self.parts.config).finish_non_exhaustive()
    }
}

impl Context {
    pub(crate) fn new(parts: Parts) -> Context {
        Context { parts: Arc::new(parts) }
    }

    pub(crate) fn config(&self) -> &NodeConfig {
        &self.parts.config
    }

    /// The session that requests start from.
    pub(crate) fn session(&self) -> &Session {
        &self.parts.session
    }

    pub(crate) fn broker(&self) -> &LocalBroker {
        &self.parts.broker
    }

    pub(crate) fn transport(&self) -> Arc<dyn Transport> {
        Arc::clone(&self.parts.transport)
    }

    pub(crate) fn admin(&self) -> Admin {
        Admin::new(self.transport())
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.parts.engine
    }

    pub(crate) fn pull_executor(&self) -> &PullExecutor {
        &self.parts.pull
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        self.parts.clock.as_ref()
    }

    /// Units: ms since epoch.
    pub(crate) fn now_ms(&self) -> i64 {
        self.parts.clock.now_ms()
    }

    pub(crate) fn topic_policy(&self) -> &TopicPolicy {
        &self.parts.topic_policy
    }

    pub(crate) fn inserts(&self) -> &Inserts {
        &self.parts.inserts
    }

    pub(crate) fn processing_log(&self) -> &QueuedLog {
        &self.parts.processing_log
    }

    /// Where HTTP is served; answers name this node by it.
    pub(crate) fn http_address(&self) -> SocketAddr {
        self.parts.http_address
    }

    pub(crate) fn pushes(&self) -> &PushRegistry {
        &self.parts.pushes
    }

    pub(crate) fn starts(&self) -> &QueryStarts {
        &self.parts.starts
    }

    /// The metastore as it is now; shared, not copied.
    pub(crate) fn metastore(&self) -> Arc<Metastore> {
        Arc::clone(&self.parts.metastore.read())
    }

    /// Changes the metastore. Copies of before stay as they are.
    pub(crate) fn change_metastore<T>(&self, change: impl FnOnce(&mut Metastore) -> T) -> T {
        change(Arc::make_mut(&mut self.parts.metastore.write()))
    }

    /// A number for the id of a transient query.
    pub(crate) fn next_transient_number(&self) -> i64 {
        self.parts.transient.fetch_add(1, Ordering::Relaxed)
    }
}

/// Random bits for functions.
pub(crate) fn random() -> Arc<dyn Fn() -> u64 + Send + Sync> {
    let rng = SystemRng;
    Arc::new(move || rng.next_u64())
}
