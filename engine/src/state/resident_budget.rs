//! The bound of the memory that the decoded state of a node's queries takes.
//!
//! Every store reports at its commits how much it holds. While all of them hold more than the bound, each that commits
//! keeps its share of the bound only; forgotten rows are read back from the store when they are needed. Rows changed since the last
//! commit cannot be forgotten: they count, and others make room for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of decoded state unless configured otherwise.
pub const RESIDENT_BYTES_MAX: usize = 256 << 20;

/// A bound that the stores of a node share. Threads: any.
#[derive(Debug)]
pub struct ResidentBudget {
    bytes_max: usize,
    used: AtomicUsize,
}

impl Default for ResidentBudget {
    fn default() -> ResidentBudget {
        ResidentBudget::new(RESIDENT_BYTES_MAX)
    }
}

impl ResidentBudget {
    pub fn new(bytes_max: usize) -> ResidentBudget {
        ResidentBudget { bytes_max, used: AtomicUsize::new(0) }
    }

    /// Bytes that all stores hold, roughly.
    pub fn used_bytes(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// The part of a store that holds nothing yet.
    pub fn share(self: &Arc<Self>) -> ResidentShare {
        ResidentShare { budget: Arc::clone(self), bytes: 0 }
    }
}

/// The part of the budget that one store holds, given back when the store goes.
#[derive(Debug)]
pub struct ResidentShare {
    budget: Arc<ResidentBudget>,
    bytes: usize,
}

impl Default for ResidentShare {
    fn default() -> ResidentShare {
        Arc::new(ResidentBudget::new(usize::MAX)).share()
    }
}

impl ResidentShare {
    /// Notes how much the store holds.
    pub fn hold(&mut self, bytes: usize) {
        let used = &self.budget.used;
        if bytes >= self.bytes {
            used.fetch_add(bytes - self.bytes, Ordering::Relaxed);
        } else {
            used.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
    }

    /// Bytes that no store holds yet.
    pub fn room(&self) -> usize {
        self.budget.bytes_max.saturating_sub(self.budget.used_bytes())
    }

    /// How many of its `entries` the store may keep: fewer than all while the budget is exceeded, and then a quarter less than
    /// its share, so that not every commit has to forget something.
    pub fn entries_max(&self, entries: usize) -> usize {
        let (used, bytes_max) = (self.budget.used_bytes(), self.budget.bytes_max);
        if used <= bytes_max {
            return entries;
        }
        let share = (entries as u128 * bytes_max as u128 / used as u128) as usize;
        share - share / 4
    }
}

impl Drop for ResidentShare {
    fn drop(&mut self) {
        self.hold(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stores_give_way_in_proportion_once_the_bound_is_passed() {
        let budget = Arc::new(ResidentBudget::new(1_000));
        let (mut a, mut b) = (budget.share(), budget.share());
        a.hold(600);
        b.hold(400);
        assert_eq!((a.entries_max(60), b.entries_max(40)), (60, 40));
        assert_eq!(a.room(), 0);
        b.hold(1_400);
        assert_eq!((budget.used_bytes(), a.room()), (2_000, 0));
        assert_eq!((a.entries_max(60), b.entries_max(140)), (23, 53));
        b.hold(300);
        assert_eq!(a.entries_max(60), 60);
        drop(a);
        assert_eq!((budget.used_bytes(), b.room()), (300, 700));
    }

    #[test]
    fn stores_without_a_budget_keep_everything() {
        let mut share = ResidentShare::default();
        share.hold(usize::MAX);
        assert_eq!(share.entries_max(7), 7);
    }
}
