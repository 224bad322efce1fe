//! The `weir` binary.

mod cli;
mod client;
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
