//! How many files the process may have open, and who gets how many of them.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// What systems without a say allow.
const ASSUMED: u64 = 1024;
/// Files of logs kept open at most: more of them would only save opening them again.
const LOG_FILES_MAX: u64 = 8192;

/// The limit of open files, as it is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenFiles {
    limit: u64,
}

impl OpenFiles {
    /// Raises the limit as far as the process may by itself.
    #[must_use]
    pub fn raise() -> Self {
        let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return Self { limit: ASSUMED } };
        if soft < hard {
            match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
                Ok(()) => return Self { limit: hard },
                Err(error) => tracing::warn!(soft, hard, %error, "the limit of open files cannot be raised"),
            }
        }
        Self { limit: soft }
    }

    /// How many files may be open.
    #[must_use]
    pub fn limit(self) -> u64 {
        self.limit
    }

    /// Files of logs kept open: a quarter.
    #[must_use]
    pub fn for_logs(self) -> usize {
        usize::try_from((self.limit / 4).clamp(32, LOG_FILES_MAX)).unwrap_or(usize::MAX)
    }

    /// Connections that can be open: what logs and, an eighth, everything else leave.
    #[must_use]
    pub fn for_connections(self) -> usize {
        let left = self.limit - self.limit.min(self.limit / 8 + self.for_logs() as u64);
        usize::try_from(left).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::OpenFiles;

    #[test]
    fn everybody_gets_a_share() {
        for (limit, logs, connections) in
            [(256, 64, 160), (1024, 256, 640), (20_000, 5_000, 12_500), (1 << 20, 8192, 909_312)]
        {
            let files = OpenFiles { limit };
            assert_eq!((files.for_logs(), files.for_connections()), (logs, connections), "{limit}");
        }
        let raised = OpenFiles::raise();
        assert_eq!(OpenFiles::raise(), raised);
    }
}
