//! Time, as a value that can be replaced.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

/// A source of time.
pub trait Clock: Debug + Send + Sync {
    /// Wall clock. Units: ms since epoch, UTC. May jump.
    fn now_ms(&self) -> i64;

    /// Time since a fixed, arbitrary instant. Never goes back.
    fn monotonic(&self) -> Duration;
}

/// The machine's clock.
#[derive(Debug)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    pub fn new() -> Self {
        SystemClock { origin: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        SystemClock::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the seam through which time enters")]
    fn now_ms(&self) -> i64 {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
        }
    }

    fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }
}

/// Time for deadlines: begins as the wall clock does and never jumps with it.
///
/// What is stored is wall time; [`SteadyTime::wall_ahead_ms`] converts.
#[derive(Debug, Clone)]
pub struct SteadyTime {
    clock: Arc<dyn Clock>,
    wall_at_start_ms: i64,
    started: Duration,
}

impl SteadyTime {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        SteadyTime { wall_at_start_ms: clock.now_ms(), started: clock.monotonic(), clock }
    }

    /// Units: ms since epoch, if the wall clock had not been set since the start.
    pub fn now_ms(&self) -> i64 {
        let elapsed = self.clock.monotonic().saturating_sub(self.started);
        self.wall_at_start_ms.saturating_add(i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX))
    }

    /// By how much the wall clock has been set forward since the start; negative if it was set back.
    pub fn wall_ahead_ms(&self) -> i64 {
        self.clock.now_ms().saturating_sub(self.now_ms())
    }
}

/// Time for deleting what is too old: the wall clock, but a jump forward is believed little by little.
///
/// A clock that is wrong for some minutes so deletes next to nothing, and one that was put right is believed within a
/// day or so. A jump back is believed at once: it only deletes later.
#[derive(Debug)]
pub struct SlewedClock {
    clock: Arc<dyn Clock>,
    /// The time told last, and when.
    last: Mutex<(i64, Duration)>,
}

/// In this time about two thirds of a jump are believed.
const SLEW_MS: i64 = 12 * 60 * 60 * 1000;

impl SlewedClock {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        SlewedClock { last: Mutex::new((clock.now_ms(), clock.monotonic())), clock }
    }

    /// Units: ms since epoch. Never ahead of the wall clock.
    pub fn now_ms(&self) -> i64 {
        let (wall_ms, now) = (self.clock.now_ms(), self.clock.monotonic());
        let (last_ms, at) = &mut *self.last.lock();
        let elapsed_ms = i64::try_from(now.saturating_sub(*at).as_millis()).unwrap_or(i64::MAX);
        if elapsed_ms > 0 {
            let behind_ms = wall_ms.saturating_sub(*last_ms).max(0);
            let catch_up_ms = (behind_ms / SLEW_MS).saturating_mul(elapsed_ms).max(elapsed_ms);
            *last_ms = last_ms.saturating_add(elapsed_ms).saturating_add(catch_up_ms);
            *at = now;
        }
        *last_ms = wall_ms.min(*last_ms);
        *last_ms
    }
}

/// A clock which moves only when told to.
#[derive(Debug)]
pub struct ManualClock {
    wall_ms: AtomicI64,
    monotonic_ms: AtomicU64,
}

impl ManualClock {
    /// A clock standing at `now_ms`.
    pub fn new(now_ms: i64) -> Self {
        ManualClock { wall_ms: AtomicI64::new(now_ms), monotonic_ms: AtomicU64::new(0) }
    }

    /// Moves both clocks forward by `ms`.
    pub fn advance_ms(&self, ms: u64) {
        self.wall_ms.fetch_add(i64::try_from(ms).unwrap_or(i64::MAX), Ordering::SeqCst);
        self.monotonic_ms.fetch_add(ms, Ordering::SeqCst);
    }

    /// Sets the wall clock alone, as an operator or NTP may.
    pub fn set_now_ms(&self, now_ms: i64) {
        self.wall_ms.store(now_ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> i64 {
        self.wall_ms.load(Ordering::SeqCst)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.monotonic_ms.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: u64 = 60 * 60 * 1000;
    const DAY_MS: i64 = 24 * 60 * 60 * 1000;

    #[test]
    fn steady_time_does_not_jump_and_knows_what_the_wall_clock_says() {
        let clock = Arc::new(ManualClock::new(1_000));
        let steady = SteadyTime::new(clock.clone());
        clock.advance_ms(5);
        for jump in [DAY_MS, -DAY_MS] {
            clock.set_now_ms(1_005 + jump);
            assert_eq!((steady.now_ms(), steady.wall_ahead_ms()), (1_005, jump));
        }
    }

    #[test]
    fn a_slewed_clock_is_the_wall_clock_unless_that_jumps_forward() {
        let start = 100 * DAY_MS;
        let clock = Arc::new(ManualClock::new(start));
        let slewed = SlewedClock::new(clock.clone());
        clock.advance_ms(HOUR_MS);
        let mut now = start + 60 * 60 * 1000;
        assert_eq!(slewed.now_ms(), now);
        // Wrong by a day for half an hour.
        clock.set_now_ms(now + DAY_MS);
        clock.advance_ms(HOUR_MS / 2);
        let wrong = slewed.now_ms();
        assert!((now + 1..now + 3 * 60 * 60 * 1000).contains(&wrong), "{} ms ahead", wrong - now);
        now += 30 * 60 * 1000;
        clock.set_now_ms(now);
        assert_eq!(slewed.now_ms(), now, "never ahead of the wall clock");
        // Wrong for years before it was put right.
        clock.set_now_ms(now + 20_000 * DAY_MS);
        for _ in 0..8 * 24 {
            clock.advance_ms(HOUR_MS);
            slewed.now_ms();
        }
        assert_eq!(slewed.now_ms(), clock.now_ms());
    }
}
