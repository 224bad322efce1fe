//! `weir completions`: what shells need to complete the command line.

use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use crate::cli::args::Cli;
use crate::render::line;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  weir completions bash > /etc/bash_completion.d/weir
  weir completions zsh > \"${fpath[1]}/_weir\"
  weir completions fish > ~/.config/fish/completions/weir.fish")]
pub struct CompletionsArgs {
    /// Shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script of a shell.
pub fn run(args: &CompletionsArgs) -> ExitCode {
    let mut script = Vec::new();
    generate(args.shell, &mut Cli::command(), "weir", &mut script);
    line::out_bytes(&script);
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_do_not_contradict_each_other() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_shell_knows_the_tools() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut script = Vec::new();
            generate(shell, &mut Cli::command(), "weir", &mut script);
            let script = String::from_utf8_lossy(&script);
            for word in ["consume", "isolation", "dry-run"] {
                assert!(script.contains(word), "{shell}: {word}");
            }
        }
    }
}
