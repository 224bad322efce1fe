//! When leaders are known, and when they have to be asked for.

use super::*;
use crate::protocol::messages::metadata::MetadataResponseBroker;

const ID: Uuid = Uuid::from_u128(7);
const OTHER_ID: Uuid = Uuid::from_u128(8);
const NOW: Duration = Duration::from_secs(1_000);

/// Leaders and epochs of the partitions of a topic, from 0.
fn topic(name: &str, id: Uuid, leaders: &[(i32, i32)]) -> MetadataResponseTopic {
    let partition = |(index, (leader_id, leader_epoch)): (usize, &(i32, i32))| MetadataResponsePartition {
        partition_index: i32::try_from(index).expect("few"),
        leader_id: *leader_id,
        leader_epoch: *leader_epoch,
        ..Default::default()
    };
    MetadataResponseTopic {
        name: Some(name.to_owned()),
        topic_id: id,
        partitions: leaders.iter().enumerate().map(partition).collect(),
        ..Default::default()
    }
}

fn answer(topics: Vec<MetadataResponseTopic>) -> MetadataResponse {
    let broker = |node_id| MetadataResponseBroker {
        node_id,
        host: format!("b{node_id}"),
        port: 9092,
        ..Default::default()
    };
    MetadataResponse {
        brokers: (1..=2).map(broker).collect(),
        controller_id: 2,
        topics,
        ..Default::default()
    }
}

fn named(name: &str) -> TopicKey {
    TopicKey { name: name.to_owned(), id: Uuid::nil() }
}

fn with_id(id: Uuid) -> TopicKey {
    TopicKey { name: String::new(), id }
}

fn cache(topics: Vec<MetadataResponseTopic>) -> MetadataCache {
    let mut cache = MetadataCache::new(MetadataCacheConfig::default());
    cache.update(answer(topics), NOW);
    cache
}

fn leader(broker_id: i32, epoch: i32) -> Option<PartitionLeader> {
    Some(PartitionLeader { broker_id, epoch })
}

#[test]
fn leaders_are_found_by_name_and_by_id() {
    let mut cache = cache(vec![topic("t", ID, &[(1, 5), (2, 6)])]);
    assert_eq!(cache.leader(&named("t"), 1), leader(2, 6));
    assert_eq!(cache.leader(&with_id(ID), 0), leader(1, 5));
    assert_eq!(cache.leader(&named("t"), 2), None);
    assert_eq!(cache.leader(&with_id(OTHER_ID), 0), None);
    assert_eq!(cache.brokers()[&2], "b2:9092");
    assert_eq!(cache.controller_id(), Some(2));
}

#[test]
fn what_is_unknown_old_stale_or_without_a_leader_is_asked_for() {
    let mut cache = cache(vec![topic("t", ID, &[(1, 0)]), topic("headless", OTHER_ID, &[(1, 0), (-1, 3)])]);
    let asked = |cache: &MetadataCache, now| {
        let missing = cache.missing(["t", "headless", "new", "new"].map(named), now);
        missing.into_iter().map(|topic| topic.name).collect::<Vec<_>>()
    };
    assert_eq!(asked(&cache, NOW), ["headless", "new"]);
    let max_age = MetadataCacheConfig::default().max_age;
    assert_eq!(asked(&cache, NOW + max_age), ["headless", "new", "t"]);
    assert!(!cache.needs_brokers(NOW));
    assert!(cache.needs_brokers(NOW + max_age));
    cache.invalidate(&with_id(ID));
    assert_eq!(asked(&cache, NOW), ["headless", "new", "t"]);
    assert_eq!(cache.leader(&named("t"), 0), leader(1, 0), "until there is a better answer");
    assert!(!cache.needs_brokers(NOW));
    cache.invalidate_all();
    assert!(cache.needs_brokers(NOW));
}

#[test]
fn an_older_epoch_does_not_replace_a_newer_one() {
    let mut cache = cache(vec![topic("t", ID, &[(1, 5)])]);
    cache.update(answer(vec![topic("t", ID, &[(2, 4)])]), NOW);
    assert_eq!(cache.leader(&named("t"), 0), leader(1, 5));
    cache.update(answer(vec![topic("t", ID, &[(2, 6)])]), NOW);
    assert_eq!(cache.leader(&named("t"), 0), leader(2, 6));
}

#[test]
fn a_topic_that_was_made_anew_begins_anew() {
    let mut cache = cache(vec![topic("t", ID, &[(1, 5), (1, 5)])]);
    cache.update(answer(vec![topic("t", OTHER_ID, &[(2, 0)])]), NOW);
    assert_eq!(cache.leader(&named("t"), 0), leader(2, 0), "its epochs count from 0 again");
    assert_eq!(cache.leader(&with_id(ID), 0), None);
    let gone = MetadataResponseTopic {
        error_code: ErrorCode::UnknownTopicOrPartition,
        ..topic("t", Uuid::nil(), &[])
    };
    cache.update(answer(vec![gone]), NOW);
    assert_eq!(cache.leader(&named("t"), 0), None);
    assert_eq!(cache.leader(&with_id(OTHER_ID), 0), None);
}

#[test]
fn the_least_recently_used_topics_are_forgotten() {
    let config = MetadataCacheConfig { topics_max: 2, ..MetadataCacheConfig::default() };
    let mut cache = MetadataCache::new(config);
    for (name, id) in [("a", 1), ("b", 2)] {
        cache.update(answer(vec![topic(name, Uuid::from_u128(id), &[(1, 0)])]), NOW);
    }
    assert!(cache.leader(&named("a"), 0).is_some());
    cache.update(answer(vec![topic("c", Uuid::from_u128(3), &[(1, 0)])]), NOW);
    let known = |cache: &mut MetadataCache, name: &str| cache.leader(&named(name), 0).is_some();
    assert!(known(&mut cache, "a") && known(&mut cache, "c") && !known(&mut cache, "b"));
    assert_eq!(cache.names.len(), 2);
}
