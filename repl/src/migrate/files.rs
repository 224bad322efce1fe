//! Migration projects on disk.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use md5::{Digest, Md5};

/// Highest version: six digits.
pub const VERSION_MAX: u32 = 999_999;

/// What is wrong with a project's files.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    #[error("cannot {action} \"{path}\"")]
    Io {
        action: &'static str,
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("\"{path}\" is no migration project: it has no folder \"migrations\"")]
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

/// The folder of a project's files: `PATH/migrations`.
pub fn migrations_folder(project: &Path) -> Result<PathBuf, ProjectError> {
    let folder = project.join("migrations");
    if folder.is_dir() {
        return Ok(folder);
    }
    Err(ProjectError::NoProject { path: project.display().to_string() })
}

/// All migrations by version, and the files that were passed over because of their names.
pub fn load(project: &Path) -> Result<(Vec<Migration>, Vec<String>), ProjectError> {
    let folder = migrations_folder(project)?;
    let error = |action, path: &Path| {
        let path = path.display().to_string();
        move |source| ProjectError::Io { action, path, source }
    };
    let mut migrations: Vec<Migration> = Vec::new();
    let mut ignored = Vec::new();
    for entry in fs::read_dir(&folder).map_err(error("read", &folder))? {
        let path = entry.map_err(error("read", &folder))?.path();
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
    let config = path.join("ksql-migrations.properties");
    fs::write(&config, format!("ksql.server.url={server}\n")).map_err(io_error("write", &config))
}

/// The server named in the project's configuration file, if there is one.
pub fn configured_server(project: &Path) -> Option<String> {
    let text = fs::read_to_string(project.join("ksql-migrations.properties")).ok()?;
    text.lines().find_map(|l| l.trim().strip_prefix("ksql.server.url=").map(|u| u.trim().to_owned()))
}

/// Makes an empty file for the given or the next version.
pub fn create_migration(
    project: &Path,
    description: &str,
    version: Option<u32>,
) -> Result<PathBuf, ProjectError> {
    let (existing, _) = load(project)?;
    let version = version.unwrap_or_else(|| existing.last().map_or(1, |m| m.version + 1));
    if version == 0 || version > VERSION_MAX {
        return Err(ProjectError::Version { version });
    }
    if let Some(taken) = existing.iter().find(|m| m.version == version) {
        return Err(ProjectError::Exists { version, file: taken.path.display().to_string() });
    }
    let name: String =
        description.chars().map(|c| if c.is_alphanumeric() || c == '-' { c } else { '_' }).collect();
    let path = migrations_folder(project)?.join(format!("V{version:06}__{name}.sql"));
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
