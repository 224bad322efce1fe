//! The stream over the processing log's topic.

use crate::config::ProcessingLogConfig;

/// The statement that declares it.
pub fn statement(config: &ProcessingLogConfig) -> String {
    format!(
        "CREATE STREAM IF NOT EXISTS `{stream}` (\
         LOGGER STRING, LEVEL STRING, TIME BIGINT, MESSAGE STRUCT<\
         TYPE INTEGER, \
         DESERIALIZATIONERROR STRUCT<TARGET STRING, ERRORMESSAGE STRING, RECORDB64 STRING, CAUSE ARRAY<STRING>, `TOPIC` STRING>, \
         RECORDPROCESSINGERROR STRUCT<ERRORMESSAGE STRING, RECORD STRING, CAUSE ARRAY<STRING>>, \
         PRODUCTIONERROR STRUCT<ERRORMESSAGE STRING>, \
         SERIALIZATIONERROR STRUCT<TARGET STRING, ERRORMESSAGE STRING, RECORD STRING, CAUSE ARRAY<STRING>, `TOPIC` STRING>, \
         KAFKASTREAMSTHREADERROR STRUCT<ERRORMESSAGE STRING, THREADNAME STRING, CAUSE ARRAY<STRING>>>) \
         WITH (KAFKA_TOPIC='{topic}', VALUE_FORMAT='JSON');",
        stream = config.stream_name.replace('`', "``"),
        topic = config.topic_name.replace('\'', "''"),
    )
}

#[cfg(test)]
mod tests {
    use weir_sql::parser::parse_statements;

    use super::*;

    #[test]
    fn the_statement_parses() {
        let config =
            ProcessingLogConfig { topic_name: "it's".to_owned(), ..ProcessingLogConfig::new("default_") };
        let parsed = parse_statements(&statement(&config)).map(|s| s.len());
        assert_eq!(parsed, Ok(1));
    }
}
