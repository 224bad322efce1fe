//! Migration projects on disk.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use md5::{Digest, Md5};

/// Highest version: six digits.
pub const VERSION_MAX: u32 = 999_999;

const CONFIG_FILE: &str = "ksql-migrations.properties";

/// Errors of a project's files.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    #[error("cannot {action} \"{path}\"")]
    Io {
        action: &'static str,
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("this is no migration project: there is no folder \"{path}\"")]
    NoProject { path: String },
    #[error("version {version} has two files: \"{first}\" and \"{second}\"")]
    DuplicateVersion { version: u32, first: String, second: String },
    #[error("version {version} is not between 1 and {VERSION_MAX}")]
    Version { version: u32 },
    #[error("version {version} exists already: \"{file}\"")]
    Exists { version: u32, file: String },
    #[error("\"{path}\" exists and is not empty")]
    NotEmpty { path: String },
}

/// One migration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migration {
    pub version: u32,
    /// The name part of the file with blanks for underscores.
    pub name: String,
    pub path: PathBuf,
    pub text: String,
    /// MD5 of the file's bytes, lower-case hex.
    pub checksum: String,
}

/// Settings of a project's `ksql-migrations.properties`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectConfig {
    /// `ksql.server.url`
    pub server: Option<String>,
    /// `ksql.migrations.dir.override`, else the folder `migrations` beside the file.
    pub folder: PathBuf,
    /// `ksql.migrations.stream.name` and `ksql.migrations.stream.topic.name`
    pub stream: String,
    pub stream_topic: String,
    /// `ksql.migrations.table.name` and `ksql.migrations.table.topic.name`
    pub table: String,
    pub table_topic: String,
}

impl ProjectConfig {
    /// Reads the file; a project without one has the defaults.
    pub fn load(project: &Path, file: Option<&Path>) -> Result<ProjectConfig, ProjectError> {
        let path = file.map_or_else(|| project.join(CONFIG_FILE), Path::to_path_buf);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if file.is_none() && error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(source) => {
                return Err(ProjectError::Io { action: "read", path: path.display().to_string(), source });
            }
        };
        let value = |name: &str| {
            text.lines().filter(|line| !line.trim_start().starts_with(['#', '!'])).find_map(|line| {
                let (key, value) = line.split_once('=')?;
                (key.trim() == name && !value.trim().is_empty()).then(|| value.trim().to_owned())
            })
        };
        let beside = path.parent().unwrap_or(project);
        let stream = value("ksql.migrations.stream.name").unwrap_or_else(|| "MIGRATION_EVENTS".to_owned());
        let table =
            value("ksql.migrations.table.name").unwrap_or_else(|| "MIGRATION_SCHEMA_VERSIONS".to_owned());
        Ok(ProjectConfig {
            server: value("ksql.server.url"),
            folder: value("ksql.migrations.dir.override")
                .map_or_else(|| beside.join("migrations"), |folder| beside.join(folder)),
            stream_topic: value("ksql.migrations.stream.topic.name").unwrap_or(format!("ksql_{stream}")),
            table_topic: value("ksql.migrations.table.topic.name").unwrap_or(format!("ksql_{table}")),
            stream,
            table,
        })
    }

    fn migrations_folder(&self) -> Result<&Path, ProjectError> {
        if self.folder.is_dir() {
            return Ok(&self.folder);
        }
        Err(ProjectError::NoProject { path: self.folder.display().to_string() })
    }
}

/// All migrations by version, and the files that were passed over because of their names.
pub fn load(config: &ProjectConfig) -> Result<(Vec<Migration>, Vec<String>), ProjectError> {
    let folder = config.migrations_folder()?;
    let error = |action, path: &Path| {
        let path = path.display().to_string();
        move |source| ProjectError::Io { action, path, source }
    };
    let mut migrations: Vec<Migration> = Vec::new();
    let mut ignored = Vec::new();
    for entry in fs::read_dir(folder).map_err(error("read", folder))? {
        let path = entry.map_err(error("read", folder))?.path();
        let file = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let Some((version, name)) = parse_file_name(&file) else {
            ignored.push(file);
            continue;
        };
        let text = fs::read_to_string(&path).map_err(error("read", &path))?;
        let checksum = hex::encode(Md5::digest(text.as_bytes()));
        migrations.push(Migration { version, name, path, text, checksum });
    }
    migrations.sort_by_key(|m| m.version);
    ignored.sort();
    for pair in migrations.windows(2) {
        if pair[0].version == pair[1].version {
            return Err(ProjectError::DuplicateVersion {
                version: pair[0].version,
                first: pair[0].path.display().to_string(),
                second: pair[1].path.display().to_string(),
            });
        }
    }
    Ok((migrations, ignored))
}

/// `V000001__some_name.sql` gives (1, "some name"); None for any other form and for version 0.
fn parse_file_name(file: &str) -> Option<(u32, String)> {
    let rest = file.strip_prefix('V')?.strip_suffix(".sql")?;
    let (digits, name) = rest.split_once("__")?;
    if digits.len() != 6 || !digits.bytes().all(|b| b.is_ascii_digit()) || name.is_empty() {
        return None;
    }
    let version: u32 = digits.parse().ok()?;
    (version > 0).then(|| (version, name.replace('_', " ")))
}

/// Makes the folders and the configuration file of a new project.
pub fn create_project(path: &Path, server: &str) -> Result<(), ProjectError> {
    let folder = path.join("migrations");
    let io_error = |action, path: &Path| {
        let path = path.display().to_string();
        move |source| ProjectError::Io { action, path, source }
    };
    if folder.exists() {
        return Err(ProjectError::NotEmpty { path: folder.display().to_string() });
    }
    fs::create_dir_all(&folder).map_err(io_error("create", &folder))?;
    let config = path.join(CONFIG_FILE);
    fs::write(&config, format!("ksql.server.url={server}\n")).map_err(io_error("write", &config))
}

/// Makes an empty file for the given or the next version.
pub fn create_migration(
    config: &ProjectConfig,
    description: &str,
    version: Option<u32>,
) -> Result<PathBuf, ProjectError> {
    let (existing, _) = load(config)?;
    let version = version.unwrap_or_else(|| existing.last().map_or(1, |m| m.version + 1));
    if version == 0 || version > VERSION_MAX {
        return Err(ProjectError::Version { version });
    }
    if let Some(taken) = existing.iter().find(|m| m.version == version) {
        return Err(ProjectError::Exists { version, file: taken.path.display().to_string() });
    }
    let name: String =
        description.chars().map(|c| if c.is_alphanumeric() || c == '-' { c } else { '_' }).collect();
    let path = config.migrations_folder()?.join(format!("V{version:06}__{name}.sql"));
    fs::write(&path, "").map_err(|source| ProjectError::Io {
        action: "write",
        path: path.display().to_string(),
        source,
    })?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_carry_version_and_name() {
        assert_eq!(parse_file_name("V000012__add_users.sql"), Some((12, "add users".to_owned())));
        for bad in ["V12__x.sql", "V000000__x.sql", "V000001_x.sql", "000001__x.sql", "V000001__x.txt"] {
            assert_eq!(parse_file_name(bad), None, "{bad}");
        }
    }
}
