//! Statements and commands that the session handles itself.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;

use serde_json::Value;

use crate::client::{ClientError, ServerClient};
use crate::render::table::table;
use crate::session::classify::LocalCommand;
use crate::session::{Outcome, OutputForm, Session};

/// Bytes a script may have.
const SCRIPT_BYTES_MAX: u64 = 16 * 1024 * 1024;

const HELP: &str = r#"Statements end with ; and may span lines. Beside SQL:
  \d [name]        describe a stream or table, or list all     \ds \dt \dq \df  streams, tables, queries, functions
  \x               rows one column a line                      \timing          show times
  \i file          run a script (also: RUN SCRIPT 'file';)     \o [file]        copy output to a file (also: SPOOL)
  output [JSON|TABULAR]   server [url]   version   clear   history   help   exit
  Ctrl-C stops a running query, Ctrl-R searches the history, Ctrl-D leaves"#;

impl Session {
    pub(crate) async fn run_local(
        &mut self,
        command: LocalCommand,
        statement: &str,
    ) -> Result<(), ClientError> {
        match command {
            LocalCommand::Set | LocalCommand::Define => self.assign(command, statement).await,
            LocalCommand::Unset | LocalCommand::Undefine => self.remove(command, statement),
            LocalCommand::ShowVariables => {
                let rows: Vec<Vec<Value>> = self
                    .context
                    .variables
                    .iter()
                    .map(|(name, value)| vec![Value::from(name.as_str()), Value::from(value.as_str())])
                    .collect();
                let header = ["Variable Name", "Value"].map(str::to_owned);
                self.print(&table(&header, &rows, self.palette.header.is_bold));
                Ok(())
            }
            LocalCommand::RunScript => {
                let path = quoted(statement).into_iter().next().ok_or_else(|| usage("RUN SCRIPT 'file';"))?;
                match Box::pin(self.run_script(Path::new(&path))).await {
                    Outcome::Failed => {
                        Err(usage_error(format!("the script \"{path}\" stopped at a failing statement")))
                    }
                    Outcome::Done | Outcome::Exit => Ok(()),
                }
            }
        }
    }

    async fn assign(&mut self, command: LocalCommand, statement: &str) -> Result<(), ClientError> {
        let values = quoted(statement);
        if command == LocalCommand::Set {
            let [name, value] = values.as_slice() else { return Err(usage("SET 'property' = 'value';")) };
            self.client.get(&format!("/is_valid_property/{}", percent_encode(name))).await?;
            let old = self.context.properties.insert(name.clone(), value.clone());
            let from = old.map(|o| format!(" from '{o}'")).unwrap_or_default();
            self.print(&format!("Set property '{name}'{from} to '{value}'."));
            return Ok(());
        }
        let name = statement.split_whitespace().nth(1).unwrap_or_default();
        let name = name.split('=').next().unwrap_or_default();
        let [value] = values.as_slice() else { return Err(usage("DEFINE name = 'value';")) };
        if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '@') {
            return Err(usage("DEFINE name = 'value';"));
        }
        self.context.variables.insert(name.to_ascii_lowercase(), value.clone());
        Ok(())
    }

    fn remove(&mut self, command: LocalCommand, statement: &str) -> Result<(), ClientError> {
        if command == LocalCommand::Unset {
            let values = quoted(statement);
            let [name] = values.as_slice() else { return Err(usage("UNSET 'property';")) };
            let old = self.context.properties.shift_remove(name);
            let old =
                old.ok_or_else(|| usage_error(format!("property '{name}' was not set in this session")))?;
            self.print(&format!("Unset property '{name}' (was '{old}')."));
            return Ok(());
        }
        let name = statement.split_whitespace().nth(1).unwrap_or_default().trim_end_matches(';');
        match self.context.variables.shift_remove(&name.to_ascii_lowercase()) {
            Some(_) => Ok(()),
            None => Err(usage_error(format!("variable \"{name}\" is not defined"))),
        }
    }

    /// Runs the statements of a file in order, up to the first that fails.
    pub async fn run_script(&mut self, path: &Path) -> Outcome {
        match read_script(path) {
            Ok(text) => self.run_text(&text).await,
            Err(error) => {
                let error = usage_error(format!("cannot read \"{}\": {error}", path.display()));
                self.show_error(&error, "");
                Outcome::Failed
            }
        }
    }

    /// A line that begins a command rather than a statement. None: it is not one.
    pub async fn run_command(&mut self, line: &str) -> Option<Outcome> {
        let line = line.trim().trim_end_matches(';').trim_end();
        let (word, rest) = line.split_once(char::is_whitespace).map_or((line, ""), |(w, r)| (w, r.trim()));
        let sql = match (word.to_ascii_lowercase().as_str(), rest) {
            ("exit" | "quit" | "\\q" | ".exit" | ".quit", "") => return Some(Outcome::Exit),
            ("help" | "\\?" | ".help", "") => return Some(self.say(HELP)),
            ("version", "") => return Some(self.say(&format!("weir {}", env!("CARGO_PKG_VERSION")))),
            ("clear", "") => return Some(self.say("\x1b[2J\x1b[H")),
            ("output", form) => return Some(self.set_output(form)),
            ("server", address) => return Some(self.set_server(address).await),
            ("spool" | "\\o" | ".output", file) => return Some(self.set_spool(file)),
            ("\\x", "") => {
                self.expanded = !self.expanded;
                return Some(self.say(if self.expanded {
                    "Expanded display on."
                } else {
                    "Expanded display off."
                }));
            }
            ("\\timing" | ".timer", _) => {
                self.timing = !self.timing;
                return Some(self.say(if self.timing { "Timing on." } else { "Timing off." }));
            }
            ("\\i" | ".read", file) if !file.is_empty() => {
                return Some(Box::pin(self.run_script(Path::new(file.trim_matches('\'')))).await);
            }
            ("\\d", "") => "SHOW STREAMS; SHOW TABLES;".to_owned(),
            ("\\d", name) => format!("DESCRIBE {name};"),
            ("\\d+", name) if !name.is_empty() => format!("DESCRIBE {name} EXTENDED;"),
            ("\\ds", "") => "SHOW STREAMS;".to_owned(),
            ("\\dt" | ".tables", "") => "SHOW TABLES;".to_owned(),
            ("\\dq", "") => "SHOW QUERIES;".to_owned(),
            ("\\df", "") => "SHOW FUNCTIONS;".to_owned(),
            (other, _) if other.starts_with('\\') || other.starts_with('.') => {
                let error = usage_error(format!("unknown command \"{other}\"; \\? lists them"));
                self.show_error(&error, line);
                return Some(Outcome::Failed);
            }
            _ => return None,
        };
        Some(self.run_text(&sql).await)
    }

    fn say(&mut self, text: &str) -> Outcome {
        self.print(text);
        Outcome::Done
    }

    fn set_output(&mut self, form: &str) -> Outcome {
        match form.trim_matches('\'').to_ascii_uppercase().as_str() {
            "" => {}
            "JSON" => self.output = OutputForm::Json,
            "TABULAR" | "TABLE" => self.output = OutputForm::Table,
            other => {
                let error = usage_error(format!("output form \"{other}\" is neither JSON nor TABULAR"));
                self.show_error(&error, form);
                return Outcome::Failed;
            }
        }
        let form = if self.output == OutputForm::Json { "JSON" } else { "TABULAR" };
        self.say(&format!("Output format: {form}"))
    }

    async fn set_server(&mut self, address: &str) -> Outcome {
        if !address.is_empty() {
            match ServerClient::new(address.trim_matches('\'')) {
                Ok(client) => self.client = client,
                Err(error) => {
                    self.show_error(&error, address);
                    return Outcome::Failed;
                }
            }
        }
        let line = format!("Server: {}", self.client.address());
        self.print(&line);
        if let Err(error) = self.client.get("/info").await {
            self.show_error(&error, address);
            return Outcome::Failed;
        }
        Outcome::Done
    }

    fn set_spool(&mut self, file: &str) -> Outcome {
        let file = file.trim_matches('\'');
        if file.is_empty() || file.eq_ignore_ascii_case("off") {
            self.spool = None;
            return self.say("Output goes to the terminal only.");
        }
        match OpenOptions::new().create(true).append(true).open(file) {
            Ok(opened) => {
                self.spool = Some(opened);
                self.say(&format!("Output is copied to {file}."))
            }
            Err(error) => {
                let error = usage_error(format!("cannot write \"{file}\": {error}"));
                self.show_error(&error, file);
                Outcome::Failed
            }
        }
    }
}

fn read_script(path: &Path) -> io::Result<String> {
    let bytes = fs::metadata(path)?.len();
    if bytes > SCRIPT_BYTES_MAX {
        return Err(io::Error::other(format!("it has {bytes} bytes, {SCRIPT_BYTES_MAX} are the limit")));
    }
    fs::read_to_string(path)
}

/// The single-quoted strings of a statement, quotes undoubled.
fn quoted(statement: &str) -> Vec<String> {
    let mut strings = Vec::new();
    let mut chars = statement.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\'' {
            continue;
        }
        let mut text = String::new();
        while let Some(c) = chars.next() {
            if c == '\'' && chars.next_if_eq(&'\'').is_none() {
                break;
            }
            text.push(c);
        }
        strings.push(text);
    }
    strings
}

fn percent_encode(text: &str) -> String {
    text.bytes()
        .map(|b| match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' => char::from(b).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

fn usage(form: &str) -> ClientError {
    usage_error(format!("expected {form}"))
}

fn usage_error(message: String) -> ClientError {
    ClientError::Refused { code: 40001, message, statement: None, entities: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_strings_are_undoubled() {
        assert_eq!(quoted("SET 'a' = 'it''s';"), ["a", "it's"]);
    }
}
