//! Topics and ranges to read, and the form of the output.

use std::time::Duration;

use weir_broker::log::access::Isolation;

use crate::kafka_tools::format::RecordFormat;
use crate::kafka_tools::offsets::Place;

/// Times at which the output is flushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    EveryRecord,
    EveryFetch,
}

/// Topics and ranges to read, and the form of the output.
#[derive(Clone, Debug)]
pub struct ReadPlan {
    pub topics: Vec<String>,
    /// None: all.
    pub partitions: Vec<i32>,
    /// Where the group has stopped goes before it.
    pub begin: Place,
    pub until: Option<Place>,
    pub exit_at_end: bool,
    pub count: Option<u64>,
    pub format: RecordFormat,
    /// Text for null.
    pub null: Vec<u8>,
    pub group: Option<String>,
    pub isolation: Isolation,
    pub flush: Flush,
    pub idle_max: Option<Duration>,
    pub quiet: bool,
}
