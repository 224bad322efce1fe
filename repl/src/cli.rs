//! Sub-commands of the binary.

pub mod access;
pub mod aliases;
pub mod args;
pub mod completions;
pub mod config;
pub mod listen;
pub mod log_writer;
pub mod logging;
pub mod man;
pub mod node_args;
pub mod repl;
pub mod security;
pub mod server;
pub mod settings;
pub mod settings_file;
#[cfg(test)]
mod settings_page;
pub mod test;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use crate::bench::command as bench;
use crate::cli::args::{Cli, Command};
use crate::cli::logging::{LogFilter, LogFormat};
use crate::demo::command as demo;
use crate::kafka_tools::error::ToolError;
use crate::kafka_tools::scripts::Script;
use crate::kafka_tools::{acl, cluster, command_topic, consume, group, log, produce, topic, user};
use crate::migrate::commands as migrate;
use crate::render::error::chain;
use crate::render::line;

/// Log lines of a shell: errors of its embedded node, and warnings about its settings.
const SHELL_LEVEL: &str = "error,weir_repl=warn";
/// How long blocking work may go on after everything else has stopped.
const RUNTIME_STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs what the command line asks for. Exit codes: 0 done, 1 failed, 2 wrong usage.
pub fn run(cli: Cli) -> ExitCode {
    let (node, level) = match &cli.command {
        Some(Command::Server(node)) => (Some(&**node), "info"),
        None => (Some(&cli.node), SHELL_LEVEL),
        Some(_) => (None, "error"),
    };
    let filter = node.and_then(|node| node.log_level.clone());
    let format = node.map_or(LogFormat::Text, |node| node.log_format);
    in_runtime(filter.as_ref(), level, format, run_command(cli))
}

/// Does what the program of another name would do; the exit codes are the same.
pub fn run_script(script: Script, arguments: Vec<OsString>) -> ExitCode {
    in_runtime(None, "error", LogFormat::Text, async {
        with_output_checked(tool_code(script.run(arguments).await))
    })
}

fn in_runtime(
    filter: Option<&LogFilter>,
    level: &str,
    format: LogFormat,
    work: impl Future<Output = ExitCode>,
) -> ExitCode {
    let runtime = logging::start(filter, level, format).and_then(|()| {
        tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("weir-io").build()
    });
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            line::err(format_args!("Error: cannot start: {error}"));
            return ExitCode::from(1);
        }
    };
    let code = runtime.block_on(work);
    runtime.shutdown_timeout(RUNTIME_STOP_TIMEOUT);
    logging::flush();
    code
}

/// Code of a command whose result may not have reached standard output.
fn with_output_checked(code: ExitCode) -> ExitCode {
    match line::out_failure() {
        Some(failure) if code == ExitCode::SUCCESS => {
            line::err(format_args!("Error: cannot write to standard output: {failure}"));
            ExitCode::from(1)
        }
        _ => code,
    }
}

async fn run_command(cli: Cli) -> ExitCode {
    let code = match cli.command {
        None => server::run_shell(cli.shell, cli.node).await,
        // A node serves whether or not its ready line could be written.
        Some(Command::Server(node)) => return server::run_server(*node).await,
        Some(Command::Migrate(args)) => exit_code(migrate::run(args).await.map_err(|e| chain(&e))),
        Some(Command::Topic(args)) => tool_code(topic::run(args).await),
        Some(Command::Produce(args)) => tool_code(produce::args::run(args).await),
        Some(Command::Consume(args)) => tool_code(consume::args::run(args).await),
        Some(Command::Group(args)) => tool_code(group::args::run(args).await),
        Some(Command::Cluster(args)) => tool_code(cluster::args::run(args).await),
        Some(Command::Acl(args)) => tool_code(acl::run(args).await),
        Some(Command::User(args)) => tool_code(user::run(args).await),
        Some(Command::CommandTopic(args)) => tool_code(command_topic::run(args).await),
        Some(Command::Log(args)) => tool_code(log::dump::run(&args)),
        Some(Command::Man(args)) => man::run(&args),
        Some(Command::Config(args)) => config::run(args),
        Some(Command::Aliases(args)) => aliases::run(&args),
        Some(Command::Completions(args)) => completions::run(&args).await,
        Some(Command::Demo(args)) => exit_code(demo::run(args).await.map_err(|e| format!("{e:#}"))),
        Some(Command::Bench(args)) => exit_code(bench::run(args).await.map_err(|e| format!("{e:#}"))),
        Some(Command::Test(args)) => test::run(&args),
    };
    with_output_checked(code)
}

fn tool_code(outcome: Result<(), ToolError>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            line::err(format_args!("Error: {error}"));
            ExitCode::from(error.exit_code())
        }
    }
}

fn exit_code(outcome: Result<(), String>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            line::err(format_args!("Error: {message}"));
            ExitCode::from(1)
        }
    }
}
