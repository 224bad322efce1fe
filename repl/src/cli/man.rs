//! `weir man`: the manual, out of the command line as clap knows it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;

use crate::cli::args::Cli;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  weir man | man -l -
  weir man /usr/local/share/man/man1      weir.1, weir-topic.1, weir-topic-create.1 and so on")]
pub struct ManArgs {
    /// Folder for a page of each command; default: the page of weir itself, on standard output
    folder: Option<PathBuf>,
}

pub fn run(args: &ManArgs) -> ExitCode {
    let mut command = Cli::command();
    command.build();
    let outcome = match &args.folder {
        None => page(&command).map(|page| {
            // A closed pipe is no reason to fail.
            let _ = std::io::stdout().write_all(&page);
        }),
        Some(folder) => fs::create_dir_all(folder).and_then(|()| write_pages(&command, "weir", folder)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Error: the manual cannot be written: {error}");
            ExitCode::from(1)
        }
    }
}

fn page(command: &Command) -> std::io::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command.clone()).render(&mut page)?;
    Ok(page)
}

/// A page for a command, and for each of those below it.
fn write_pages(command: &Command, name: &str, folder: &Path) -> std::io::Result<()> {
    fs::write(folder.join(format!("{name}.1")), page(command)?)?;
    let below = command.get_subcommands().filter(|below| !below.is_hide_set() && below.get_name() != "help");
    for below in below {
        write_pages(below, &format!("{name}-{}", below.get_name()), folder)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = Cli::command();
        command.build();
        write_pages(&command, "weir", folder.path()).expect("written");
        for name in ["weir", "weir-topic", "weir-group-seek", "weir-cluster-health", "weir-config-show"] {
            let page = fs::read_to_string(folder.path().join(format!("{name}.1"))).expect(name);
            assert!(page.contains(".SH NAME") && page.contains(".SH OPTIONS"), "{name}: {page}");
        }
    }
}
