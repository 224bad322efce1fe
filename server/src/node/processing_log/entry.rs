//! A report as JSON.
//!
//! Source: ksqlDB's processing log. `TYPE` tells which member of `message` is set: 0 deserialization, 1 record processing,
//! 2 production, 3 serialization.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use weir_engine::processing_log::ProcessingError;

use crate::node::processing_log::Report;

/// Members of `message`, by type.
const MEMBERS: [&str; 4] =
    ["deserializationError", "recordProcessingError", "productionError", "serializationError"];

/// The value of the record. `rows_include`: also what the row holds, which may be confidential.
pub fn entry(report: &Report, rows_include: bool) -> Value {
    let target = |is_key: bool| if is_key { "key" } else { "value" };
    let (kind, detail) = match &report.error {
        ProcessingError::Deserialization { topic, is_key, message, record } => {
            let record = record.as_ref().filter(|_| rows_include).map(|bytes| STANDARD.encode(bytes));
            let detail = json!({
                "target": target(*is_key),
                "errorMessage": format!("Error deserializing message from topic: {topic}"),
                "recordB64": record, "cause": [message], "topic": topic,
            });
            (0, detail)
        }
        ProcessingError::RecordProcessing { message } | ProcessingError::LateRows { message, .. } => {
            (1, json!({"errorMessage": message, "record": null, "cause": []}))
        }
        ProcessingError::Production { topic, message } => {
            (2, json!({"errorMessage": format!("Unable to produce a record to topic {topic}: {message}")}))
        }
        ProcessingError::Serialization { topic, is_key, message } => {
            let detail = json!({
                "target": target(*is_key),
                "errorMessage": format!("Error serializing message to topic: {topic}"),
                "record": null, "cause": [message], "topic": topic,
            });
            (3, detail)
        }
    };
    let mut message = json!({"type": kind, "kafkaStreamsThreadError": null});
    for (number, member) in MEMBERS.iter().enumerate() {
        message[*member] = if number == kind { detail.clone() } else { Value::Null };
    }
    json!({"level": "ERROR", "logger": report.logger, "time": report.at_ms, "message": message})
}

/// What went wrong, in one line.
pub fn error_message(error: &ProcessingError) -> &str {
    match error {
        ProcessingError::Deserialization { message, .. }
        | ProcessingError::RecordProcessing { message }
        | ProcessingError::LateRows { message, .. }
        | ProcessingError::Production { message, .. }
        | ProcessingError::Serialization { message, .. } => message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(error: ProcessingError) -> Report {
        Report { logger: "processing.Q.source".to_owned(), at_ms: 7, error }
    }

    #[test]
    fn exactly_the_member_of_the_type_is_set() {
        let errors = [
            ProcessingError::Deserialization {
                topic: "t".to_owned(),
                is_key: true,
                message: "no JSON".to_owned(),
                record: Some(b"abc".to_vec()),
            },
            ProcessingError::RecordProcessing { message: "division by zero".to_owned() },
            ProcessingError::Production { topic: "t".to_owned(), message: "too large".to_owned() },
            ProcessingError::Serialization { topic: "t".to_owned(), is_key: false, message: "x".to_owned() },
        ];
        for (kind, error) in errors.into_iter().enumerate() {
            let value = entry(&report(error), false);
            assert_eq!(value["message"]["type"], kind);
            let set: Vec<&&str> = MEMBERS.iter().filter(|m| !value["message"][**m].is_null()).collect();
            assert_eq!(set, [&MEMBERS[kind]]);
        }
    }

    #[test]
    fn rows_are_told_only_if_wanted() {
        let error = ProcessingError::Deserialization {
            topic: "t".to_owned(),
            is_key: false,
            message: "no JSON".to_owned(),
            record: Some(b"abc".to_vec()),
        };
        let report = report(error);
        assert!(entry(&report, false)["message"]["deserializationError"]["recordB64"].is_null());
        assert_eq!(entry(&report, true)["message"]["deserializationError"]["recordB64"], "YWJj");
    }
}
