//! The `weir` binary.

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use weir_repl::cli::{self, args::Cli};
use weir_repl::kafka_tools::scripts::Script;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let called = arguments.next().and_then(|name| Script::called(Path::new(&name)));
    match called {
        Some(script) => cli::run_script(script, arguments.collect()),
        None => cli::run(Cli::parse()),
    }
}
