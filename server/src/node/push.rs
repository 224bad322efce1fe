//! The push queries of a node: how many, which, and how one is closed by its id.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::node::Node;

#[derive(Debug)]
pub(crate) struct PushRegistry {
    slots: Arc<Semaphore>,
    running: Arc<Mutex<BTreeMap<String, Entry>>>,
}

#[derive(Debug)]
struct Entry {
    sql: String,
    close: Arc<Notify>,
}

/// A registered push query; leaves the register when dropped.
#[derive(Debug)]
pub struct PushEntry {
    id: String,
    close: Arc<Notify>,
    running: Arc<Mutex<BTreeMap<String, Entry>>>,
}

impl PushEntry {
    /// Waits until somebody closes the query.
    pub async fn closed(&self) {
        self.close.notified().await;
    }
}

impl Drop for PushEntry {
    fn drop(&mut self) {
        self.running.lock().remove(&self.id);
    }
}

impl PushRegistry {
    pub(crate) fn new(queries_max: usize) -> PushRegistry {
        PushRegistry { slots: Arc::new(Semaphore::new(queries_max)), running: Arc::default() }
    }

    pub(crate) fn close_all(&self) {
        for entry in self.running.lock().values() {
            entry.close.notify_one();
        }
    }
}

impl Node {
    /// Room for one more push query; None if there is none.
    pub fn push_slot(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.shared.push.slots).try_acquire_owned().ok()
    }

    pub fn register_push(&self, id: &str, sql: &str) -> PushEntry {
        let close = Arc::new(Notify::new());
        let running = Arc::clone(&self.shared.push.running);
        running.lock().insert(id.to_owned(), Entry { sql: sql.to_owned(), close: Arc::clone(&close) });
        PushEntry { id: id.to_owned(), close, running }
    }

    /// Id and text of each push query.
    pub fn push_queries(&self) -> Vec<(String, String)> {
        self.shared.push.running.lock().iter().map(|(id, e)| (id.clone(), e.sql.clone())).collect()
    }

    /// Ends a push query; false if there is none of that id.
    pub fn close_push(&self, id: &str) -> bool {
        match self.shared.push.running.lock().get(id) {
            Some(entry) => {
                entry.close.notify_one();
                true
            }
            None => false,
        }
    }
}
