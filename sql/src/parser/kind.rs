//! The kind of a statement from its words, for text that is half-typed or has variables in it.

use crate::ast::kind::StatementKind;
use crate::parser::scan::{SegmentKind, segments};

/// The kind that [`crate::ast::statement::Statement::kind`] gives once the text is complete. Text without a known beginning
/// is a command: the server says what is wrong with it.
pub fn statement_kind(text: &str) -> StatementKind {
    let mut words = code_words(text);
    let is = |word: Option<&str>, keyword: &str| word.is_some_and(|word| word.eq_ignore_ascii_case(keyword));
    let first = words.next().unwrap_or_default().to_ascii_uppercase();
    match first.as_str() {
        "SELECT" if words.any(|word| is(Some(word), "EMIT")) => StatementKind::PushQuery,
        "SELECT" => StatementKind::PullQuery,
        "PRINT" => StatementKind::Print,
        "INSERT" if is(words.find(|word| is(Some(word), "VALUES") || is(Some(word), "SELECT")), "VALUES") => {
            StatementKind::InsertValues
        }
        "SHOW" | "LIST" if is(words.next(), "VARIABLES") => StatementKind::ShowVariables,
        "SHOW" | "LIST" | "DESCRIBE" | "EXPLAIN" => StatementKind::Show,
        "SET" => StatementKind::Set,
        "UNSET" => StatementKind::Unset,
        "DEFINE" => StatementKind::Define,
        "UNDEFINE" => StatementKind::Undefine,
        "RUN" if is(words.next(), "SCRIPT") => StatementKind::RunScript,
        "ASSERT" => StatementKind::Assert,
        _ => StatementKind::Command,
    }
}

/// Words outside strings, quoted names and comments.
fn code_words(text: &str) -> impl Iterator<Item = &str> {
    let is_separator = |c: char| !c.is_alphanumeric() && c != '_';
    segments(text)
        .filter(|segment| segment.kind == SegmentKind::Code)
        .flat_map(move |segment| text[segment.range].split(is_separator))
        .filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parser::{ParseConfig, parse_statements_with};

    /// Statements of every kind.
    const STATEMENTS: [(&str, StatementKind); 36] = [
        ("SELECT * FROM t", StatementKind::PullQuery),
        ("SELECT `emit`, 'emit' FROM t -- emit\n/* emit */ LIMIT 4", StatementKind::PullQuery),
        ("select * from s emit changes limit 2", StatementKind::PushQuery),
        (
            "SELECT k, COUNT(*) FROM s WINDOW TUMBLING (SIZE 1 HOUR) GROUP BY k\nEMIT\tFINAL",
            StatementKind::PushQuery,
        ),
        ("PRINT 'topic' FROM BEGINNING", StatementKind::Print),
        ("INSERT INTO s (a, b) VALUES (1, 'SELECT')", StatementKind::InsertValues),
        ("INSERT INTO `select` VALUES (1)", StatementKind::InsertValues),
        ("INSERT INTO s SELECT * FROM t EMIT CHANGES", StatementKind::Command),
        ("INSERT INTO s WITH (QUERY_ID='values') SELECT * FROM t EMIT CHANGES", StatementKind::Command),
        ("SHOW STREAMS EXTENDED", StatementKind::Show),
        ("LIST ALL TOPICS", StatementKind::Show),
        ("SHOW VARIABLES", StatementKind::ShowVariables),
        ("list variables", StatementKind::ShowVariables),
        ("DESCRIBE s", StatementKind::Show),
        ("DESCRIBE FUNCTION ABS", StatementKind::Show),
        ("EXPLAIN SELECT * FROM s EMIT CHANGES", StatementKind::Show),
        ("EXPLAIN q", StatementKind::Show),
        ("SET 'auto.offset.reset' = 'earliest'", StatementKind::Set),
        ("UNSET 'auto.offset.reset'", StatementKind::Unset),
        ("DEFINE a = 'b'", StatementKind::Define),
        ("UNDEFINE a", StatementKind::Undefine),
        ("RUN SCRIPT 'a.sql'", StatementKind::RunScript),
        ("ASSERT TOPIC t", StatementKind::Assert),
        ("ASSERT VALUES s (a) VALUES (1)", StatementKind::Assert),
        ("CREATE STREAM s (a INT) WITH (KAFKA_TOPIC='t', VALUE_FORMAT='JSON')", StatementKind::Command),
        ("CREATE TABLE t AS SELECT k, COUNT(*) FROM s GROUP BY k EMIT CHANGES", StatementKind::Command),
        ("CREATE TYPE a AS STRUCT<b INT>", StatementKind::Command),
        ("CREATE SOURCE CONNECTOR c WITH ('a'='b')", StatementKind::Command),
        ("ALTER STREAM s ADD COLUMN b INT", StatementKind::Command),
        ("ALTER SYSTEM 'a' = 'b'", StatementKind::Command),
        ("DROP STREAM s DELETE TOPIC", StatementKind::Command),
        ("DROP TYPE a", StatementKind::Command),
        ("DROP CONNECTOR c", StatementKind::Command),
        ("TERMINATE ALL", StatementKind::Command),
        ("PAUSE q", StatementKind::Command),
        ("RESUME q", StatementKind::Command),
    ];

    #[test]
    fn words_and_parser_agree() {
        for (text, kind) in STATEMENTS {
            let text = format!("-- note\n /* more */ {text};");
            let config = ParseConfig { test_statements: true };
            let parsed =
                parse_statements_with(&text, config).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(parsed[0].statement.kind(), kind, "{text}");
            assert_eq!(statement_kind(&text), kind, "{text}");
        }
    }

    #[test]
    fn half_typed_statements_have_a_kind() {
        for (text, kind) in [
            ("SELECT", StatementKind::PullQuery),
            ("SELECT ${columns} FROM s EMIT", StatementKind::PushQuery),
            ("SELECT 'open emit", StatementKind::PullQuery),
            ("SHOW", StatementKind::Show),
            ("INSERT INTO s", StatementKind::Command),
            ("RUN", StatementKind::Command),
            ("", StatementKind::Command),
            ("-- only a note", StatementKind::Command),
        ] {
            assert_eq!(statement_kind(text), kind, "{text}");
        }
    }
}
