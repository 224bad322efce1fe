//! Keeping clients to their quotas: token buckets that may be overdrawn, and a pause for who overdrew. Source: KIP-219.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;

use super::quota::BucketId;

/// Longest pause at a time; what is left of an overdraft is waited for after the next request.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// Buckets above this number are looked through for full ones, which say nothing.
const BUCKETS_SWEEP: usize = 10_000;

/// What is left to use. Units: those of the quota.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    level: f64,
    rate: f64,
    at: Duration,
}

impl Bucket {
    /// An allowance of one second.
    fn full(rate: f64, at: Duration) -> Self {
        Self { level: rate, rate, at }
    }

    fn refill(&mut self, rate: f64, now: Duration) {
        let elapsed = now.saturating_sub(self.at).as_secs_f64();
        *self = Self { level: (self.level + elapsed * self.rate).min(rate), rate, at: now };
    }

    /// How long until nothing is overdrawn.
    fn pause(&self) -> Duration {
        if self.level >= 0.0 {
            return Duration::ZERO;
        }
        Duration::try_from_secs_f64(-self.level / self.rate).unwrap_or(PAUSE_MAX).min(PAUSE_MAX)
    }
}

/// The use of all quotas.
#[derive(Debug, Default)]
pub struct Throttle {
    buckets: Mutex<Buckets>,
}

#[derive(Debug, Default)]
struct Buckets {
    by_id: HashMap<BucketId, Bucket>,
    sweep_at: usize,
}

impl Throttle {
    /// Notes the use of `amount` under a quota of `rate` per second. Returns how long the client is to pause.
    ///
    /// Units: `now` is time since an arbitrary instant.
    pub fn record(&self, id: BucketId, rate: f64, amount: f64, now: Duration) -> Duration {
        // A quota of nothing still lets a request through now and then.
        let rate = rate.max(f64::MIN_POSITIVE);
        let mut buckets = self.buckets.lock();
        let bucket = buckets.by_id.entry(id).or_insert_with(|| Bucket::full(rate, now));
        bucket.refill(rate, now);
        bucket.level -= amount;
        let pause = bucket.pause();
        if buckets.by_id.len() > buckets.sweep_at.max(BUCKETS_SWEEP) {
            buckets.by_id.retain(|_, bucket| {
                bucket.refill(bucket.rate, now);
                bucket.level < bucket.rate
            });
            buckets.sweep_at = 2 * buckets.by_id.len();
        }
        pause
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.buckets.lock().by_id.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::quota::QuotaKey;

    fn id(user: &str) -> BucketId {
        BucketId { key: QuotaKey::ProducerByteRate, user: Some(user.into()), client_id: None }
    }

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn a_pause_lasts_until_the_overdraft_is_made_up_for() {
        let throttle = Throttle::default();
        let record = |amount, at| throttle.record(id("u"), 100.0, amount, seconds(at));
        assert_eq!(record(100.0, 0.0), Duration::ZERO, "one second's allowance at once");
        assert_eq!(record(50.0, 0.0), seconds(0.5));
        assert_eq!(record(0.0, 0.5), Duration::ZERO);
        assert_eq!(record(100.0, 0.5), seconds(1.0));
        assert_eq!(record(100.0, 50.0), Duration::ZERO, "what was not used is not saved for ever");
        assert_eq!(record(5_000.0, 50.0), PAUSE_MAX);
        assert_eq!(record(0.0, 60.0), PAUSE_MAX, "the rest is waited for later");
        assert_eq!(throttle.record(id("v"), 100.0, 100.0, seconds(60.0)), Duration::ZERO);
    }

    #[test]
    fn a_sustained_load_is_held_to_the_rate() {
        let throttle = Throttle::default();
        let (mut now, mut sent) = (0.0, 0.0);
        while now < 60.0 {
            sent += 700.0;
            now += throttle.record(id("u"), 1_000.0, 700.0, seconds(now)).as_secs_f64() + 0.001;
        }
        assert!((59_000.0..63_000.0).contains(&sent), "{sent} in a minute at 1000 a second");
    }

    #[test]
    fn nothing_is_allowed_under_a_quota_of_zero_and_changes_hold_at_once() {
        let throttle = Throttle::default();
        assert_eq!(throttle.record(id("u"), 0.0, 1.0, seconds(0.0)), PAUSE_MAX);
        assert_eq!(throttle.record(id("u"), 10.0, 0.0, seconds(0.2)), seconds(0.1));
    }

    #[test]
    fn full_buckets_are_forgotten() {
        let throttle = Throttle::default();
        for n in 0..=BUCKETS_SWEEP {
            throttle.record(id(&n.to_string()), 1.0, 0.5, seconds(n as f64));
        }
        assert!(throttle.len() < 10, "{}", throttle.len());
    }
}
