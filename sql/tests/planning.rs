//! Statements by example: what they become, or what they are refused with.

use std::sync::Arc;

use indexmap::IndexMap;
use weir_sql::catalog::{MemoryTopics, NoRegistry, NoSchemas, SchemaCatalog};
use weir_sql::context::Context;
use weir_sql::error::{ErrorKind, SqlError};
use weir_sql::expr::compile::{CompileContext, IgnoreErrors};
use weir_sql::format::Format;
use weir_sql::functions::registry::FunctionRegistry;
use weir_sql::metastore::Metastore;
use weir_sql::parser::parse_statements;
use weir_sql::plan::command::DdlCommand;
use weir_sql::plan::dry_run::dry_run;
use weir_sql::plan::statement::{PreparedStatement, unknown_query};
use weir_sql::planner::statement::prepare;
use weir_sql::session::Session;
use weir_sql::types::SqlType;
use weir_sql::value::SqlValue;

/// Streams and tables that the examples read.
const SOURCES: &str = "
    CREATE STREAM orders (id BIGINT KEY, customer STRING, currency STRING, price DOUBLE, tags ARRAY<STRING>)
        WITH (KAFKA_TOPIC='orders', VALUE_FORMAT='JSON', PARTITIONS=4);
    CREATE STREAM lines (line STRING) WITH (KAFKA_TOPIC='lines', VALUE_FORMAT='KAFKA', PARTITIONS=1);
    CREATE TABLE customers (id STRING PRIMARY KEY, name STRING)
        WITH (KAFKA_TOPIC='customers', VALUE_FORMAT='JSON', PARTITIONS=4);
";

/// Prepares all statements of a script in order; gives what became of the last.
fn prepare_last(script: &str, schemas: &dyn SchemaCatalog) -> Result<PreparedStatement, SqlError> {
    let mut metastore = Metastore::new();
    let mut topics = MemoryTopics::default();
    let session = Session::default();
    let mut last = None;
    for (number, parsed) in parse_statements(script)?.iter().enumerate() {
        let context = Context {
            metastore: &metastore,
            session: &session,
            topics: &topics,
            schemas,
            functions: FunctionRegistry::standard(),
        };
        let prepared = prepare(&context, &parsed.statement, &parsed.text, number as u64)?;
        let actions = prepared.actions(&parsed.text, &IndexMap::new());
        dry_run(&mut (&mut metastore, &mut topics), &actions).expect("prepared commands apply");
        last = Some(prepared);
    }
    Ok(last.expect("a script has statements"))
}

/// The refusal of a statement over [`SOURCES`]; an empty registry is configured.
#[track_caller]
fn refusal(statement: &str) -> SqlError {
    match prepare_last(&format!("{SOURCES}{statement}"), &NoSchemas) {
        Err(error) => error,
        Ok(prepared) => panic!("{statement} is not refused: {prepared:?}"),
    }
}

/// The source that the last statement creates.
#[track_caller]
fn created(statement: &str) -> weir_sql::plan::command::CreateSourceCommand {
    let prepared = prepare_last(&format!("{SOURCES}{statement}"), &NoRegistry);
    let Ok(PreparedStatement::Command(command)) = prepared else { panic!("{statement}: {prepared:?}") };
    let Some(DdlCommand::CreateSource(create)) = command.ddl else { panic!("{statement} creates no source") };
    create
}

#[test]
fn formats_that_need_a_registry_are_refused_without_one() {
    for format in ["AVRO", "PROTOBUF", "JSON_SR", "PROTOBUF_NOSR"] {
        for statement in [
            format!("CREATE STREAM s (a INT) WITH (KAFKA_TOPIC='s', PARTITIONS=1, VALUE_FORMAT='{format}');"),
            format!("CREATE STREAM s WITH (VALUE_FORMAT='{format}') AS SELECT id, price FROM orders;"),
            format!(
                "CREATE STREAM s (k STRUCT<a INT> KEY, a INT) WITH (KAFKA_TOPIC='s', PARTITIONS=1, FORMAT='{format}');"
            ),
        ] {
            let script = format!("{SOURCES}{statement}");
            assert!(prepare_last(&script, &NoSchemas).is_ok(), "{statement} with a registry");
            let error = prepare_last(&script, &NoRegistry).expect_err(&statement);
            let kind =
                if format == "PROTOBUF_NOSR" { ErrorKind::Analysis } else { ErrorKind::NoSchemaRegistry };
            assert_eq!(error.kind, kind, "{statement}");
            assert_eq!(
                error.hint.as_deref(),
                Some("Formats that can be used are NONE, KAFKA, JSON, DELIMITED.")
            );
            assert!(error.render(&script).contains("^^^"), "{}", error.render(&script));
        }
    }
    let inferred = "CREATE STREAM s WITH (KAFKA_TOPIC='orders', VALUE_FORMAT='AVRO');";
    let error = prepare_last(&format!("{SOURCES}{inferred}"), &NoRegistry).expect_err("no registry");
    assert_eq!(error.message, "VALUE_FORMAT AVRO needs a Schema Registry, and none is configured");
    let unknown =
        refusal("CREATE STREAM s (a INT) WITH (KAFKA_TOPIC='s', PARTITIONS=1, VALUE_FORMAT='JSN');");
    assert_eq!(unknown.hint.as_deref(), Some("Did you mean JSON? Formats are NONE, KAFKA, JSON, DELIMITED."));
}

#[test]
fn missing_topics_and_targets_have_a_kind_of_their_own() {
    let topic = refusal("CREATE STREAM s (a INT) WITH (KAFKA_TOPIC='absent', VALUE_FORMAT='JSON');");
    assert_eq!(topic.kind, ErrorKind::Missing);
    assert_eq!(refusal("INSERT INTO ordres (id) VALUES (1);").kind, ErrorKind::Missing);
    assert_eq!(refusal("SELECT * FROM ordres EMIT CHANGES;").kind, ErrorKind::Analysis);
}

#[test]
fn terminate_of_an_unknown_id_is_left_to_the_server() {
    let prepared = prepare_last("TERMINATE transient_orders_5;", &NoSchemas);
    let Ok(PreparedStatement::TerminateTransient { id, place }) = prepared else { panic!("{prepared:?}") };
    assert_eq!(id, "TRANSIENT_ORDERS_5");
    let error = unknown_query(&id, place, ["transient_ORDERS_6"].into_iter());
    assert_eq!(error.message, "Unknown queryId: TRANSIENT_ORDERS_5");
    assert_eq!(error.hint.as_deref(), Some("Did you mean transient_ORDERS_6?"));
    assert_eq!(refusal("PAUSE nothing;").message, "Unknown queryId: NOTHING");
}

#[test]
fn skipped_statements_word_what_exists_as_ksqldb_does() {
    let skipped = |statement: &str| match prepare_last(&format!("{SOURCES}{statement}"), &NoSchemas) {
        Ok(PreparedStatement::Skipped { message }) => message,
        other => panic!("{statement}: {other:?}"),
    };
    let create =
        "CREATE STREAM IF NOT EXISTS orders (id INT KEY) WITH (KAFKA_TOPIC='orders', VALUE_FORMAT='JSON');";
    let exists = "A stream with the same name already exists.";
    assert_eq!(skipped(create), format!("Cannot add stream `ORDERS`: {exists}"));
    assert_eq!(skipped("DROP TABLE IF EXISTS absent;"), "Source `ABSENT` does not exist.");
    assert_eq!(skipped("DROP TYPE IF EXISTS absent;"), "Type 'ABSENT' does not exist.");
    assert_eq!(
        skipped("CREATE TYPE t AS INT; CREATE TYPE IF NOT EXISTS t AS STRING;"),
        "T is already registered with type INTEGER"
    );
}

#[test]
fn sinks_without_a_key_keep_the_key_format_of_their_source() {
    let source = "CREATE STREAM plain (a INT) WITH (KAFKA_TOPIC='p', PARTITIONS=1, KEY_FORMAT='JSON', VALUE_FORMAT='JSON');";
    let create = created(&format!("{source} CREATE STREAM s AS SELECT a + 1 AS b FROM plain;"));
    assert_eq!(create.key_format.format, Format::Json);
    assert!(create.schema.key.is_empty());
    let none = created(&format!("{source} CREATE STREAM s AS SELECT a FROM plain PARTITION BY NULL;"));
    assert_eq!(none.key_format.format, Format::None);
    let explicit =
        created(&format!("{source} CREATE STREAM s WITH (KEY_FORMAT='NONE') AS SELECT a FROM plain;"));
    assert_eq!(explicit.key_format.format, Format::None);
}

#[test]
fn star_lists_former_keys_last_after_partition_by_null() {
    let create = created("CREATE STREAM s AS SELECT * FROM orders PARTITION BY NULL;");
    let names: Vec<&str> = create.schema.value.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["CUSTOMER", "CURRENCY", "PRICE", "TAGS", "ID"]);
    assert_eq!(create.schema.value[4].sql_type, SqlType::Bigint);
}

/// Statements of other dialects: a part of the message, and a part of the hint.
const UNSUPPORTED: [(&str, &str, &str); 50] = [
    ("DELETE FROM customers WHERE id = 'a';", "DELETE is not supported", "null value"),
    ("UPDATE customers SET name = 'b';", "UPDATE is not supported", "INSERT INTO a table replaces"),
    ("TRUNCATE TABLE customers;", "TRUNCATE is not supported", "DELETE TOPIC"),
    ("MERGE INTO customers USING orders;", "MERGE is not supported", "INSERT INTO a table replaces"),
    ("GRANT SELECT ON orders TO ada;", "GRANT is not supported", "weir acl create"),
    ("BEGIN;", "A transaction of statements is not supported", "exactly once"),
    ("DESC orders;", "DESC is not supported", "DESCRIBE"),
    ("WITH x AS (SELECT id FROM orders) SELECT * FROM x;", "common table expression", "CREATE STREAM"),
    ("SELECT id FROM orders UNION ALL SELECT id FROM lines;", "UNION is not supported", "INSERT INTO"),
    ("SELECT id FROM orders UNION SELECT id FROM lines;", "UNION is not supported", "INSERT INTO"),
    ("SELECT id FROM orders WHERE id = 1 INTERSECT SELECT id FROM lines;", "INTERSECT or EXCEPT are", "JOIN"),
    ("SELECT id, ROW_NUMBER() OVER (PARTITION BY id) FROM orders;", "(OVER) is not supported", "GROUP BY"),
    ("SELECT COUNT(*) FILTER (WHERE id > 1) FROM orders EMIT CHANGES;", "FILTER after an", "SUM(CASE WHEN"),
    ("SELECT * FROM (SELECT id FROM orders);", "A sub-query is not supported", "Give the inner query a name"),
    ("SELECT * FROM orders WHERE id IN (SELECT id FROM customers);", "A sub-query is not", "JOIN"),
    ("SELECT * FROM orders WHERE EXISTS (SELECT id FROM customers);", "A sub-query is not", "JOIN"),
    ("SELECT * FROM orders WHERE id = (SELECT MAX(id) FROM orders);", "A sub-query is not", "inner query"),
    ("SELECT * FROM orders CROSS JOIN customers;", "CROSS JOIN is not supported", "ON"),
    ("SELECT * FROM orders o NATURAL JOIN customers c;", "NATURAL JOIN is not supported", "ON a.id = b.id"),
    ("SELECT * FROM orders o JOIN customers USING (id);", "JOIN … USING is not supported", "ON a.id = b.id"),
    ("SELECT * FROM customers AS OF TIMESTAMP '2024-01-01';", "AS OF is not supported", "ROWTIME"),
    ("SELECT * FROM orders WHERE customer RLIKE 'a.*';", "is not supported", "REGEXP_EXTRACT"),
    ("SELECT * FROM orders WHERE customer ILIKE 'a%';", "ILIKE is not supported", "LCASE(text) LIKE"),
    ("SELECT * FROM orders FETCH FIRST 3 ROWS ONLY;", "FETCH FIRST is not supported", "LIMIT n"),
    ("SELECT 1 + 1;", "Expecting", "SELECT needs FROM"),
    ("SELECT price - INTERVAL '10' MINUTE FROM orders;", "Unknown type: INTERVAL", "TIMESTAMPSUB(MINUTES"),
    ("CREATE VIEW v AS SELECT id FROM orders;", "A view is not supported", "CREATE TABLE … AS SELECT"),
    ("CREATE OR REPLACE MATERIALIZED VIEW v AS SELECT id FROM orders;", "A view is not", "AS SELECT"),
    ("CREATE INDEX i ON customers (name);", "An index is not supported", "GROUP BY"),
    ("CREATE TOPIC t;", "topic as an object of SQL is not supported", "KAFKA_TOPIC"),
    ("DROP VIEW v;", "A view is not supported", "AS SELECT"),
    ("DROP STREAM orders CASCADE;", "CASCADE is not supported", "Drop the streams and tables"),
    ("ALTER STREAM orders DROP COLUMN price;", "ALTER can only ADD columns", "AS SELECT"),
    ("INSERT INTO orders (id) VALUES (1), (2);", "near ','", "one statement per row"),
    ("INSERT INTO customers (id) VALUES ('1') ON CONFLICT DO NOTHING;", "near 'ON'", ""),
    (
        "CREATE TABLE t (id INT, PRIMARY KEY (id)) WITH (KAFKA_TOPIC='t');",
        "after the columns",
        "id INT PRIMARY KEY",
    ),
    ("CREATE TABLE t (id INT NOT NULL) WITH (KAFKA_TOPIC='t');", "NOT NULL is not supported", "IS NOT NULL"),
    ("CREATE TABLE t (id INT DEFAULT 1) WITH (KAFKA_TOPIC='t');", "constraint of a column", "PRIMARY KEY"),
    ("SELECT id FORM orders;", "Syntax error at or near 'orders'", "Did you mean FROM for FORM?"),
    ("SELECT id FROM orders WHRE id = 1;", "Syntax error at or near 'id'", "Did you mean WHERE for WHRE?"),
    (
        "CREATE STREAM s AS WITH x AS (SELECT id FROM orders) SELECT * FROM x;",
        "common table",
        "CREATE STREAM",
    ),
    ("EXPLAIN ANALYZE SELECT * FROM orders EMIT CHANGES;", "EXPLAIN ANALYZE is not", "SHOW QUERIES EXTENDED"),
    ("SELECT COUNT(DISTINCT id) FROM orders EMIT CHANGES;", "DISTINCT in a call", "COUNT_DISTINCT(value)"),
    ("SELECT * FROM orders, customers;", "A list of sources is not supported", "JOIN … ON"),
    ("SELECT id::STRING FROM orders;", "The operator :: is not supported", "CAST(value AS type)"),
    ("SHOW CREATE TABLE customers;", "SHOW CREATE is not supported", "DESCRIBE"),
    ("SHOW TABLES LIKE 'cust%';", "A filter of SHOW is not supported", "SHOW lists all"),
    ("SHOW DATABASES;", "SHOW DATABASES is not supported", "SHOW STREAMS"),
    ("SHOW STREMAS;", "Expecting", "Did you mean STREAMS for STREMAS?"),
    ("LIST TABELS;", "Expecting", "Did you mean TABLES for TABELS?"),
];

#[test]
fn other_dialects_are_refused_with_an_alternative() {
    for (statement, message, hint) in UNSUPPORTED {
        let error = refusal(statement);
        assert!(error.message.contains(message), "{statement}: {}", error.message);
        let given = error.hint.clone().unwrap_or_default();
        assert!(given.contains(hint), "{statement}: {given}");
        assert!(error.render(&format!("{SOURCES}{statement}")).contains('^'), "{statement} has a caret");
    }
    // The words stay names where they can be.
    for statement in [
        "SELECT over.id FROM orders over EMIT CHANGES;",
        "SELECT id AS filter FROM orders AS union EMIT CHANGES;",
        "SELECT id cross FROM orders natural WHERE id = 1 EMIT CHANGES;",
        "SELECT id FROM orders AS of WHERE id = 1 EMIT CHANGES;",
        "CREATE STREAM view (id INT KEY, filter STRING, replace INT) WITH (KAFKA_TOPIC='orders', VALUE_FORMAT='JSON');",
    ] {
        let prepared = prepare_last(&format!("{SOURCES}{statement}"), &NoSchemas);
        let reserved = statement.contains("STREAM view");
        assert_eq!(prepared.is_err(), reserved, "{statement}: {:?}", prepared.err());
    }
}

#[test]
fn misspelt_names_get_a_suggestion() {
    for (statement, hint) in [
        ("SELECT pirce FROM orders EMIT CHANGES;", "Did you mean PRICE?"),
        ("SELECT id FROM ordres EMIT CHANGES;", "Did you mean ORDERS?"),
        (
            "CREATE STREAM s (a INTT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);",
            "Did you mean INT?",
        ),
        (
            "CREATE STREAM s (a TEXT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);",
            "Use STRING.",
        ),
        (
            "CREATE TYPE address AS INT; CREATE STREAM s (a ADRESS) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON');",
            "Did you mean ADDRESS?",
        ),
        ("CREATE STREAM s (a INT) WITH (KAFKA_TOPIC='s', PARTITION=1);", "Did you mean PARTITIONS?"),
        ("CREATE STREAM s (a INT) WITH (TOPIC='s', PARTITIONS=1);", "Did you mean KAFKA_TOPIC?"),
        ("SELECT TRANSFORM(tags, x => UCASE(y)) FROM orders EMIT CHANGES;", ""),
        ("SELECT LENGHT(customer) FROM orders EMIT CHANGES;", "Use LEN(text)"),
        ("SELECT id FROM orders WHERE currency = \"EUR euro\" EMIT CHANGES;", "single quotes: 'EUR euro'"),
        ("SELECT NOW() FROM orders EMIT CHANGES;", "UNIX_TIMESTAMP()"),
        ("SELECT DATE_TRUNC('hour', id) FROM orders EMIT CHANGES;", "WINDOW TUMBLING"),
        ("SELECT PERCENTILE(price, 0.95) FROM orders GROUP BY id EMIT CHANGES;", "TOPK"),
        (
            "SELECT currency, price FROM orders GROUP BY currency EMIT CHANGES;",
            "PRICE is neither grouped nor",
        ),
        ("CREATE STREAM s AS SELECT line, 1 AS n FROM lines;", "WITH (VALUE_FORMAT='JSON')"),
        (
            "CREATE STREAM s (k STRING KEY, a INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1, WINDOW_TYPE='TUMBLIN', WINDOW_SIZE='1 HOUR');",
            "Did you mean TUMBLING?",
        ),
    ] {
        let error = refusal(statement);
        let given = error.hint.clone().unwrap_or_default();
        assert!(
            given.contains(hint) && (given.is_empty() || !hint.is_empty()),
            "{statement}: {} / {given}",
            error.message
        );
    }
}

#[test]
fn refusals_show_their_place() {
    for (statement, message, carets) in [
        (
            "CREATE STREAM s AS SELECT customer FROM orders;",
            "Key missing from projection",
            "CREATE STREAM s AS SELECT customer FROM orders;\n          {}^^^^^^^^",
        ),
        (
            "CREATE TABLE w AS SELECT id, COUNT(*) AS n FROM orders WINDOW TUMBLING (SIZE 1 HOUR) GROUP BY id;
             CREATE TABLE x AS SELECT * FROM w;",
            "Weir does not support persistent queries on windowed tables.",
            "FROM w;",
        ),
        (
            "CREATE STREAM s AS SELECT id, price FROM orders; CREATE OR REPLACE STREAM s AS SELECT id, customer FROM orders;",
            "changed, missing or reordered",
            "^",
        ),
        (
            "SELECT REGEXP_EXTRACT('(', customer) FROM orders EMIT CHANGES;",
            "is not a regular expression",
            "^^^",
        ),
        ("EXPLAIN SELECT nope FROM orders EMIT CHANGES;", "'NOPE' cannot be resolved", "^^^^"),
    ] {
        let error = refusal(statement);
        assert!(error.message.contains(message), "{statement}: {}", error.message);
        let shown = error.render(&format!("{SOURCES}{statement}"));
        let carets = carets.split("{}").last().unwrap_or_default();
        assert!(shown.contains(carets) && shown.contains('^'), "{shown}");
    }
}

#[test]
fn null_keys_of_inserted_maps_become_the_text_null() {
    let statement = "CREATE STREAM m (id INT KEY, v MAP<STRING, INT>) WITH (KAFKA_TOPIC='m', VALUE_FORMAT='JSON', PARTITIONS=1);
        INSERT INTO m VALUES (1, MAP(CAST(NULL AS STRING) := 1, 'a' := 2));";
    let Ok(PreparedStatement::InsertValues(row)) = prepare_last(statement, &NoSchemas) else {
        panic!("a row")
    };
    let context =
        CompileContext { reporter: Arc::new(IgnoreErrors), now_ms: Arc::new(|| 0), random: Arc::new(|| 0) };
    let values = row.evaluate(&context).expect("the row has values").value;
    let text = |s: &str| SqlValue::String(s.to_owned());
    let entries = vec![(text("null"), SqlValue::Integer(1)), (text("a"), SqlValue::Integer(2))];
    assert_eq!(values, [SqlValue::Map(entries)]);
}

#[test]
fn functions_are_listed_under_the_categories_of_ksqldb() {
    let functions = FunctionRegistry::standard().list();
    for (name, category) in [
        ("FROM_BYTES", "STRING"),
        ("TO_BYTES", "STRING"),
        ("UUID", "STRING"),
        ("GREATEST", "MATHEMATICAL"),
        ("LEAST", "MATHEMATICAL"),
        ("GEO_DISTANCE", "OTHER"),
        ("INT_FROM_BYTES", "CONVERSIONS"),
        ("COALESCE", "CONDITIONAL"),
    ] {
        let found = functions.iter().find(|f| f.name == name).expect("a function");
        assert_eq!(found.category, category, "{name}");
    }
}
