//! The part of the program that handles a statement.

use weir_sql::ast::kind::StatementKind;
use weir_sql::parser::kind::statement_kind;

/// The part of the program that handles a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatementClass {
    /// SELECT and PRINT: rows come until the query ends.
    Query(StatementKind),
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

pub fn classify(statement: &str) -> StatementClass {
    match statement_kind(statement) {
        kind @ (StatementKind::PullQuery | StatementKind::PushQuery | StatementKind::Print) => {
            StatementClass::Query(kind)
        }
        StatementKind::Set => StatementClass::Local(LocalCommand::Set),
        StatementKind::Unset => StatementClass::Local(LocalCommand::Unset),
        StatementKind::Define => StatementClass::Local(LocalCommand::Define),
        StatementKind::Undefine => StatementClass::Local(LocalCommand::Undefine),
        StatementKind::ShowVariables => StatementClass::Local(LocalCommand::ShowVariables),
        StatementKind::RunScript => StatementClass::Local(LocalCommand::RunScript),
        StatementKind::InsertValues
        | StatementKind::Show
        | StatementKind::Assert
        | StatementKind::Command => StatementClass::Server,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_do_not_hide_the_first_word() {
        assert_eq!(
            classify("-- note\n /* more */ select * from s;"),
            StatementClass::Query(StatementKind::PullQuery)
        );
        assert_eq!(classify("SHOW VARIABLES;"), StatementClass::Local(LocalCommand::ShowVariables));
        assert_eq!(classify("show streams;"), StatementClass::Server);
        assert_eq!(classify(""), StatementClass::Server);
    }
}
