//! A new database that is made while its task already runs.
//!
//! Making one takes several rounds on the disk. Nothing is in it before the first commit, so that a task can begin at once: it
//! finds its stores empty, and the first commit waits for the database.

use std::sync::{Arc, OnceLock};

use weir_broker::env::spawn;

use crate::error::{EngineError, Result};
use crate::state::backend::{CommitBatch, KeyRange, StateBackend, StateReader, StoreId, Visit};
use crate::state::rocksdb::RocksBackend;

type Outcome = std::result::Result<RocksBackend, String>;

/// A database, or one that is being made. Threads: as its traits say.
#[derive(Clone, Debug)]
pub(crate) struct OpeningBackend {
    outcome: Arc<OnceLock<Outcome>>,
}

/// Says that the thread that makes the database has ended, however it has.
struct Ended(Arc<OnceLock<Outcome>>);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.set(Err("it was not opened".to_owned()));
    }
}

impl OpeningBackend {
    /// A database that is open.
    pub(crate) fn of(backend: RocksBackend) -> OpeningBackend {
        OpeningBackend { outcome: Arc::new(OnceLock::from(Ok(backend))) }
    }

    /// A database without content that `open` makes, on a thread of its own.
    ///
    /// Errors: the operating system's, when it is out of threads.
    pub(crate) fn start(open: impl FnOnce() -> Outcome + Send + 'static) -> std::io::Result<OpeningBackend> {
        let outcome = Arc::new(OnceLock::new());
        let ended = Ended(outcome.clone());
        spawn::thread("state-open", move || {
            let _ = ended.0.set(open());
        })?;
        Ok(OpeningBackend { outcome })
    }

    /// The database, once it is there.
    ///
    /// Errors: it could not be made.
    pub(crate) fn wait(&self) -> Result<&RocksBackend> {
        let failed = |reason: &String| EngineError::Store { store: "new".to_owned(), reason: reason.clone() };
        self.outcome.wait().as_ref().map_err(failed)
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.outcome.get().is_some_and(Outcome::is_err)
    }

    /// The database, unless it is not there yet and thus empty.
    fn content(&self) -> Result<Option<&RocksBackend>> {
        if self.outcome.get().is_some() { self.wait().map(Some) } else { Ok(None) }
    }
}

impl StateReader for OpeningBackend {
    fn multi_get(&self, store: StoreId, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>> {
        match self.content()? {
            Some(backend) => backend.multi_get(store, keys),
            None => Ok(vec![None; keys.len()]),
        }
    }

    fn scan(&self, store: StoreId, range: &KeyRange, visit: &mut Visit<'_>) -> Result<()> {
        match self.content()? {
            Some(backend) => backend.scan(store, range, visit),
            None => Ok(()),
        }
    }

    fn position(&self, store: StoreId) -> Result<Option<i64>> {
        match self.content()? {
            Some(backend) => backend.position(store),
            None => Ok(None),
        }
    }
}

impl StateBackend for OpeningBackend {
    fn commit(&mut self, batch: CommitBatch) -> Result<()> {
        // A clone shares the database.
        self.wait()?.clone().commit(batch)
    }

    fn clear(&mut self, store: StoreId) -> Result<()> {
        match self.content()? {
            Some(backend) => backend.clone().clear(store),
            None => Ok(()),
        }
    }

    fn reader(&self) -> Arc<dyn StateReader> {
        Arc::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;
    use std::sync::mpsc;

    use super::*;
    use crate::state::backend::StoreSpec;
    use crate::state::rocksdb::RocksMemory;

    const STORE: StoreId = StoreId(0);

    #[test]
    fn a_new_database_is_empty_until_it_is_there_and_takes_the_first_commit_then() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().to_owned();
        let (go, wait) = mpsc::channel::<()>();
        let open = move || {
            wait.recv().map_err(|e| e.to_string())?;
            let specs = [StoreSpec { name: "s".to_owned(), changelog: true }];
            RocksBackend::open(&path, &specs, &RocksMemory::new(1 << 20, 1 << 20)).map_err(|e| e.to_string())
        };
        let mut backend = OpeningBackend::start(open).expect("a thread");
        let reader = backend.reader();
        assert_eq!(reader.multi_get(STORE, &[b"k"]).expect("empty"), [None]);
        assert_eq!(backend.position(STORE).expect("empty"), None);
        go.send(()).expect("the thread waits");
        let writes = vec![(STORE, vec![(b"k".to_vec(), Some(b"v".to_vec()))])];
        backend.commit(CommitBatch { writes, positions: vec![(STORE, 4)] }).expect("committed");
        assert_eq!(reader.multi_get(STORE, &[b"k"]).expect("read"), [Some(b"v".to_vec())]);
        assert_eq!(reader.position(STORE).expect("read"), Some(4));
    }

    #[test]
    fn a_database_that_cannot_be_made_fails_the_commit() {
        let mut backend = OpeningBackend::start(|| Err("no room".to_owned())).expect("a thread");
        let error = backend.commit(CommitBatch::default()).expect_err("not made");
        assert!(error.to_string().contains("no room"), "{error}");
        assert!(backend.has_failed());
        let visited = backend.scan(STORE, &KeyRange::all(), &mut |_, _| ControlFlow::Continue(()));
        assert!(visited.is_err());
    }
}
