//! The wall clock, for records that brokers take and do not delete by age.

use weir_broker::env::clock::{Clock, SystemClock};

/// Units: ms since epoch, UTC.
pub fn now_ms() -> i64 {
    SystemClock::new().now_ms()
}
