//! The real binary in a terminal of its own, as a person at the keyboard has it.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::server::weir_binary;

/// Columns of the terminal.
pub const COLUMNS: usize = 100;
/// What is expected must show within this time.
const DEADLINE: Duration = Duration::from_secs(120);

pub const CTRL_C: &str = "\x03";
pub const CTRL_D: &str = "\x04";
pub const CTRL_R: &str = "\x12";
pub const ENTER: &str = "\r";
pub const BACKSPACE: &str = "\x7f";
pub const HOME: &str = "\x1b[H";
pub const TAB: &str = "\t";
pub const UP: &str = "\x1b[A";

/// A `weir` in a pseudo-terminal. Killed when dropped.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    keyboard: ChildStdin,
    screen: Receiver<Vec<u8>>,
    raw: Vec<u8>,
    /// Bytes of the plain text that have been expected already.
    seen: usize,
}

impl Terminal {
    /// Starts `weir` with arguments; `home` holds its history.
    pub fn start(arguments: &[&str], home: &Path) -> Result<Terminal> {
        Terminal::start_with(arguments, home, &[])
    }

    /// As [`Terminal::start`], with further environment variables.
    pub fn start_with(arguments: &[&str], home: &Path, variables: &[(&str, &str)]) -> Result<Terminal> {
        let quote = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
        let mut line =
            format!("stty cols {COLUMNS} rows 40; exec {}", quote(&weir_binary().to_string_lossy()));
        for argument in arguments {
            line.push(' ');
            line.push_str(&quote(argument));
        }
        // script(1) makes the pseudo-terminal: every Debian has it.
        let mut child = Command::new("script")
            .args(["--quiet", "--flush", "--return", "--command", &line, "/dev/null"])
            .env("HOME", home)
            .env("TERM", "xterm-256color")
            .env("SHELL", "/bin/sh")
            .env_remove("NO_COLOR")
            // Without a pager, unless a test names one.
            .env("PAGER", "")
            .env_remove("WEIR_PAGER")
            .env_remove("VISUAL")
            .env_remove("EDITOR")
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start script")?;
        let keyboard = child.stdin.take().context("no standard input")?;
        let mut output = child.stdout.take().context("no standard output")?;
        let (sender, screen) = sync_channel(1024);
        std::thread::spawn(move || {
            let mut buffer = [0_u8; 4096];
            while let Ok(length @ 1..) = output.read(&mut buffer) {
                if sender.send(buffer[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        Ok(Terminal { child, keyboard, screen, raw: Vec::new(), seen: 0 })
    }

    /// Presses keys.
    pub fn send(&mut self, keys: &str) -> Result<()> {
        self.keyboard.write_all(keys.as_bytes())?;
        self.keyboard.flush()?;
        Ok(())
    }

    /// Types a line and Enter.
    pub fn enter(&mut self, line: &str) -> Result<()> {
        self.send(line)?;
        self.send(ENTER)
    }

    /// Waits until the text shows after what was expected before.
    pub fn expect(&mut self, text: &str) -> Result<()> {
        let started = Instant::now();
        loop {
            let plain = self.plain();
            if let Some(at) = plain[self.seen..].find(text) {
                self.seen += at + text.len();
                return Ok(());
            }
            let left = DEADLINE.saturating_sub(started.elapsed());
            match self.screen.recv_timeout(left) {
                Ok(bytes) => self.raw.extend_from_slice(&bytes),
                Err(RecvTimeoutError::Timeout) => bail!("no {text:?} after:\n{}", &plain[self.seen..]),
                Err(RecvTimeoutError::Disconnected) => {
                    bail!("it ended without {text:?} after:\n{}", &plain[self.seen..])
                }
            }
        }
    }

    /// Runs a line and waits for what it shows.
    pub fn ask(&mut self, line: &str, answer: &str) -> Result<()> {
        self.enter(line)?;
        // The echo is not the answer.
        self.expect("\n")?;
        self.expect(answer)
    }

    /// Waits until the process ends by itself.
    pub fn wait(mut self) -> Result<ExitStatus> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if started.elapsed() > DEADLINE {
                bail!("it goes on after:\n{}", &self.plain()[self.seen..]);
            }
            match self.screen.recv_timeout(Duration::from_millis(20)) {
                Ok(bytes) => self.raw.extend_from_slice(&bytes),
                Err(_) => std::thread::yield_now(),
            }
        }
    }

    /// All that came, escape sequences included.
    pub fn raw(&self) -> String {
        String::from_utf8_lossy(&self.raw).into_owned()
    }

    /// All that came, without escape sequences and carriage returns.
    pub fn plain(&self) -> String {
        plain(&self.raw())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Gone already after wait().
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The text without control sequences; an unfinished one at the end is left out.
fn plain(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        match c {
            '\x1b' => {
                if chars.next() == Some('[') {
                    // Parameters, then one final byte.
                    chars.by_ref().find(|c| ('\x40'..='\x7e').contains(c));
                }
            }
            '\r' => {}
            other => out.push(other),
        }
    }
    out
}
