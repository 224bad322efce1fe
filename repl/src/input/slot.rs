//! The kind of word that may follow the text before the cursor: a source after FROM, a format after VALUE_FORMAT='.

use crate::input::words::code_words;

/// The kind of thing that completion offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// Any keyword, function, source or column.
    Any,
    Source,
    /// A source, or a word that DESCRIBE knows.
    Described,
    Stream,
    Table,
    Function,
    Topic,
    /// The id of a query, or ALL.
    Query,
    /// The id of a query, or the first word of one.
    Explained,
    /// The name of a statement, after `\h`.
    StatementName,
    /// Keywords of which one follows.
    Words(&'static [&'static str]),
    /// The name of a property in WITH.
    Property,
    Format,
    /// The name of a setting.
    Setting,
    /// The value of `auto.offset.reset`.
    OffsetReset,
    /// Text that cannot be known.
    Nothing,
}

const SHOWN: &[&str] =
    &["ALL", "FUNCTIONS", "PROPERTIES", "QUERIES", "STREAMS", "TABLES", "TOPICS", "TYPES", "VARIABLES"];
const CREATED: &[&str] = &["OR REPLACE", "SOURCE STREAM", "SOURCE TABLE", "STREAM", "TABLE", "TYPE"];
const DROPPED: &[&str] = &["STREAM", "TABLE", "TYPE"];
const ALTERED: &[&str] = &["STREAM", "TABLE"];
const BOOLEANS: &[&str] = &["FALSE", "TRUE"];

/// The element that is open at the end of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Code,
    /// A string that begins at this byte.
    String(usize),
    /// A quoted name or a comment.
    Other,
}

/// The slot of the word that follows `before`.
pub fn slot(before: &str) -> Slot {
    let (open, statement_at) = scan(before);
    match open {
        Open::Code => code_slot(&before[statement_at..]),
        Open::String(at) => string_slot(&before[statement_at..at], &before[at + 1..]),
        Open::Other => Slot::Nothing,
    }
}

/// Where the string begins that `before` ends in, if it does.
pub fn open_string(before: &str) -> Option<usize> {
    match scan(before).0 {
        Open::String(at) => Some(at + 1),
        Open::Code | Open::Other => None,
    }
}

/// The element that is open at the end, and where the last statement begins.
fn scan(text: &str) -> (Open, usize) {
    let (mut at, mut statement_at) = (0, 0);
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let end = |close: &str| rest[1..].find(close).map(|found| at + 1 + found + close.len());
        let next = match first {
            '\'' => match end("'") {
                Some(next) => next,
                None => return (Open::String(at), statement_at),
            },
            '`' | '"' | '-' | '/' => {
                let close = match rest.as_bytes() {
                    [b'`', ..] => "`",
                    [b'"', ..] => "\"",
                    [b'-', b'-', ..] => "\n",
                    [b'/', b'*', ..] => "*/",
                    _ => "",
                };
                match end(close) {
                    Some(_) if close.is_empty() => at + 1,
                    Some(next) => next,
                    None => return (Open::Other, statement_at),
                }
            }
            ';' => {
                statement_at = at + 1;
                at + 1
            }
            other => at + other.len_utf8(),
        };
        at = next;
    }
    (Open::Code, statement_at)
}

/// The slot after a command of the shell, `command` without its backslash.
fn command_slot(command: &str) -> Slot {
    let (word, rest) = command.split_once(char::is_whitespace).unwrap_or((command, "-"));
    match (word, rest.trim()) {
        ("d" | "d+", "") => Slot::Source,
        ("h", rest) if rest != "-" => Slot::StatementName,
        _ => Slot::Nothing,
    }
}

fn code_slot(statement: &str) -> Slot {
    if let Some(command) = statement.trim_start().strip_prefix('\\') {
        return command_slot(command);
    }
    let words: Vec<String> = code_words(statement).iter().map(|word| word.to_ascii_uppercase()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let last = statement.trim_end().chars().last();
    if let Some(slot) = property_slot(statement, &words, last) {
        return slot;
    }
    // A word that is followed by more than blanks says nothing of the next.
    if !last.is_some_and(|c| c.is_alphanumeric() || c == '_') {
        return Slot::Any;
    }
    match words.as_slice() {
        ["SHOW" | "LIST"] => Slot::Words(SHOWN),
        ["SHOW" | "LIST", "ALL"] => Slot::Words(&["TOPICS"]),
        ["SHOW" | "LIST", _] => Slot::Words(&["EXTENDED"]),
        ["CREATE"] => Slot::Words(CREATED),
        ["DROP"] => Slot::Words(DROPPED),
        ["ALTER"] => Slot::Words(ALTERED),
        ["DROP" | "ALTER", "STREAM"] | ["DROP", "STREAM", "IF", "EXISTS"] => Slot::Stream,
        ["DROP" | "ALTER", "TABLE"] | ["DROP", "TABLE", "IF", "EXISTS"] => Slot::Table,
        ["DROP", "STREAM" | "TABLE", .., name] if *name != "IF" && *name != "DELETE" => {
            Slot::Words(&["DELETE TOPIC"])
        }
        ["TERMINATE" | "PAUSE" | "RESUME"] => Slot::Query,
        ["EXPLAIN"] => Slot::Explained,
        ["DESCRIBE", "FUNCTION"] => Slot::Function,
        ["DESCRIBE"] => Slot::Described,
        [.., "FROM" | "JOIN"] | ["INSERT", "INTO"] => Slot::Source,
        ["PRINT"] => Slot::Topic,
        _ => Slot::Any,
    }
}

/// The slot within `WITH (…)`; None outside.
fn property_slot(statement: &str, words: &[&str], last: Option<char>) -> Option<Slot> {
    let open = statement.rfind('(')?;
    let before = code_words(&statement[..open]);
    if statement[open..].contains(')') || !before.last()?.eq_ignore_ascii_case("WITH") {
        return None;
    }
    match (last?, words.last().copied()) {
        ('(' | ',', _) => Some(Slot::Property),
        ('=', Some("WRAP_SINGLE_VALUE")) => Some(Slot::Words(BOOLEANS)),
        _ => Some(Slot::Nothing),
    }
}

/// The slot within a string: `before` is the statement up to its quote, `typed` the string so far.
fn string_slot(before: &str, typed: &str) -> Slot {
    let code = before.trim_end().trim_end_matches('=').trim_end();
    let words = code_words(code);
    let first = words.first().map(|word| word.to_ascii_uppercase()).unwrap_or_default();
    let last = words.last().map(|word| word.to_ascii_uppercase()).unwrap_or_default();
    let is_assigned = before.trim_end().ends_with('=');
    match (first.as_str(), last.as_str()) {
        ("SET", _) if is_assigned && code.ends_with("auto.offset.reset'") => Slot::OffsetReset,
        ("SET" | "UNSET", "SET" | "UNSET") if !is_assigned && !typed.contains(' ') => Slot::Setting,
        ("PRINT", "PRINT") => Slot::Topic,
        (_, "KAFKA_TOPIC") if is_assigned => Slot::Topic,
        (_, "FORMAT" | "KEY_FORMAT" | "VALUE_FORMAT") if is_assigned => Slot::Format,
        _ => Slot::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_before_say_what_follows() {
        for (before, expected) in [
            ("", Slot::Any),
            ("SELECT ", Slot::Any),
            ("SELECT * FROM ", Slot::Source),
            ("select a from x left join ", Slot::Source),
            ("SELECT * FROM x WHERE ", Slot::Any),
            ("SELECT 'it''s from ', a FROM ", Slot::Source),
            ("SHOW TABLES; DROP STREAM ", Slot::Stream),
            ("DROP TABLE IF EXISTS ", Slot::Table),
            ("TERMINATE ", Slot::Query),
            ("EXPLAIN ", Slot::Explained),
            ("\\d ", Slot::Source),
            ("SHOW QUERIES; \\d+ ", Slot::Source),
            ("\\d clicks ", Slot::Nothing),
            ("\\h CREATE ", Slot::StatementName),
            ("\\", Slot::Nothing),
            ("\\i ", Slot::Nothing),
            ("SHOW ", Slot::Words(SHOWN)),
            ("DESCRIBE FUNCTION ", Slot::Function),
            ("DESCRIBE ", Slot::Described),
            ("PRINT ", Slot::Topic),
            ("PRINT '", Slot::Topic),
            ("CREATE STREAM s (a INT) WITH (", Slot::Property),
            ("CREATE STREAM s (a INT) WITH (KAFKA_TOPIC='", Slot::Topic),
            ("CREATE STREAM s WITH (KAFKA_TOPIC='t', ", Slot::Property),
            ("CREATE STREAM s WITH (KAFKA_TOPIC='t', VALUE_FORMAT = '", Slot::Format),
            ("CREATE STREAM s WITH (KAFKA_TOPIC='t') AS SELECT * FROM ", Slot::Source),
            ("SET '", Slot::Setting),
            ("SET 'auto.offset.reset' = '", Slot::OffsetReset),
            ("SET 'ksql.x' = '", Slot::Nothing),
            ("SELECT `", Slot::Nothing),
            ("SELECT 1 -- FROM ", Slot::Nothing),
            ("SELECT 1 - ", Slot::Any),
            ("SELECT 4 / ", Slot::Any),
        ] {
            assert_eq!(slot(before), expected, "{before}");
        }
    }

    #[test]
    fn a_string_is_open_after_an_odd_quote() {
        assert_eq!(open_string("SET 'auto."), Some(5));
        assert_eq!(open_string("SET 'a' = "), None);
        assert_eq!(open_string("SELECT 'é"), Some(8));
    }
}
