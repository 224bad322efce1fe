//! One client instance: what it was told, when it may speak again, and what it said last.
//!
//! | request | taken when                                                                                       |
//! |---------|--------------------------------------------------------------------------------------------------|
//! | get     | a push interval has passed since its last request, or its last push was refused for what it knew |
//! | push    | it got its subscriptions since its last push, or a push interval has passed, or it is its last   |

use std::collections::BTreeMap;
use std::time::Duration;

use crate::protocol::error_code::ErrorCode;
use crate::telemetry::client::{Client, Wanted};
use crate::telemetry::otlp::Number;
use crate::telemetry::series::SeriesKey;

/// An instance is not forgotten sooner than this after its last request.
const KEPT_MIN: Duration = Duration::from_secs(60);
/// Nor before this many push intervals.
const KEPT_INTERVALS: u32 = 3;

/// What is known of a client instance. Times are those of the monotonic clock.
#[derive(Debug)]
pub struct Instance {
    pub client: Client,
    /// What it told about itself beside its metrics.
    pub resource: Vec<(String, String)>,
    /// Its latest values.
    pub series: BTreeMap<SeriesKey, Number>,
    pub(crate) interval: Duration,
    got_at: Option<Duration>,
    pushed_at: Option<Duration>,
    pub(crate) used_at: Duration,
    terminating: bool,
    /// The code of its last request.
    last_error: ErrorCode,
}

impl Instance {
    pub(crate) fn new(client: Client, now: Duration) -> Self {
        Self {
            client,
            resource: Vec::new(),
            series: BTreeMap::new(),
            interval: Duration::ZERO,
            got_at: None,
            pushed_at: None,
            used_at: now,
            terminating: false,
            last_error: ErrorCode::None,
        }
    }

    /// Takes in what is wanted of the client now.
    pub(crate) fn refresh(&mut self, client: &Client, wanted: &Wanted, now: Duration) {
        if self.client != *client {
            self.client.clone_from(client);
        }
        self.interval = Duration::from_millis(wanted.interval_ms.unsigned_abs().into());
        self.used_at = now;
    }

    fn passed(&self, since: Option<Duration>, now: Duration) -> bool {
        since.is_none_or(|since| now.saturating_sub(since) >= self.interval)
    }

    /// May the client be told its subscriptions now?
    pub(crate) fn get(&mut self, now: Duration) -> Result<(), ErrorCode> {
        // Who was just told that its subscriptions are old must be able to have the new ones.
        let was_sent_here = matches!(
            self.last_error,
            ErrorCode::UnknownSubscriptionId | ErrorCode::UnsupportedCompressionType
        );
        if !was_sent_here && !self.passed(self.got_at.max(self.pushed_at), now) {
            return Err(self.refused(ErrorCode::ThrottlingQuotaExceeded));
        }
        self.got_at = Some(now);
        self.last_error = ErrorCode::None;
        Ok(())
    }

    /// May the client push now?
    pub(crate) fn push(
        &mut self,
        push: &Push,
        wanted: &Wanted,
        limits: PushLimits,
        now: Duration,
    ) -> Result<(), ErrorCode> {
        if self.terminating {
            return Err(self.refused(ErrorCode::InvalidRequest));
        }
        let is_due = self.got_at > self.pushed_at || self.passed(self.pushed_at, now);
        if is_due {
            self.pushed_at = Some(now);
        } else if !push.terminating {
            return Err(self.refused(ErrorCode::ThrottlingQuotaExceeded));
        }
        if push.subscription_id != wanted.subscription_id {
            return Err(self.refused(ErrorCode::UnknownSubscriptionId));
        }
        if !push.known_codec {
            return Err(self.refused(ErrorCode::UnsupportedCompressionType));
        }
        if push.bytes > limits.bytes_max {
            return Err(self.refused(ErrorCode::TelemetryTooLarge));
        }
        self.terminating = push.terminating;
        self.last_error = ErrorCode::None;
        Ok(())
    }

    /// Notes what the client is told.
    pub(crate) fn refused(&mut self, code: ErrorCode) -> ErrorCode {
        self.last_error = code;
        code
    }

    /// Has the client been silent for so long that it is gone?
    pub(crate) fn is_gone(&self, now: Duration) -> bool {
        now.saturating_sub(self.used_at) > KEPT_MIN.max(self.interval * KEPT_INTERVALS)
    }
}

/// The head of a push.
#[derive(Debug, Clone, Copy)]
pub struct Push {
    pub subscription_id: i32,
    pub terminating: bool,
    pub known_codec: bool,
    /// Length of the metrics as they came.
    pub bytes: usize,
}

/// What pushes may be like.
#[derive(Debug, Clone, Copy)]
pub struct PushLimits {
    pub bytes_max: usize,
}
