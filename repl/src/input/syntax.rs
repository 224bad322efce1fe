//! `\h`: the forms of statements, each with an example.

use weir_sql::suggest::did_you_mean;

/// A statement.
struct Syntax {
    name: &'static str,
    form: &'static str,
    example: &'static str,
}

const STATEMENTS: [Syntax; 23] = [
    Syntax {
        name: "ALTER STREAM",
        form: "ALTER STREAM | TABLE name ADD [COLUMN] column type [, ...];",
        example: "ALTER STREAM clicks ADD COLUMN agent STRING;",
    },
    Syntax {
        name: "ALTER SYSTEM",
        form: "ALTER SYSTEM 'property' = 'value';",
        example: "ALTER SYSTEM 'auto.offset.reset' = 'earliest';",
    },
    Syntax {
        name: "ASSERT TOPIC",
        form: "ASSERT [NOT EXISTS] TOPIC name [WITH (PARTITIONS = n, REPLICAS = n)]
  [TIMEOUT n SECONDS];",
        example: "ASSERT TOPIC clicks WITH (PARTITIONS = 4) TIMEOUT 10 SECONDS;",
    },
    Syntax {
        name: "CREATE STREAM",
        form: "CREATE [OR REPLACE] [SOURCE] STREAM [IF NOT EXISTS] name
  (column type [KEY | HEADERS | HEADER('key')] [, ...])
  WITH (KAFKA_TOPIC = 'topic', VALUE_FORMAT = 'format' [, ...]);",
        example: "CREATE STREAM clicks (user STRING KEY, page STRING, ms INT)
  WITH (KAFKA_TOPIC = 'clicks', PARTITIONS = 4, VALUE_FORMAT = 'JSON');",
    },
    Syntax {
        name: "CREATE STREAM AS SELECT",
        form: "CREATE [OR REPLACE] STREAM [IF NOT EXISTS] name [WITH (property = value [, ...])]
  AS SELECT ... [EMIT CHANGES];",
        example: "CREATE STREAM slow AS SELECT * FROM clicks WHERE ms > 500 EMIT CHANGES;",
    },
    Syntax {
        name: "CREATE TABLE",
        form: "CREATE [OR REPLACE] [SOURCE] TABLE [IF NOT EXISTS] name
  (column type [PRIMARY KEY] [, ...])
  WITH (KAFKA_TOPIC = 'topic', VALUE_FORMAT = 'format' [, ...]);",
        example: "CREATE TABLE users (id STRING PRIMARY KEY, name STRING)
  WITH (KAFKA_TOPIC = 'users', PARTITIONS = 4, VALUE_FORMAT = 'JSON');",
    },
    Syntax {
        name: "CREATE TABLE AS SELECT",
        form: "CREATE [OR REPLACE] TABLE [IF NOT EXISTS] name [WITH (property = value [, ...])]
  AS SELECT ... GROUP BY ... [EMIT CHANGES | EMIT FINAL];",
        example: "CREATE TABLE per_minute AS SELECT page, COUNT(*) AS n FROM clicks
  WINDOW TUMBLING (SIZE 1 MINUTE) GROUP BY page EMIT CHANGES;",
    },
    Syntax {
        name: "CREATE TYPE",
        form: "CREATE TYPE [IF NOT EXISTS] name AS type;",
        example: "CREATE TYPE address AS STRUCT<street STRING, city STRING>;",
    },
    Syntax { name: "DEFINE", form: "DEFINE name = 'value';", example: "DEFINE format = 'JSON';" },
    Syntax {
        name: "DESCRIBE",
        form: "DESCRIBE name [EXTENDED];
DESCRIBE STREAMS | TABLES [EXTENDED];
DESCRIBE FUNCTION name;",
        example: "DESCRIBE FUNCTION COUNT;",
    },
    Syntax {
        name: "DROP",
        form: "DROP STREAM | TABLE [IF EXISTS] name [DELETE TOPIC];
DROP TYPE [IF EXISTS] name;",
        example: "DROP TABLE IF EXISTS per_minute DELETE TOPIC;",
    },
    Syntax {
        name: "EXPLAIN",
        form: "EXPLAIN query_id;
EXPLAIN statement;",
        example: "EXPLAIN SELECT page, COUNT(*) FROM clicks GROUP BY page EMIT CHANGES;",
    },
    Syntax {
        name: "INSERT INTO",
        form: "INSERT INTO name [(column [, ...])] VALUES (value [, ...]);
INSERT INTO stream SELECT ... [EMIT CHANGES];",
        example: "INSERT INTO clicks (user, page, ms) VALUES ('ada', '/home', 120);",
    },
    Syntax {
        name: "PAUSE",
        form: "PAUSE query_id | ALL;
RESUME query_id | ALL;",
        example: "PAUSE ALL;",
    },
    Syntax {
        name: "PRINT",
        form: "PRINT topic [FROM BEGINNING] [INTERVAL n] [LIMIT n];",
        example: "PRINT 'clicks' FROM BEGINNING LIMIT 10;",
    },
    Syntax {
        name: "RESUME",
        form: "PAUSE query_id | ALL;
RESUME query_id | ALL;",
        example: "RESUME ALL;",
    },
    Syntax {
        name: "SELECT",
        form: "SELECT [DISTINCT] expression [AS alias] [, ...]
  FROM name [[AS] alias]
  [[LEFT | RIGHT | FULL] JOIN name [WITHIN n UNIT [GRACE PERIOD n UNIT]] ON left = right]
  [WINDOW TUMBLING (SIZE n UNIT [, GRACE PERIOD n UNIT])
    | HOPPING (SIZE n UNIT, ADVANCE BY n UNIT) | SESSION (n UNIT)]
  [WHERE condition] [GROUP BY expression [, ...]] [PARTITION BY expression [, ...]]
  [HAVING condition] [ORDER BY expression [ASC | DESC]]
  [EMIT CHANGES | EMIT FINAL] [LIMIT n];
Without EMIT the present rows are the answer; EMIT CHANGES goes on.",
        example: "SELECT page, COUNT(*) AS n FROM clicks GROUP BY page ORDER BY n DESC LIMIT 10;",
    },
    Syntax {
        name: "SET",
        form: "SET 'property' = 'value';
UNSET 'property';",
        example: "SET 'auto.offset.reset' = 'earliest';",
    },
    Syntax {
        name: "SHOW",
        form: "SHOW STREAMS | TABLES | TOPICS | QUERIES [EXTENDED];
SHOW ALL TOPICS [EXTENDED];
SHOW FUNCTIONS | TYPES | PROPERTIES | VARIABLES;",
        example: "SHOW QUERIES;",
    },
    Syntax { name: "TERMINATE", form: "TERMINATE query_id | ALL;", example: "TERMINATE ALL;" },
    Syntax { name: "UNDEFINE", form: "UNDEFINE name;", example: "UNDEFINE format;" },
    Syntax {
        name: "UNSET",
        form: "SET 'property' = 'value';
UNSET 'property';",
        example: "UNSET 'auto.offset.reset';",
    },
    Syntax { name: "RUN SCRIPT", form: "RUN SCRIPT 'file';", example: "RUN SCRIPT 'clicks.sql';" },
];

/// The names of all statements.
pub fn names() -> impl Iterator<Item = &'static str> {
    STATEMENTS.iter().map(|syntax| syntax.name)
}

/// The forms of the statements whose names begin with the words; without words, all names.
///
/// Errors: no statement is called so.
pub fn help(words: &str) -> Result<String, String> {
    let wanted = words.split_whitespace().collect::<Vec<_>>().join(" ").to_ascii_uppercase();
    if wanted.is_empty() {
        let names: Vec<String> = names().map(|name| format!("  {name}")).collect();
        return Ok(format!("\\h NAME shows the form of a statement:\n{}", names.join("\n")));
    }
    let is_wanted = |syntax: &&Syntax| {
        let rest = syntax.name.strip_prefix(wanted.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    };
    let found: Vec<String> = STATEMENTS
        .iter()
        .filter(is_wanted)
        .map(|syntax| format!("{}\n\nExample:\n{}", syntax.form, syntax.example))
        .collect();
    match found.is_empty() {
        true => {
            let hint = did_you_mean(&wanted, names()).unwrap_or_else(|| "\\h lists all.".to_owned());
            Err(format!("no statement is called \"{wanted}\". {hint}"))
        }
        false => Ok(found.join("\n\n")),
    }
}

#[cfg(test)]
mod tests {
    use weir_sql::parser::parse_statement;

    use super::*;

    #[test]
    fn examples_are_statements_and_forms_fit_a_line() {
        for syntax in &STATEMENTS {
            // The shell runs scripts, the server refuses them.
            if syntax.name != "RUN SCRIPT" {
                let parsed = parse_statement(syntax.example);
                assert!(parsed.is_ok(), "{}: {}", syntax.name, parsed.expect_err("refused"));
            }
            let first = syntax.name.split(' ').next().expect("a word");
            assert!(syntax.example.starts_with(first), "{}", syntax.name);
            assert!(syntax.form.lines().all(|line| line.chars().count() <= 90), "{}", syntax.form);
        }
    }

    #[test]
    fn statements_are_found_by_their_first_words() {
        let create = help("create stream").expect("known");
        assert!(create.contains("HEADER('key')") && create.contains("AS SELECT"), "{create}");
        assert!(help("SELECT").expect("known").contains("[HAVING condition]"));
        assert!(help("").expect("a list").contains("  TERMINATE"));
        let error = help("TERMINAT").expect_err("unknown");
        assert_eq!(error, "no statement is called \"TERMINAT\". Did you mean TERMINATE?");
    }
}
