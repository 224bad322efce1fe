//! Nodes back to text, on one line.
//!
//! `Display` of expressions and types is the form that messages use: names bare, every operator in parentheses, as in
//! `(A = B)`. `to_sql` is the form that parses to the same tree: names quoted where they must be.

mod expr;
mod query;
mod statement;

use std::fmt;

use crate::ast::expr::Expr;
use crate::ast::query::{Duration, Query};
use crate::ast::statement::Statement;
use crate::ast::types::{TypeKind, TypeName};
use crate::dialect::{CONTEXTUAL, is_keyword, is_plain_identifier};
use crate::expr::ir::TimeUnit;
use crate::types::quote_identifier;

/// Keywords that cannot be mistaken for anything but a name where a name stands.
const HARMLESS: [&str; 14] = [
    "DATE",
    "ID",
    "INTEGER",
    "KEY",
    "MONTH",
    "PARTITIONS",
    "SCHEMA",
    "STRING",
    "TIME",
    "TIMESTAMP",
    "TYPE",
    "TYPES",
    "VARIABLES",
    "YEAR",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Message,
    Sql,
}

/// Collects text. Writing to a `String` cannot fail.
struct Printer {
    out: String,
    form: Form,
}

impl Printer {
    fn print(form: Form, write: impl FnOnce(&mut Printer)) -> String {
        let mut printer = Printer { out: String::new(), form };
        write(&mut printer);
        printer.out
    }

    fn put(&mut self, text: &str) {
        self.out.push_str(text);
    }

    fn name(&mut self, name: &str) {
        match self.form {
            Form::Message => self.put(name),
            Form::Sql => self.put(&quoted_if_needed(name)),
        }
    }

    fn string(&mut self, text: &str) {
        self.put(&format!("'{}'", text.replace('\'', "''")));
    }

    fn separated<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Printer, &T)) {
        for (i, item) in items.iter().enumerate() {
            if i > 0 {
                self.put(", ");
            }
            write(self, item);
        }
    }

    fn duration(&mut self, duration: &Duration) {
        let unit = match duration.unit {
            TimeUnit::Milliseconds => "MILLISECONDS",
            TimeUnit::Seconds => "SECONDS",
            TimeUnit::Minutes => "MINUTES",
            TimeUnit::Hours => "HOURS",
            TimeUnit::Days => "DAYS",
        };
        self.put(&format!("{} {unit}", duration.amount));
    }

    fn type_name(&mut self, type_name: &TypeName) {
        match &type_name.kind {
            TypeKind::Scalar(sql_type) => self.put(&sql_type.to_string()),
            TypeKind::Array(element) => {
                self.put("ARRAY<");
                self.type_name(element);
                self.put(">");
            }
            TypeKind::Map(key, value) => {
                self.put("MAP<");
                self.type_name(key);
                self.put(", ");
                self.type_name(value);
                self.put(">");
            }
            TypeKind::Struct(fields) => {
                self.put("STRUCT<");
                self.separated(fields, |p, (name, field)| {
                    p.name(&name.name);
                    p.put(" ");
                    p.type_name(field);
                });
                self.put(">");
            }
            TypeKind::Custom(name) => self.name(&name.name),
        }
    }
}

/// The name as it can stand in a statement: bare if it is upper-case and no keyword, else in back quotes.
fn quoted_if_needed(name: &str) -> String {
    let misleading = CONTEXTUAL.contains(&name) || (is_keyword(name) && !HARMLESS.contains(&name));
    let bare = is_plain_identifier(name) && !name.contains(|c: char| c.is_ascii_lowercase()) && !misleading;
    if bare { name.to_owned() } else { quote_identifier(name) }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Printer::print(Form::Message, |p| p.expr(self)))
    }
}

impl fmt::Display for TypeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Printer::print(Form::Message, |p| p.type_name(self)))
    }
}

impl Expr {
    /// Text that parses to this expression.
    pub fn to_sql(&self) -> String {
        Printer::print(Form::Sql, |p| p.expr(self))
    }
}

impl TypeName {
    /// Text that parses to this type.
    pub fn to_sql(&self) -> String {
        Printer::print(Form::Sql, |p| p.type_name(self))
    }
}

impl Query {
    /// Text that parses to this query, without a semicolon.
    pub fn to_sql(&self) -> String {
        Printer::print(Form::Sql, |p| p.query(self))
    }
}

impl Statement {
    /// Text that parses to this statement, without a semicolon.
    pub fn to_sql(&self) -> String {
        Printer::print(Form::Sql, |p| p.statement(self))
    }
}
