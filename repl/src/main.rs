//! The `weir` binary.

mod bench;
mod cli;
mod client;
mod demo;
mod input;
mod migrate;
mod render;
mod session;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::args::Cli;

fn main() -> ExitCode {
    cli::run(Cli::parse())
}
