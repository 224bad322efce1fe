//! Settings out of files and variables, before flags have their say.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::cli::settings::{Meaning, known_names, meaning};
use crate::kafka_tools::suggest::did_you_mean;

const FILE: &str = "weir.toml";
const SYSTEM_FILE: &str = "/etc/weir/weir.toml";
/// Settings in hours and minutes, with the same in milliseconds, of which there are so many in one. The later of these goes
/// before the others, and all that is in milliseconds before these.
const LONGER_UNITS: [(&str, &str, i64); 4] = [
    ("log.retention.hours", "log.retention.ms", 3_600_000),
    ("log.retention.minutes", "log.retention.ms", 60_000),
    ("log.roll.hours", "log.roll.ms", 3_600_000),
    ("log.roll.jitter.hours", "log.roll.jitter.ms", 3_600_000),
];
/// How the variables of settings begin.
pub(crate) const PREFIX: &str = "WEIR_";
/// Separator of section and key in the name of a variable.
const LEVEL: &str = "__";

/// A value, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    pub value: String,
    pub origin: String,
}

/// Values by what they are for; later sources have replaced earlier ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Defaults {
    /// By clap's names of the flags.
    pub flags: BTreeMap<&'static str, Given>,
    /// Settings without flags, by the names of Kafka and ksqlDB.
    pub broker: BTreeMap<String, Given>,
    /// Messages about settings without effect.
    pub warnings: Vec<String>,
}

/// Reads the files, or the one that was named, and then the variables. Errors: what is wrong, and where.
pub fn load(
    named: Option<&Path>,
    variables: impl Iterator<Item = (String, String)>,
) -> Result<Defaults, String> {
    let mut defaults = Defaults::default();
    match named {
        Some(path) => defaults.read(path)?,
        None => {
            for path in usual_files() {
                match fs::metadata(&path) {
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    _ => defaults.read(&path)?,
                }
            }
        }
    }
    let mut variables: Vec<_> =
        variables.filter_map(|(name, value)| Some((key_of(&name)?, name, value))).collect();
    variables.sort();
    for (key, name, value) in variables {
        defaults.take(&key, value, &name)?;
    }
    Ok(defaults)
}

/// The nearer ones go before the others, so they come last.
fn usual_files() -> Vec<PathBuf> {
    let config_home = std::env::var_os("XDG_CONFIG_HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config"));
    let of_user = config_home.or_else(home).map(|folder| folder.join("weir").join(FILE));
    [Some(PathBuf::from(SYSTEM_FILE)), of_user, Some(PathBuf::from(FILE))].into_iter().flatten().collect()
}

/// `WEIR_KAFKA__MAX_CONNECTIONS` is `kafka.max-connections`; variables without a section have flags of their own.
fn key_of(variable: &str) -> Option<String> {
    let levels = variable.strip_prefix(PREFIX)?;
    if !levels.contains(LEVEL) {
        return None;
    }
    let levels = levels.split(LEVEL).map(|level| level.to_ascii_lowercase().replace('_', "-"));
    Some(levels.collect::<Vec<_>>().join("."))
}

impl Defaults {
    fn read(&mut self, path: &Path) -> Result<(), String> {
        let shown = path.display().to_string();
        let text = fs::read_to_string(path).map_err(|error| format!("cannot read {shown}: {error}"))?;
        let settings = match path.extension().is_some_and(|extension| extension == "properties") {
            true => properties(&text).map_err(|line| format!("{shown}:{line}: it is not KEY=VALUE"))?,
            false => {
                let table: Table = text.parse().map_err(|error| format!("{shown}: {error}"))?;
                let mut settings = Vec::new();
                flatten("", &table, &mut settings);
                settings
            }
        };
        let unit = |(key, _): &(String, Vec<String>)| {
            LONGER_UNITS.iter().position(|(longer, _, _)| longer == key).unwrap_or(LONGER_UNITS.len())
        };
        let mut settings = settings;
        settings.sort_by_key(unit);
        for (key, value) in settings {
            let separator = match meaning(&key) {
                Meaning::Flag(setting) => setting.separator,
                Meaning::Unflagged | Meaning::Ignored | Meaning::Unknown => ",",
            };
            self.take(&key, value.join(separator), &shown)?;
        }
        Ok(())
    }

    fn take(&mut self, key: &str, value: String, origin: &str) -> Result<(), String> {
        if let Some((_, name, ms)) = LONGER_UNITS.iter().find(|(longer, _, _)| *longer == key) {
            let number = value.trim().parse::<i64>();
            let number = number.map_err(|_| format!("{origin}: {key}: \"{value}\" is no number"))?;
            let value = if number < 0 { number } else { number.saturating_mul(*ms) };
            return self.take(name, value.to_string(), origin);
        }
        let given = Given { value, origin: origin.to_owned() };
        match meaning(key) {
            Meaning::Flag(setting) => {
                self.flags.insert(setting.id, given);
            }
            Meaning::Unflagged => {
                self.broker.insert(key.to_owned(), given);
            }
            Meaning::Ignored => self.warnings.push(format!("{origin}: {key} changes nothing here")),
            Meaning::Unknown => {
                let hint = did_you_mean(key, known_names());
                return Err(format!("{origin}: setting \"{key}\" is not known{hint}"));
            }
        }
        Ok(())
    }
}

/// Tables in tables become names with dots, so that `log.retention.ms = 1` is what it looks like.
fn flatten(prefix: &str, table: &Table, settings: &mut Vec<(String, Vec<String>)>) {
    for (name, value) in table {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match value {
            Value::Table(inner) => flatten(&key, inner, settings),
            Value::Array(items) => settings.push((key, items.iter().map(text_of).collect())),
            other => settings.push((key, vec![text_of(other)])),
        }
    }
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Lines of a `.properties` file. Errors: the number of a line that is none.
fn properties(text: &str) -> Result<Vec<(String, Vec<String>)>, usize> {
    let mut settings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let (key, value) = line.split_once('=').ok_or(index + 1)?;
        settings.push((key.trim().to_owned(), vec![value.trim().to_owned()]));
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, text: &str, variables: &[(&str, &str)]) -> Result<Defaults, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(name);
        fs::write(&path, text).expect("written");
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        load(Some(&path), variables)
    }

    fn value(defaults: &Defaults, id: &str) -> Option<String> {
        defaults.flags.get(id).map(|given| given.value.clone())
    }

    #[test]
    fn sections_lists_and_kafkas_names_are_read() {
        let text = "durability = \"relaxed\"\nlog.retention.ms = 5\nbroker.id = 1\n\
                    listeners = [\"PLAINTEXT://:1\", \"SSL://:2\"]\n[kafka]\nauto-create-topics = true\n\
                    [acl]\nsuper-user = [\"User:CN=a,O=b\", \"User:c\"]\n";
        let defaults = read("weir.toml", text, &[]).expect("valid");
        assert_eq!(value(&defaults, "durability").as_deref(), Some("relaxed"));
        assert_eq!(value(&defaults, "auto_create_topics").as_deref(), Some("true"));
        assert_eq!(value(&defaults, "listeners").as_deref(), Some("PLAINTEXT://:1,SSL://:2"));
        assert_eq!(value(&defaults, "super_user").as_deref(), Some("User:CN=a,O=b;User:c"));
        assert_eq!(defaults.broker["log.retention.ms"].value, "5");
        assert!(defaults.warnings[0].ends_with("weir.toml: broker.id changes nothing here"));
    }

    #[test]
    fn variables_go_before_files() {
        let variables = [
            ("WEIR_KAFKA__MAX_CONNECTIONS", "9"),
            ("WEIR_NUM__PARTITIONS", "3"),
            ("WEIR_DATA_DIR", "x"),
            ("HOME", "/"),
        ];
        let defaults = read("weir.toml", "[kafka]\nmax-connections = 1\n", &variables).expect("valid");
        let given = &defaults.flags["max_connections"];
        assert_eq!((given.value.as_str(), given.origin.as_str()), ("9", "WEIR_KAFKA__MAX_CONNECTIONS"));
        assert_eq!(defaults.broker["num.partitions"].value, "3");
        assert_eq!(value(&defaults, "data_dir"), None, "clap reads it");
    }

    #[test]
    fn kafkas_own_files_are_read() {
        let text = "# kafka\nnum.partitions=3\nzookeeper.connect=localhost:2181\nadvertised.listeners=PLAINTEXT://a:1\n";
        let defaults = read("server.properties", text, &[]).expect("valid");
        assert_eq!(defaults.broker["num.partitions"].value, "3");
        assert_eq!(value(&defaults, "advertised_listeners").as_deref(), Some("PLAINTEXT://a:1"));
        assert_eq!(defaults.warnings.len(), 1);
        for (text, ms) in [
            ("log.retention.hours=2", "7200000"),
            ("log.retention.minutes=1\nlog.retention.hours=2", "60000"),
            ("log.retention.ms=5\nlog.retention.hours=2", "5"),
            ("log.retention.hours=-1", "-1"),
        ] {
            let defaults = read("server.properties", text, &[]).expect("valid");
            assert_eq!(defaults.broker["log.retention.ms"].value, ms, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (name, text, expected) in [
            (
                "weir.toml",
                "listners = \"x\"",
                "setting \"listners\" is not known; did you mean \"listeners\"?",
            ),
            (
                "weir.toml",
                "[kafka]\nlistenn = 1",
                "\"kafka.listenn\" is not known; did you mean \"kafka.listen\"?",
            ),
            ("weir.toml", "durabilty = 1", "\"durabilty\" is not known; did you mean \"durability\"?"),
            ("weir.toml", "num.partitons = 1", "did you mean \"num.partitions\"?"),
            ("weir.toml", "log.retention.hours = \"x\"", "log.retention.hours: \"x\" is no number"),
            ("weir.toml", "a = ", "line 1"),
            ("server.properties", "a=1\nb", ":2: it is not KEY=VALUE"),
        ] {
            let error = read(name, text, &[]).expect_err(text);
            assert!(error.contains(name) && error.contains(expected), "{error}");
        }
        assert!(load(Some(Path::new("/no/such.toml")), std::iter::empty()).is_err());
        let error = read("weir.toml", "", &[("WEIR_KAFKA__LISTN", "x")]).expect_err("unknown");
        assert!(error.starts_with("WEIR_KAFKA__LISTN: "), "{error}");
    }
}
