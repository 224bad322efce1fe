//! A new database that is made with its first commit.
//!
//! Making one takes time and several rounds on the disk, and nothing is in it before the first commit. So a task begins at once,
//! finds its stores empty, and shows its first output before the database is made.

use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::error::{EngineError, Result};
use crate::state::backend::{CommitBatch, KeyRange, StateBackend, StateReader, StoreId, Visit};
use crate::state::rocksdb::RocksBackend;

type Outcome = std::result::Result<RocksBackend, String>;

/// A database, or one that is still to be made. Threads: as its traits say.
#[derive(Clone)]
pub(crate) struct OpeningBackend {
    outcome: Arc<OnceLock<Outcome>>,
    make: Arc<dyn Fn() -> Outcome + Send + Sync>,
}

impl fmt::Debug for OpeningBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpeningBackend").field("outcome", &self.outcome.get()).finish_non_exhaustive()
    }
}

impl OpeningBackend {
    /// A database that is open.
    pub(crate) fn of(backend: RocksBackend) -> OpeningBackend {
        let make = || Err("it is open already".to_owned());
        OpeningBackend { outcome: Arc::new(OnceLock::from(Ok(backend))), make: Arc::new(make) }
    }

    /// A database without content, which `make` makes.
    pub(crate) fn new(make: impl Fn() -> Outcome + Send + Sync + 'static) -> OpeningBackend {
        OpeningBackend { outcome: Arc::default(), make: Arc::new(make) }
    }

    /// The database, made if need be.
    ///
    /// Errors: it cannot be made; the same from then on.
    fn made(&self) -> Result<&RocksBackend> {
        failing(self.outcome.get_or_init(|| (self.make)()))
    }

    /// True if the database cannot be made, or something in it could not be read or written.
    pub(crate) fn has_failed(&self) -> bool {
        self.outcome.get().is_some_and(|outcome| outcome.as_ref().map_or(true, RocksBackend::has_failed))
    }

    /// True if what is on disk is not what was written.
    pub(crate) fn is_damaged(&self) -> bool {
        matches!(self.outcome.get(), Some(Ok(backend)) if backend.is_damaged())
    }

    /// The database, unless it is not made yet and thus empty.
    pub(crate) fn content(&self) -> Result<Option<&RocksBackend>> {
        self.outcome.get().map(failing).transpose()
    }
}

fn failing(outcome: &Outcome) -> Result<&RocksBackend> {
    outcome.as_ref().map_err(|reason| EngineError::Store { store: "new".to_owned(), reason: reason.clone() })
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

    fn check(&self) -> Result<()> {
        self.content()?.map_or(Ok(()), StateReader::check)
    }
}

impl StateBackend for OpeningBackend {
    fn commit(&mut self, batch: CommitBatch) -> Result<()> {
        // A clone shares the database.
        self.made()?.clone().commit(batch)
    }

    fn clear(&mut self, store: StoreId) -> Result<()> {
        match self.content()? {
            Some(backend) => backend.clone().clear(store),
            None => Ok(()),
        }
    }

    fn written_at_ms(&self) -> Result<Option<i64>> {
        match self.content()? {
            Some(backend) => backend.written_at_ms(),
            None => Ok(None),
        }
    }

    fn reader(&self) -> Arc<dyn StateReader> {
        Arc::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::*;
    use crate::state::backend::StoreSpec;
    use crate::state::rocksdb::RocksMemory;

    const STORE: StoreId = StoreId(0);

    #[test]
    fn a_new_database_is_empty_until_the_first_commit_makes_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("db");
        let made_at = path.clone();
        let make = move || {
            let specs = [StoreSpec { name: "s".to_owned(), changelog: true }];
            let memory = RocksMemory::new(1 << 20, 1 << 20);
            RocksBackend::open(&made_at, &specs, &memory).map_err(|e| e.to_string())
        };
        let mut backend = OpeningBackend::new(make);
        let reader = backend.reader();
        assert_eq!(reader.multi_get(STORE, &[b"k"]).expect("empty"), [None]);
        assert_eq!(backend.position(STORE).expect("empty"), None);
        assert!(!path.exists());
        let writes = vec![(STORE, vec![(b"k".to_vec(), Some(b"v".to_vec()))])];
        backend.commit(CommitBatch { writes, positions: vec![(STORE, 4)] }).expect("committed");
        assert_eq!(reader.multi_get(STORE, &[b"k"]).expect("read"), [Some(b"v".to_vec())]);
        assert_eq!(reader.position(STORE).expect("read"), Some(4));
    }

    #[test]
    fn a_database_that_cannot_be_made_fails_the_commit() {
        let mut backend = OpeningBackend::new(|| Err("no room".to_owned()));
        let error = backend.commit(CommitBatch::default()).expect_err("not made");
        assert!(error.to_string().contains("no room"), "{error}");
        assert!(backend.has_failed());
        let visited = backend.scan(STORE, &KeyRange::all(), &mut |_, _| ControlFlow::Continue(()));
        assert!(visited.is_err());
    }
}
