//! Answers of `/ksql` as text.

use serde_json::Value;

use crate::render::rows::json_object;
use crate::render::table::{Grid, TableStyle, cut, grid_table, table};

/// Failed queries that a list of queries names once more.
const FAILED_SHOWN_MAX: usize = 5;

/// An entity as people read it.
pub fn render(entity: &Value, style: TableStyle) -> String {
    let kind = entity["@type"].as_str().unwrap_or_default();
    let mut out = match (grid(entity), kind) {
        (Some(grid), "queries") => grid_table(&grid, style) + &causes_hint(&entity["queries"]),
        (Some(grid), _) => grid_table(&grid, style),
        (None, "currentStatus") => current_status(entity),
        (None, "sourceDescription") => source_description(&entity["sourceDescription"], style),
        (None, "source_descriptions") => {
            each(&entity["sourceDescriptions"], |d| source_description(d, style))
        }
        (None, "queryDescription") => query_description(&entity["queryDescription"], style),
        (None, "query_descriptions") => each(&entity["queryDescriptions"], |d| query_description(d, style)),
        (None, "describe_function") => describe_function(entity),
        (None, "warning_entity") => format!("Warning: {}", text(&entity["message"])),
        (None, "terminate_query") => format!("Terminated query {}", text(&entity["queryId"])),
        (None, "assert_topic") => assertion("Topic", &entity["topicName"], &entity["exists"]),
        (None, "assert_schema") => assertion("Schema", &entity["subject"], &entity["exists"]),
        (None, _) => serde_json::to_string_pretty(entity).unwrap_or_default(),
    };
    for warning in entity["warnings"].as_array().into_iter().flatten() {
        out.push_str(&format!("\nWarning: {}", text(&warning["message"])));
    }
    out
}

/// The entities that are lists, as header and rows; None for others.
pub fn grid(entity: &Value) -> Option<Grid> {
    let property_columns =
        [("Property", "name"), ("Scope", "scope"), ("Default override", "level"), ("Value", "value")];
    Some(match entity["@type"].as_str()? {
        "streams" => sources(&entity["streams"], "Stream Name"),
        "tables" => sources(&entity["tables"], "Table Name"),
        "queries" => queries(&entity["queries"]),
        "kafka_topics" | "kafka_topics_extended" => topics(&entity["topics"]),
        "function_names" => {
            listing(&entity["functions"], &[("Function Name", "name"), ("Category", "category")])
        }
        "properties" => listing(&entity["properties"], &property_columns),
        "variables" => listing(&entity["variables"], &[("Variable Name", "name"), ("Value", "value")]),
        "type_list" => types(&entity["types"]),
        _ => return None,
    })
}

/// An entity as rows for programs: lists, and descriptions of sources and functions; None for others.
pub fn rows(entity: &Value) -> Option<Grid> {
    Some(match entity["@type"].as_str()? {
        "sourceDescription" => described(&[&entity["sourceDescription"]], false),
        "source_descriptions" => {
            let sources = entity["sourceDescriptions"].as_array();
            described(&sources.into_iter().flatten().collect::<Vec<_>>(), true)
        }
        "describe_function" => variations(entity),
        _ => return grid(entity),
    })
}

/// As [`rows`], an object each: items of lists as the server names their members, other rows by their columns.
pub fn objects(entity: &Value) -> Option<Vec<String>> {
    let member = match entity["@type"].as_str()? {
        "streams" => "streams",
        "tables" => "tables",
        "queries" => "queries",
        "kafka_topics" | "kafka_topics_extended" => "topics",
        "function_names" => "functions",
        "properties" => "properties",
        "variables" => "variables",
        _ => {
            let grid = rows(entity)?;
            let names: Vec<String> =
                grid.header.iter().map(|name| name.to_lowercase().replace(' ', "_")).collect();
            return Some(grid.rows.iter().map(|row| json_object(&names, row)).collect());
        }
    };
    Some(entity[member].as_array().into_iter().flatten().map(Value::to_string).collect())
}

/// The columns of sources, with the name of each source where there may be several.
fn described(sources: &[&Value], named: bool) -> Grid {
    let mut grid = Grid::default();
    grid.header.extend(named.then(|| "Source".to_owned()));
    grid.header.extend(["Field", "Type"].map(str::to_owned));
    for source in sources {
        let is_table = source["type"] == "TABLE";
        for row in field_rows(&source["fields"], is_table, &source["windowType"]) {
            grid.rows.push(named.then(|| source["name"].clone()).into_iter().chain(row).collect());
        }
    }
    grid
}

fn variations(entity: &Value) -> Grid {
    let rows = entity["functions"].as_array().into_iter().flatten().map(|variation| {
        let arguments = Value::String(arguments(variation));
        vec![
            entity["name"].clone(),
            arguments,
            variation["returnType"].clone(),
            variation["description"].clone(),
        ]
    });
    let header = ["Function", "Arguments", "Return Type", "Description"].map(str::to_owned).to_vec();
    Grid { header, rows: rows.collect(), kept: &[] }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(s) => s.clone(),
        other => other.to_string(),
    }
}

fn each(list: &Value, render: impl Fn(&Value) -> String) -> String {
    let parts: Vec<String> = list.as_array().into_iter().flatten().map(render).collect();
    parts.join("\n\n")
}

/// A grid whose columns are members of the items.
fn listing(items: &Value, columns: &[(&str, &str)]) -> Grid {
    let header: Vec<String> = columns.iter().map(|(title, _)| (*title).to_owned()).collect();
    let rows: Vec<Vec<Value>> = items
        .as_array()
        .into_iter()
        .flatten()
        .map(|item| columns.iter().map(|(_, member)| item[*member].clone()).map(blank).collect())
        .collect();
    Grid { header, rows, kept: &[0] }
}

/// Lists show nothing where a member is missing.
fn blank(value: Value) -> Value {
    if value.is_null() { Value::String(String::new()) } else { value }
}

fn current_status(entity: &Value) -> String {
    let status = &entity["commandStatus"];
    match status["message"].as_str() {
        Some(message) if !message.is_empty() => message.to_owned(),
        _ => format!("{} {}", text(&entity["commandId"]), text(&status["status"])),
    }
}

fn sources(items: &Value, title: &str) -> Grid {
    listing(
        items,
        &[
            (title, "name"),
            ("Kafka Topic", "topic"),
            ("Key Format", "keyFormat"),
            ("Value Format", "valueFormat"),
            ("Windowed", "isWindowed"),
        ],
    )
}

fn queries(items: &Value) -> Grid {
    let header = ["Query ID", "Query Type", "Status", "Sink Name", "Sink Kafka Topic", "Query String"];
    let rows: Vec<Vec<Value>> = items
        .as_array()
        .into_iter()
        .flatten()
        .map(|q| {
            let status: Vec<String> = q["statusCount"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(state, count)| format!("{state}:{count}"))
                .collect();
            let status = if status.is_empty() { text(&q["state"]) } else { status.join(",") };
            let names = |list: &Value| {
                let names: Vec<String> = list.as_array().into_iter().flatten().map(text).collect();
                Value::String(names.join(","))
            };
            vec![
                q["id"].clone(),
                q["queryType"].clone(),
                Value::String(status),
                names(&q["sinks"]),
                names(&q["sinkKafkaTopics"]),
                q["queryString"].clone(),
            ]
        })
        .collect();
    Grid { header: header.map(str::to_owned).to_vec(), rows, kept: &[0, 2] }
}

/// How the causes of failures are shown, if queries have failed.
fn causes_hint(queries: &Value) -> String {
    let has_failed =
        |q: &&Value| q["state"] == "ERROR" || q["statusCount"].get("ERROR").is_some_and(|n| *n != 0);
    let failed: Vec<String> = queries
        .as_array()
        .into_iter()
        .flatten()
        .filter(has_failed)
        .map(|q| format!("\nEXPLAIN {}; shows why it failed.", text(&q["id"])))
        .take(FAILED_SHOWN_MAX)
        .collect();
    failed.concat()
}

fn topics(items: &Value) -> Grid {
    let extended: &[(&str, &str)] = match items[0]["consumerCount"].is_number() {
        true => &[("Consumers", "consumerCount"), ("Consumer Groups", "consumerGroupCount")],
        false => &[],
    };
    let rows: Vec<Vec<Value>> = items
        .as_array()
        .into_iter()
        .flatten()
        .map(|t| {
            let replicas = t["replicaInfo"].as_array().cloned().unwrap_or_default();
            let mut distinct: Vec<String> = replicas.iter().map(text).collect();
            distinct.dedup();
            let cells = [t["name"].clone(), Value::from(replicas.len()), Value::String(distinct.join(","))];
            cells.into_iter().chain(extended.iter().map(|(_, member)| t[*member].clone())).collect()
        })
        .collect();
    let titles = ["Kafka Topic", "Partitions", "Partition Replicas"].into_iter();
    let header = titles.chain(extended.iter().map(|(title, _)| *title)).map(str::to_owned).collect();
    Grid { header, rows, kept: &[0] }
}

fn types(types: &Value) -> Grid {
    let rows: Vec<Vec<Value>> = types
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, schema)| vec![Value::String(name.clone()), Value::String(schema_text(schema))])
        .collect();
    Grid { header: ["Type Name", "Schema"].map(str::to_owned).to_vec(), rows, kept: &[0] }
}

/// `{"type":"ARRAY","memberSchema":…}` as SQL spells it.
pub fn schema_text(schema: &Value) -> String {
    let member = || schema_text(&schema["memberSchema"]);
    match schema["type"].as_str() {
        Some("ARRAY") => format!("ARRAY<{}>", member()),
        Some("MAP") => format!("MAP<STRING, {}>", member()),
        Some("STRUCT") => {
            let fields: Vec<String> = schema["fields"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|f| format!("{} {}", text(&f["name"]), schema_text(&f["schema"])))
                .collect();
            format!("STRUCT<{}>", fields.join(", "))
        }
        Some("DECIMAL") => {
            let parameters = &schema["parameters"];
            format!("DECIMAL({}, {})", text(&parameters["precision"]), text(&parameters["scale"]))
        }
        Some(name) => name.to_owned(),
        None => text(schema),
    }
}

fn fields(fields: &Value, is_table: bool, window: &Value, style: TableStyle) -> String {
    table(&["Field", "Type"].map(str::to_owned), &field_rows(fields, is_table, window), style)
}

fn field_rows(fields: &Value, is_table: bool, window: &Value) -> Vec<Vec<Value>> {
    fields
        .as_array()
        .into_iter()
        .flatten()
        .map(|f| {
            let role = match f["type"].as_str() {
                Some("KEY") => {
                    let window = window.as_str().map(|w| format!(" (Window type: {w})")).unwrap_or_default();
                    format!(" ({}){window}", if is_table { "primary key" } else { "key" })
                }
                Some("HEADER") => match f["headerKey"].as_str() {
                    Some(key) => format!(" (header('{key}'))"),
                    None => " (headers)".to_owned(),
                },
                _ => String::new(),
            };
            let spelled = format!("{}{role}", schema_text(&f["schema"]));
            vec![f["name"].clone(), Value::String(spelled)]
        })
        .collect()
}

fn source_description(d: &Value, style: TableStyle) -> String {
    let is_table = d["type"] == "TABLE";
    let mut out = format!("Name                 : {}\n", text(&d["name"]));
    if d["extended"] == true {
        for (title, member) in [
            ("Type", "type"),
            ("Timestamp field", "timestamp"),
            ("Key format", "keyFormat"),
            ("Value format", "valueFormat"),
            ("Kafka topic", "topic"),
            ("Partitions", "partitions"),
            ("Replication", "replication"),
            ("Statement", "statement"),
        ] {
            out.push_str(&format!("{title:<21}: {}\n", text(&d[member])));
        }
    }
    out.push_str(&fields(&d["fields"], is_table, &d["windowType"], style));
    for (title, member) in
        [("Queries that read from it", "readQueries"), ("Queries that write to it", "writeQueries")]
    {
        let list: Vec<String> = d[member]
            .as_array()
            .into_iter()
            .flatten()
            .map(|q| {
                let query = text(&q["queryString"]).replace('\n', " ");
                let line = format!("  {} ({}): {query}", text(&q["id"]), text(&q["state"]));
                // A line a query, so that the columns stay on the screen. EXTENDED shows all of it.
                match style.line_chars_max.filter(|_| d["extended"] != true) {
                    Some(chars) => cut(&line, chars),
                    None => line,
                }
            })
            .collect();
        if !list.is_empty() {
            out.push_str(&format!("\n\n{title}:\n{}", list.join("\n")));
        }
    }
    if d["extended"] == true {
        out.push_str(&offsets(&d["queryOffsetSummaries"], style));
        for member in ["statistics", "errorStats"] {
            let statistics = text(&d[member]);
            if !statistics.is_empty() {
                out.push_str(&format!("\n\n{statistics}"));
            }
        }
    }
    out
}

fn offsets(summaries: &Value, style: TableStyle) -> String {
    let mut out = String::new();
    for group in summaries.as_array().into_iter().flatten() {
        out.push_str(&format!("\n\nConsumer group: {}", text(&group["groupId"])));
        for topic in group["topicSummaries"].as_array().into_iter().flatten() {
            let rows: Vec<Vec<Value>> = topic["offsets"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|o| {
                    let (end, at) = (o["logEndOffset"].as_i64(), o["consumerOffset"].as_i64());
                    let lag = end.zip(at).map_or(Value::Null, |(end, at)| Value::from(end - at));
                    vec![
                        o["partition"].clone(),
                        o["logStartOffset"].clone(),
                        o["logEndOffset"].clone(),
                        o["consumerOffset"].clone(),
                        lag,
                    ]
                })
                .collect();
            let header = ["Partition", "Start Offset", "End Offset", "Offset", "Lag"].map(str::to_owned);
            out.push_str(&format!(
                "\nTopic {}\n{}",
                text(&topic["kafkaTopic"]),
                table(&header, &rows, style)
            ));
        }
    }
    out
}

fn query_description(d: &Value, style: TableStyle) -> String {
    let mut out = String::new();
    for (title, member) in
        [("ID", "id"), ("Query Type", "queryType"), ("SQL", "statementText"), ("State", "state")]
    {
        let value = text(&d[member]);
        if !value.is_empty() {
            out.push_str(&format!("{title:<21}: {value}\n"));
        }
    }
    out.push_str(&fields(&d["fields"], false, &d["windowType"], style));
    for (title, member) in [("Execution plan", "executionPlan"), ("Topology", "topology")] {
        let value = text(&d[member]);
        if !value.is_empty() {
            out.push_str(&format!("\n\n{title}\n{}\n{value}", "-".repeat(title.len())));
        }
    }
    for condition in d["conditions"].as_array().into_iter().flatten() {
        out.push_str(&format!(
            "\n\nCondition ({}): {}",
            text(&condition["type"]),
            text(&condition["message"])
        ));
    }
    for error in d["queryErrors"].as_array().into_iter().flatten() {
        out.push_str(&format!("\n\nError ({}): {}", text(&error["type"]), text(&error["errorMessage"])));
    }
    out
}

fn describe_function(entity: &Value) -> String {
    let mut out = String::new();
    for (title, member) in [
        ("Name", "name"),
        ("Author", "author"),
        ("Version", "version"),
        ("Overview", "description"),
        ("Type", "type"),
    ] {
        let value = text(&entity[member]);
        if !value.is_empty() {
            out.push_str(&format!("{title:<12}: {value}\n"));
        }
    }
    out.push_str("Variations  :");
    for variation in entity["functions"].as_array().into_iter().flatten() {
        out.push_str(&format!(
            "\n  {}({}) -> {}",
            text(&entity["name"]),
            arguments(variation),
            text(&variation["returnType"])
        ));
        let description = text(&variation["description"]);
        if !description.is_empty() {
            out.push_str(&format!("\n      {description}"));
        }
    }
    out
}

fn arguments(variation: &Value) -> String {
    let argument = |a: &Value| {
        let dots = if a["isVariadic"] == true { "[]" } else { "" };
        format!("{} {}{dots}", text(&a["name"]), text(&a["type"])).trim().to_owned()
    };
    let arguments: Vec<String> =
        variation["arguments"].as_array().into_iter().flatten().map(argument).collect();
    arguments.join(", ")
}

fn assertion(noun: &str, name: &Value, exists: &Value) -> String {
    format!(
        "{noun} {} {}",
        text(name),
        if exists == &Value::Bool(true) { "exists" } else { "does not exist" }
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn status_shows_its_message_and_warnings() {
        let entity = json!({"@type": "currentStatus", "commandId": "stream/`S`/create",
            "commandStatus": {"status": "SUCCESS", "message": "Stream created"}, "warnings": [{"message": "careful"}]});
        assert_eq!(render(&entity, TableStyle::plain()), "Stream created\nWarning: careful");
    }

    #[test]
    fn nested_schemas_are_spelled_as_sql() {
        let schema = json!({"type": "ARRAY", "memberSchema": {"type": "STRUCT", "fields": [
            {"name": "A", "schema": {"type": "DECIMAL", "parameters": {"precision": 4, "scale": 2}}}]}});
        assert_eq!(schema_text(&schema), "ARRAY<STRUCT<A DECIMAL(4, 2)>>");
    }

    #[test]
    fn programs_get_rows_of_lists_and_descriptions() {
        let list = json!({"@type": "streams", "streams": [{"type": "STREAM", "name": "S", "topic": "s"}]});
        let objects = objects(&list).expect("rows");
        assert_eq!(objects, [r#"{"type":"STREAM","name":"S","topic":"s"}"#]);
        let field = json!({"name": "ID", "type": "KEY", "schema": {"type": "INTEGER"}});
        let described = json!({"@type": "sourceDescription",
            "sourceDescription": {"name": "S", "type": "STREAM", "fields": [field]}});
        let grid = rows(&described).expect("rows");
        assert_eq!(
            (grid.header, grid.rows),
            (vec!["Field".to_owned(), "Type".to_owned()], vec![vec![json!("ID"), json!("INTEGER (key)")]],)
        );
        let objects = super::objects(&described).expect("rows");
        assert_eq!(objects, [r#"{"field":"ID","type":"INTEGER (key)"}"#]);
    }

    #[test]
    fn queries_of_a_description_take_a_line_each() {
        let query =
            json!({"id": "CSAS_X_1", "state": "RUNNING", "queryString": "CREATE STREAM x AS\nSELECT *"});
        let described = |extended: bool| {
            json!({"@type": "sourceDescription", "sourceDescription": {"name": "S", "type": "STREAM",
                "fields": [], "extended": extended, "readQueries": [query]}})
        };
        let style = TableStyle { line_chars_max: Some(41), ..TableStyle::plain() };
        assert!(render(&described(false), style).ends_with("\n  CSAS_X_1 (RUNNING): CREATE STREAM x AS…"));
        assert!(render(&described(true), style).contains("CREATE STREAM x AS SELECT *"));
    }

    #[test]
    fn failed_queries_are_named_with_the_statement_that_explains_them() {
        let query = |id: &str, state: &str| json!({"id": id, "state": state, "statusCount": {state: 1}});
        let list = json!({"@type": "queries", "queries": [query("A_1", "ERROR"), query("B_2", "RUNNING")]});
        let text = render(&list, TableStyle::plain());
        assert!(text.ends_with("\nEXPLAIN A_1; shows why it failed."), "{text}");
    }

    #[test]
    fn a_list_without_items_is_a_header() {
        let text = render(&json!({"@type": "streams", "streams": []}), TableStyle::plain());
        assert!(text.contains("Stream Name"), "{text}");
    }
}
