//! One fetch session (KIP-227): the partitions a client reads, so that it names only what changes, and is told only what
//! is new.

use std::sync::Arc;

use indexmap::IndexMap;
use uuid::Uuid;

use crate::protocol::messages::fetch::{
    FetchPartition, FetchTopic, FetchableTopicResponse, ForgottenTopic, PartitionData,
};

/// No high watermark is this: what is cached differs from every answer.
const UNTOLD: i64 = -1;

/// Key of a topic in a session: its id from version 13 on, its name before.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum TopicKey {
    Name(Arc<str>),
    Id(Uuid),
}

impl TopicKey {
    pub(crate) fn new(by_id: bool, name: &str, id: Uuid) -> Self {
        if by_id { Self::Id(id) } else { Self::Name(name.into()) }
    }

    fn name(&self) -> String {
        match self {
            Self::Name(name) => name.to_string(),
            Self::Id(_) => String::new(),
        }
    }

    fn id(&self) -> Uuid {
        match self {
            Self::Name(_) => Uuid::nil(),
            Self::Id(id) => *id,
        }
    }
}

/// A partition of a session: its request, and the last answer to its client.
#[derive(Debug, Clone)]
struct Cached {
    wanted: FetchPartition,
    high_watermark: i64,
    last_stable_offset: i64,
    log_start_offset: i64,
    /// Did the last answer have records of it?
    served: bool,
}

impl Cached {
    fn new(wanted: FetchPartition) -> Self {
        Self {
            wanted,
            high_watermark: UNTOLD,
            last_stable_offset: UNTOLD,
            log_start_offset: UNTOLD,
            served: false,
        }
    }

    /// Notes the answer. Returns whether the client must receive it.
    fn tell(&mut self, data: &PartitionData) -> bool {
        self.served = data.records.as_ref().is_some_and(|records| !records.is_empty());
        if data.error_code.is_err() {
            // Errors are sent every time, and so is the answer after an error.
            self.high_watermark = UNTOLD;
            return true;
        }
        let before = (self.high_watermark, self.last_stable_offset, self.log_start_offset);
        let now = (data.high_watermark, data.last_stable_offset, data.log_start_offset);
        (self.high_watermark, self.last_stable_offset, self.log_start_offset) = now;
        self.served || before != now
    }
}

/// The reason for which a request does not fit its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mismatch {
    Epoch,
    TopicIds,
}

/// The partitions of one client, in the order in which they are read.
#[derive(Debug)]
pub(crate) struct FetchSession {
    /// Owner of the session, whose requests it accepts.
    pub(crate) principal: Arc<str>,
    by_id: bool,
    /// The epoch of the next request.
    epoch_next: i32,
    partitions: IndexMap<(TopicKey, i32), Cached>,
}

/// The epoch after `epoch`; 0 begins a session and is not used again.
fn epoch_after(epoch: i32) -> i32 {
    epoch.checked_add(1).unwrap_or(1)
}

impl FetchSession {
    /// A session of the partitions of a full request, whose answer is noted next.
    pub(crate) fn new(principal: Arc<str>, by_id: bool, topics: &[FetchTopic]) -> Self {
        let mut session = Self { principal, by_id, epoch_next: 1, partitions: IndexMap::new() };
        session.add(topics);
        session
    }

    pub(crate) fn len(&self) -> usize {
        self.partitions.len()
    }

    fn add(&mut self, topics: &[FetchTopic]) {
        for topic in topics {
            let key = TopicKey::new(self.by_id, &topic.topic, topic.topic_id);
            for wanted in &topic.partitions {
                let entry = self.partitions.entry((key.clone(), wanted.partition));
                entry
                    .and_modify(|cached| cached.wanted.clone_from(wanted))
                    .or_insert_with(|| Cached::new(wanted.clone()));
            }
        }
    }

    /// Is a request with this epoch the next one?
    pub(crate) fn check(&self, epoch: i32, by_id: bool) -> Result<(), Mismatch> {
        if epoch != self.epoch_next {
            return Err(Mismatch::Epoch);
        }
        if by_id == self.by_id { Ok(()) } else { Err(Mismatch::TopicIds) }
    }

    /// Takes the next request: what it adds, changes and forgets.
    pub(crate) fn advance(&mut self, topics: &[FetchTopic], forgotten: &[ForgottenTopic]) {
        self.epoch_next = epoch_after(self.epoch_next);
        self.add(topics);
        let mut gone = hashbrown::HashSet::new();
        for topic in forgotten {
            let key = TopicKey::new(self.by_id, &topic.topic, topic.topic_id);
            gone.extend(topic.partitions.iter().map(|partition| (key.clone(), *partition)));
        }
        if !gone.is_empty() {
            self.partitions.retain(|partition, _| !gone.contains(partition));
        }
    }

    /// Everything the client reads, as if it had named it all.
    pub(crate) fn topics(&self) -> Vec<FetchTopic> {
        let mut topics: Vec<FetchTopic> = Vec::new();
        let mut before: Option<&TopicKey> = None;
        for ((key, _), cached) in &self.partitions {
            if before != Some(key) {
                topics.push(FetchTopic { topic: key.name(), topic_id: key.id(), partitions: Vec::new() });
            }
            before = Some(key);
            if let Some(topic) = topics.last_mut() {
                topic.partitions.push(cached.wanted.clone());
            }
        }
        topics
    }

    /// Notes an answer. With `only_news`, takes out of it what the client knows. What gave records goes to the end, so
    /// that the next answer begins with others.
    pub(crate) fn tell(&mut self, topics: &mut Vec<FetchableTopicResponse>, only_news: bool) {
        let mut any_served = false;
        for topic in topics.iter_mut() {
            let key = TopicKey::new(self.by_id, &topic.topic, topic.topic_id);
            topic.partitions.retain(|data| {
                // A partition that was removed in the meantime is answered for the last time.
                let cached = self.partitions.get_mut(&(key.clone(), data.partition_index));
                let is_news = cached.is_none_or(|cached| {
                    let is_news = cached.tell(data);
                    any_served |= cached.served;
                    is_news
                });
                is_news || !only_news
            });
        }
        topics.retain(|topic| !topic.partitions.is_empty());
        if any_served {
            self.partitions.sort_by(|_, a, _, b| a.served.cmp(&b.served));
        }
    }
}
