//! Statements and commands that the session handles itself.

use std::fs::OpenOptions;
use std::io::IsTerminal;
use std::path::Path;

use serde_json::Value;
use weir_server::statement::properties::without_effect;

use crate::client::{ClientError, RequestContext};
use crate::input::syntax;
use crate::render::line;
use crate::render::table::{Overflow, table};
use crate::session::classify::LocalCommand;
use crate::session::pager::Pager;
use crate::session::strings::quoted;
use crate::session::{Outcome, OutputForm, Session};

const HELP: &str = r#"Statements end with ; and may span lines. Beside SQL:
  \d [NAME]     describe a stream or table, or list all; \d+ tells more
  \ds \dt       streams, tables
  \dq \df \l    queries, functions, topics
  \x            rows one column a line
  \timing       show times
  \watch [S]    run the last statement again every S seconds (2)
  \h [NAME]     the form of a statement
  \e            edit the last statement in VISUAL or EDITOR
  \! COMMAND    run a command of the system
  \i FILE       run a script (also: RUN SCRIPT 'FILE')
  \o [FILE]     copy commands and output to a file (also: SPOOL FILE | OFF)
  \c [URL]      show or change the server (also: SERVER)
  \q            leave (also: EXIT, Ctrl-D)
  OUTPUT [TABULAR|JSON|NDJSON|CSV|MARKDOWN]
  SET CLI WRAP ON|OFF, SET CLI COLUMN-WIDTH N     wide values; 0 is by the data
  SET CLI PAGER ON|OFF     long results through WEIR_PAGER, PAGER or less
  DEFINE NAME = 'VALUE'; SHOW VARIABLES; SET 'PROPERTY' = 'VALUE'; UNSET
  VERSION, CLEAR, HISTORY, HELP
Tab completes, Ctrl-R searches the history, Ctrl-C stops a query or a line."#;

impl Session {
    pub(crate) async fn run_local(
        &mut self,
        command: LocalCommand,
        statement: &str,
    ) -> Result<Outcome, ClientError> {
        match command {
            LocalCommand::Set | LocalCommand::Define => {
                self.assign(command, statement).await.map(|()| Outcome::Done)
            }
            LocalCommand::Unset | LocalCommand::Undefine => {
                self.remove(command, statement).map(|()| Outcome::Done)
            }
            LocalCommand::ShowVariables => {
                let rows: Vec<Vec<Value>> = self
                    .context
                    .variables
                    .iter()
                    .map(|(name, value)| vec![Value::from(name.as_str()), Value::from(value.as_str())])
                    .collect();
                let header = ["Variable Name", "Value"].map(str::to_owned);
                self.print(&table(&header, &rows, self.table_style()));
                Ok(Outcome::Done)
            }
            LocalCommand::RunScript => {
                let path = quoted(statement).into_iter().next().ok_or_else(|| usage("RUN SCRIPT 'file';"))?;
                Ok(Box::pin(self.run_script(Path::new(&path))).await)
            }
        }
    }

    async fn assign(&mut self, command: LocalCommand, statement: &str) -> Result<(), ClientError> {
        let values = quoted(statement);
        if command == LocalCommand::Set {
            let [name, value] = values.as_slice() else { return Err(usage("SET 'property' = 'value';")) };
            // The server checks name and value.
            self.client.execute(statement, &RequestContext::default()).await?;
            let old = self.context.properties.insert(name.clone(), value.clone());
            let from = old.map(|o| format!(" from '{o}'")).unwrap_or_default();
            self.note(&format!("Set property '{name}'{from} to '{value}'."));
            if let Some(warning) = without_effect(name, value) {
                self.note(&format!("Warning: {warning}."));
            }
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
            self.note(&format!("Unset property '{name}' (was '{old}')."));
            return Ok(());
        }
        let name = statement.split_whitespace().nth(1).unwrap_or_default().trim_end_matches(';');
        match self.context.variables.shift_remove(&name.to_ascii_lowercase()) {
            Some(_) => Ok(()),
            None => Err(usage_error(format!("variable \"{name}\" is not defined"))),
        }
    }

    /// A line that begins a command rather than a statement. None: it is not one.
    pub async fn run_command(&mut self, line: &str) -> Option<Outcome> {
        let line = line.trim().trim_end_matches(';').trim_end();
        let (word, rest) = line.split_once(char::is_whitespace).map_or((line, ""), |(w, r)| (w, r.trim()));
        if let Some(command) = line.strip_prefix("\\!") {
            return Some(self.run_program(command.trim()));
        }
        let sql = match (word.to_ascii_lowercase().as_str(), rest) {
            ("exit" | "quit" | "\\q" | ".exit" | ".quit", "") => return Some(Outcome::Exit),
            ("help" | "\\?" | ".help", "") => return Some(self.say(HELP)),
            ("version", "") => return Some(self.say(&format!("weir {}", env!("CARGO_PKG_VERSION")))),
            ("clear", "") => {
                if std::io::stdout().is_terminal() {
                    line::out_bytes(b"\x1b[2J\x1b[H");
                }
                return Some(Outcome::Done);
            }
            ("output" | ".mode", form) => return Some(self.set_output(form)),
            ("server" | "\\c" | "\\conninfo", address) => return Some(self.set_server(address).await),
            ("request_pipelining", _) => {
                return Some(self.say("Every statement waits for the one before."));
            }
            ("set", rest) if first_word(rest).eq_ignore_ascii_case("cli") => return Some(self.set_cli(rest)),
            ("run", rest) if first_word(rest).eq_ignore_ascii_case("script") => {
                let file = rest[first_word(rest).len()..].trim();
                if file.is_empty() {
                    let error = usage("RUN SCRIPT 'file'");
                    self.show_error(&error);
                    return Some(Outcome::Failed);
                }
                return Some(Box::pin(self.run_script(Path::new(file.trim_matches('\'')))).await);
            }
            ("spool" | "\\o" | ".output", file) => return Some(self.set_spool(file)),
            ("\\x", "") => {
                self.expanded = !self.expanded;
                return Some(self.say(if self.expanded {
                    "Expanded display on."
                } else {
                    "Expanded display off."
                }));
            }
            ("\\timing" | ".timer", state) => {
                self.timing = match state.to_ascii_lowercase().as_str() {
                    "on" => true,
                    "off" => false,
                    _ => !self.timing,
                };
                return Some(self.say(if self.timing { "Timing on." } else { "Timing off." }));
            }
            ("\\i" | ".read", file) if !file.is_empty() => {
                return Some(Box::pin(self.run_script(Path::new(file.trim_matches('\'')))).await);
            }
            ("\\watch", arguments) => return Some(Box::pin(self.watch(arguments)).await),
            ("\\h", words) => {
                return Some(match syntax::help(words) {
                    Ok(text) => self.say(&text),
                    Err(message) => {
                        self.show_error(&usage_error(message));
                        Outcome::Failed
                    }
                });
            }
            ("\\e", _) => {
                self.show_error(&usage_error("\\e stands alone at the prompt".to_owned()));
                return Some(Outcome::Failed);
            }
            ("\\d", "") => "SHOW STREAMS; SHOW TABLES;".to_owned(),
            ("\\d", name) => format!("DESCRIBE {name};"),
            ("\\d+", "") => "SHOW STREAMS EXTENDED; SHOW TABLES EXTENDED;".to_owned(),
            ("\\d+", name) if !name.is_empty() => format!("DESCRIBE {name} EXTENDED;"),
            ("\\ds", "") => "SHOW STREAMS;".to_owned(),
            ("\\dt" | ".tables", "") => "SHOW TABLES;".to_owned(),
            ("\\l", "") => "SHOW TOPICS;".to_owned(),
            ("\\dq", "") => "SHOW QUERIES;".to_owned(),
            ("\\df", "") => "SHOW FUNCTIONS;".to_owned(),
            (other, _) if other.starts_with('\\') || other.starts_with('.') => {
                let error = usage_error(format!("unknown command \"{other}\"; \\? lists them"));
                self.show_error(&error);
                return Some(Outcome::Failed);
            }
            _ => return None,
        };
        Some(self.run_text(&sql).await)
    }

    fn say(&mut self, text: &str) -> Outcome {
        self.note(text);
        Outcome::Done
    }

    /// `CLI WRAP ON|OFF`, `CLI COLUMN-WIDTH n`.
    fn set_cli(&mut self, text: &str) -> Outcome {
        let words: Vec<String> = text
            .split(|c: char| c.is_whitespace() || matches!(c, '=' | '\''))
            .filter(|word| !word.is_empty())
            .map(str::to_ascii_uppercase)
            .collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["CLI", "WRAP", "ON"] => self.overflow = Overflow::Wrap,
            ["CLI", "WRAP", "OFF"] => self.overflow = Overflow::Cut,
            // A pipe gets results as they are.
            ["CLI", "PAGER", "ON"] if !std::io::stdout().is_terminal() => {}
            ["CLI", "PAGER", "ON"] => {
                self.pager = Pager::of_environment();
                if self.pager.is_none() {
                    let message = "there is no pager: WEIR_PAGER or PAGER is empty, or less is not installed";
                    self.show_error(&usage_error(message.to_owned()));
                    return Outcome::Failed;
                }
            }
            ["CLI", "PAGER", "OFF"] => self.pager = None,
            ["CLI", "COLUMN-WIDTH", width] if width.parse::<usize>().is_ok() => {
                self.column_chars = width.parse().ok().filter(|width| *width > 0);
            }
            _ => {
                let error = usage("SET CLI WRAP ON|OFF, SET CLI COLUMN-WIDTH n or SET CLI PAGER ON|OFF");
                self.show_error(&error);
                return Outcome::Failed;
            }
        }
        Outcome::Done
    }

    fn set_output(&mut self, form: &str) -> Outcome {
        match form.trim_matches('\'').to_ascii_uppercase().as_str() {
            "" => {}
            "JSON" => self.output = OutputForm::Json,
            "NDJSON" => self.output = OutputForm::Ndjson,
            "CSV" => self.output = OutputForm::Csv,
            "MARKDOWN" => self.output = OutputForm::Markdown,
            "TABULAR" | "TABLE" => self.output = OutputForm::Table,
            other => {
                let error = usage_error(format!(
                    "output form \"{other}\" is none of TABULAR, JSON, NDJSON, CSV, MARKDOWN"
                ));
                self.show_error(&error);
                return Outcome::Failed;
            }
        }
        let form = match self.output {
            OutputForm::Table => "TABULAR",
            OutputForm::Json => "JSON",
            OutputForm::Ndjson => "NDJSON",
            OutputForm::Csv => "CSV",
            OutputForm::Markdown => "MARKDOWN",
        };
        self.say(&format!("Output format: {form}"))
    }

    async fn set_server(&mut self, address: &str) -> Outcome {
        if !address.is_empty() {
            match self.client.at(address.trim_matches('\'')) {
                Ok(client) => self.client = client,
                Err(error) => {
                    self.show_error(&error);
                    return Outcome::Failed;
                }
            }
        }
        let line = format!("Server: {}", self.client.address());
        self.note(&line);
        if let Err(error) = self.client.get("/info").await {
            self.show_error(&error);
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
                self.show_error(&error);
                Outcome::Failed
            }
        }
    }
}

fn first_word(text: &str) -> &str {
    text.split_whitespace().next().unwrap_or_default()
}

pub(crate) fn usage(form: &str) -> ClientError {
    usage_error(format!("expected {form}"))
}

pub(crate) fn usage_error(message: String) -> ClientError {
    ClientError::Refused { code: 40001, message, statement: None, entities: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_fits_eighty_columns() {
        for line in HELP.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}
