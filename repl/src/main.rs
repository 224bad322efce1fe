//! The `weir` binary.

use std::path::Path;
use std::process::ExitCode;

use weir_repl::cli::{self, config};
use weir_repl::kafka_tools::scripts::Script;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let called = arguments.next().and_then(|name| Script::called(Path::new(&name)));
    match called {
        Some(script) => cli::run_script(script, arguments.collect()),
        None => cli::run(config::parse()),
    }
}
