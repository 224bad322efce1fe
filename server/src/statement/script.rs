//! The statements of a request, each with its variables filled in.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_sql::ast::statement::Statement;
use weir_sql::error::SqlError;
use weir_sql::parser::split::split_statements;
use weir_sql::parser::{ParsedStatement, parse_statements};
use weir_sql::span::{Location, Span};
use weir_sql::variables::substitute;

use crate::error::ApiError;

/// Statements one request may have.
const STATEMENTS_MAX: usize = 1_000;

/// Names in lower case.
pub type Variables = BTreeMap<String, String>;

/// The text in which the spans of a statement count, and where it begins in the request.
#[derive(Clone, Debug)]
pub struct Place {
    text: Arc<str>,
    start: Location,
}

impl Place {
    fn whole(text: &str) -> Place {
        Place { text: Arc::from(text), start: Location { line: 1, column: 1 } }
    }

    /// The message of an error with the line of the request and a caret.
    pub fn render(&self, error: &SqlError) -> String {
        if error.span.is_unknown() || (self.start.line, self.start.column) == (1, 1) {
            return error.render(&self.text);
        }
        let (lines, columns) = (self.start.line - 1, self.start.column - 1);
        let shift = |at: Location| Location {
            line: at.line + lines,
            column: if at.line == 1 { at.column + columns } else { at.column },
        };
        let span = Span { start: shift(error.span.start), end: shift(error.span.end) };
        let indent = format!("{}{}", "\n".repeat(lines as usize), " ".repeat(columns as usize));
        SqlError { span, ..error.clone() }.render(&format!("{indent}{}", self.text))
    }
}

/// A statement with the place that its errors point into.
#[derive(Clone, Debug)]
pub struct RequestStatement {
    pub parsed: ParsedStatement,
    pub place: Place,
}

/// The statements of a text. DEFINE and UNDEFINE hold from the next statement on.
///
/// Errors: a syntax error; a value that may not stand where its variable is used; too many statements.
pub fn request_statements(text: &str, variables: &Variables) -> Result<Vec<RequestStatement>, ApiError> {
    let statements =
        if text.contains("${") { substituted(text, variables)? } else { parsed(text, &Place::whole(text))? };
    if statements.len() > STATEMENTS_MAX {
        let message =
            format!("a request may have {STATEMENTS_MAX} statements, this has {}", statements.len());
        return Err(ApiError::bad_request(message));
    }
    Ok(statements)
}

fn parsed(text: &str, place: &Place) -> Result<Vec<RequestStatement>, ApiError> {
    let statements =
        parse_statements(text).map_err(|e| ApiError::statement(place.render(&e), text.to_owned()))?;
    Ok(statements.into_iter().map(|parsed| RequestStatement { parsed, place: place.clone() }).collect())
}

fn substituted(text: &str, variables: &Variables) -> Result<Vec<RequestStatement>, ApiError> {
    let mut variables = variables.clone();
    let script = split_statements(text);
    let mut statements = Vec::new();
    for fragment in script.statements.iter().chain(&script.rest) {
        let raw = Place { text: Arc::from(fragment.text), start: fragment.start };
        let filled = substitute(fragment.text, &variables)
            .map_err(|e| ApiError::statement(raw.render(&e), fragment.text))?;
        let place = Place { text: Arc::from(filled.as_str()), start: fragment.start };
        for statement in parsed(&filled, &place)? {
            define(&mut variables, &statement.parsed.statement);
            statements.push(statement);
        }
        if statements.len() > STATEMENTS_MAX {
            break;
        }
    }
    Ok(statements)
}

/// Carries out DEFINE and UNDEFINE.
pub fn define(variables: &mut Variables, statement: &Statement) {
    match statement {
        Statement::Define { name, value } => {
            variables.insert(name.name.to_ascii_lowercase(), value.clone());
        }
        Statement::Undefine { name } => {
            variables.remove(&name.name.to_ascii_lowercase());
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str, variables: &[(&str, &str)]) -> Vec<String> {
        let variables = variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let statements = request_statements(text, &variables).expect(text);
        statements.into_iter().map(|s| s.parsed.text).collect()
    }

    #[test]
    fn definitions_hold_from_the_next_statement_on() {
        assert_eq!(
            texts(
                "DESCRIBE ${v}; DEFINE V = 'b'; DESCRIBE ${v}; UNDEFINE v; DESCRIBE S; DEFINE w = '${x};';",
                &[("v", "a"), ("x", "y")]
            ),
            [
                "DESCRIBE a;",
                "DEFINE V = 'b';",
                "DESCRIBE b;",
                "UNDEFINE v;",
                "DESCRIBE S;",
                "DEFINE w = 'y;';"
            ]
        );
    }

    #[test]
    fn errors_point_into_the_request() {
        let error = request_statements("DEFINE v = 'x';\n\n  DESCRIBE ${v} ${v};", &BTreeMap::new())
            .expect_err("two names");
        assert!(error.message.contains("line 3:14:   DESCRIBE x x;"), "{}", error.message);
        let lines: Vec<&str> = error.message.lines().collect();
        let caret = lines.iter().position(|l| l.trim() == "^").expect("a caret");
        assert_eq!(lines[caret].find('^'), lines[caret - 1].rfind('x'), "{}", error.message);
    }
}
