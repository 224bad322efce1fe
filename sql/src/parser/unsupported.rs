//! Statements and clauses of other SQL dialects: what they are called, and the nearest alternative that works.

use sqlparser::tokenizer::Token;

use crate::error::SqlError;
use crate::parser::cursor::Cursor;
use crate::parser::syntax_error::syntax_error;
use crate::span::Span;

/// `(words, name, alternative)`: what begins with one of the words.
type Row = (&'static [&'static str], &'static str, &'static str);

/// First words of statements.
const VERBS: [Row; 17] = [
    (
        &["DELETE"],
        "DELETE",
        "A row of a table is deleted by a record with its key and a null value on the table's topic; DROP \
         … DELETE TOPIC deletes all.",
    ),
    (
        &["UPDATE"],
        "UPDATE",
        "INSERT INTO a table replaces the row of the same key: INSERT INTO t (id, …) VALUES (…).",
    ),
    (
        &["TRUNCATE"],
        "TRUNCATE",
        "DROP … DELETE TOPIC and the CREATE statement again give an empty stream or table.",
    ),
    (
        &["MERGE", "UPSERT"],
        "MERGE",
        "INSERT INTO a table replaces the row of the same key: INSERT INTO t (id, …) VALUES (…).",
    ),
    (
        &["REPLACE"],
        "REPLACE INTO",
        "INSERT INTO a table replaces the row of the same key: INSERT INTO t (id, …) VALUES (…).",
    ),
    (
        &["WITH"],
        "WITH (a common table expression)",
        "Give the inner query a name with CREATE STREAM … AS SELECT or CREATE TABLE … AS SELECT, and \
         select from that.",
    ),
    (&["VALUES"], "VALUES as a statement", "Write rows with INSERT INTO … VALUES (…)."),
    (
        &["GRANT", "REVOKE", "DENY"],
        "GRANT",
        "Access is controlled by the ACLs of topics and groups: weir acl create.",
    ),
    (
        &["BEGIN", "START", "COMMIT", "ROLLBACK", "SAVEPOINT", "ABORT"],
        "A transaction of statements",
        "Each statement takes effect by itself; queries write their results exactly once.",
    ),
    (&["USE"], "USE", "There is one catalog: names of streams and tables stand alone."),
    (&["DESC"], "DESC", "Write DESCRIBE."),
    (
        &["COPY", "LOAD", "IMPORT", "EXPORT"],
        "COPY",
        "Write rows with INSERT INTO … VALUES, POST /inserts-stream or weir produce.",
    ),
    (
        &["CALL", "EXEC", "EXECUTE", "PREPARE", "DEALLOCATE"],
        "CALL",
        "Functions are called in SELECT; SHOW FUNCTIONS lists them.",
    ),
    (&["RENAME"], "RENAME", "CREATE … AS SELECT gives the rows another name; an alias renames a column."),
    (&["REFRESH"], "REFRESH", "The result of CREATE … AS SELECT is always up to date."),
    (&["KILL", "STOP", "CANCEL"], "KILL", "TERMINATE ends a query; SHOW QUERIES lists the ids."),
    (
        &["ANALYZE", "VACUUM", "OPTIMIZE", "COMMENT", "LOCK", "UNLOCK", "ATTACH", "DECLARE", "FETCH"],
        "This statement",
        "Statements are CREATE, DROP, ALTER, INSERT, SELECT, SHOW, DESCRIBE, EXPLAIN, TERMINATE, PAUSE, \
         RESUME, SET and PRINT.",
    ),
];

/// Second words, after CREATE, DROP and ALTER.
const OBJECTS: [Row; 10] = [
    (
        &["VIEW", "MATERIALIZED"],
        "A view",
        "CREATE STREAM … AS SELECT or CREATE TABLE … AS SELECT keeps the result of a query up to date.",
    ),
    (
        &["INDEX", "UNIQUE"],
        "An index",
        "Tables are looked up by key; CREATE TABLE … AS SELECT … GROUP BY makes one with another key.",
    ),
    (
        &["TOPIC"],
        "A topic as an object of SQL",
        "CREATE STREAM … WITH (KAFKA_TOPIC='…', PARTITIONS=…) makes the topic, DROP … DELETE TOPIC deletes \
         it; so does weir topic.",
    ),
    (
        &["DATABASE", "SCHEMA", "CATALOG"],
        "A database or schema",
        "There is one catalog: names of streams and tables stand alone.",
    ),
    (
        &["FUNCTION", "PROCEDURE", "AGGREGATE"],
        "A function of one's own",
        "SHOW FUNCTIONS lists the functions; lambdas work on arrays and maps.",
    ),
    (
        &["TRIGGER", "RULE"],
        "A trigger",
        "CREATE STREAM … AS SELECT … WHERE writes a row for each one that matters.",
    ),
    (&["SEQUENCE"], "A sequence", "UUID() makes unique ids; ROWOFFSET numbers the records of a partition."),
    (
        &["USER", "ROLE", "GROUP"],
        "A user or role",
        "Users are managed with weir user, their rights with weir acl.",
    ),
    (
        &["TEMPORARY", "TEMP", "EXTERNAL", "GLOBAL", "LOCAL"],
        "This kind of table",
        "Every stream or table is over a topic: CREATE STREAM or CREATE TABLE … WITH (KAFKA_TOPIC='…', …).",
    ),
    (&["QUERY"], "A query as an object", "CREATE … AS SELECT starts a query, TERMINATE ends it."),
];

/// Words after SHOW.
const SHOWN: [Row; 6] = [
    (&["CREATE"], "SHOW CREATE", "DESCRIBE … EXTENDED shows the statement."),
    (&["COLUMNS", "FIELDS"], "SHOW COLUMNS", "DESCRIBE lists the columns of a stream or table."),
    (&["PROCESSLIST", "PROCESSES", "JOBS"], "SHOW PROCESSLIST", "SHOW QUERIES lists the running queries."),
    (
        &["DATABASES", "SCHEMAS", "CATALOGS"],
        "SHOW DATABASES",
        "There is one catalog; SHOW STREAMS and SHOW TABLES list it.",
    ),
    (&["VIEWS", "INDEXES", "SOURCES"], "SHOW VIEWS", "SHOW STREAMS and SHOW TABLES list what there is."),
    (&["USERS", "ROLES", "GRANTS"], "SHOW USERS", "weir user list and weir acl list show users and rights."),
];

/// The token that must follow a word for it to be the clause and not a name.
#[derive(Clone, Copy)]
enum Next {
    /// Anything, since no name can stand there.
    Any,
    Words(&'static [&'static str]),
    Paren,
    Text,
}

/// Clauses, operators and constraints inside of statements: where one of the words is not expected, or would be taken
/// for an alias.
const CLAUSES: [(&[&str], Next, &str, &str); 21] = [
    (
        &["UNION"],
        Next::Words(&["SELECT", "ALL", "DISTINCT"]),
        "UNION",
        "Write both into one stream: CREATE STREAM … AS SELECT, then INSERT INTO … SELECT.",
    ),
    (
        &["INTERSECT", "EXCEPT", "MINUS"],
        Next::Words(&["SELECT", "ALL", "DISTINCT"]),
        "INTERSECT or EXCEPT",
        "JOIN keeps rows that have a match; LEFT JOIN and a filter IS NULL those that have none.",
    ),
    (
        &["OVER"],
        Next::Paren,
        "A window function (OVER)",
        "Aggregate with GROUP BY and a WINDOW clause; LATEST_BY_OFFSET and EARLIEST_BY_OFFSET give last \
         and first values.",
    ),
    (
        &["FILTER"],
        Next::Paren,
        "FILTER after an aggregate",
        "Aggregate a CASE: SUM(CASE WHEN condition THEN 1 ELSE 0 END).",
    ),
    (
        &["CROSS"],
        Next::Words(&["JOIN"]),
        "CROSS JOIN",
        "Joins need ON with an equation of both sides; a column of one constant on each side joins all rows.",
    ),
    (
        &["NATURAL"],
        Next::Words(&["JOIN", "LEFT", "RIGHT", "FULL", "INNER"]),
        "NATURAL JOIN",
        "Name the columns: JOIN … ON a.id = b.id.",
    ),
    (&["USING"], Next::Paren, "JOIN … USING", "Name the columns: JOIN … ON a.id = b.id."),
    (&["LATERAL"], Next::Any, "LATERAL", "EXPLODE(array) in the SELECT list makes a row of each element."),
    (&["QUALIFY"], Next::Any, "QUALIFY", "HAVING filters groups."),
    (&["FETCH"], Next::Words(&["FIRST", "NEXT"]), "FETCH FIRST", "Write LIMIT n."),
    (
        &["FOR"],
        Next::Words(&["SYSTEM_TIME", "UPDATE", "SHARE"]),
        "FOR",
        "Tables hold the present rows; a stream over the same topic holds every change.",
    ),
    (&["RETURNING"], Next::Any, "RETURNING", "The values are those of the statement."),
    (
        &["CONFLICT", "DUPLICATE"],
        Next::Any,
        "ON CONFLICT",
        "INSERT INTO a table replaces the row of the same key.",
    ),
    (&["ILIKE"], Next::Text, "ILIKE", "Compare in one case: LCASE(text) LIKE 'pattern'."),
    (
        &["RLIKE", "REGEXP", "SIMILAR"],
        Next::Text,
        "Matching by a regular expression operator",
        "Write REGEXP_EXTRACT('pattern', text) IS NOT NULL.",
    ),
    (
        &["CASCADE", "RESTRICT"],
        Next::Any,
        "CASCADE",
        "Drop the streams and tables that read this one first, and TERMINATE the queries; the refusal of \
         DROP names them.",
    ),
    (
        &["CLUSTER", "DISTRIBUTE", "SORT"],
        Next::Words(&["BY"]),
        "CLUSTER BY",
        "PARTITION BY decides the key and so the partition of rows.",
    ),
    (&["TABLESAMPLE"], Next::Any, "TABLESAMPLE", "Filter with RANDOM(): WHERE RANDOM() < 0.01."),
    (
        &["DEFAULT", "UNIQUE", "REFERENCES", "CHECK", "CONSTRAINT", "AUTO_INCREMENT", "COLLATE"],
        Next::Any,
        "A constraint of a column",
        "Columns have a name, a type and KEY, PRIMARY KEY, HEADERS or HEADER('key').",
    ),
    (
        &["ROWS", "RANGE"],
        Next::Words(&["BETWEEN"]),
        "A frame of rows",
        "WINDOW TUMBLING, HOPPING or SESSION with GROUP BY aggregates over time.",
    ),
    (
        &["PIVOT", "UNPIVOT"],
        Next::Paren,
        "PIVOT",
        "Aggregate a CASE per column: SUM(CASE WHEN kind = 'a' THEN amount ELSE 0 END).",
    ),
];

fn refusal(name: &str, alternative: &str, span: Span) -> SqlError {
    let is = if name.ends_with("EXCEPT") { "are" } else { "is" };
    syntax_error(&format!("{name} {is} not supported"), span).with_hint(alternative)
}

impl Cursor<'_> {
    fn in_rows(&self, rows: &'static [Row]) -> Option<SqlError> {
        let word = self.word(0)?.value.to_ascii_uppercase();
        let (_, name, alternative) = rows.iter().find(|(words, ..)| words.contains(&word.as_str()))?;
        Some(refusal(name, alternative, self.span()))
    }

    /// The refusal of a statement of another dialect that begins here.
    pub(super) fn unsupported_verb(&self) -> Option<SqlError> {
        self.in_rows(&VERBS)
    }

    /// The refusal of an object that CREATE, DROP and ALTER do not know, at its word.
    pub(super) fn unsupported_object(&self) -> Option<SqlError> {
        self.in_rows(&OBJECTS)
    }

    /// The refusal of something that SHOW does not know, at its word.
    pub(super) fn unsupported_list(&self) -> Option<SqlError> {
        self.in_rows(&SHOWN)
    }

    /// The refusal of `SHOW TABLES LIKE '…'`.
    pub(super) fn show_filter(&self) -> SqlError {
        refusal(
            "A filter of SHOW",
            "SHOW lists all of them; DESCRIBE name and DESCRIBE FUNCTION name show one.",
            self.span(),
        )
    }

    /// The refusal of `COUNT(DISTINCT x)`.
    pub(super) fn distinct_argument(&self) -> SqlError {
        refusal(
            "DISTINCT in a call",
            "COUNT_DISTINCT(value) counts distinct values, COLLECT_SET(value) and TOPKDISTINCT(value, n) collect them.",
            self.span(),
        )
    }

    /// The refusal of `FROM a, b`.
    pub(super) fn source_list(&self) -> SqlError {
        refusal("A list of sources", "Write JOIN … ON with an equation of both sides.", self.span())
    }

    /// The refusal of `value::type`.
    pub(super) fn cast_operator(&self) -> SqlError {
        refusal("The operator ::", "Write CAST(value AS type).", self.span())
    }

    /// The refusal of EXPLAIN ANALYZE.
    pub(super) fn explain_analyze(&self) -> SqlError {
        refusal(
            "EXPLAIN ANALYZE",
            "EXPLAIN shows the plan; SHOW QUERIES EXTENDED and the metrics show the work of a running query.",
            self.span(),
        )
    }

    /// The refusal of a clause of another dialect, at its first word. `certain`: no name can stand here.
    pub(super) fn unsupported_clause(&self, certain: bool) -> Option<SqlError> {
        let word = self.word(0)?.value.to_ascii_uppercase();
        let follows = |next: Next| match next {
            Next::Any => certain,
            Next::Words(words) => words.iter().any(|w| self.is_keyword(1, w)) || certain && words == ["JOIN"],
            Next::Paren => *self.peek_nth(1) == Token::LParen,
            Next::Text => matches!(self.peek_nth(1), Token::SingleQuotedString(_)),
        };
        let (_, _, name, alternative) =
            CLAUSES.iter().find(|(words, next, ..)| words.contains(&word.as_str()) && follows(*next))?;
        Some(refusal(name, alternative, self.span()))
    }

    /// The refusal of a query in the place of a source or an operand.
    pub(super) fn subquery(&self) -> SqlError {
        refusal(
            "A sub-query",
            "Give the inner query a name with CREATE STREAM … AS SELECT or CREATE TABLE … AS SELECT, and join or select \
             from that.",
            self.span(),
        )
    }

    /// The refusal of EXISTS, IN (SELECT …) and the like.
    pub(super) fn subquery_predicate(&self) -> SqlError {
        refusal(
            "A sub-query",
            "JOIN keeps the rows that have a match in another stream or table.",
            self.span(),
        )
    }

    /// The refusal of `AS OF`.
    pub(super) fn as_of(&self) -> SqlError {
        refusal(
            "AS OF",
            "Tables hold the present rows; a stream over the same topic holds every change with its ROWTIME.",
            self.span(),
        )
    }
}
