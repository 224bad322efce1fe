//! Scripts of foreign Kafka clients: starts one against a server of its own and reads what it says.
//!
//! A script takes the broker's address and prints lines: `PASS behaviour`, `FAIL behaviour: cause`,
//! `NONE behaviour: why the client has no such thing`, and `RESTART`, which asks for a broker that is killed and
//! started again at the same address; the answer is `ready` on its standard input.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::server::ServerProcess;

/// How often a server is started again when something else took its port meanwhile.
const STARTS_MAX: usize = 20;
/// How long a script may take.
const SCRIPT_WITHIN: Duration = Duration::from_secs(300);
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
    /// Why the script did not come to its end.
    pub broken: Option<String>,
    pub took: Duration,
}

/// Runs a script to its end; `command` still lacks the broker's address as its last argument.
pub fn run(command: &mut Command) -> Result<Report> {
    let folder = tempfile::tempdir()?;
    let mut server = ServerProcess::start(folder.path())?;
    let error_path = folder.path().join("script.stderr");
    let started = Instant::now();
    let mut script = command
        .arg(&server.kafka)
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
                server.kill()?;
                server = start_again(folder.path(), &server.kafka)?;
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
    if !status.success() {
        let errors = std::fs::read_to_string(&error_path).unwrap_or_default();
        let tail: Vec<&str> = errors.lines().rev().take(ERROR_LINES).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        report.broken.get_or_insert_with(|| format!("ended with {status}:\n{}", tail.join("\n")));
    }
    Ok(report)
}

#[expect(clippy::disallowed_methods, reason = "nothing tells when the port of a killed server is free again")]
fn start_again(folder: &std::path::Path, address: &str) -> Result<ServerProcess> {
    let mut last = None;
    for _ in 0..STARTS_MAX {
        match ServerProcess::start_at(folder, "127.0.0.1:0", address) {
            Ok(server) => return Ok(server),
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
