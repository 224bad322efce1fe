//! The topics of a query: those it needs, and those it makes for itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_broker::client::admin::{Admin, NewTopic};
use weir_broker::protocol::error_code::ErrorCode;

use crate::runtime::error::{Result, RuntimeError};
use crate::task::processor::{ProcessorFactory, SubTopologySpec};

/// Partition counts of every topic a query touches, internal ones made if missing.
///
/// The partitions of an internal topic are as many as its readers' other inputs have, or, if it is their only one, as many as its
/// writers' inputs have.
pub(crate) async fn ensure(
    admin: &Admin,
    query_id: &str,
    factory: &dyn ProcessorFactory,
) -> Result<BTreeMap<Arc<str>, i32>> {
    let specs = factory.sub_topologies();
    let mut partitions = describe(admin, query_id, factory).await?;
    let mut wanted = Vec::new();
    for topic in &internal_topics(specs) {
        let count = partitions.get(topic).copied().unwrap_or(1);
        wanted.push(NewTopic { name: topic.to_string(), partitions: count, configs: repartition_configs() });
    }
    for (at, spec) in specs.iter().enumerate() {
        let count = task_partitions(specs, at, &partitions);
        for changelog in &spec.changelogs {
            partitions.insert(changelog.topic.clone(), count);
            if changelog.owned {
                let name = changelog.topic.to_string();
                wanted.push(NewTopic { name, partitions: count, configs: changelog_configs() });
            }
        }
    }
    create(admin, &wanted).await?;
    Ok(partitions)
}

/// Partition counts of every topic a query touches but changelogs; those of internal topics are what they should be.
pub(crate) async fn describe(
    admin: &Admin,
    query_id: &str,
    factory: &dyn ProcessorFactory,
) -> Result<BTreeMap<Arc<str>, i32>> {
    let specs = factory.sub_topologies();
    let internal = internal_topics(specs);
    let mut partitions = BTreeMap::new();
    for topic in external_topics(specs, &internal) {
        let description =
            admin.describe_topic(&topic).await.map_err(RuntimeError::client("describe a topic"))?;
        let Some(description) = description else {
            return Err(RuntimeError::TopicMissing {
                query_id: query_id.to_owned(),
                topic: topic.to_string(),
            });
        };
        partitions.insert(topic, description.partitions);
    }
    settle_internal(specs, &internal, &mut partitions);
    check_co_partitioned(query_id, specs, &partitions)?;
    for topic in internal {
        partitions.entry(topic).or_insert(1);
    }
    Ok(partitions)
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

/// Makes the topics that are missing; those that exist must have as many partitions.
async fn create(admin: &Admin, wanted: &[NewTopic]) -> Result<()> {
    if wanted.is_empty() {
        return Ok(());
    }
    let failed = RuntimeError::client("create an internal topic");
    let outcomes = admin.create_topics(wanted).await.map_err(failed)?;
    for (topic, outcome) in wanted.iter().zip(outcomes) {
        match outcome {
            Ok(()) => {}
            Err(error) if error.code() == Some(ErrorCode::TopicAlreadyExists) => {
                let known = admin.describe_topic(&topic.name).await;
                let known = known.map_err(RuntimeError::client("describe a topic"))?;
                let actual = known.map_or(0, |t| t.partitions);
                if actual != topic.partitions {
                    let (topic, expected) = (topic.name.clone(), topic.partitions);
                    return Err(RuntimeError::PartitionCount { topic, actual, expected });
                }
            }
            Err(error) => return Err(RuntimeError::client("create an internal topic")(error)),
        }
    }
    Ok(())
}

/// Rows keep the time they have, however far ahead: the broker's limit is for producers.
const ANY_TIMESTAMP: (&str, &str) = ("message.timestamp.after.max.ms", "9223372036854775807");

/// Records are deleted once they are processed, never by age.
fn repartition_configs() -> BTreeMap<String, String> {
    let forever = ("retention.ms", "-1");
    configs(&[("cleanup.policy", "delete"), forever, ("segment.bytes", "52428800"), ANY_TIMESTAMP])
}

fn changelog_configs() -> BTreeMap<String, String> {
    configs(&[("cleanup.policy", "compact"), ANY_TIMESTAMP])
}

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
