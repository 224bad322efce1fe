//! Which migrations a server has seen: a stream of events and a table of the newest event per version, as
//! ksql-migrations keeps them, so that either tool can carry on where the other stopped.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::client::{ClientError, QueryItem, RequestContext, ServerClient};
use crate::migrate::files::ProjectConfig;

/// Stands for "no version before this one".
pub const NONE: &str = "<none>";
/// Key of the row of the newest version.
const CURRENT: &str = "CURRENT";
/// An event must show in the table within this time.
const VISIBLE_WITHIN: Duration = Duration::from_secs(30);

const FIELDS: [&str; 8] =
    ["version", "name", "state", "checksum", "started_on", "completed_on", "previous", "error_reason"];

/// The record of one version.
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
    /// Why it is in ERROR; while it is RUNNING, a mark of the run.
    pub error_reason: String,
}

/// The metadata of one server.
#[derive(Debug)]
pub struct Metadata<'c> {
    client: &'c ServerClient,
    config: &'c ProjectConfig,
}

/// Outcome of a claim to apply a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    Granted,
    /// Somebody else wrote this since.
    Taken(VersionInfo),
}

impl<'c> Metadata<'c> {
    pub fn new(client: &'c ServerClient, config: &'c ProjectConfig) -> Metadata<'c> {
        Metadata { client, config }
    }

    /// True if the server has both stream and table.
    pub async fn exists(&self) -> Result<bool, ClientError> {
        let entities = self.client.execute("SHOW STREAMS; SHOW TABLES;", &RequestContext::default()).await?;
        let has = |list: &str, name: &str| {
            let items = entities.iter().flat_map(|entity| entity[list].as_array().into_iter().flatten());
            let mut names = items.filter_map(|item| item["name"].as_str());
            names.any(|found| found.eq_ignore_ascii_case(name))
        };
        Ok(has("streams", &self.config.stream) && has("tables", &self.config.table))
    }

    /// Drops stream and table with their topics.
    pub async fn destroy(&self) -> Result<(), ClientError> {
        let (stream, table) = (&self.config.stream, &self.config.table);
        let context = RequestContext::default();
        if let Ok(entities) = self.client.execute(&format!("DESCRIBE {table};"), &context).await {
            let queries = entities.iter().flat_map(|entity| {
                entity["sourceDescription"]["writeQueries"].as_array().into_iter().flatten()
            });
            for id in queries.filter_map(|query| query["id"].as_str()) {
                self.client.execute(&format!("TERMINATE {id};"), &context).await?;
            }
        }
        let sql = format!(
            "DROP TABLE IF EXISTS {table} DELETE TOPIC; DROP STREAM IF EXISTS {stream} DELETE TOPIC;"
        );
        self.client.execute(&sql, &context).await.map(|_| ())
    }

    /// Makes stream and table where they are missing.
    pub async fn initialize(&self) -> Result<(), ClientError> {
        let columns: Vec<String> = FIELDS.iter().map(|f| format!("{f} STRING")).collect();
        let newest: Vec<String> =
            FIELDS.iter().map(|f| format!("LATEST_BY_OFFSET({f}, false) AS {f}")).collect();
        let ProjectConfig { stream, stream_topic, table, table_topic, .. } = self.config;
        let sql = format!(
            "CREATE STREAM IF NOT EXISTS {stream} (version_key STRING KEY, {}) WITH (KAFKA_TOPIC='{stream_topic}', \
             VALUE_FORMAT='JSON', PARTITIONS=1);\nCREATE TABLE IF NOT EXISTS {table} WITH (KAFKA_TOPIC='{table_topic}') AS \
             SELECT version_key, {} FROM {stream} GROUP BY version_key EMIT CHANGES;",
            columns.join(", "),
            newest.join(", "),
        );
        let mut context = RequestContext::default();
        context.properties.insert("auto.offset.reset".to_owned(), "earliest".to_owned());
        self.client.execute(&sql, &context).await.map(|_| ())
    }

    /// The newest event of a version; None if there is none.
    pub async fn version(&self, version: &str) -> Result<Option<VersionInfo>, ClientError> {
        Ok(self.newest(&self.config.table, version).await?.pop())
    }

    /// Rows of a pull query of stream or table for a key, oldest first.
    async fn newest(&self, source: &str, key: &str) -> Result<Vec<VersionInfo>, ClientError> {
        let sql = format!("SELECT {} FROM {source} WHERE version_key = '{key}';", FIELDS.join(", "));
        let mut answer = self.client.query(&sql, &RequestContext::default()).await?;
        let mut found = Vec::new();
        while let Some(item) = answer.next().await? {
            if let QueryItem::Row { columns, .. } = item {
                found.push(parse(&columns));
            }
        }
        Ok(found)
    }

    /// All events, oldest first: how often CURRENT has changed, and to what.
    pub async fn events(&self) -> Result<Vec<VersionInfo>, ClientError> {
        self.newest(&self.config.stream, CURRENT).await
    }

    /// Writes that a version is RUNNING. Granted only if nothing was written since the `known` events were read: of
    /// several that apply at the same time, the one whose event is first in the log goes on.
    pub async fn claim(&self, info: &VersionInfo, known: usize) -> Result<Claim, ClientError> {
        self.write(info).await?;
        let started = Instant::now();
        loop {
            let events = self.events().await?;
            match events.get(known) {
                Some(first) if first == info => break,
                Some(other) => {
                    // If the other has ended meanwhile, its last word must stand.
                    let last = events.iter().rev().find(|event| *event != info);
                    if let Some(settled) = last.filter(|event| event.state != "RUNNING") {
                        self.write(settled).await?;
                    }
                    return Ok(Claim::Taken(other.clone()));
                }
                None => self.pause(started, info).await?,
            }
        }
        Ok(Claim::Granted)
    }

    /// The version applied last, or being applied.
    pub async fn current(&self) -> Result<Option<VersionInfo>, ClientError> {
        self.version(CURRENT).await
    }

    /// Writes an event for the version and for CURRENT, and waits until the table shows both.
    pub async fn record(&self, info: &VersionInfo) -> Result<(), ClientError> {
        self.write(info).await?;
        let started = Instant::now();
        for key in [CURRENT, info.version.as_str()] {
            while self.version(key).await?.as_ref() != Some(info) {
                self.pause(started, info).await?;
            }
        }
        Ok(())
    }

    async fn write(&self, info: &VersionInfo) -> Result<(), ClientError> {
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
                "INSERT INTO {} (version_key, {}) VALUES ('{key}', {});",
                self.config.stream,
                FIELDS.join(", "),
                values.join(", "),
            );
            self.client.execute(&sql, &RequestContext::default()).await?;
        }
        Ok(())
    }

    async fn pause(&self, started: Instant, info: &VersionInfo) -> Result<(), ClientError> {
        if started.elapsed() > VISIBLE_WITHIN {
            let reason = format!("{} does not show version {}", self.config.table, info.version);
            return Err(ClientError::Answer { reason });
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
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
