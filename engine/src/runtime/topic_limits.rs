//! Settings of topics that decide which records they take and how long changelogs keep tombstones.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_broker::client::admin::Admin;

use crate::error::query::{Result, RuntimeError};
use crate::query::handle::QueryHandle;

const BATCH_BYTES_MAX: &str = "max.message.bytes";
const DELETE_RETENTION_MS: &str = "delete.retention.ms";

/// The settings of one topic. A setting that the broker does not have bounds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TopicLimits {
    /// Size of a record batch.
    pub(crate) batch_bytes_max: usize,
    /// How long the tombstone of a key stays in a compacted topic.
    pub(crate) delete_retention_ms: i64,
}

/// Of every topic that a query writes.
pub(crate) async fn look_up(admin: &Admin, query: &QueryHandle) -> Result<BTreeMap<Arc<str>, TopicLimits>> {
    let specs = query.factory.sub_topologies();
    let targets = specs.iter().flat_map(|s| &s.targets).map(|t| &t.topic);
    let changelogs = specs.iter().flat_map(|s| &s.changelogs).map(|c| &c.topic);
    let topics: BTreeSet<&Arc<str>> = targets.chain(changelogs).collect();
    let names: Vec<&str> = topics.iter().map(|topic| &***topic).collect();
    let settings = admin
        .describe_settings(&names, &[BATCH_BYTES_MAX, DELETE_RETENTION_MS])
        .await
        .map_err(RuntimeError::client("look up settings of topics"))?;
    let limits = topics.into_iter().filter_map(|topic| {
        let of_topic = settings.get(&**topic)?;
        let limits = TopicLimits {
            batch_bytes_max: number(of_topic, BATCH_BYTES_MAX).unwrap_or(usize::MAX),
            delete_retention_ms: number(of_topic, DELETE_RETENTION_MS).unwrap_or(i64::MAX),
        };
        Some((topic.clone(), limits))
    });
    Ok(limits.collect())
}

fn number<T: std::str::FromStr>(settings: &BTreeMap<String, String>, name: &str) -> Option<T> {
    settings.get(name)?.parse().ok()
}
