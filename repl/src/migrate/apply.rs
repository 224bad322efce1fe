//! `weir migrate apply`: which files are applied, and how a file that failed is resumed.

use std::time::{SystemTime, UNIX_EPOCH};

use indexmap::IndexMap;
use md5::{Digest, Md5};
use weir_sql::parser::split::{Script, split_statements};

use crate::client::{RequestContext, ServerClient};
use crate::migrate::commands::{ApplyArgs, MigrateError, Selection, load_files, validate};
use crate::migrate::files::{Migration, ProjectConfig};
use crate::migrate::metadata::{Claim, Metadata, NONE, VersionInfo};
use crate::migrate::scratch;
use crate::render::line;
use crate::session::classify::first_words;
use crate::session::script::placed;
use crate::session::strings::quoted;

/// Begins the record of a failed file's progress in the reason of its ERROR event.
const PROGRESS: &str = "\n[statements applied: ";

/// Applies the chosen files, or shows them in a dry run.
pub async fn apply(
    config: &ProjectConfig,
    client: &ServerClient,
    metadata: &Metadata<'_>,
    args: &ApplyArgs,
) -> Result<(), MigrateError> {
    let variables = variables(&args.define)?;
    let migrations = load_files(config)?;
    // A dry run leaves no traces.
    let is_known = if args.dry_run { metadata.exists().await? } else { true };
    if !args.dry_run {
        metadata.initialize().await?;
    }
    let events = if is_known { metadata.events().await? } else { Vec::new() };
    let current = events.last().cloned();
    if let Some(c) = current.as_ref().filter(|c| c.state == "RUNNING") {
        return Err(MigrateError::NotSettled { version: c.version.clone(), state: c.state.clone() });
    }
    validate(metadata, current.as_ref(), &migrations).await?;
    // After an error the same version is applied again.
    let last = current.as_ref().map_or(NONE.to_owned(), |c| {
        if c.state == "MIGRATED" { c.version.clone() } else { c.previous.clone() }
    });
    let applied: u32 = last.parse().unwrap_or(0);
    let chosen = select(&migrations, applied, &args.selection)?;
    if chosen.is_empty() {
        line::out(format_args!("Nothing to apply: the server is at version {last}"));
    }
    if args.dry_run {
        let before: Vec<&Migration> = migrations.iter().filter(|m| m.version <= applied).collect();
        return dry_run(client, &before, &chosen, &variables).await;
    }
    let failed = current.filter(|c| c.state == "ERROR");
    let mut run = Run { metadata, client, variables, previous: last, events: events.len() };
    for migration in chosen {
        line::out(format_args!("Applying version {} - {}", migration.version, migration.name));
        let before = match &failed {
            Some(failed) if !args.from_start => applied_before(failed, migration),
            _ => 0,
        };
        run.apply_one(migration, before).await?;
    }
    Ok(())
}

/// Shows the files, and runs them on a scratch node.
async fn dry_run(
    client: &ServerClient,
    applied: &[&Migration],
    chosen: &[&Migration],
    variables: &IndexMap<String, String>,
) -> Result<(), MigrateError> {
    for migration in chosen {
        checked(migration)?;
        line::out(format_args!("Applying version {} - {}", migration.version, migration.name));
        line::out(&migration.text);
    }
    if chosen.is_empty() {
        return Ok(());
    }
    scratch::check(client, applied, chosen, variables).await
}

fn variables(define: &[String]) -> Result<IndexMap<String, String>, MigrateError> {
    let variable = |text: &String| {
        let error = || MigrateError::Define { text: text.clone() };
        let (name, value) = text.split_once('=').ok_or_else(error)?;
        Ok((name.trim().to_ascii_lowercase(), value.to_owned()))
    };
    define.iter().map(variable).collect()
}

/// The files to apply, in order.
fn select<'m>(
    migrations: &'m [Migration],
    applied: u32,
    selection: &Selection,
) -> Result<Vec<&'m Migration>, MigrateError> {
    let pending: Vec<&Migration> = migrations.iter().filter(|m| m.version > applied).collect();
    let known = |version: u32| {
        if !migrations.iter().any(|m| m.version == version) {
            return Err(MigrateError::NoSuchVersion { version });
        }
        if version <= applied {
            return Err(MigrateError::NotNext { version, current: applied });
        }
        Ok(version)
    };
    Ok(match (selection.until, selection.version) {
        (Some(until), _) => {
            let until = known(until)?;
            pending.into_iter().filter(|m| m.version <= until).collect()
        }
        (None, Some(version)) => {
            let version = known(version)?;
            pending.into_iter().filter(|m| m.version == version).collect()
        }
        (None, None) if selection.next => pending.into_iter().take(1).collect(),
        (None, None) => pending,
    })
}

/// Migrations being applied one after the other.
struct Run<'r> {
    metadata: &'r Metadata<'r>,
    client: &'r ServerClient,
    variables: IndexMap<String, String>,
    /// The version applied last.
    previous: String,
    /// Events that are known to be written.
    events: usize,
}

impl Run<'_> {
    /// Applies a file without its first `before` statements, which are applied already.
    async fn apply_one(&mut self, migration: &Migration, before: usize) -> Result<(), MigrateError> {
        let mut info = VersionInfo {
            version: migration.version.to_string(),
            name: migration.name.clone(),
            state: "RUNNING".to_owned(),
            checksum: migration.checksum.clone(),
            started_on: now_ms(),
            completed_on: String::new(),
            previous: self.previous.clone(),
            error_reason: format!("run {:016x}", rand::random::<u64>()),
        };
        if let Claim::Taken(by) = self.metadata.claim(&info, self.events).await? {
            let version = by.version;
            return Err(match by.state.as_str() {
                "RUNNING" => MigrateError::Taken { version },
                _ => MigrateError::Moved { version },
            });
        }
        let result = run_file(self.client, migration, self.variables.clone(), before).await;
        info.completed_on = now_ms();
        info.error_reason.clear();
        let result = match result {
            Ok(()) => {
                info.state = "MIGRATED".to_owned();
                Ok(())
            }
            Err(failure) => {
                info.state = "ERROR".to_owned();
                info.error_reason = failure.error.to_string();
                if failure.applied > 0 {
                    info.error_reason.push_str(&Progress::of(&migration.text, failure.applied).mark());
                }
                Err(MigrateError::File { error: Box::new(failure.error), applied: failure.applied })
            }
        };
        self.metadata.record(&info).await?;
        self.events = self.metadata.events().await?.len();
        self.previous = info.version;
        result
    }
}

/// Why a file was not applied, and how many of its statements are.
pub(crate) struct FileFailure {
    pub(crate) error: MigrateError,
    pub(crate) applied: usize,
}

/// Runs a file's statements after the first `before`. SET, UNSET, DEFINE and UNDEFINE hold until the end of the file.
pub(crate) async fn run_file(
    client: &ServerClient,
    migration: &Migration,
    variables: IndexMap<String, String>,
    before: usize,
) -> Result<(), FileFailure> {
    let script = checked(migration).map_err(|error| FileFailure { error, applied: before })?;
    let mut context = RequestContext { variables, ..RequestContext::default() };
    for (index, statement) in script.statements.iter().enumerate() {
        let failure = |message: String| FileFailure {
            error: error_at(migration, statement.start.line, message),
            applied: index.max(before),
        };
        let word = first_words(statement.text, 1).into_iter().next().unwrap_or_default();
        if session_statement(&word, statement.text, &mut context).map_err(failure)? || index < before {
            continue;
        }
        let text = placed(&migration.text[..statement.offset], statement.text);
        client.execute(&text, &context).await.map_err(|e| failure(e.to_string()))?;
    }
    Ok(())
}

/// The statements of a file.
///
/// Errors: one that does not belong into migrations, which is found before anything is changed.
pub fn checked(migration: &Migration) -> Result<Script<'_>, MigrateError> {
    let script = split_statements(&migration.text);
    if let Some(rest) = &script.rest {
        let message = "the last statement does not end with \";\"".to_owned();
        return Err(error_at(migration, rest.start.line, message));
    }
    for statement in &script.statements {
        let word = first_words(statement.text, 1).into_iter().next().unwrap_or_default();
        if ["SELECT", "PRINT", "DESCRIBE", "EXPLAIN", "SHOW", "LIST", "RUN"].contains(&word.as_str()) {
            let message = format!("{word} statements do not belong in migrations");
            return Err(error_at(migration, statement.start.line, message));
        }
    }
    Ok(script)
}

fn error_at(migration: &Migration, line: u32, message: String) -> MigrateError {
    MigrateError::Statement { path: migration.path.display().to_string(), line, message }
}

/// How many statements of a file an earlier run applied before it failed, if these are unchanged.
fn applied_before(failed: &VersionInfo, migration: &Migration) -> usize {
    if failed.version != migration.version.to_string() {
        return 0;
    }
    let Some(progress) = Progress::parse(&failed.error_reason) else { return 0 };
    if Progress::of(&migration.text, progress.statements) != progress {
        line::err(
            "Warning: the statements that were applied before the failure have changed: the file runs from its start",
        );
        return 0;
    }
    line::out(format_args!("Its first {} statement(s) are applied already", progress.statements));
    progress.statements
}

/// The statements of a file that stay applied after a later one failed, as the ERROR event records them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Progress {
    statements: usize,
    /// MD5 of their texts, each with a line end.
    checksum: String,
}

impl Progress {
    fn of(text: &str, statements: usize) -> Progress {
        let mut digest = Md5::new();
        for statement in split_statements(text).statements.iter().take(statements) {
            digest.update(statement.text);
            digest.update("\n");
        }
        Progress { statements, checksum: hex::encode(digest.finalize()) }
    }

    fn mark(&self) -> String {
        format!("{PROGRESS}{} {}]", self.statements, self.checksum)
    }

    fn parse(reason: &str) -> Option<Progress> {
        let (_, mark) = reason.rsplit_once(PROGRESS)?;
        let (statements, checksum) = mark.strip_suffix(']')?.split_once(' ')?;
        Some(Progress { statements: statements.parse().ok()?, checksum: checksum.to_owned() })
    }
}

/// The cause in the reason of an ERROR event, without the record of its progress.
pub fn cause(reason: &str) -> &str {
    reason.rsplit_once(PROGRESS).map_or(reason, |(cause, _)| cause)
}

/// Applies SET, UNSET, DEFINE and UNDEFINE to the context; false for other statements.
fn session_statement(word: &str, text: &str, context: &mut RequestContext) -> Result<bool, String> {
    let strings: Vec<String> = quoted(text);
    let second = || {
        let word = text.split_whitespace().nth(1).unwrap_or_default();
        word.split('=').next().unwrap_or_default().trim_end_matches(';').to_ascii_lowercase()
    };
    match (word, strings.as_slice()) {
        ("SET", [name, value]) => {
            context.properties.insert(name.clone(), value.clone());
        }
        ("UNSET", [name]) => {
            context.properties.shift_remove(name);
        }
        ("DEFINE", [value]) => {
            context.variables.insert(second(), value.clone());
        }
        ("UNDEFINE", []) => {
            context.variables.shift_remove(&second());
        }
        ("SET" | "UNSET" | "DEFINE" | "UNDEFINE", _) => return Err(format!("this {word} is not understood")),
        _ => return Ok(false),
    }
    Ok(true)
}

/// ms since epoch. The only use of the wall clock here: what people see as the time of a migration.
#[allow(clippy::disallowed_methods)]
fn now_ms() -> String {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis()).to_string()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn migration(version: u32) -> Migration {
        Migration {
            version,
            name: String::new(),
            path: PathBuf::new(),
            text: String::new(),
            checksum: String::new(),
        }
    }

    fn versions(applied: u32, selection: Selection) -> Result<Vec<u32>, MigrateError> {
        let all = [migration(1), migration(2), migration(4)];
        Ok(select(&all, applied, &selection)?.into_iter().map(|m| m.version).collect())
    }

    #[test]
    fn selections_choose_what_is_after_the_applied_version() {
        let none = || Selection { all: false, next: false, until: None, version: None };
        assert_eq!(versions(1, Selection { all: true, ..none() }).expect("valid"), [2, 4]);
        assert_eq!(versions(1, Selection { next: true, ..none() }).expect("valid"), [2]);
        assert_eq!(versions(0, Selection { until: Some(2), ..none() }).expect("valid"), [1, 2]);
        assert!(matches!(
            versions(2, Selection { version: Some(1), ..none() }),
            Err(MigrateError::NotNext { version: 1, current: 2 })
        ));
        assert!(matches!(
            versions(0, Selection { version: Some(3), ..none() }),
            Err(MigrateError::NoSuchVersion { version: 3 })
        ));
    }

    #[test]
    fn set_and_define_stay_in_the_file() {
        let mut context = RequestContext::default();
        assert!(session_statement("SET", "SET 'a' = 'b';", &mut context).expect("valid"));
        assert!(session_statement("DEFINE", "DEFINE Topic = 'x';", &mut context).expect("valid"));
        assert_eq!(context.properties["a"], "b");
        assert_eq!(context.variables["topic"], "x");
        assert!(!session_statement("CREATE", "CREATE STREAM s;", &mut context).expect("valid"));
    }

    #[test]
    fn the_progress_of_a_failed_file_is_recorded_with_its_cause() {
        let text = "CREATE STREAM a;\n-- note\nCREATE STREAM b;\nCREATE STREAM c;";
        let progress = Progress::of(text, 2);
        let reason = format!("V000001__x.sql:4: no{}", progress.mark());
        assert_eq!(Progress::parse(&reason), Some(progress.clone()));
        assert_eq!(cause(&reason), "V000001__x.sql:4: no");
        let mended = "CREATE STREAM a;\nCREATE STREAM b;\nCREATE STREAM d;";
        assert_eq!(Progress::of(mended, 2), progress, "comments and later statements may change");
        assert_ne!(Progress::of("CREATE STREAM b;\nCREATE STREAM a;", 2), progress);
        assert_ne!(Progress::of("CREATE STREAM a;", 2), progress);
        assert_eq!((Progress::parse("V1:4: no"), cause("no")), (None, "no"));
    }
}
