//! The `weir` binary.

use std::process::ExitCode;

use clap::Parser;
use weir_repl::cli::{self, args::Cli};

fn main() -> ExitCode {
    cli::run(Cli::parse())
}
