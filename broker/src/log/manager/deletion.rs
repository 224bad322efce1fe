//! Deletion of logs: their directories are renamed at once and removed shortly after.

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use crate::env::storage::is_full;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::ids::TopicPartition;
use crate::log::log_deletion;
use crate::log::manager::{Background, LogManager, offline_log};

/// Suffix of the directories of deleted logs.
pub(super) const DELETE_SUFFIX: &str = "-delete";

/// The state of the directory of a deleted log.
#[derive(Debug)]
enum Doom {
    /// It has this name until its files are removed.
    Renamed(PathBuf),
    Removed,
}

impl LogManager {
    /// Deletes a log, damaged or not: it is gone at once, its files shortly after.
    ///
    /// # Errors
    /// [`Error::UnknownPartition`], [`Error::Io`].
    pub fn delete(&self, tp: &TopicPartition) -> Result<()> {
        if self.get(tp).is_none() && self.offline.get(tp).is_none() {
            return Err(Error::UnknownPartition(tp.clone()));
        }
        self.delete_all(std::slice::from_ref(tp))
    }

    /// As [`LogManager::delete`] for many, which wait for the disk once. Those that are not there are passed over.
    ///
    /// # Errors
    /// [`Error::Io`]; what had been renamed by then is gone at the next start.
    pub fn delete_all(&self, tps: &[TopicPartition]) -> Result<()> {
        let doomed: Vec<PathBuf> = {
            let _changing = self.changing.lock();
            let mut gone = Vec::new();
            for tp in tps {
                gone.extend(self.doom(tp)?);
            }
            if gone.is_empty() {
                return Ok(());
            }
            let data_dir = &self.config.data_dir;
            let synced = self.context.storage().sync_dir(data_dir);
            synced.map_err(|error| Error::io("sync directory", data_dir, error))?;
            gone.into_iter()
                .filter_map(|doom| match doom {
                    Doom::Renamed(dir) => Some(dir),
                    Doom::Removed => None,
                })
                .collect()
        };
        failpoint!("log.delete.after_rename")?;
        self.remove(doomed)
    }

    /// Removes directories out of the way: a few files each, which may take a disk long.
    pub(super) fn remove(&self, doomed: Vec<PathBuf>) -> Result<()> {
        for dir in doomed {
            match self.config.background {
                Background::Threads => self.doomed.push(dir),
                Background::Manual => log_deletion::remove(self.context.storage(), &dir)?,
            }
        }
        Ok(())
    }

    /// Takes a log out of use and renames its directory; `None` if there is none.
    ///
    /// A full disk may have no block for the new name. Then the files are removed under the old one: the topic is deleted already,
    /// and what a crash leaves of them is removed when the next start finishes the deletion.
    fn doom(&self, tp: &TopicPartition) -> Result<Option<Doom>> {
        let entry = self.logs.write().remove(tp);
        let damaged = self.offline.remove(tp);
        let dir = match (&entry, &damaged) {
            (Some(entry), _) => {
                entry.log.abandon();
                entry.log.dir().to_path_buf()
            }
            (None, Some(damaged)) => damaged.dir.clone(),
            (None, None) => return Ok(None),
        };
        let number = self.deletions.fetch_add(1, Ordering::Relaxed);
        let doomed =
            self.config.data_dir.join(format!("{}.{number}{DELETE_SUFFIX}", self.context.clock.now_ms()));
        let storage = self.context.storage();
        failpoint!("log.delete.before_rename")?;
        let outcome = match storage.rename(&dir, &doomed) {
            Ok(()) => Ok(Doom::Renamed(doomed)),
            Err(error) if is_full(&error) => log_deletion::remove(storage, &dir).map(|()| Doom::Removed),
            Err(error) => Err(Error::io("rename", &dir, error)),
        };
        outcome.map(Some).inspect_err(|error| {
            // So that the next attempt finds it.
            let known = damaged.or_else(|| entry.map(|entry| offline_log(tp, &entry, error.clone())));
            known.into_iter().for_each(|log| self.offline.insert(log));
        })
    }
}
