//! The broker in this process, until the node shuts it down.

use std::fmt;

use parking_lot::RwLock;
use weir_broker::broker::Broker;
use weir_sql::catalog::TopicInfo;

pub(crate) struct LocalBroker {
    /// None once the node has shut down.
    broker: RwLock<Option<Broker>>,
}

impl fmt::Debug for LocalBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalBroker").finish_non_exhaustive()
    }
}

impl LocalBroker {
    pub(crate) fn new(broker: Broker) -> LocalBroker {
        LocalBroker { broker: RwLock::new(Some(broker)) }
    }

    /// Looks at the broker; None once it has been shut down.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&Broker) -> T) -> Option<T> {
        self.broker.read().as_ref().map(look)
    }

    /// Takes the broker, to shut it down.
    pub(crate) fn take(&self) -> Option<Broker> {
        self.broker.write().take()
    }

    /// A topic, without asking for the others; None if there is none of that name.
    pub(crate) fn topic(&self, name: &str) -> Option<TopicInfo> {
        let image = self.with(Broker::metadata_image)?;
        let topic = image.topic(name)?;
        Some(TopicInfo {
            partitions: topic.partitions.max(0).unsigned_abs(),
            replicas: Some(1),
            retention_ms: Some(image.log_config(topic).retention_ms.unwrap_or(-1)),
        })
    }

    /// The cluster id, as Kafka clients see it.
    pub(crate) fn cluster_id(&self) -> String {
        self.with(Broker::cluster_id).unwrap_or_default()
    }

    /// Errors: why the broker cannot serve.
    pub(crate) fn check_health(&self) -> Result<(), String> {
        let health = self.with(|broker| broker.check_health().map_err(|e| e.to_string()));
        health.unwrap_or_else(|| Err("the broker is shut down".to_owned()))
    }
}
