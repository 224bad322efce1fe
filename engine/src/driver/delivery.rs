//! Rows of internal topics on their way to the tasks that read them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::batch::RecordHeaders;
use crate::driver::{Delivery, split_mix};
use crate::topology::sub_topology::TopicName;

/// Records delivered together at most, where that is drawn.
const DRAWN_RECORDS_MAX: u64 = 4;

/// A record on its way through an internal topic.
#[derive(Debug)]
pub(crate) struct InternalRecord {
    pub(crate) topic: TopicName,
    /// None: that of its key.
    pub(crate) partition: Option<i32>,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) timestamp: i64,
    pub(crate) headers: Option<Arc<RecordHeaders>>,
}

/// Records of one partition, in order.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) topic: TopicName,
    pub(crate) partition: i32,
    pub(crate) records: Vec<InternalRecord>,
}

/// Records that were emitted and not delivered yet.
#[derive(Debug)]
pub(crate) struct InFlight {
    delivery: Delivery,
    draws: u64,
    /// In the order they were emitted: [`Delivery::AtOnce`].
    queue: VecDeque<(i32, InternalRecord)>,
    /// By topic and partition: [`Delivery::Drawn`].
    partitions: BTreeMap<(TopicName, i32), VecDeque<InternalRecord>>,
}

impl InFlight {
    pub(crate) fn new(delivery: Delivery) -> InFlight {
        InFlight { delivery, draws: 0, queue: VecDeque::new(), partitions: BTreeMap::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.partitions.is_empty()
    }

    pub(crate) fn push(&mut self, partition: i32, record: InternalRecord) {
        match self.delivery {
            Delivery::AtOnce => self.queue.push_back((partition, record)),
            Delivery::Drawn(_) => {
                self.partitions.entry((record.topic.clone(), partition)).or_default().push_back(record);
            }
        }
    }

    /// Runs to deliver before the query reads on.
    pub(crate) fn due(&mut self) -> usize {
        match self.delivery {
            Delivery::AtOnce => usize::MAX,
            Delivery::Drawn(seed) => (self.draw(seed) % 3) as usize,
        }
    }

    /// The next records to deliver.
    pub(crate) fn next_run(&mut self) -> Option<Run> {
        match self.delivery {
            Delivery::AtOnce => {
                let (partition, first) = self.queue.pop_front()?;
                let topic = first.topic.clone();
                let mut records = vec![first];
                while let Some((_, next)) =
                    self.queue.pop_front_if(|(p, r)| r.topic == topic && *p == partition)
                {
                    records.push(next);
                }
                Some(Run { topic, partition, records })
            }
            Delivery::Drawn(seed) => {
                let at = self.draw(seed) % (self.partitions.len() as u64).max(1);
                let (topic, partition) = self.partitions.keys().nth(at as usize)?.clone();
                let count = 1 + (self.draw(seed) % DRAWN_RECORDS_MAX) as usize;
                let waiting = self.partitions.get_mut(&(topic.clone(), partition))?;
                let records: Vec<InternalRecord> = waiting.drain(..count.min(waiting.len())).collect();
                if waiting.is_empty() {
                    self.partitions.remove(&(topic.clone(), partition));
                }
                Some(Run { topic, partition, records })
            }
        }
    }

    fn draw(&mut self, seed: u64) -> u64 {
        self.draws += 1;
        split_mix(seed.wrapping_mul(0x9E37_79B9).wrapping_add(self.draws))
    }
}
