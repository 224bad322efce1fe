//! Entries of a store that have no place in memory: how many there are, and their end.
//!
//! Nothing in memory says which of them have expired. So the store is passed through, a part at each commit, when the oldest
//! entry may have expired; commits that write more look at more, so that what has expired remains a fraction of the store.

use std::ops::{Bound, ControlFlow};

use crate::error::Result;
use crate::state::backend::{KeyRange, StoreId};
use crate::state::task_state::{META_KEY, TaskState};

/// Entries looked at in a commit, whatever it writes.
const ENTRIES_LEAST: usize = 1_024;
/// Entries looked at for each entry written.
const ENTRIES_PER_WRITE: usize = 4;

/// The entries of one store that are not in memory.
#[derive(Debug)]
pub struct EvictedEntries {
    store: StoreId,
    count: usize,
    /// None has an earlier time.
    oldest: i64,
    /// The pass under way.
    pass: Option<Pass>,
}

#[derive(Debug)]
struct Pass {
    /// The last key looked at.
    after: Option<Vec<u8>>,
    /// Of the entries that stay.
    oldest: i64,
}

impl EvictedEntries {
    pub fn new(store: StoreId) -> EvictedEntries {
        EvictedEntries { store, count: 0, oldest: i64::MAX, pass: None }
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// An entry was written and is not in memory any more. It expires by this time.
    pub fn add(&mut self, time: i64) {
        self.count += 1;
        self.oldest = self.oldest.min(time);
        if let Some(pass) = &mut self.pass {
            pass.oldest = pass.oldest.min(time);
        }
    }

    /// Entries are in memory again.
    pub fn loaded(&mut self, entries: usize) {
        self.count = self.count.saturating_sub(entries);
    }

    /// Deletes some of the entries with times up to `expired`. Those in memory must have been deleted before.
    ///
    /// `written` is how many entries the commit writes; `time_of` reads the time by which an entry expires.
    pub fn expire(
        &mut self,
        expired: i64,
        written: usize,
        state: &mut TaskState,
        time_of: impl Fn(&[u8], &[u8]) -> Option<i64>,
    ) -> Result<()> {
        if self.is_empty() {
            (self.oldest, self.pass) = (i64::MAX, None);
            return Ok(());
        }
        if self.pass.is_none() && self.oldest > expired {
            return Ok(());
        }
        let mut pass = self.pass.take().unwrap_or(Pass { after: None, oldest: i64::MAX });
        let mut left = ENTRIES_LEAST.max(written.saturating_mul(ENTRIES_PER_WRITE));
        let from = pass.after.take().map_or(Bound::Unbounded, Bound::Excluded);
        let mut gone = Vec::new();
        state.scan(self.store, &KeyRange { from, to: Bound::Unbounded }, &mut |key, value| {
            match time_of(key, value).filter(|_| key != META_KEY) {
                Some(time) if time <= expired => gone.push(key.to_vec()),
                Some(time) => pass.oldest = pass.oldest.min(time),
                None => {}
            }
            left -= 1;
            if left > 0 {
                return ControlFlow::Continue(());
            }
            pass.after = Some(key.to_vec());
            ControlFlow::Break(())
        })?;
        self.count = self.count.saturating_sub(gone.len());
        gone.into_iter().for_each(|key| state.put(self.store, key, None));
        match pass.after {
            Some(_) => self.pass = Some(pass),
            None => self.oldest = pass.oldest,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::backend::StoreSpec;
    use crate::state::changelog::NoChangelog;
    use crate::state::memory::MemoryBackend;

    const STORE: StoreId = StoreId(0);

    fn times(state: &TaskState) -> Vec<i64> {
        let mut found = Vec::new();
        let visited = state.scan(STORE, &KeyRange::all(), &mut |_, value| {
            found.extend(time_of(&[], value));
            ControlFlow::Continue(())
        });
        visited.expect("memory");
        found
    }

    fn time_of(_: &[u8], value: &[u8]) -> Option<i64> {
        value.first_chunk::<8>().map(|time| i64::from_le_bytes(*time))
    }

    #[test]
    fn what_has_expired_is_found_a_part_at_a_time_and_again_when_more_expires() {
        const ENTRIES: i64 = 5_000;
        let specs = vec![StoreSpec { name: "s".to_owned(), changelog: true }];
        let mut state = TaskState::new(specs, Box::new(MemoryBackend::new(1)));
        let mut evicted = EvictedEntries::new(STORE);
        state.put(STORE, META_KEY.to_vec(), Some(vec![0; 8]));
        for i in 0..ENTRIES {
            // Times are in another order than keys.
            let time = i * 7_919 % ENTRIES + 1;
            state.put(STORE, ((1_i64 << 40) | i).to_be_bytes().to_vec(), Some(time.to_le_bytes().to_vec()));
            evicted.add(time);
        }
        let mut expire = |expired: i64| {
            let mut commits = 0;
            while evicted.oldest <= expired || evicted.pass.is_some() {
                commits += 1;
                assert!(commits < 20, "{evicted:?}");
                evicted.expire(expired, 10, &mut state, time_of).expect("memory");
                state.log_changes(&mut NoChangelog).expect("memory");
                state.commit(Vec::new()).expect("memory");
            }
            let mut left = times(&state);
            left.sort_unstable();
            let expected: Vec<i64> = std::iter::once(0).chain(expired + 1..=ENTRIES).collect();
            assert_eq!(left, expected, "{expired}");
            commits
        };
        assert_eq!(expire(0), 0, "nothing has expired");
        assert!(expire(1_000) > 4, "a part of the store at a time");
        assert_eq!(expire(1_000), 0);
        assert!(expire(4_000) > 0);
        expire(ENTRIES);
        assert!(evicted.is_empty());
    }
}
