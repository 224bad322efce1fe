//! What can be wrong with a statement.

use crate::span::Span;

/// Which stage refused the statement. The server maps it to ksqlDB's error codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The text is not a statement.
    Syntax,
    /// A name, type, function or combination of clauses is not valid here.
    Analysis,
    /// The statement is valid but not in this place (a SELECT sent to the statement endpoint, say).
    Unsupported,
    /// A topic or source that the statement needs does not exist. ksqlDB answers `generic_error` 40000.
    Missing,
    /// A format or statement needs a Schema Registry, and none is configured. ksqlDB answers
    /// `generic_error` 42801.
    NoSchemaRegistry,
}

/// A rejected statement: what was wrong, where, and what to do about it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct SqlError {
    pub kind: ErrorKind,
    /// Names the cause and quotes user text.
    pub message: String,
    /// Where in the request text, when known.
    pub span: Span,
    /// A sentence on how to mend it.
    pub hint: Option<String>,
}

pub type Result<T> = std::result::Result<T, SqlError>;

impl SqlError {
    pub fn syntax(message: impl Into<String>, span: Span) -> SqlError {
        SqlError { kind: ErrorKind::Syntax, message: message.into(), span, hint: None }
    }

    pub fn analysis(message: impl Into<String>, span: Span) -> SqlError {
        SqlError { kind: ErrorKind::Analysis, message: message.into(), span, hint: None }
    }

    pub fn unsupported(message: impl Into<String>, span: Span) -> SqlError {
        SqlError { kind: ErrorKind::Unsupported, message: message.into(), span, hint: None }
    }

    /// The same error of another kind.
    #[must_use]
    pub fn of_kind(mut self, kind: ErrorKind) -> SqlError {
        self.kind = kind;
        self
    }

    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> SqlError {
        self.hint = Some(hint.into());
        self
    }

    /// Fills in the place if the error has none yet.
    #[must_use]
    pub fn at(mut self, span: Span) -> SqlError {
        if self.span.is_unknown() {
            self.span = span;
        }
        self
    }

    /// The message with the line it happened on and a caret under the span, as terminals show it.
    pub fn render(&self, text: &str) -> String {
        let mut out = self.message.clone();
        if !self.span.is_unknown()
            && let Some(line) = text.lines().nth(self.span.start.line as usize - 1)
        {
            let from = self.span.start.column.max(1) as usize - 1;
            let width = if self.span.end.line == self.span.start.line {
                (self.span.end.column as usize).saturating_sub(from + 1).max(1)
            } else {
                line.chars().count().saturating_sub(from).max(1)
            };
            out.push_str(&format!(
                "\n  line {}: {line}\n{}{}",
                self.span.start,
                " ".repeat(from + format!("  line {}: ", self.span.start).len()),
                "^".repeat(width)
            ));
        }
        if let Some(hint) = &self.hint {
            out.push_str(&format!("\nHint: {hint}"));
        }
        out
    }
}
