//! The words and lexical rules of ksqlDB's language, as a dialect of sqlparser's tokenizer.

use sqlparser::dialect::Dialect;

/// Identifiers are `[A-Za-z_][A-Za-z0-9_@]*` or begin with a digit; `` ` `` and `"` quote them, doubled inside. Strings
/// have no backslash escapes. Block comments do not nest.
#[derive(Debug)]
pub struct KsqlDialect;

impl Dialect for KsqlDialect {
    fn is_identifier_start(&self, ch: char) -> bool {
        ch.is_ascii_alphabetic() || ch == '_'
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        ch.is_ascii_alphanumeric() || ch == '_' || ch == '@'
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        ch == '`' || ch == '"'
    }

    fn supports_numeric_prefix(&self) -> bool {
        true
    }

    /// Makes `$` a token of its own kind, so that a `${variable}` that was not substituted is an error at its place.
    fn supports_dollar_placeholder(&self) -> bool {
        true
    }
}

/// Keywords that must be quoted to serve as a name. Sorted.
pub const RESERVED: [&str; 88] = [
    "ADVANCE",
    "ALL",
    "AND",
    "AS",
    "AT",
    "BEGINNING",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "CATALOG",
    "CONNECTOR",
    "CONNECTORS",
    "CREATE",
    "DAYS",
    "DECIMAL",
    "DELETE",
    "DESCRIBE",
    "DISTINCT",
    "DROP",
    "ELSE",
    "END",
    "EXISTS",
    "EXPORT",
    "EXTENDED",
    "FALSE",
    "FROM",
    "FULL",
    "GROUP",
    "HAVING",
    "HOPPING",
    "HOURS",
    "IN",
    "INNER",
    "INSERT",
    "INTO",
    "IS",
    "JOIN",
    "LEFT",
    "LIKE",
    "LIMIT",
    "LIST",
    "LOAD",
    "MATERIALIZED",
    "MILLISECOND",
    "MILLISECONDS",
    "MINUTES",
    "MONTHS",
    "NAMESPACE",
    "NOT",
    "NULL",
    "ON",
    "OR",
    "OUTER",
    "PAUSE",
    "PRINT",
    "PROPERTIES",
    "QUERIES",
    "QUERY",
    "RENAME",
    "RESUME",
    "RETENTION",
    "RIGHT",
    "RUN",
    "SAMPLE",
    "SCRIPT",
    "SECONDS",
    "SELECT",
    "SIZE",
    "STREAM",
    "STREAMS",
    "TABLE",
    "TERMINATE",
    "THEN",
    "TO",
    "TOPIC",
    "TOPICS",
    "TRUE",
    "TUMBLING",
    "UNSET",
    "VALUES",
    "VIEW",
    "WHEN",
    "WHERE",
    "WINDOW",
    "WITH",
    "WITHIN",
    "YEARS",
];

/// Keywords that may serve as names without quotes. Sorted.
pub const NON_RESERVED: [&str; 57] = [
    "ADD",
    "ALTER",
    "ANALYZE",
    "ARRAY",
    "ASSERT",
    "CHANGES",
    "COLUMN",
    "COLUMNS",
    "DATE",
    "DAY",
    "DEFINE",
    "EMIT",
    "ESCAPE",
    "EXPLAIN",
    "FINAL",
    "FUNCTION",
    "FUNCTIONS",
    "GRACE",
    "HEADER",
    "HEADERS",
    "HOUR",
    "ID",
    "IF",
    "INTEGER",
    "INTERVAL",
    "KEY",
    "MAP",
    "MINUTE",
    "MONTH",
    "PARTITION",
    "PARTITIONS",
    "PERIOD",
    "PLUGINS",
    "PRIMARY",
    "REPLACE",
    "RESET",
    "SCHEMA",
    "SECOND",
    "SESSION",
    "SET",
    "SHOW",
    "SINK",
    "SOURCE",
    "STRING",
    "STRUCT",
    "SUBJECT",
    "SYSTEM",
    "TABLES",
    "TIME",
    "TIMEOUT",
    "TIMESTAMP",
    "TYPE",
    "TYPES",
    "UNDEFINE",
    "VARIABLES",
    "YEAR",
    "ZONE",
];

/// Words that only the clauses beyond ksqlDB's grammar use; they stay ordinary names.
pub const CONTEXTUAL: [&str; 7] = ["ASC", "DESC", "FIRST", "LAST", "NULLS", "OFFSET", "ORDER"];

/// The words that statements begin with.
pub const STATEMENT_WORDS: [&str; 18] = [
    "ALTER",
    "ASSERT",
    "CREATE",
    "DEFINE",
    "DESCRIBE",
    "DROP",
    "EXPLAIN",
    "INSERT",
    "LIST",
    "PAUSE",
    "PRINT",
    "RESUME",
    "SELECT",
    "SET",
    "SHOW",
    "TERMINATE",
    "UNDEFINE",
    "UNSET",
];

/// True for a reserved keyword in any case.
pub fn is_reserved(word: &str) -> bool {
    RESERVED.binary_search(&word.to_ascii_uppercase().as_str()).is_ok()
}

/// True for any keyword, reserved or not, in any case.
pub fn is_keyword(word: &str) -> bool {
    is_reserved(word) || NON_RESERVED.binary_search(&word.to_ascii_uppercase().as_str()).is_ok()
}

/// True if the word can be written as a name without quotes (in any case).
pub fn is_plain_identifier(word: &str) -> bool {
    let rest = word.strip_prefix(|c: char| KsqlDialect.is_identifier_start(c));
    rest.is_some_and(|rest| rest.chars().all(|c| KsqlDialect.is_identifier_part(c))) && !is_reserved(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keyword_lists_are_sorted_and_disjoint() {
        assert!(RESERVED.is_sorted());
        assert!(NON_RESERVED.is_sorted());
        assert!(NON_RESERVED.iter().all(|word| !is_reserved(word)));
    }

    #[test]
    fn plain_identifiers_are_unreserved_words() {
        for word in ["a", "_x", "A1@b", "id", "array"] {
            assert!(is_plain_identifier(word), "{word}");
        }
        for word in ["", "1a", "a b", "select", "é"] {
            assert!(!is_plain_identifier(word), "{word}");
        }
    }
}
