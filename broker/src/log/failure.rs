//! Health of a log directory.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::OnceLock;

use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};

/// The health of one log directory. It fails once and for all: after a failed write or fsync nobody knows what is on
/// the disk, so nothing more may be acknowledged until a restart has checked it.
#[derive(Debug)]
pub(crate) struct DirHealth {
    dir: PathBuf,
    failure: OnceLock<Arc<str>>,
    failed: CancellationToken,
}

impl DirHealth {
    pub(crate) fn new(dir: &Path) -> Arc<Self> {
        Arc::new(DirHealth {
            dir: dir.to_owned(),
            failure: OnceLock::new(),
            failed: CancellationToken::new(),
        })
    }

    /// # Errors
    /// [`Error::StorageFailed`] after the first failure.
    pub(crate) fn check(&self) -> Result<()> {
        match self.failure.get() {
            None => Ok(()),
            Some(reason) => Err(Error::StorageFailed { dir: self.dir.clone(), reason: Arc::clone(reason) }),
        }
    }

    /// Cancelled at the first failure.
    pub(crate) fn failed(&self) -> CancellationToken {
        self.failed.clone()
    }

    /// Takes the directory offline. Returns the error everyone gets from now on.
    pub(crate) fn fail(&self, cause: &Error) -> Error {
        let reason = self.failure.get_or_init(|| {
            let source =
                std::error::Error::source(cause).map(|source| format!(": {source}")).unwrap_or_default();
            let reason = format!("{cause}{source}");
            tracing::error!(dir = %self.dir.display(), %reason, "log directory is offline");
            reason.into()
        });
        self.failed.cancel();
        Error::StorageFailed { dir: self.dir.clone(), reason: Arc::clone(reason) }
    }
}
