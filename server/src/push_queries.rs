//! The push queries of a node: how many, which, and how one is closed by its id.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use weir_sql::plan::physical::QueryPlan;

use crate::auth::caller::Caller;
use crate::http::api::SHUTTING_DOWN;

#[derive(Debug)]
pub(crate) struct PushRegistry {
    slots: Arc<Semaphore>,
    running: Arc<Mutex<BTreeMap<String, Entry>>>,
}

/// A push query that runs.
#[derive(Debug)]
pub struct PushQueryInfo {
    pub id: String,
    pub sql: String,
    pub plan: QueryPlan,
    /// Of its request.
    pub properties: BTreeMap<String, String>,
}

#[derive(Debug)]
struct Entry {
    query: Arc<PushQueryInfo>,
    /// The principal that started it.
    owner: String,
    close: watch::Sender<Option<Closing>>,
}

/// Why a push query ends before its client or its LIMIT ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// `/close-query` or TERMINATE.
    Asked,
    NodeStops,
}

impl Closing {
    /// The last message to the client.
    pub fn message(self) -> &'static str {
        match self {
            Closing::Asked => "Query Terminated",
            Closing::NodeStops => SHUTTING_DOWN,
        }
    }
}

/// A registered push query; leaves the register when dropped.
#[derive(Debug)]
pub struct PushEntry {
    id: String,
    close: watch::Receiver<Option<Closing>>,
    running: Arc<Mutex<BTreeMap<String, Entry>>>,
}

impl PushEntry {
    /// Waits until the query is closed.
    pub async fn closed(&mut self) -> Closing {
        let closing = self.close.wait_for(Option::is_some).await;
        closing.ok().and_then(|closing| *closing).unwrap_or(Closing::Asked)
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

    /// Room for one more push query; None if there is none.
    pub(crate) fn slot(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.slots).try_acquire_owned().ok()
    }

    pub(crate) fn register(&self, caller: &Caller, query: PushQueryInfo) -> PushEntry {
        let close = watch::Sender::new(None);
        let closed = close.subscribe();
        let running = Arc::clone(&self.running);
        let owner = caller.principal().to_owned();
        let id = query.id.clone();
        running.lock().insert(id.clone(), Entry { query: Arc::new(query), owner, close });
        PushEntry { id, close: closed, running }
    }

    /// The push query of an id, in any case, that the client controls.
    pub(crate) fn find(&self, caller: &Caller, id: &str) -> Option<Arc<PushQueryInfo>> {
        let running = self.running.lock();
        let mut own = running.values().filter(|entry| caller.controls(&entry.owner));
        own.find(|entry| entry.query.id.eq_ignore_ascii_case(id)).map(|entry| Arc::clone(&entry.query))
    }

    pub(crate) fn count(&self) -> usize {
        self.running.lock().len()
    }

    /// Id and text of each push query that the client controls.
    pub(crate) fn list(&self, caller: &Caller) -> Vec<(String, String)> {
        let running = self.running.lock();
        let own = running.iter().filter(|(_, e)| caller.controls(&e.owner));
        own.map(|(id, e)| (id.clone(), e.query.sql.clone())).collect()
    }

    /// Ends a push query; false if the client controls none of that id.
    pub(crate) fn close(&self, caller: &Caller, id: &str) -> bool {
        match self.running.lock().get(id).filter(|e| caller.controls(&e.owner)) {
            Some(entry) => {
                entry.close.send_replace(Some(Closing::Asked));
                true
            }
            None => false,
        }
    }

    /// Ends all push queries because the node stops.
    pub(crate) fn close_all(&self) {
        for entry in self.running.lock().values() {
            entry.close.send_replace(Some(Closing::NodeStops));
        }
    }
}
