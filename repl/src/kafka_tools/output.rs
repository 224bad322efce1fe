//! Lists for people and for programs.

use std::io::IsTerminal;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value};

use crate::render::line;
use crate::render::style::Palette;
use crate::render::table::{TableStyle, table};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ListForm {
    Table,
    /// An object a line
    Json,
}

#[derive(Clone, Copy, Debug, Args)]
pub struct OutputArgs {
    /// Form of lists; default: table on a terminal, json elsewhere
    // The shell has an --output of its own, so the id must differ.
    #[arg(
        id = "list_form",
        long = "output",
        value_name = "FORM",
        value_enum,
        ignore_case = true,
        global = true
    )]
    pub output: Option<ListForm>,
}

impl OutputArgs {
    /// JSON lines, wherever they go.
    pub fn json() -> OutputArgs {
        OutputArgs { output: Some(ListForm::Json) }
    }

    pub fn form(self) -> ListForm {
        let default = if std::io::stdout().is_terminal() { ListForm::Table } else { ListForm::Json };
        self.output.unwrap_or(default)
    }

    /// Prints rows; the names of the columns are the members of the objects, and in capitals the table's header.
    pub fn show(self, columns: &[&str], rows: &[Vec<Value>]) {
        match self.form() {
            ListForm::Table => {
                let header: Vec<String> =
                    columns.iter().map(|name| name.replace('_', "-").to_ascii_uppercase()).collect();
                let style = TableStyle::detect(Palette::detect().header.is_bold);
                line(&table(&header, rows, style));
            }
            ListForm::Json => {
                for row in rows {
                    let members = columns.iter().map(|name| (*name).to_owned()).zip(row.iter().cloned());
                    line(&Value::Object(members.collect::<Map<_, _>>()).to_string());
                }
            }
        }
    }

    /// A remark beside a table; programs find it in the rows.
    pub fn note(self, text: &str) {
        if self.form() == ListForm::Table {
            line(text);
        }
    }

    /// A message for people; programs read the exit code.
    pub fn say(self, text: &str) {
        match self.form() {
            ListForm::Table => line(text),
            ListForm::Json => line::err(text),
        }
    }
}

/// Prints a line.
pub fn line(text: &str) {
    line::out(text);
}
