//! The real binary as a process that can be killed.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::http::SqlClient;

/// The binary under test: `WEIR_BINARY`, else the one that the workspace's target directory holds.
pub fn weir_binary() -> PathBuf {
    if let Some(path) = std::env::var_os("WEIR_BINARY") {
        return path.into();
    }
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from);
    target.join("release/weir")
}

/// Where a server listens.
#[derive(Debug, Clone)]
pub struct Addresses {
    pub http: String,
    pub kafka: String,
}

/// A `weir server` with ports of its own. Killed when dropped.
#[derive(Debug)]
pub struct ServerProcess {
    child: Child,
    pub http: String,
    pub kafka: String,
}

impl ServerProcess {
    /// Starts a server on a data folder and waits until it says that it is ready.
    pub fn start(data_dir: &Path) -> Result<ServerProcess> {
        ServerProcess::start_adjusted(data_dir, |_| {})
    }

    /// As [`ServerProcess::start`], at addresses of which port 0 is any free one.
    pub fn start_at(data_dir: &Path, http: &str, kafka: &str) -> Result<ServerProcess> {
        ServerProcess::start_with(data_dir, &["--http-listen", http, "--kafka-listen", kafka])
    }

    /// As [`ServerProcess::start`], with arguments that say where it listens and how.
    pub fn start_with(data_dir: &Path, arguments: &[&str]) -> Result<ServerProcess> {
        ServerProcess::launch(data_dir, |command| {
            command.args(arguments);
        })
    }

    /// As [`ServerProcess::start`], with more arguments and variables.
    pub fn start_adjusted(data_dir: &Path, adjust: impl FnOnce(&mut Command)) -> Result<ServerProcess> {
        ServerProcess::launch(data_dir, |command| {
            command.args(["--http-listen", "127.0.0.1:0", "--kafka-listen", "127.0.0.1:0"]);
            adjust(command);
        })
    }

    /// As [`ServerProcess::start`], with arguments and variables of which none is chosen yet.
    pub fn launch(data_dir: &Path, adjust: impl FnOnce(&mut Command)) -> Result<ServerProcess> {
        let binary = weir_binary();
        let mut command = Command::new(&binary);
        command.args(["server", "--data-dir"]).arg(data_dir).stdout(Stdio::piped());
        adjust(&mut command);
        let mut child =
            command.spawn().with_context(|| format!("cannot start {}: build it first", binary.display()))?;
        let stdout = child.stdout.take().context("no standard output")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        // "weir 0.1.0 ready in 12 ms: SQL http://127.0.0.1:1, Kafka 127.0.0.1:2"
        let addresses = line.trim().split_once("SQL ").and_then(|(_, rest)| rest.split_once(", Kafka "));
        let Some((http, kafka)) = addresses else {
            let status = child.wait()?;
            bail!("the server said \"{}\" and ended with {status}", line.trim());
        };
        Ok(ServerProcess { child, http: http.to_owned(), kafka: kafka.to_owned() })
    }

    /// Where the server listens.
    pub fn addresses(&self) -> Addresses {
        Addresses { http: self.http.clone(), kafka: self.kafka.clone() }
    }

    pub fn sql(&self) -> SqlClient {
        SqlClient::new(&self.http)
    }

    /// SIGKILL, and waits until the process is gone.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGTERM, and waits for a clean end.
    pub fn stop(&self) -> Result<()> {
        let pid = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status()?;
        // The exit is seen by the parent only in wait(), which needs the child for itself; its state tells as much.
        let started = Instant::now();
        loop {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            if status.is_empty() || status.lines().any(|line| line.starts_with("State:\tZ")) {
                return Ok(());
            }
            if started.elapsed() > Duration::from_secs(120) {
                bail!("the server does not stop");
            }
            std::thread::yield_now();
        }
    }

    /// The id of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How the process ended, if it has.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// SIGTERM; waits until the process is gone, for at most `patience`, and kills it then.
    pub fn terminate(&mut self, patience: Duration) -> Result<ExitStatus> {
        Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status()?;
        let started = Instant::now();
        while started.elapsed() < patience {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
        self.child.kill()?;
        Ok(self.child.wait()?)
    }

    /// Resident memory, in MiB.
    pub fn rss_mib(&self) -> f64 {
        self.status_mib("VmRSS:")
    }

    /// The most resident memory so far, in MiB.
    pub fn peak_rss_mib(&self) -> f64 {
        self.status_mib("VmHWM:")
    }

    fn status_mib(&self, name: &str) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_default();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or(0.0) / 1024.0
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // Gone already after kill().
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
