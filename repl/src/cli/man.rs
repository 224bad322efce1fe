//! `weir man`: the manual, out of the command line as clap knows it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;

use crate::cli::args::Cli;
use crate::render::line;

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
            line::out_bytes(&page);
        }),
        Some(folder) => fs::create_dir_all(folder).and_then(|()| write_pages(&command, "weir", folder)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            line::err(format_args!("Error: the manual cannot be written: {error}"));
            ExitCode::from(1)
        }
    }
}

fn page(command: &Command) -> std::io::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command.clone()).render(&mut page)?;
    // clap_mangen shows options that have only a letter without their value.
    let mut text = String::from_utf8_lossy(&page).into_owned();
    for option in command.get_arguments().filter(|option| option.get_long().is_none()) {
        let Some(letter) = option.get_short() else { continue };
        let takes_value = option.get_action().takes_values();
        let names = option.get_value_names().filter(|_| takes_value).unwrap_or_default();
        let names: Vec<String> = names.iter().map(|name| format!(" \\fI{name}\\fR")).collect();
        text =
            text.replace(&format!("\\fB\\-{letter} \\fR"), &format!("\\fB\\-{letter}\\fR{}", names.concat()));
    }
    Ok(text.into_bytes())
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
        for entry in fs::read_dir(folder.path()).expect("listed") {
            let path = entry.expect("an entry").path();
            let page = fs::read_to_string(&path).expect("readable");
            assert!(page.is_ascii(), "{}", path.display());
            assert!(!page.contains(" \\fR]"), "{}: an option without its value: {page}", path.display());
        }
    }
}
