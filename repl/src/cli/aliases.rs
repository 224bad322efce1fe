//! `weir aliases`: links by whose names the binary is called like Kafka's own scripts.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::kafka_tools::output::line;
use crate::kafka_tools::scripts::Script;
use crate::render::line;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  weir aliases list
  weir aliases install ~/bin                        kafka-topics, kafka-topics.sh and so on, and kcat
  weir aliases install /opt/kafka/bin kafka-topics  only this one
  kafka-topics --list --bootstrap-server localhost:9092")]
pub struct AliasesArgs {
    #[command(subcommand)]
    command: AliasesCommand,
}

#[derive(Debug, Subcommand)]
enum AliasesCommand {
    /// Show the names
    List,
    /// Make the links
    Install {
        /// Folder of the links
        folder: PathBuf,
        /// Only these names
        names: Vec<String>,
        /// Replace existing links and files of these names
        #[arg(long)]
        force: bool,
    },
}

pub fn run(args: &AliasesArgs) -> ExitCode {
    match &args.command {
        AliasesCommand::List => {
            Script::ALL.into_iter().for_each(|script| line(script.name()));
            ExitCode::SUCCESS
        }
        AliasesCommand::Install { folder, names, force } => {
            let scripts = match chosen(names) {
                Ok(scripts) => scripts,
                Err(message) => return fail(&message, 2),
            };
            let on_conflict = if *force { OnConflict::Replace } else { OnConflict::Fail };
            match install(folder, &scripts, on_conflict) {
                Ok(()) => ExitCode::SUCCESS,
                Err(message) => fail(&message, 1),
            }
        }
    }
}

fn fail(message: &str, code: u8) -> ExitCode {
    line::err(format_args!("Error: {message}"));
    ExitCode::from(code)
}

fn chosen(names: &[String]) -> Result<Vec<Script>, String> {
    if names.is_empty() {
        return Ok(Script::ALL.to_vec());
    }
    let script = |name: &String| {
        let found = Script::called(Path::new(name));
        found.ok_or_else(|| format!("\"{name}\" is no alias; \"weir aliases list\" shows those there are"))
    };
    names.iter().map(script).collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum OnConflict {
    Fail,
    Replace,
}

fn install(folder: &Path, scripts: &[Script], on_conflict: OnConflict) -> Result<(), String> {
    let binary = std::env::current_exe().map_err(|error| format!("this binary cannot be found: {error}"))?;
    fs::create_dir_all(folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    for script in scripts {
        link(&binary, &folder.join(script.name()), on_conflict)?;
        if *script != Script::Kcat {
            link(&binary, &folder.join(format!("{}.sh", script.name())), on_conflict)?;
        }
    }
    Ok(())
}

fn link(binary: &Path, place: &Path, on_conflict: OnConflict) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("cannot link {}: {error}", place.display());
    match symlink(binary, place) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let is_ours = fs::read_link(place).is_ok_and(|target| target == binary);
            if !is_ours && on_conflict == OnConflict::Fail {
                return Err(format!("{} is there already; --force replaces it", place.display()));
            }
            if !is_ours {
                fs::remove_file(place).map_err(failed)?;
                symlink(binary, place).map_err(failed)?;
            }
        }
        outcome => outcome.map_err(failed)?,
    }
    line(&format!("{} -> {}", place.display(), binary.display()));
    Ok(())
}
