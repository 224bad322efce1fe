//! The tools of the binary, run against a node of their own.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde_json::Value;
use tempfile::TempDir;

use crate::server::{ServerProcess, weir_binary};

/// A node, and the tools of the binary that speak to it.
#[derive(Debug)]
pub struct ToolNode {
    pub folder: TempDir,
    pub server: ServerProcess,
}

/// How a process ended and what it said.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// Runs a process with this on its standard input.
pub fn run(command: &mut Command, input: &str) -> Result<Ran> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    // A process that fails early does not read its input.
    let _ = child.stdin.take().context("no standard input")?.write_all(input.as_bytes());
    let output = child.wait_with_output()?;
    Ok(Ran {
        code: output.status.code(),
        out: String::from_utf8(output.stdout)?,
        err: String::from_utf8(output.stderr)?,
    })
}

impl ToolNode {
    /// A fresh node.
    pub fn start() -> Result<ToolNode> {
        let folder = tempfile::tempdir()?;
        let server = ServerProcess::start(&folder.path().join("data"))?;
        Ok(ToolNode { folder, server })
    }

    /// Runs a tool.
    pub fn run(&self, arguments: &[&str], input: &str) -> Result<Ran> {
        run(Command::new(weir_binary()).args(arguments).env("WEIR_BROKERS", &self.server.kafka), input)
    }

    /// Standard output of a command that must succeed.
    pub fn weir(&self, arguments: &[&str]) -> Result<String> {
        self.weir_with(arguments, "")
    }

    /// As [`ToolNode::weir`], with standard input.
    pub fn weir_with(&self, arguments: &[&str], input: &str) -> Result<String> {
        let ran = self.run(arguments, input)?;
        assert_eq!(ran.code, Some(0), "{arguments:?}: {}{}", ran.out, ran.err);
        Ok(ran.out)
    }

    /// Standard error of a command that must fail with this exit code.
    pub fn fails(&self, arguments: &[&str], input: &str, code: i32) -> Result<String> {
        let ran = self.run(arguments, input)?;
        assert_eq!(ran.code, Some(code), "{arguments:?}: {}{}", ran.out, ran.err);
        Ok(ran.err)
    }

    /// The objects of a list.
    pub fn list(&self, arguments: &[&str]) -> Result<Vec<Value>> {
        let out = self.weir(arguments)?;
        out.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
    }

    /// Standard output of kcat; None where it is not installed.
    pub fn kcat(&self, arguments: &[&str], input: &str) -> Result<Option<String>> {
        if !Command::new("kcat").arg("-V").output().is_ok_and(|o| o.status.success()) {
            assert!(std::env::var_os("CI").is_none(), "kcat is not installed");
            return Ok(None);
        }
        let ran = run(Command::new("kcat").args(["-b", &self.server.kafka]).args(arguments), input)?;
        assert_eq!(ran.code, Some(0), "kcat {arguments:?}: {}", ran.err);
        Ok(Some(ran.out))
    }

    /// Where the partitions are.
    pub fn log_folder(&self) -> PathBuf {
        self.folder.path().join("data/broker/log")
    }
}
