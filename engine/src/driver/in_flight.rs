//! Records of internal topics on their way to the tasks that read them.

use std::collections::{BTreeMap, VecDeque};

use crate::driver::topic_log::DriverRecord;
use crate::driver::{Delivery, split_mix};

/// Records delivered together at most, where that is drawn.
const DRAWN_RECORDS_MAX: u64 = 4;

/// Records that were emitted and not delivered yet.
#[derive(Debug)]
pub(crate) struct InFlight {
    delivery: Delivery,
    draws: u64,
    /// In the order they were emitted: [`Delivery::AtOnce`].
    queue: VecDeque<DriverRecord>,
    /// By topic and partition: [`Delivery::Drawn`].
    partitions: BTreeMap<(String, i32), VecDeque<DriverRecord>>,
}

impl InFlight {
    pub(crate) fn new(delivery: Delivery) -> InFlight {
        InFlight { delivery, draws: 0, queue: VecDeque::new(), partitions: BTreeMap::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.partitions.is_empty()
    }

    pub(crate) fn push(&mut self, record: DriverRecord) {
        match self.delivery {
            Delivery::AtOnce => self.queue.push_back(record),
            Delivery::Drawn(_) => {
                self.partitions
                    .entry((record.topic.clone(), record.partition))
                    .or_default()
                    .push_back(record);
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

    /// The next records to deliver: at least one, consecutive ones of one partition.
    pub(crate) fn next_run(&mut self) -> Option<Vec<DriverRecord>> {
        match self.delivery {
            Delivery::AtOnce => {
                let mut run = vec![self.queue.pop_front()?];
                while let Some(next) = self.queue.pop_front_if(|record| {
                    record.topic == run[0].topic && record.partition == run[0].partition
                }) {
                    run.push(next);
                }
                Some(run)
            }
            Delivery::Drawn(seed) => {
                let at = self.draw(seed) % (self.partitions.len() as u64).max(1);
                let key = self.partitions.keys().nth(at as usize)?.clone();
                let count = 1 + (self.draw(seed) % DRAWN_RECORDS_MAX) as usize;
                let waiting = self.partitions.get_mut(&key)?;
                let run: Vec<DriverRecord> = waiting.drain(..count.min(waiting.len())).collect();
                if waiting.is_empty() {
                    self.partitions.remove(&key);
                }
                Some(run)
            }
        }
    }

    fn draw(&mut self, seed: u64) -> u64 {
        self.draws += 1;
        split_mix(seed.wrapping_mul(0x9E37_79B9).wrapping_add(self.draws))
    }
}
