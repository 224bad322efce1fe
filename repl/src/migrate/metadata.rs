//! Which migrations a server has seen: a stream of events and a table of the newest event per version, as
//! ksql-migrations keeps them, so that either tool can carry on where the other stopped.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::client::{ClientError, QueryItem, RequestContext, ServerClient};

pub const STREAM: &str = "MIGRATION_EVENTS";
pub const TABLE: &str = "MIGRATION_SCHEMA_VERSIONS";
/// Stands for "no version before this one".
pub const NONE: &str = "<none>";
/// Key of the row that tells the newest version.
const CURRENT: &str = "CURRENT";
/// An event must show in the table within this time.
const VISIBLE_WITHIN: Duration = Duration::from_secs(30);

const FIELDS: [&str; 8] =
    ["version", "name", "state", "checksum", "started_on", "completed_on", "previous", "error_reason"];

/// What is known of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionInfo {
    pub version: String,
    pub name: String,
    /// PENDING, RUNNING, MIGRATED or ERROR.
    pub state: String,
    pub checksum: String,
    /// ms since epoch, as text; empty if unknown.
    pub started_on: String,
    pub completed_on: String,
    pub previous: String,
    pub error_reason: String,
}

/// The metadata of one server.
#[derive(Debug)]
pub struct Metadata<'c> {
    client: &'c ServerClient,
}

impl<'c> Metadata<'c> {
    pub fn new(client: &'c ServerClient) -> Metadata<'c> {
        Metadata { client }
    }

    /// Makes stream and table where they are missing.
    pub async fn initialize(&self) -> Result<(), ClientError> {
        let columns: Vec<String> = FIELDS.iter().map(|f| format!("{f} STRING")).collect();
        let newest: Vec<String> =
            FIELDS.iter().map(|f| format!("LATEST_BY_OFFSET({f}, false) AS {f}")).collect();
        let sql = format!(
            "CREATE STREAM IF NOT EXISTS {STREAM} (version_key STRING KEY, {}) WITH (KAFKA_TOPIC='ksql_{STREAM}', \
             VALUE_FORMAT='JSON', PARTITIONS=1);\nCREATE TABLE IF NOT EXISTS {TABLE} WITH (KAFKA_TOPIC='ksql_{TABLE}') AS \
             SELECT version_key, {} FROM {STREAM} GROUP BY version_key EMIT CHANGES;",
            columns.join(", "),
            newest.join(", "),
        );
        let mut context = RequestContext::default();
        context.properties.insert("auto.offset.reset".to_owned(), "earliest".to_owned());
        self.client.execute(&sql, &context).await.map(|_| ())
    }

    /// The newest event of a version; None if there is none.
    pub async fn version(&self, version: &str) -> Result<Option<VersionInfo>, ClientError> {
        let sql = format!("SELECT {} FROM {TABLE} WHERE version_key = '{version}';", FIELDS.join(", "));
        let mut answer = self.client.query(&sql, &RequestContext::default()).await?;
        let mut found = None;
        while let Some(item) = answer.next().await? {
            if let QueryItem::Row { columns, .. } = item {
                found = Some(parse(&columns));
            }
        }
        Ok(found)
    }

    /// The version applied last, or being applied.
    pub async fn current(&self) -> Result<Option<VersionInfo>, ClientError> {
        self.version(CURRENT).await
    }

    /// Writes an event for the version and for CURRENT, and waits until the table shows both.
    pub async fn record(&self, info: &VersionInfo) -> Result<(), ClientError> {
        for key in [CURRENT, info.version.as_str()] {
            let values = [
                &info.version,
                &info.name,
                &info.state,
                &info.checksum,
                &info.started_on,
                &info.completed_on,
                &info.previous,
                &info.error_reason,
            ]
            .map(|v| format!("'{}'", v.replace('\'', "''")));
            let sql = format!(
                "INSERT INTO {STREAM} (version_key, {}) VALUES ('{key}', {});",
                FIELDS.join(", "),
                values.join(", "),
            );
            self.client.execute(&sql, &RequestContext::default()).await?;
        }
        let started = Instant::now();
        for key in [CURRENT, info.version.as_str()] {
            while self.version(key).await?.as_ref() != Some(info) {
                if started.elapsed() > VISIBLE_WITHIN {
                    let reason = format!("the table {TABLE} does not show version {}", info.version);
                    return Err(ClientError::Answer { reason });
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        Ok(())
    }
}

fn parse(columns: &[Value]) -> VersionInfo {
    let text = |i: usize| columns.get(i).and_then(Value::as_str).unwrap_or_default().to_owned();
    VersionInfo {
        version: text(0),
        name: text(1),
        state: text(2),
        checksum: text(3),
        started_on: text(4),
        completed_on: text(5),
        previous: text(6),
        error_reason: text(7),
    }
}
