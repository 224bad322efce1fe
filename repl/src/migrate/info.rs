//! `weir migrate info`: every version, of a file or of the server, and its state.

use std::collections::BTreeSet;

use chrono::DateTime;
use serde_json::Value;

use crate::migrate::apply::cause;
use crate::migrate::commands::{InfoArgs, MigrateError, load_files};
use crate::migrate::files::{Migration, ProjectConfig};
use crate::migrate::metadata::{Metadata, VersionInfo};
use crate::render::line;
use crate::render::table::{TableStyle, table};

/// Prints the versions. Errors: with `--check`, not every version is applied and unchanged.
pub async fn info(
    config: &ProjectConfig,
    metadata: &Metadata<'_>,
    args: &InfoArgs,
) -> Result<(), MigrateError> {
    let migrations = load_files(config)?;
    let is_known = metadata.exists().await?;
    let events = if is_known { metadata.events().await? } else { Vec::new() };
    let recorded = events.iter().filter_map(|event| event.version.parse::<u32>().ok());
    let versions: BTreeSet<u32> = recorded.chain(migrations.iter().map(|m| m.version)).collect();
    let mut rows = Vec::new();
    let mut problems = Vec::new();
    for version in versions {
        let file = migrations.iter().find(|migration| migration.version == version);
        let seen = if is_known { metadata.version(&version.to_string()).await? } else { None };
        let state = state(file, seen.as_ref());
        if state != "MIGRATED" {
            problems.push(format!("version {version} is {state}"));
        }
        rows.push(row(version, file, seen.as_ref(), state));
    }
    let header =
        ["Version", "Name", "State", "Previous Version", "Started On", "Completed On", "Error Reason"];
    line::out(table(&header.map(str::to_owned), &rows, TableStyle::detect(false)));
    if args.check && !problems.is_empty() {
        return Err(MigrateError::Unapplied { problems: problems.join(", ") });
    }
    Ok(())
}

fn state(file: Option<&Migration>, seen: Option<&VersionInfo>) -> String {
    match (file, seen) {
        (None, None) => "MISSING".to_owned(),
        (Some(_), None) => "PENDING".to_owned(),
        (None, Some(seen)) => format!("{}, FILE MISSING", seen.state),
        (Some(file), Some(seen)) if seen.state == "MIGRATED" && seen.checksum != file.checksum => {
            "MIGRATED, FILE CHANGED".to_owned()
        }
        (Some(_), Some(seen)) => seen.state.clone(),
    }
}

fn row(version: u32, file: Option<&Migration>, seen: Option<&VersionInfo>, state: String) -> Vec<Value> {
    let name = file.map(|file| file.name.as_str()).or(seen.map(|seen| seen.name.as_str()));
    let cell = |text: Option<String>| Value::from(text.filter(|t| !t.is_empty()).unwrap_or("N/A".to_owned()));
    vec![
        Value::from(version),
        Value::from(name.unwrap_or_default()),
        Value::from(state),
        cell(seen.map(|seen| seen.previous.clone())),
        cell(seen.map(|seen| time(&seen.started_on))),
        cell(seen.map(|seen| time(&seen.completed_on))),
        cell(seen.filter(|seen| seen.state == "ERROR").map(|seen| cause(&seen.error_reason).to_owned())),
    ]
}

/// Milliseconds since epoch as date and time in UTC; other texts as they are.
fn time(ms: &str) -> String {
    let parsed = ms.parse().ok().and_then(DateTime::from_timestamp_millis);
    parsed.map_or_else(|| ms.to_owned(), |time| time.format("%Y-%m-%d %H:%M:%SZ").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates() {
        assert_eq!(time("1796072213980"), "2026-11-30 20:56:53Z");
        assert_eq!((time(""), time("x")), (String::new(), "x".to_owned()));
    }
}
