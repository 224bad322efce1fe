//! A report as JSON.
//!
//! Source: ksqlDB's processing log. `TYPE` tells which member of `message` is set: 0 deserialization, 1 record processing,
//! 2 production, 3 serialization.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use weir_engine::processing_log::ProcessingError;
use weir_engine::processing_log::origin::RecordOrigin;

use crate::processing_log::Report;

/// Members of `message`, by type.
const MEMBERS: [&str; 4] =
    ["deserializationError", "recordProcessingError", "productionError", "serializationError"];

/// The value of the record. `rows_include`: also what the row holds, which may be confidential.
pub fn entry(report: &Report, rows_include: bool) -> Value {
    let target = |is_key: bool| if is_key { "key" } else { "value" };
    let (kind, detail) = match &report.error {
        ProcessingError::Deserialization { origin, is_key, message, record } => {
            let record = record.as_ref().filter(|_| rows_include).map(|bytes| STANDARD.encode(bytes));
            let RecordOrigin { topic, partition, first_offset, .. } = origin;
            let text = format!(
                "Error deserializing message from topic: {topic}, partition: {partition}, offset: {first_offset}"
            );
            let detail = json!({
                "target": target(*is_key), "errorMessage": text,
                "recordB64": record, "cause": [message], "topic": **topic,
            });
            (0, detail)
        }
        ProcessingError::RecordProcessing { message, origin }
        | ProcessingError::LateRows { message, origin, .. } => {
            let place = origin.as_ref().map(|origin| format!(" ({origin})")).unwrap_or_default();
            (1, json!({"errorMessage": format!("{message}{place}"), "record": null, "cause": []}))
        }
        ProcessingError::Production { topic, partition, timestamp, key, message } => {
            let key = key.as_ref().filter(|_| rows_include);
            let key =
                key.map(|bytes| format!(", key {}", String::from_utf8_lossy(bytes))).unwrap_or_default();
            let record = format!("partition {partition}, timestamp {timestamp}{key}");
            let text = format!("Unable to produce a record to topic {topic} ({record}): {message}");
            (2, json!({"errorMessage": text}))
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
        | ProcessingError::RecordProcessing { message, .. }
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

    fn origin(first_offset: i64, last_offset: i64) -> RecordOrigin {
        RecordOrigin { topic: "t".into(), partition: 2, first_offset, last_offset }
    }

    fn unreadable() -> ProcessingError {
        ProcessingError::Deserialization {
            origin: origin(5, 5),
            is_key: true,
            message: "no JSON".to_owned(),
            record: Some(b"abc".to_vec()),
        }
    }

    #[test]
    fn entries_name_topic_partition_and_offset() {
        let text =
            |error, member: &str| entry(&report(error), false)["message"][member]["errorMessage"].clone();
        assert_eq!(
            text(unreadable(), "deserializationError"),
            "Error deserializing message from topic: t, partition: 2, offset: 5"
        );
        let failed = |first, last| ProcessingError::RecordProcessing {
            message: "division by zero".to_owned(),
            origin: Some(origin(first, last)),
        };
        let texts = [failed(5, 5), failed(5, 9)].map(|error| text(error, "recordProcessingError"));
        assert_eq!(
            texts,
            [
                "division by zero (topic \"t\", partition 2, offset 5)",
                "division by zero (topic \"t\", partition 2, offsets 5 to 9)"
            ]
        );
    }

    fn production() -> ProcessingError {
        ProcessingError::Production {
            topic: "t".to_owned(),
            partition: 3,
            timestamp: 7,
            key: Some(b"secret".to_vec()),
            message: "too large".to_owned(),
        }
    }

    #[test]
    fn a_record_that_was_not_produced_is_named_and_its_key_only_if_wanted() {
        let text = |rows_include| {
            let value = entry(&report(production()), rows_include);
            value["message"]["productionError"]["errorMessage"].as_str().unwrap_or_default().to_owned()
        };
        assert_eq!(
            text(false),
            "Unable to produce a record to topic t (partition 3, timestamp 7): too large"
        );
        assert!(text(true).contains("key secret"), "{}", text(true));
    }

    #[test]
    fn exactly_the_member_of_the_type_is_set() {
        let errors = [
            unreadable(),
            ProcessingError::RecordProcessing { message: "division by zero".to_owned(), origin: None },
            production(),
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
        let report = report(unreadable());
        assert!(entry(&report, false)["message"]["deserializationError"]["recordB64"].is_null());
        assert_eq!(entry(&report, true)["message"]["deserializationError"]["recordB64"], "YWJj");
    }
}
