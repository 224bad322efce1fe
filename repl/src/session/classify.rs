//! The kind of a statement, from its first words.

use crate::input::words::code_words;

/// The part of the program that handles a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatementClass {
    /// SELECT and PRINT: rows come until the query ends.
    Query,
    /// The session itself.
    Local(LocalCommand),
    Server,
}

/// Statements that change the session and never reach the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalCommand {
    Set,
    Unset,
    Define,
    Undefine,
    ShowVariables,
    RunScript,
}

/// The first words, upper-cased, comments skipped.
pub fn first_words(statement: &str, count: usize) -> Vec<String> {
    let mut rest = statement;
    loop {
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix("--") {
            rest = after.split_once('\n').map_or("", |(_, next)| next);
        } else if let Some(after) = rest.strip_prefix("/*") {
            rest = after.split_once("*/").map_or("", |(_, next)| next);
        } else {
            break;
        }
    }
    rest.split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|w| !w.is_empty())
        .take(count)
        .map(str::to_ascii_uppercase)
        .collect()
}

/// True if a query asks for changes (`EMIT CHANGES`, `EMIT FINAL`), and so ends by itself only at its limit.
pub fn emits(statement: &str) -> bool {
    code_words(statement).iter().any(|word| word.eq_ignore_ascii_case("emit"))
}

pub fn classify(statement: &str) -> StatementClass {
    let words = first_words(statement, 2);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["SELECT" | "PRINT", ..] => StatementClass::Query,
        ["SET", ..] => StatementClass::Local(LocalCommand::Set),
        ["UNSET", ..] => StatementClass::Local(LocalCommand::Unset),
        ["DEFINE", ..] => StatementClass::Local(LocalCommand::Define),
        ["UNDEFINE", ..] => StatementClass::Local(LocalCommand::Undefine),
        ["SHOW" | "LIST", "VARIABLES"] => StatementClass::Local(LocalCommand::ShowVariables),
        ["RUN", "SCRIPT"] => StatementClass::Local(LocalCommand::RunScript),
        _ => StatementClass::Server,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_that_emit_are_told_from_those_that_end() {
        assert!(emits("SELECT * FROM s EMIT CHANGES LIMIT 2;"));
        assert!(emits("select * from s\nemit\tfinal"));
        assert!(!emits("SELECT 'it''s emit changes', `emit` FROM s -- emit changes\n/* emit */ LIMIT 4;"));
    }

    #[test]
    fn comments_do_not_hide_the_first_word() {
        assert_eq!(classify("-- note\n /* more */ select * from s;"), StatementClass::Query);
        assert_eq!(classify("SHOW VARIABLES;"), StatementClass::Local(LocalCommand::ShowVariables));
        assert_eq!(classify("show streams;"), StatementClass::Server);
        assert_eq!(classify(""), StatementClass::Server);
    }
}
