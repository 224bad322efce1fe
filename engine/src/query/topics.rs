//! The topics of a query: those it needs, and those it makes for itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_broker::client::admin::{Admin, NewTopic, TopicDescription};
use weir_broker::ids::TopicId;
use weir_broker::protocol::error_code::ErrorCode;

use crate::error::query::{Result, RuntimeError, TopicChange};
use crate::query::topic_notes::QueryTopics;
use crate::task::processor::SubTopologySpec;

/// Every topic a query touches, internal ones made if missing. `made` gets the names of those, also
/// when this fails.
///
/// The partitions of an internal topic are as many as its readers' other inputs have, or, if it is their only one, as many as its
/// writers' inputs have.
pub(crate) async fn ensure(
    admin: &Admin,
    query_id: &str,
    specs: &[SubTopologySpec],
    made: &mut Vec<Arc<str>>,
) -> Result<QueryTopics> {
    let QueryTopics { mut partitions, mut ids } = describe(admin, query_id, specs).await?;
    let mut wanted = Vec::new();
    for topic in &internal_topics(specs) {
        let count = partitions.get(topic).copied().unwrap_or(1);
        wanted.push(NewTopic { name: topic.to_string(), partitions: count, configs: repartition_configs() });
    }
    for (at, spec) in specs.iter().enumerate() {
        let count = task_partitions(specs, at, &partitions);
        for changelog in &spec.changelogs {
            partitions.insert(changelog.topic.clone(), count);
            let name = changelog.topic.to_string();
            wanted.push(NewTopic { name, partitions: count, configs: changelog_configs() });
        }
    }
    ids.extend(create(admin, query_id, &wanted, made).await?);
    Ok(QueryTopics { partitions, ids })
}

/// Deletes topics, all that can be.
///
/// Errors: of the first that cannot; a topic that does not exist is no error.
pub(crate) async fn delete(admin: &Admin, names: &[Arc<str>]) -> Result<()> {
    let mut outcome = Ok(());
    for name in names {
        let deleted = match admin.delete_topics(&[name]).await {
            Err(error) if error.code() != Some(ErrorCode::UnknownTopicOrPartition) => {
                Err(RuntimeError::client("delete an internal topic")(error))
            }
            Ok(()) | Err(_) => Ok(()),
        };
        outcome = outcome.and(deleted);
    }
    outcome
}

/// Every topic a query touches but changelogs; the partitions of internal topics are what they should be.
pub(crate) async fn describe(
    admin: &Admin,
    query_id: &str,
    specs: &[SubTopologySpec],
) -> Result<QueryTopics> {
    let internal = internal_topics(specs);
    let (mut partitions, mut ids) = (BTreeMap::new(), BTreeMap::new());
    let external = external_topics(specs, &internal);
    let names: Vec<&str> = external.iter().map(|topic| &**topic).collect();
    let found = admin.describe_topics(&names).await.map_err(RuntimeError::client("describe topics"))?;
    for topic in external {
        let Some(description) = found.iter().find(|d| *d.name == *topic) else {
            return Err(RuntimeError::TopicMissing {
                query_id: query_id.to_owned(),
                topic: topic.to_string(),
            });
        };
        partitions.insert(topic.clone(), description.partitions);
        ids.insert(topic, description.id);
    }
    settle_internal(specs, &internal, &mut partitions);
    check_co_partitioned(query_id, specs, &partitions)?;
    for topic in internal {
        partitions.entry(topic).or_insert(1);
    }
    Ok(QueryTopics { partitions, ids })
}

/// The first topic of a query that has changed since the query was started.
pub(crate) fn change(query: &QueryTopics, now: &[TopicDescription]) -> Option<(Arc<str>, TopicChange)> {
    query.ids.iter().find_map(|(topic, id)| {
        let before = query.partitions.get(topic).copied().unwrap_or(0);
        let change = match now.iter().find(|d| *d.name == **topic) {
            None => TopicChange::Deleted,
            Some(found) if found.id != *id => TopicChange::Recreated,
            Some(found) if found.partitions > before => {
                TopicChange::PartitionsAdded { before, now: found.partitions }
            }
            Some(_) => return None,
        };
        Some((topic.clone(), change))
    })
}

/// How many tasks a sub-topology has: the partitions of its inputs.
pub(crate) fn task_partitions(
    specs: &[SubTopologySpec],
    sub_topology: usize,
    partitions: &BTreeMap<Arc<str>, i32>,
) -> i32 {
    specs[sub_topology].sources.iter().filter_map(|s| partitions.get(&s.topic)).copied().max().unwrap_or(1)
}

pub(crate) fn internal_topics(specs: &[SubTopologySpec]) -> BTreeSet<Arc<str>> {
    let sources = specs.iter().flat_map(|s| &s.sources).filter(|s| s.internal).map(|s| s.topic.clone());
    let targets = specs.iter().flat_map(|s| &s.targets).filter(|t| t.internal).map(|t| t.topic.clone());
    sources.chain(targets).collect()
}

fn external_topics(specs: &[SubTopologySpec], internal: &BTreeSet<Arc<str>>) -> BTreeSet<Arc<str>> {
    let sources = specs.iter().flat_map(|s| s.sources.iter().map(|s| &s.topic));
    let targets = specs.iter().flat_map(|s| s.targets.iter().map(|t| &t.topic));
    sources.chain(targets).filter(|t| !internal.contains(*t)).cloned().collect()
}

/// Counts follow from known ones until nothing changes: first from co-partitioned inputs, then from the writers.
pub(crate) fn settle_internal(
    specs: &[SubTopologySpec],
    internal: &BTreeSet<Arc<str>>,
    partitions: &mut BTreeMap<Arc<str>, i32>,
) {
    for _ in 0..=internal.len() {
        let unknown: Vec<&Arc<str>> = internal.iter().filter(|t| !partitions.contains_key(*t)).collect();
        let mut found = Vec::new();
        for topic in &unknown {
            let readers = specs.iter().filter(|s| s.sources.iter().any(|i| i.topic == **topic));
            let count = readers.flat_map(|s| &s.sources).filter_map(|i| partitions.get(&i.topic)).max();
            found.extend(count.map(|count| ((*topic).clone(), *count)));
        }
        if found.is_empty() {
            for reader in specs {
                let inputs = || reader.sources.iter().filter(|i| unknown.contains(&&i.topic));
                let count = inputs().filter_map(|i| writers_width(specs, &i.topic, partitions)).max();
                found.extend(
                    count.into_iter().flat_map(|count| inputs().map(move |i| (i.topic.clone(), count))),
                );
            }
        }
        partitions.extend(found);
    }
}

/// The widest input of those who write a topic.
fn writers_width(
    specs: &[SubTopologySpec],
    topic: &Arc<str>,
    partitions: &BTreeMap<Arc<str>, i32>,
) -> Option<i32> {
    let writers = specs.iter().filter(|s| s.targets.iter().any(|t| t.topic == *topic));
    writers.flat_map(|s| &s.sources).filter_map(|i| partitions.get(&i.topic)).copied().max()
}

fn check_co_partitioned(
    query_id: &str,
    specs: &[SubTopologySpec],
    partitions: &BTreeMap<Arc<str>, i32>,
) -> Result<()> {
    for spec in specs {
        let Some(first) = spec.sources.first() else { continue };
        let count = |topic: &Arc<str>| partitions.get(topic).copied().unwrap_or(1);
        for other in &spec.sources[1..] {
            if count(&other.topic) != count(&first.topic) {
                return Err(RuntimeError::NotCoPartitioned {
                    query_id: query_id.to_owned(),
                    left: first.topic.to_string(),
                    left_partitions: count(&first.topic),
                    right: other.topic.to_string(),
                    right_partitions: count(&other.topic),
                });
            }
        }
    }
    Ok(())
}

/// Makes the topics that are missing; those that exist must have as many partitions. Gives the ids of all.
async fn create(
    admin: &Admin,
    query_id: &str,
    wanted: &[NewTopic],
    made: &mut Vec<Arc<str>>,
) -> Result<BTreeMap<Arc<str>, TopicId>> {
    let names: Vec<&str> = wanted.iter().map(|topic| topic.name.as_str()).collect();
    let mut found = admin.describe_topics(&names).await.map_err(RuntimeError::client("describe topics"))?;
    let is_missing = |topic: &&NewTopic| found.iter().all(|known| known.name != topic.name);
    let missing: Vec<NewTopic> = wanted.iter().filter(is_missing).cloned().collect();
    if !missing.is_empty() {
        create_missing(admin, &missing, made).await?;
        found = admin.describe_topics(&names).await.map_err(RuntimeError::client("describe topics"))?;
    }
    let mut ids = BTreeMap::new();
    for topic in wanted {
        let Some(known) = found.iter().find(|d| d.name == topic.name) else {
            let (query_id, topic) = (query_id.to_owned(), topic.name.clone());
            return Err(RuntimeError::TopicMissing { query_id, topic });
        };
        if known.partitions != topic.partitions {
            let (topic, actual, expected) = (topic.name.clone(), known.partitions, topic.partitions);
            return Err(RuntimeError::PartitionCount { topic, actual, expected });
        }
        ids.insert(topic.name.as_str().into(), known.id);
    }
    Ok(ids)
}

/// Makes topics. Those that fail count as made, because they may exist all the same; those that
/// another client has made meanwhile do not.
async fn create_missing(admin: &Admin, missing: &[NewTopic], made: &mut Vec<Arc<str>>) -> Result<()> {
    made.extend(missing.iter().map(|topic| Arc::<str>::from(topic.name.as_str())));
    let failed = || RuntimeError::client("create an internal topic");
    let outcomes = admin.create_topics(missing).await.map_err(failed())?;
    let mut first = Ok(());
    for (topic, outcome) in missing.iter().zip(outcomes) {
        match outcome {
            Ok(()) => tracing::debug!(topic = topic.name, "topic made"),
            Err(error) if error.code() == Some(ErrorCode::TopicAlreadyExists) => {
                made.retain(|name| **name != *topic.name);
            }
            Err(error) => first = first.and(Err(failed()(error))),
        }
    }
    first
}

/// Records are deleted once they are processed, never by age.
fn repartition_configs() -> BTreeMap<String, String> {
    let policy = [("cleanup.policy", "delete"), ("retention.ms", "-1"), ("segment.bytes", "52428800")];
    configs(&[&policy[..], &ANY_TIMESTAMP].concat())
}

fn changelog_configs() -> BTreeMap<String, String> {
    configs(&[&[("cleanup.policy", "compact")][..], &ANY_TIMESTAMP].concat())
}

/// Rows keep their timestamps on their way through internal topics, whatever they are.
const ANY_TIMESTAMP: [(&str, &str); 2] = [
    ("message.timestamp.before.max.ms", "9223372036854775807"),
    ("message.timestamp.after.max.ms", "9223372036854775807"),
];

fn configs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::processor::{SourceTopic, TargetTopic};

    fn source(topic: &str, internal: bool) -> SourceTopic {
        SourceTopic { topic: topic.into(), table: false, internal }
    }

    #[test]
    fn internal_topics_are_as_wide_as_what_they_are_joined_with_or_come_from() {
        let to = |topic: &str| vec![TargetTopic { topic: topic.into(), internal: true }];
        let specs = [
            SubTopologySpec { sources: vec![source("a", false)], targets: to("r1"), ..Default::default() },
            SubTopologySpec {
                sources: vec![source("r1", true), source("b", false)],
                targets: to("r2"),
                ..Default::default()
            },
            SubTopologySpec { sources: vec![source("r2", true)], ..Default::default() },
        ];
        let mut partitions = BTreeMap::from([("a".into(), 2), ("b".into(), 5)]);
        settle_internal(&specs, &internal_topics(&specs), &mut partitions);
        assert_eq!(partitions["r1"], 5);
        assert_eq!(partitions["r2"], 5);
        assert_eq!(task_partitions(&specs, 1, &partitions), 5);
    }

    #[test]
    fn two_repartitioned_sides_of_a_join_are_as_wide_as_the_wider() {
        let to = |topic: &str| vec![TargetTopic { topic: topic.into(), internal: true }];
        let specs = [
            SubTopologySpec { sources: vec![source("a", false)], targets: to("left"), ..Default::default() },
            SubTopologySpec { sources: vec![source("b", false)], targets: to("right"), ..Default::default() },
            SubTopologySpec {
                sources: vec![source("left", true), source("right", true)],
                ..Default::default()
            },
        ];
        let mut partitions = BTreeMap::from([("a".into(), 2), ("b".into(), 5)]);
        settle_internal(&specs, &internal_topics(&specs), &mut partitions);
        assert_eq!((partitions["left"], partitions["right"]), (5, 5));
    }
}
