//! One transactional id: its producer, and where its transaction is.
//!
//! ```text
//!             add partition             EndTxn                 markers written
//!  Empty ------------------> Ongoing ------------> Prepare* ------------------> Complete*
//!                              ^                                                   |
//!                              +------------------- add partition -----------------+
//! ```
//!
//! Invariant: once a `Prepare*` record is durable the outcome cannot change, also across restarts.

use crate::record::control::MarkerKind;
use std::collections::BTreeSet;

/// A partition of a topic, as transactions name it.
pub type TxnPartition = (String, i32);

/// State of a transaction. The numbers are those of `__transaction_state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i8)]
pub enum TxnState {
    Empty = 0,
    Ongoing = 1,
    PrepareCommit = 2,
    PrepareAbort = 3,
    CompleteCommit = 4,
    CompleteAbort = 5,
    Dead = 6,
    PrepareEpochFence = 7,
}

impl TxnState {
    /// The state with this number.
    #[must_use]
    pub fn from_code(code: i8) -> Option<Self> {
        Some(match code {
            0 => Self::Empty,
            1 => Self::Ongoing,
            2 => Self::PrepareCommit,
            3 => Self::PrepareAbort,
            4 => Self::CompleteCommit,
            5 => Self::CompleteAbort,
            6 => Self::Dead,
            7 => Self::PrepareEpochFence,
            _ => return None,
        })
    }

    /// The name used by ListTransactions and DescribeTransactions.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Ongoing => "Ongoing",
            Self::PrepareCommit => "PrepareCommit",
            Self::PrepareAbort => "PrepareAbort",
            Self::CompleteCommit => "CompleteCommit",
            Self::CompleteAbort => "CompleteAbort",
            Self::Dead => "Dead",
            Self::PrepareEpochFence => "PrepareEpochFence",
        }
    }

    /// The decided outcome whose markers are still to be written.
    #[must_use]
    pub fn prepared(self) -> Option<MarkerKind> {
        match self {
            Self::PrepareCommit => Some(MarkerKind::Commit),
            Self::PrepareAbort => Some(MarkerKind::Abort),
            Self::Empty
            | Self::Ongoing
            | Self::CompleteCommit
            | Self::CompleteAbort
            | Self::Dead
            | Self::PrepareEpochFence => None,
        }
    }
}

/// A transactional id and its current or last transaction.
#[derive(Debug, Clone, PartialEq)]
pub struct Transaction {
    pub transactional_id: String,
    pub producer_id: i64,
    pub producer_epoch: i16,
    /// The identity before the last change of epoch: a client that repeats a request whose answer was
    /// lost still uses it. `None` when the change was for another producer, or a transaction has begun since.
    pub previous: Option<(i64, i16)>,
    /// Units: ms. An open transaction is aborted when it gets older.
    pub timeout_ms: i32,
    pub state: TxnState,
    /// Partitions with records of the open transaction, those of `__consumer_offsets` included.
    pub partitions: BTreeSet<TxnPartition>,
    /// Units: ms since epoch; -1 when no transaction is open.
    pub start_ms: i64,
    /// Units: ms since epoch.
    pub update_ms: i64,
}

impl Transaction {
    /// A transactional id seen for the first time.
    #[must_use]
    pub fn new(transactional_id: &str, producer_id: i64, timeout_ms: i32, now: i64) -> Self {
        Self {
            transactional_id: transactional_id.to_owned(),
            producer_id,
            producer_epoch: -1,
            previous: None,
            timeout_ms,
            state: TxnState::Empty,
            partitions: BTreeSet::new(),
            start_ms: -1,
            update_ms: now,
        }
    }

    /// When the open transaction must have ended. Units: ms since epoch.
    #[must_use]
    pub fn deadline(&self) -> Option<i64> {
        (self.state == TxnState::Ongoing).then(|| self.start_ms + i64::from(self.timeout_ms))
    }
}
