//! JSON of the answers of `/ksql`.

use serde_json::{Value, json};
use weir_sql::schema::LogicalSchema;
use weir_sql::types::SqlType;
use weir_sql::window::{WindowInfo, WindowKind};

/// How a command ended.
#[derive(Clone, Debug)]
pub struct CommandStatus {
    pub command_id: String,
    pub message: String,
    pub query_id: Option<String>,
    /// -1: the statement needed no command.
    pub sequence: i64,
}

pub fn current_status(text: &str, status: &CommandStatus, warnings: &[String]) -> Value {
    let warnings: Vec<Value> = warnings.iter().map(|message| json!({"message": message})).collect();
    json!({
        "@type": "currentStatus",
        "statementText": text,
        "commandId": status.command_id,
        "commandStatus": {"status": "SUCCESS", "message": status.message, "queryId": status.query_id},
        "commandSequenceNumber": status.sequence,
        "warnings": warnings,
    })
}

/// A push query was ended by TERMINATE.
pub fn terminated(text: &str, query_id: &str) -> Value {
    entity("terminate_query", text, json!({"queryId": query_id, "wasTerminated": true}))
}

pub fn warning(text: &str, message: &str) -> Value {
    json!({"@type": "warning_entity", "statementText": text, "message": message, "warnings": []})
}

/// An entity of some type with its members and no warnings.
pub fn entity(kind: &str, text: &str, members: Value) -> Value {
    let mut value = json!({"@type": kind, "statementText": text});
    if let (Some(target), Value::Object(members)) = (value.as_object_mut(), members) {
        target.extend(members);
        target.insert("warnings".to_owned(), json!([]));
    }
    value
}

/// `{"type":"ARRAY","fields":null,"memberSchema":{…}}`
pub fn schema(sql_type: &SqlType) -> Value {
    let base = |name: &str| json!({"type": name, "fields": null, "memberSchema": null});
    match sql_type {
        SqlType::Array(element) => json!({"type": "ARRAY", "fields": null, "memberSchema": schema(element)}),
        SqlType::Map(_, value) => json!({"type": "MAP", "fields": null, "memberSchema": schema(value)}),
        SqlType::Struct(fields) => {
            let fields: Vec<Value> =
                fields.iter().map(|f| json!({"name": f.name, "schema": schema(&f.sql_type)})).collect();
            json!({"type": "STRUCT", "fields": fields, "memberSchema": null})
        }
        SqlType::Decimal { precision, scale } => json!({
            "type": "DECIMAL", "fields": null, "memberSchema": null,
            "parameters": {"precision": precision, "scale": scale},
        }),
        SqlType::Boolean
        | SqlType::Integer
        | SqlType::Bigint
        | SqlType::Double
        | SqlType::String
        | SqlType::Bytes
        | SqlType::Date
        | SqlType::Time
        | SqlType::Timestamp => base(sql_type.base_name()),
    }
}

/// The columns of a source, key first.
pub fn fields(logical: &LogicalSchema) -> Vec<Value> {
    let keys =
        logical.key.iter().map(|c| json!({"name": c.name, "schema": schema(&c.sql_type), "type": "KEY"}));
    let values = logical.value.iter().map(|c| json!({"name": c.name, "schema": schema(&c.sql_type)}));
    let headers = logical.headers.iter().map(|h| {
        json!({
            "name": h.column.name, "schema": schema(&h.column.sql_type), "type": "HEADER", "headerKey": h.key,
        })
    });
    keys.chain(values).chain(headers).collect()
}

pub fn window_type(window: Option<WindowInfo>) -> Option<&'static str> {
    window.map(|w| match w.kind {
        WindowKind::Tumbling => "TUMBLING",
        WindowKind::Hopping => "HOPPING",
        WindowKind::Session => "SESSION",
    })
}
