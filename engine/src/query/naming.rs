//! Names that belong to a query. Source: ksqlDB's naming of application ids and internal topics.

/// `_confluent-ksql-<service id>query_<query id>`: consumer group and prefix of everything a persistent query owns.
pub fn application_id(service_id: &str, query_id: &str) -> String {
    format!("_confluent-ksql-{service_id}query_{query_id}")
}

/// The application id of a transient query, started at `now_ms`.
pub fn transient_application_id(service_id: &str, query_id: &str, now_ms: i64) -> String {
    format!("_confluent-ksql-{service_id}transient_{query_id}_{now_ms}")
}

pub fn repartition_topic(application_id: &str, name: &str) -> String {
    format!("{application_id}-{name}-repartition")
}

pub fn changelog_topic(application_id: &str, store: &str) -> String {
    format!("{application_id}-{store}-changelog")
}

/// The transactional id of a query's tasks on one worker.
pub fn transactional_id(application_id: &str, worker: usize) -> String {
    format!("{application_id}-{worker}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_ksqldb_gives() {
        let app = application_id("default_", "CTAS_T_3");
        assert_eq!(app, "_confluent-ksql-default_query_CTAS_T_3");
        assert_eq!(
            changelog_topic(&app, "Aggregate-Aggregate-Materialize"),
            "_confluent-ksql-default_query_CTAS_T_3-Aggregate-Aggregate-Materialize-changelog"
        );
        assert_eq!(
            repartition_topic(&app, "Aggregate-GroupBy"),
            "_confluent-ksql-default_query_CTAS_T_3-Aggregate-GroupBy-repartition"
        );
        assert_eq!(
            transient_application_id("s_", "transient_A_1", 7),
            "_confluent-ksql-s_transient_transient_A_1_7"
        );
    }
}
