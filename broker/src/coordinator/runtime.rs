//! The partitions of a coordinator's topic at work: which of them holds a key, their locks, their clock.

use std::sync::Arc;

use super::log::{CoordinatorLog, partition_for};
use super::retry_log::RetryLog;
use super::shard::{CoordinatorShard, LoadedShard, Shard, ShardGuard};
use crate::env::clock::{Clock, SteadyTime};
use crate::error::Result;
use crate::protocol::error_code::ErrorCode;

/// All partitions of a coordinator's topic.
#[derive(Debug)]
pub struct CoordinatorRuntime<S: CoordinatorShard> {
    /// Shape: `shards[i]` is partition `i`.
    shards: Vec<Shard<S>>,
    /// Deadlines do not move when the wall clock is set.
    time: SteadyTime,
}

impl<S: CoordinatorShard> CoordinatorRuntime<S> {
    /// A runtime of `partitions` partitions, none of which is loaded.
    pub fn new(partitions: usize, clock: Arc<dyn Clock>) -> Self {
        assert!(partitions > 0, "the topic of a coordinator has at least one partition");
        let shards = (0..partitions).map(|_| Shard::new()).collect();
        Self { shards, time: SteadyTime::new(clock) }
    }

    /// Reads the log of a partition, which is coordinated here from then on. Blocks on the disk.
    pub fn load(&self, shard: &Shard<S>, mut state: S, log: CoordinatorLog) -> Result<()> {
        let now_ms = self.now_ms();
        log.replay(|item| state.replay(item, now_ms).map_err(|error| log.corrupt(&error)))?;
        state.loaded(now_ms);
        shard.set(Some(LoadedShard { state, log: RetryLog::new(log) }));
        Ok(())
    }

    /// Forgets the state of a partition. Its requests are refused until it is loaded again.
    pub fn unload(&self, shard: &Shard<S>) {
        shard.set(None);
    }

    /// All partitions in order.
    pub fn shards(&self) -> &[Shard<S>] {
        &self.shards
    }

    /// The partition with this number.
    pub fn partition(&self, partition: i32) -> Option<&Shard<S>> {
        usize::try_from(partition).ok().and_then(|index| self.shards.get(index))
    }

    /// The number of the partition that stores what belongs to `key`.
    pub fn partition_of(&self, key: &str) -> i32 {
        let index = partition_for(key, self.shards.len());
        i32::try_from(index).expect("partitions are numbered with i32")
    }

    /// The partition that stores what belongs to `key`.
    pub fn shard(&self, key: &str) -> &Shard<S> {
        &self.shards[partition_for(key, self.shards.len())]
    }

    /// Units: ms since epoch, as steps are given.
    pub fn now_ms(&self) -> i64 {
        self.time.now_ms()
    }

    /// By how much the wall clock is ahead of [`Self::now_ms`].
    pub fn wall_ahead_ms(&self) -> i64 {
        self.time.wall_ahead_ms()
    }

    /// The lock of a partition, whose state has the offset of the wall clock.
    ///
    /// Errors: `NotCoordinator` if the partition is not loaded.
    pub fn lock<'a>(&self, shard: &'a Shard<S>) -> Result<ShardGuard<'a, S>, ErrorCode> {
        let mut loaded = shard.lock().ok_or(ErrorCode::NotCoordinator)?;
        loaded.state.set_wall_ahead(self.time.wall_ahead_ms());
        Ok(loaded)
    }

    /// The loaded partitions, each locked while it is looked at.
    pub fn loaded(&self) -> impl Iterator<Item = ShardGuard<'_, S>> {
        self.shards.iter().filter_map(|shard| self.lock(shard).ok())
    }

    /// The loaded partitions whose deadline has passed. On the way every log gets the records that are owed to it.
    pub fn due(&self, now_ms: i64) -> impl Iterator<Item = &Shard<S>> {
        self.shards.iter().filter(move |shard| {
            let Some(mut loaded) = shard.lock() else { return false };
            loaded.log.catch_up(now_ms);
            loaded.state.next_deadline().is_some_and(|deadline| deadline <= now_ms)
        })
    }
}

#[cfg(test)]
mod tests;
