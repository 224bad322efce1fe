//! Sub-commands of the binary.

pub mod aliases;
pub mod args;
pub mod completions;
pub mod config;
pub mod man;
pub mod node_args;
pub mod repl;
pub mod security;
pub mod server;
pub mod settings;
pub mod settings_file;
pub mod test;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::process::ExitCode;

use tracing_subscriber::EnvFilter;

use crate::bench::command as bench;
use crate::cli::args::{Cli, Command};
use crate::demo::command as demo;
use crate::kafka_tools::error::ToolError;
use crate::kafka_tools::scripts::Script;
use crate::kafka_tools::{acl, cluster, consume, group, log_dump, produce, topic, user};
use crate::migrate::commands as migrate;
use crate::render::error::chain;

/// Runs what the command line asks for. Exit codes: 0 done, 1 failed, 2 wrong usage.
pub fn run(cli: Cli) -> ExitCode {
    let level = if matches!(cli.command, Some(Command::Server(_))) { "info" } else { "error" };
    in_runtime(level, run_command(cli))
}

/// Does what the program of another name would do; the exit codes are the same.
pub fn run_script(script: Script, arguments: Vec<OsString>) -> ExitCode {
    in_runtime("error", async { tool_code(script.run(arguments).await) })
}

fn in_runtime(level: &str, work: impl Future<Output = ExitCode>) -> ExitCode {
    let filter = EnvFilter::try_from_env("WEIR_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    let runtime =
        match tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("weir-io").build() {
            Ok(runtime) => runtime,
            Err(error) => {
                eprintln!("Error: cannot start: {error}");
                return ExitCode::from(1);
            }
        };
    let code = runtime.block_on(work);
    runtime.shutdown_timeout(std::time::Duration::from_secs(5));
    code
}

async fn run_command(cli: Cli) -> ExitCode {
    match cli.command {
        None => server::run_shell(cli.shell, cli.node).await,
        Some(Command::Server(node)) => server::run_server(*node).await,
        Some(Command::Migrate(args)) => exit_code(migrate::run(args).await.map_err(|e| chain(&e))),
        Some(Command::Topic(args)) => tool_code(topic::run(args).await),
        Some(Command::Produce(args)) => tool_code(produce::run(args).await),
        Some(Command::Consume(args)) => tool_code(consume::run(args).await),
        Some(Command::Group(args)) => tool_code(group::run(args).await),
        Some(Command::Cluster(args)) => tool_code(cluster::run(args).await),
        Some(Command::Acl(args)) => tool_code(acl::run(args).await),
        Some(Command::User(args)) => tool_code(user::run(args).await),
        Some(Command::Log(args)) => tool_code(log_dump::run(&args)),
        Some(Command::Man(args)) => man::run(&args),
        Some(Command::Config(args)) => config::run(args),
        Some(Command::Aliases(args)) => aliases::run(&args),
        Some(Command::Completions(args)) => completions::run(&args),
        Some(Command::Demo(args)) => exit_code(demo::run(args).await.map_err(|e| format!("{e:#}"))),
        Some(Command::Bench(args)) => exit_code(bench::run(args).await.map_err(|e| format!("{e:#}"))),
        Some(Command::Test(args)) => test::run(&args),
    }
}

fn tool_code(outcome: Result<(), ToolError>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Error: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn exit_code(outcome: Result<(), String>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("Error: {message}");
            ExitCode::from(1)
        }
    }
}
