//! Statements by example: what they become, or what they are refused with.

use weir_sql::error::{ErrorKind, SqlError};
use weir_sql::format::Format;
use weir_sql::functions::registry::FunctionRegistry;
use weir_sql::metastore::Metastore;
use weir_sql::metastore::source::QueryEntry;
use weir_sql::parser::parse_statements;
use weir_sql::plan::command::DdlCommand;
use weir_sql::plan::statement::{PreparedStatement, unknown_query};
use weir_sql::planner::statement::prepare;
use weir_sql::session::{Context, MemoryTopics, NoRegistry, NoSchemas, SchemaCatalog, Session, TopicInfo};
use weir_sql::types::SqlType;

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
        if let PreparedStatement::Command(command) = &prepared {
            if let Some(topic) = &command.topic {
                let info =
                    TopicInfo { partitions: topic.partitions, replicas: topic.replicas, retention_ms: None };
                topics.insert(topic.name.clone(), info);
            }
            if let Some(ddl) = &command.ddl {
                let _ = metastore.apply(ddl).expect("prepared commands apply");
            }
            if let Some(query) = &command.query {
                metastore.add_query(QueryEntry {
                    kind: query.kind,
                    plan: query.plan.clone(),
                    sql: parsed.text.clone(),
                });
            }
        }
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
fn missing_topics_and_targets_are_told_from_wrong_statements() {
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
