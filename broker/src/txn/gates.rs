//! Gates that requests of one partition of `__transaction_state` share outside of the lock of its state.

use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

/// Locks and signals of one partition.
#[derive(Debug)]
pub struct TxnGates {
    /// Notified whenever a transaction completes.
    pub(super) completed: Notify,
    /// Held (shared) from the check that a transaction is open until the records are appended, and taken alone
    /// between the decision to end it and its markers: no record of a transaction comes after its marker.
    pub(super) append_gate: RwLock<()>,
    /// Overdue transactions are left alone until then, because the log could not be written. Units: ms since epoch.
    pub(super) expiry_from_ms: Mutex<i64>,
}

impl Default for TxnGates {
    fn default() -> Self {
        Self { completed: Notify::new(), append_gate: RwLock::new(()), expiry_from_ms: Mutex::new(i64::MIN) }
    }
}
