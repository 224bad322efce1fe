//! Requests to a cluster: each goes to the leader, coordinator or controller that it is for.
//!
//! While a cluster has one broker, everything goes to the address that was given for it, whatever it advertises.

pub(crate) mod route;
pub(crate) mod split;
pub(crate) mod staleness;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use futures::future::{BoxFuture, try_join_all};
use parking_lot::Mutex;

use crate::client::cluster::route::{CoordinatorKey, Route, route};
use crate::client::cluster::split::{by_leader, merge, topics_of, with_keys};
use crate::client::cluster::staleness::{is_controller_moved, is_coordinator_moved, stale_topics};
use crate::client::metadata_cache::{MetadataCache, MetadataCacheConfig, TopicKey};
use crate::client::transport::{Answer, Transport, TransportError};
use crate::env::clock::{Clock, SystemClock};
use crate::ids::NO_LEADER_EPOCH;
use crate::protocol::api_key::ApiKey;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::find_coordinator::FindCoordinatorRequest;
use crate::protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic};
use crate::protocol::request::Request;
use crate::protocol::response::Response;

/// Coordinators that are remembered.
const COORDINATORS_MAX: usize = 1_000;
/// Stands for a leader that is not known.
const NO_BROKER: i32 = -1;

/// Makes a transport to the broker at an address, `host:port`.
pub type Connect = dyn Fn(&str) -> Arc<dyn Transport> + Send + Sync;

struct State {
    cache: MetadataCache,
    coordinators: BTreeMap<CoordinatorKey, i32>,
    /// By address.
    links: BTreeMap<String, Arc<dyn Transport>>,
    /// The address that answered last when metadata was asked for.
    home: String,
}

struct Cluster {
    bootstrap: Vec<String>,
    connect: Box<Connect>,
    state: Mutex<State>,
    /// Metadata is asked for once at a time.
    refreshing: tokio::sync::Mutex<()>,
    clock: SystemClock,
}

/// A part of a request, for one broker.
struct Part {
    /// None: any.
    broker: Option<i32>,
    request: Request,
    /// Groups and transactional ids of one broker.
    keys: Vec<CoordinatorKey>,
}

impl Part {
    fn whole(broker: Option<i32>, request: Request) -> Vec<Self> {
        vec![Self { broker, request, keys: Vec::new() }]
    }
}

/// A transport to all brokers of a cluster, with a link to each.
///
/// A request that concerns several brokers is shared out among them and answered when all have answered; if one fails,
/// so does the request. Requests to one broker keep their order. What a wrong broker refuses is refused here as well:
/// sent again, it goes by newer metadata.
#[derive(Clone)]
pub struct ClusterTransport(Arc<Cluster>);

impl fmt::Debug for ClusterTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterTransport").field("bootstrap", &self.0.bootstrap).finish_non_exhaustive()
    }
}

impl ClusterTransport {
    /// A transport to the cluster of the brokers at these addresses (`bootstrap.servers`). Nothing is sent yet.
    pub fn new(
        bootstrap: Vec<String>,
        config: MetadataCacheConfig,
        connect: impl Fn(&str) -> Arc<dyn Transport> + Send + Sync + 'static,
    ) -> Self {
        let state = State {
            cache: MetadataCache::new(config),
            coordinators: BTreeMap::new(),
            links: BTreeMap::new(),
            home: bootstrap.first().cloned().unwrap_or_default(),
        };
        Self(Arc::new(Cluster {
            bootstrap,
            connect: Box::new(connect),
            state: Mutex::new(state),
            refreshing: tokio::sync::Mutex::new(()),
            clock: SystemClock::new(),
        }))
    }
}

impl Transport for ClusterTransport {
    fn hand_over(&self, request: Request) -> BoxFuture<'_, Result<Answer, TransportError>> {
        Box::pin(async move {
            self.0.prepare(&[]).await?;
            let parts = match self.0.has_one_broker() {
                true => Part::whole(None, request),
                false => self.0.share(request).await?,
            };
            let mut answers = Vec::with_capacity(parts.len());
            for part in parts {
                let answer = match self.0.link(part.broker).hand_over(part.request).await {
                    Ok(answer) => answer,
                    Err(error) => Box::pin(std::future::ready(Err(error))) as Answer,
                };
                answers.push(Arc::clone(&self.0).watched(answer, part.keys));
            }
            Ok(together(answers))
        })
    }
}

/// The answer to a request out of those to its parts.
fn together(mut answers: Vec<Answer>) -> Answer {
    if answers.len() == 1
        && let Some(answer) = answers.pop()
    {
        return answer;
    }
    Box::pin(async move {
        let answers = try_join_all(answers).await?;
        merge(answers).ok_or(TransportError::Closed)
    })
}

impl Cluster {
    fn has_one_broker(&self) -> bool {
        self.state.lock().cache.brokers().len() <= 1
    }

    /// The link to a broker; to one that answers, if it is not known.
    fn link(&self, broker: Option<i32>) -> Arc<dyn Transport> {
        let mut state = self.state.lock();
        let address = broker.and_then(|id| state.cache.brokers().get(&id).cloned());
        let address = address.unwrap_or_else(|| state.home.clone());
        Arc::clone(state.links.entry(address).or_insert_with_key(|address| (self.connect)(address)))
    }

    /// Makes sure that the brokers, and the leaders of these topics, are known.
    async fn prepare(&self, topics: &[TopicKey]) -> Result<(), TransportError> {
        if self.is_prepared(topics).is_none() {
            return Ok(());
        }
        let _alone = self.refreshing.lock().await;
        // The request before may have asked for the same.
        match self.is_prepared(topics) {
            None => Ok(()),
            Some(missing) => self.refresh(missing).await,
        }
    }

    /// The topics to ask for; none if there is nothing to ask for.
    fn is_prepared(&self, topics: &[TopicKey]) -> Option<Vec<TopicKey>> {
        let now = self.clock.monotonic();
        let state = self.state.lock();
        let missing = state.cache.missing(topics.iter().cloned(), now);
        (state.cache.needs_brokers(now) || !missing.is_empty()).then_some(missing)
    }

    async fn refresh(&self, topics: Vec<TopicKey>) -> Result<(), TransportError> {
        let request = MetadataRequest {
            topics: Some(topics.into_iter().map(wanted).collect()),
            allow_auto_topic_creation: false,
            ..MetadataRequest::default()
        };
        let mut failure = TransportError::Connect {
            address: "cluster".to_owned(),
            reason: "no broker's address was given".to_owned(),
        };
        for address in self.candidates() {
            let link = {
                let mut state = self.state.lock();
                let link = state.links.entry(address.clone());
                Arc::clone(link.or_insert_with_key(|address| (self.connect)(address)))
            };
            match link.send(Request::Metadata(request.clone())).await {
                Ok(Response::Metadata(answer)) => {
                    let mut state = self.state.lock();
                    let state = &mut *state;
                    state.cache.update(answer, self.clock.monotonic());
                    state.home = address;
                    let (known, home) = (state.cache.brokers(), &state.home);
                    state.links.retain(|at, _| at == home || known.values().any(|known| known == at));
                    return Ok(());
                }
                Ok(_) => failure = TransportError::NoResponse { api: ApiKey::Metadata },
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// Addresses to ask for metadata: the one that answered last, those of the other brokers, those that were given.
    fn candidates(&self) -> Vec<String> {
        let state = self.state.lock();
        let mut candidates = Vec::new();
        let all = std::iter::once(&state.home).chain(state.cache.brokers().values()).chain(&self.bootstrap);
        for address in all {
            if !address.is_empty() && !candidates.contains(address) {
                candidates.push(address.clone());
            }
        }
        candidates
    }

    /// The parts of a request, each for one broker.
    async fn share(&self, request: Request) -> Result<Vec<Part>, TransportError> {
        Ok(match route(&request) {
            Route::Any => Part::whole(None, request),
            Route::Controller => Part::whole(self.state.lock().cache.controller_id(), request),
            Route::Broker(id) => Part::whole(Some(id), request),
            Route::All => {
                let brokers: Vec<i32> = self.state.lock().cache.brokers().keys().copied().collect();
                let part = |id| Part { broker: Some(id), request: request.clone(), keys: Vec::new() };
                brokers.into_iter().map(part).collect()
            }
            Route::Leaders => self.share_by_leader(request).await?,
            Route::Coordinators(keys) => self.share_by_coordinator(request, keys).await,
        })
    }

    async fn share_by_leader(&self, request: Request) -> Result<Vec<Part>, TransportError> {
        let key = |(name, id)| TopicKey { name, id };
        let topics: Vec<TopicKey> = topics_of(&request).into_iter().map(key).collect();
        if topics.is_empty() {
            return Ok(Part::whole(None, request));
        }
        self.prepare(&topics).await?;
        let shares = by_leader(request, &|name, id, partition| {
            let topic = TopicKey { name: name.to_owned(), id };
            match self.state.lock().cache.leader(&topic, partition) {
                Some(leader) => (leader.broker_id, leader.epoch),
                // Any broker refuses it with the right code.
                None => (NO_BROKER, NO_LEADER_EPOCH),
            }
        });
        let part = |(broker, request)| Part { broker: Some(broker), request, keys: Vec::new() };
        Ok(shares.into_iter().map(part).collect())
    }

    async fn share_by_coordinator(&self, request: Request, keys: Vec<CoordinatorKey>) -> Vec<Part> {
        let mut by_broker: BTreeMap<Option<i32>, Vec<CoordinatorKey>> = BTreeMap::new();
        for key in keys {
            by_broker.entry(self.coordinator(&key).await).or_default().push(key);
        }
        if by_broker.len() <= 1 {
            let (broker, keys) = by_broker.pop_first().unwrap_or_default();
            return vec![Part { broker, request, keys }];
        }
        let part = |(broker, keys): (_, Vec<CoordinatorKey>)| {
            let ids: Vec<String> = keys.iter().map(|(_, id)| id.clone()).collect();
            Part { broker, request: with_keys(&request, &ids), keys }
        };
        by_broker.into_iter().map(part).collect()
    }

    /// The coordinator of a group or transactional id. None: it cannot be found now, which any broker says as well.
    async fn coordinator(&self, key: &CoordinatorKey) -> Option<i32> {
        let known = self.state.lock().coordinators.get(key).copied();
        if known.is_some() {
            return known;
        }
        let (kind, id) = key;
        let request = FindCoordinatorRequest {
            key_type: kind.code(),
            coordinator_keys: vec![id.clone()],
            ..FindCoordinatorRequest::default()
        };
        let answer = self.link(None).send(Request::FindCoordinator(request)).await;
        let Ok(Response::FindCoordinator(answer)) = answer else { return None };
        let found =
            answer.coordinators.into_iter().find(|c| c.key == *id && c.error_code == ErrorCode::None)?;
        let mut state = self.state.lock();
        if state.coordinators.len() >= COORDINATORS_MAX {
            state.coordinators.pop_first();
        }
        state.coordinators.insert(key.clone(), found.node_id);
        if !state.cache.brokers().contains_key(&found.node_id) {
            state.cache.invalidate_all();
        }
        Some(found.node_id)
    }

    /// An answer that is looked at for what it says about the cluster.
    fn watched(self: Arc<Self>, answer: Answer, keys: Vec<CoordinatorKey>) -> Answer {
        Box::pin(async move {
            let outcome = answer.await;
            self.learn(&outcome, &keys);
            outcome
        })
    }

    fn learn(&self, outcome: &Result<Response, TransportError>, keys: &[CoordinatorKey]) {
        let mut state = self.state.lock();
        match outcome {
            Err(error) if error.is_retriable() => {
                state.cache.invalidate_all();
                state.coordinators.clear();
            }
            Err(_) => {}
            Ok(answer) => {
                for topic in stale_topics(answer) {
                    state.cache.invalidate(&topic);
                }
                if is_coordinator_moved(answer) {
                    state.coordinators.retain(|key, _| !keys.contains(key));
                }
                if is_controller_moved(answer) {
                    state.cache.invalidate_all();
                }
            }
        }
    }
}

fn wanted(topic: TopicKey) -> MetadataRequestTopic {
    let name = Some(topic.name).filter(|name| !name.is_empty());
    // By name where there is one: the answer shows whether the name has another id now.
    let topic_id = if name.is_some() { uuid::Uuid::nil() } else { topic.id };
    MetadataRequestTopic { topic_id, name }
}

#[cfg(test)]
mod tests;
