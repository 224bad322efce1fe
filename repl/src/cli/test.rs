//! `weir test`: runs cases, without a broker or each on a node of its own.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use walkdir::WalkDir;
use weir_engine::driver::{BatchRows, DriverConfig, Restart};

use crate::render::line;
use crate::testing::case::Document;
use crate::testing::case_file::form::CaseFile;
use crate::testing::report::{Outcome, Report};
use crate::testing::{case_file, qtt, rqtt, sql_test};

#[derive(Debug, Args)]
pub struct TestArgs {
    /// Files of cases (.case, .json, .sql), or folders with such files
    #[arg(required = true)]
    pub paths: Vec<PathBuf>,
    /// Write one line of JSON per case to this file: file, name, status, message
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Cut input into batches of N rows, or at random: N, random:SEED
    #[arg(long, value_name = "ROWS", value_parser = parse_batch_rows)]
    pub batch_rows: Option<BatchRows>,
    /// Commit after every N records and start the queries again, with their state restored from the changelogs
    #[arg(long, value_name = "N")]
    pub interrupt: Option<std::num::NonZeroUsize>,
    /// With --interrupt: keep the state instead
    #[arg(long, requires = "interrupt")]
    pub keep_state: bool,
    /// Only cases whose "file name" contains this text
    #[arg(long, value_name = "TEXT")]
    pub filter: Option<String>,
    /// Exit with 0 even if cases failed
    #[arg(long)]
    pub allow_failures: bool,
    /// Exit with 0 if at least so many cases passed
    #[arg(long, value_name = "COUNT")]
    pub min_passed: Option<usize>,
    /// Replace the expectations of .case files by the actual results, and print the differences
    #[arg(long)]
    pub update: bool,
    /// Print failures as one line each
    #[arg(long)]
    pub brief: bool,
}

fn parse_batch_rows(text: &str) -> Result<BatchRows, String> {
    if let Some(seed) = text.strip_prefix("random:") {
        return seed.parse().map(BatchRows::Random).map_err(|_| format!("\"{seed}\" is not a seed"));
    }
    match text.parse() {
        Ok(rows) if rows > 0 => Ok(BatchRows::Rows(rows)),
        _ => Err(format!("\"{text}\" is neither a number of rows nor random:SEED")),
    }
}

/// Runs the cases. Exit codes: 0 as asked for, 1 a case failed, 2 cases cannot be read.
pub fn run(args: &TestArgs) -> ExitCode {
    match run_all(args) {
        Ok(report) => {
            line::out(format_args!("{report}"));
            let enough = match args.min_passed {
                Some(wanted) => report.passed >= wanted,
                None => report.failed == 0 || args.allow_failures,
            };
            if enough { ExitCode::SUCCESS } else { ExitCode::from(1) }
        }
        Err(error) => {
            line::err(format_args!("Error: {error:#}"));
            ExitCode::from(2)
        }
    }
}

fn run_all(args: &TestArgs) -> anyhow::Result<Report> {
    let lines: Option<Box<dyn Write>> = match &args.report {
        Some(path) => Some(Box::new(BufWriter::new(File::create(path)?))),
        None => None,
    };
    let mut report = Report::new(lines);
    let mut config = DriverConfig::default();
    if let Some(rows) = args.batch_rows {
        config.batch_rows = rows;
    }
    if let Some(records) = args.interrupt {
        config.commit_records = Some(records.get());
        config.restart = if args.keep_state { Restart::KeepState } else { Restart::DiscardState };
    }
    for path in files(&args.paths)? {
        run_file(&path, args, config, &mut report)?;
    }
    Ok(report)
}

/// The files of cases below the paths, in order of their names.
fn files(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if !path.exists() {
            anyhow::bail!("there is no file {}", path.display());
        }
        for entry in WalkDir::new(path).sort_by_file_name() {
            let entry = entry?;
            let known = entry.path().extension().is_some_and(|x| x == "case" || x == "json" || x == "sql");
            if entry.file_type().is_file() && known {
                files.push(entry.into_path());
            }
        }
    }
    Ok(files)
}

fn run_file(path: &Path, args: &TestArgs, config: DriverConfig, report: &mut Report) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(path)?;
    let file = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let wanted =
        |name: &str| args.filter.as_ref().is_none_or(|f| format!("{file} {name}").contains(f.as_str()));
    let mut note = |name: &str, outcome: Outcome| -> anyhow::Result<()> {
        if let Outcome::Failed(message) = &outcome {
            let message = if args.brief { message.lines().next().unwrap_or_default() } else { message };
            show("FAILED", &file, name, message);
        }
        Ok(report.add(&file, name, &outcome)?)
    };
    if path.extension().is_some_and(|x| x == "case") {
        return match CaseFile::parse(&text) {
            Ok(cases) => run_case_file(path, &cases, args, config, wanted, note),
            Err(stop) => note("", stop.into()),
        };
    }
    if path.extension().is_some_and(|x| x == "sql") {
        let folder = path.parent().unwrap_or(Path::new("."));
        match sql_test::sections(&text) {
            Ok(sections) => {
                for section in sections.iter().filter(|s| wanted(&s.name)) {
                    note(&section.name, guarded(|| sql_test::run(section, folder, config)))?;
                }
            }
            Err(stop) => note("", stop.into())?,
        }
        return Ok(());
    }
    let document = Document::parse(&text)
        .map_err(|e| anyhow::anyhow!("{} is not a file of cases: {e}", path.display()))?;
    match document {
        Document::Queries(cases) => {
            for case in cases.iter().filter(|c| wanted(&c.name)) {
                note(&case.name, guarded(|| qtt::run(case, config)))?;
            }
        }
        Document::Rest(cases) => {
            for case in cases.iter().filter(|c| wanted(&c.name)) {
                note(&case.name, guarded(|| rqtt::run(case)))?;
            }
        }
    }
    Ok(())
}

/// Runs the cases of a file. With `--update`, the expectations of failing cases are replaced, and
/// the cases pass; cases that fail for another reason stay as they are.
fn run_case_file(
    path: &Path,
    cases: &CaseFile,
    args: &TestArgs,
    config: DriverConfig,
    wanted: impl Fn(&str) -> bool,
    mut note: impl FnMut(&str, Outcome) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut rewrites = Vec::new();
    for case in cases.cases.iter().filter(|c| wanted(&c.name)) {
        let mut changes = Vec::new();
        let outcome = guarded(|| {
            let run = case_file::run(cases, case, config);
            changes = run.rewrites;
            run.outcome
        });
        match outcome {
            Outcome::Failed(message) if args.update && !changes.is_empty() => {
                show("UPDATED", &path.display(), &case.name, &message);
                note(&case.name, Outcome::Passed)?;
                rewrites.append(&mut changes);
            }
            outcome => note(&case.name, outcome)?,
        }
    }
    if !rewrites.is_empty() {
        std::fs::write(path, case_file::rewritten(cases, &rewrites))?;
    }
    Ok(())
}

/// Prints the name of a case and a message.
fn show(word: &str, file: &dyn std::fmt::Display, name: &str, message: &str) {
    line::out(format_args!("{word} {file}: {name}\n  {}", message.replace('\n', "\n  ")));
}

/// A panic fails the case and not the run.
fn guarded(case: impl FnOnce() -> Outcome) -> Outcome {
    catch_unwind(AssertUnwindSafe(case)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|t| (*t).to_owned()));
        Outcome::Failed(format!("panic: {}", text.unwrap_or_default()))
    })
}
