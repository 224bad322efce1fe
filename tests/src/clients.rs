//! Scripts of foreign Kafka clients: starts one against a server of its own and reads what it says.
//!
//! A script takes the broker's address and prints lines: `PASS behaviour`, `FAIL behaviour: cause`,
//! `NONE behaviour: why the client has no such thing`, and `RESTART`, which asks for a broker that is killed and
//! started again at the same addresses; the answer is `ready` on its standard input. Variables tell it about the
//! listeners that want passwords or certificates.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::secure_server::SecureServer;

/// How often a server is started again when something else took its port meanwhile.
const STARTS_MAX: usize = 20;
/// How long a script may take.
const SCRIPT_WITHIN: Duration = Duration::from_secs(1_800);
/// Lines of standard error that are kept for a script that ends badly.
const ERROR_LINES: usize = 40;

/// What a client made of a behaviour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Pass,
    Fail(String),
    /// The client has no such feature.
    None(String),
}

/// What a script reported.
#[derive(Debug, Default)]
pub struct Report {
    pub outcomes: BTreeMap<String, Outcome>,
    /// Requests that the script sent, by API.
    pub requests: BTreeMap<String, u64>,
    /// Why the script did not come to its end.
    pub broken: Option<String>,
    pub took: Duration,
}

impl Report {
    /// Behaviours that failed because something took too long, which a busy machine may cause as well as a fault.
    pub fn late(&self) -> Vec<String> {
        let is_late = |outcome: &Outcome| match outcome {
            Outcome::Fail(cause) => LATE_CAUSES.iter().any(|late| cause.contains(late)),
            Outcome::Pass | Outcome::None(_) => false,
        };
        self.outcomes.iter().filter(|(_, outcome)| is_late(outcome)).map(|(name, _)| name.clone()).collect()
    }

    /// Takes over what a later run of some of the behaviours made of them.
    pub fn replace(&mut self, later: Report) {
        self.outcomes.extend(later.outcomes);
        count(self, later.requests);
        self.broken = self.broken.take().or(later.broken);
        self.took += later.took;
    }
}

/// Causes that the scripts report for a behaviour that did not end in time.
const LATE_CAUSES: [&str; 2] = ["not within ", "not done within "];

/// How long a proof of who a client is holds, and how often the broker looks for logs to compact.
const SETTINGS: [&str; 4] = ["--sasl-session-lifetime-ms", "8000", "--housekeeping-interval-ms", "500"];

/// Runs a script to its end; `command` still lacks its arguments: the broker's address, and the behaviours to try if
/// not all are.
pub fn run(command: &mut Command, only: &[String]) -> Result<Report> {
    let folder = tempfile::tempdir()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut broker = SecureServer::start(folder.path(), &SETTINGS)?;
    runtime.block_on(broker.admit_users())?;
    let own_requests = runtime.block_on(broker.requests())?;
    broker.tell(command)?;
    let error_path = folder.path().join("script.stderr");
    let started = Instant::now();
    let mut script = command
        .arg(broker.address("PLAINTEXT")?)
        .args(only)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(std::fs::File::create(&error_path)?)
        .spawn()
        .with_context(|| format!("cannot start {command:?}"))?;
    let lines = lines_of(&mut script)?;
    let mut answers = script.stdin.take().context("no standard input")?;
    let mut report = Report::default();
    loop {
        let left = SCRIPT_WITHIN.saturating_sub(started.elapsed());
        match lines.recv_timeout(left) {
            Ok(line) if line.trim() == "RESTART" => {
                count(&mut report, runtime.block_on(broker.requests())?);
                broker.server.kill()?;
                start_again(&mut broker)?;
                // A script that is gone shows by the end of its output.
                let _ = writeln!(answers, "ready");
            }
            Ok(line) => note(&mut report, &line),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                report.broken = Some(format!("not at its end after {SCRIPT_WITHIN:?}"));
                script.kill()?;
                break;
            }
        }
    }
    let status = script.wait()?;
    report.took = started.elapsed();
    count(&mut report, runtime.block_on(broker.requests())?);
    for (api, count) in own_requests {
        report.requests.entry(api).and_modify(|all| *all -= count);
    }
    if !status.success() {
        let errors = std::fs::read_to_string(&error_path).unwrap_or_default();
        let tail: Vec<&str> = errors.lines().rev().take(ERROR_LINES).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        let what = report.broken.take().unwrap_or_else(|| format!("ended with {status}"));
        report.broken = Some(format!("{what}:\n{}", tail.join("\n")));
    }
    Ok(report)
}

fn count(report: &mut Report, requests: BTreeMap<String, u64>) {
    for (api, count) in requests {
        *report.requests.entry(api).or_default() += count;
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "nothing tells when the ports of a killed server are free again"
)]
fn start_again(broker: &mut SecureServer) -> Result<()> {
    let mut last = None;
    for _ in 0..STARTS_MAX {
        match broker.start_again() {
            Ok(()) => return Ok(()),
            Err(error) => last = Some(error),
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Err(last.context("the server was never started")?)
}

fn lines_of(script: &mut Child) -> Result<Receiver<String>> {
    let output = script.stdout.take().context("no standard output")?;
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(std::result::Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    Ok(receiver)
}

fn note(report: &mut Report, line: &str) {
    let Some((word, rest)) = line.trim().split_once(' ') else { return };
    let (name, cause) = rest.split_once(": ").unwrap_or((rest, ""));
    let outcome = match word {
        "PASS" => Outcome::Pass,
        "FAIL" => Outcome::Fail(cause.to_owned()),
        "NONE" => Outcome::None(cause.to_owned()),
        // Clients print things of their own.
        _ => return,
    };
    report.outcomes.insert(name.to_owned(), outcome);
}
