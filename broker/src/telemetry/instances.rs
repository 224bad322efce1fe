//! The client instances that are remembered: a bounded number, the one that was silent for longest going first.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use uuid::Uuid;

use crate::telemetry::client::Client;
use crate::telemetry::instance::Instance;

/// Instances by id and by their last use.
///
/// Invariant: `by_use` has one entry for each instance; `series` counts those of all instances.
#[derive(Debug)]
pub struct Instances {
    known: HashMap<Uuid, (u64, Instance)>,
    by_use: BTreeMap<u64, Uuid>,
    use_next: u64,
    instances_max: usize,
    series: usize,
}

impl Instances {
    #[must_use]
    pub fn new(instances_max: usize) -> Self {
        assert!(instances_max > 0);
        Self { known: HashMap::new(), by_use: BTreeMap::new(), use_next: 0, instances_max, series: 0 }
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Series of all instances.
    #[must_use]
    pub fn series_count(&self) -> usize {
        self.series
    }

    #[must_use]
    pub fn contains(&self, id: Uuid) -> bool {
        self.known.contains_key(&id)
    }

    /// The instance with this id, as the one used last. Makes it, at the cost of another one when there are too many.
    pub(crate) fn touch(&mut self, id: Uuid, client: &Client, now: Duration) -> &mut Instance {
        if !self.known.contains_key(&id) && self.known.len() >= self.instances_max {
            self.forget_oldest();
        }
        let stamp = self.use_next;
        self.use_next += 1;
        let (used, instance) =
            self.known.entry(id).or_insert_with(|| (stamp, Instance::new(client.clone(), now)));
        self.by_use.remove(used);
        *used = stamp;
        self.by_use.insert(stamp, id);
        instance
    }

    fn forget_oldest(&mut self) {
        if let Some((_, id)) = self.by_use.pop_first()
            && let Some((_, instance)) = self.known.remove(&id)
        {
            self.series -= instance.series.len();
        }
    }

    /// Lets `change` put other values in the place of an instance's, if it is still known. It is told how many more series
    /// there may be of all instances together.
    pub(crate) fn change_series(
        &mut self,
        id: Uuid,
        series_max: usize,
        change: impl FnOnce(&mut Instance, usize),
    ) {
        if let Some((_, instance)) = self.known.get_mut(&id) {
            let others = self.series - instance.series.len();
            change(instance, series_max.saturating_sub(others));
            self.series = others + instance.series.len();
        }
    }

    pub(crate) fn get_mut(&mut self, id: Uuid) -> Option<&mut Instance> {
        self.known.get_mut(&id).map(|(_, instance)| instance)
    }

    /// Forgets instances that have been silent for too long.
    pub(crate) fn expire(&mut self, now: Duration) {
        let (by_use, series) = (&mut self.by_use, &mut self.series);
        self.known.retain(|_, (used, instance)| {
            let is_gone = instance.is_gone(now);
            if is_gone {
                by_use.remove(used);
                *series -= instance.series.len();
            }
            !is_gone
        });
    }

    /// Every instance, the one that was silent for longest first.
    pub fn iter(&self) -> impl Iterator<Item = (Uuid, &Instance)> {
        self.by_use.values().filter_map(|id| self.known.get(id).map(|(_, instance)| (*id, instance)))
    }
}
