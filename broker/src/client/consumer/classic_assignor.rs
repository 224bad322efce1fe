//! How the leader of a group of the classic protocol divides partitions.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::group::consumer::assignor::{Assignor, PartitionSet, Subscriber, assign};
use crate::protocol::consumer_protocol::{ConsumerSubscription, ConsumerTopicPartitions};

/// A way to divide partitions (`partition.assignment.strategy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClassicAssignor {
    /// Each topic is cut into contiguous ranges. Members give everything up before each rebalance.
    Range,
    /// Members keep what they can, and give up only what others get (KIP-429).
    CooperativeSticky,
}

impl ClassicAssignor {
    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Range => "range",
            Self::CooperativeSticky => "cooperative-sticky",
        }
    }
}

/// A member as the leader gets to know it.
#[derive(Debug, Clone)]
pub(crate) struct JoinedMember {
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) subscription: ConsumerSubscription,
}

/// Divides partitions, of which each topic has the number in `partitions`. Shape: one share for each member.
///
/// With `CooperativeSticky` a partition that moves stays without an owner in this generation: its former owner
/// gives it up and joins again.
pub(crate) fn divide(
    assignor: ClassicAssignor,
    members: &[JoinedMember],
    partitions: &BTreeMap<String, i32>,
) -> Vec<Vec<ConsumerTopicPartitions>> {
    // The coordinator's assignors name topics by ids: numbers in the order of their names.
    let names: Vec<&String> = partitions.keys().collect();
    let id = |at: usize| Uuid::from_u128(at as u128);
    let id_of = |name: &String| names.binary_search(&name).ok().map(id);
    let counts = partitions.values().enumerate().map(|(at, count)| (id(at), *count)).collect();
    let generation_max = members.iter().map(|m| m.subscription.generation_id).max().unwrap_or(-1);
    let owned: Vec<PartitionSet> = members
        .iter()
        .map(|member| match member.subscription.generation_id == generation_max {
            true => owned_by(&member.subscription, id_of),
            // Of a generation that the member has missed the end of (KIP-792).
            false => PartitionSet::new(),
        })
        .collect();
    let subscribers: Vec<Subscriber<'_>> = members
        .iter()
        .zip(&owned)
        .map(|(member, owned)| Subscriber {
            member_id: &member.member_id,
            instance_id: member.instance_id.as_deref(),
            topics: member.subscription.topics.iter().filter_map(id_of).collect(),
            former: Some(owned),
        })
        .collect();
    let mut shares = match assignor {
        ClassicAssignor::Range => assign(Assignor::Range, &subscribers, &counts),
        ClassicAssignor::CooperativeSticky => assign(Assignor::Uniform, &subscribers, &counts),
    };
    if assignor == ClassicAssignor::CooperativeSticky {
        for (own, share) in shares.iter_mut().enumerate() {
            let is_others = |partition: &(Uuid, i32)| {
                owned.iter().enumerate().any(|(at, owned)| at != own && owned.contains(partition))
            };
            share.retain(|partition| !is_others(partition));
        }
    }
    shares.iter().map(|share| by_topic(share, &names)).collect()
}

fn owned_by(subscription: &ConsumerSubscription, id_of: impl Fn(&String) -> Option<Uuid>) -> PartitionSet {
    let topics = subscription.owned_partitions.iter();
    topics
        .filter_map(|topic| Some((id_of(&topic.topic)?, &topic.partitions)))
        .flat_map(|(id, partitions)| partitions.iter().map(move |partition| (id, *partition)))
        .collect()
}

fn by_topic(share: &PartitionSet, names: &[&String]) -> Vec<ConsumerTopicPartitions> {
    let mut topics: Vec<ConsumerTopicPartitions> = Vec::new();
    for (id, partition) in share {
        let name = usize::try_from(id.as_u128()).ok().and_then(|at| names.get(at));
        let Some(name) = name else { continue };
        match topics.last_mut() {
            Some(topic) if topic.topic == **name => topic.partitions.push(*partition),
            Some(_) | None => {
                topics.push(ConsumerTopicPartitions { topic: (*name).clone(), partitions: vec![*partition] })
            }
        }
    }
    topics
}

/// The topics that members want.
pub(crate) fn topics_of(members: &[JoinedMember]) -> BTreeSet<String> {
    members.iter().flat_map(|member| member.subscription.topics.iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str, partitions: &[i32]) -> ConsumerTopicPartitions {
        ConsumerTopicPartitions { topic: name.to_owned(), partitions: partitions.to_vec() }
    }

    fn member(id: &str, generation_id: i32, owned: &[i32]) -> JoinedMember {
        JoinedMember {
            member_id: id.to_owned(),
            instance_id: None,
            subscription: ConsumerSubscription {
                topics: vec!["t".to_owned()],
                owned_partitions: vec![topic("t", owned)],
                generation_id,
                ..Default::default()
            },
        }
    }

    fn check(assignor: ClassicAssignor, members: &[JoinedMember], expected: &[&[i32]]) {
        let partitions = BTreeMap::from([("other".to_owned(), 9), ("t".to_owned(), 4)]);
        let expected: Vec<Vec<ConsumerTopicPartitions>> = expected
            .iter()
            .map(|share| if share.is_empty() { Vec::new() } else { vec![topic("t", share)] })
            .collect();
        assert_eq!(divide(assignor, members, &partitions), expected);
    }

    #[test]
    fn ranges_are_cut_in_the_order_of_the_members() {
        let members = [member("b", 1, &[0, 1, 2, 3]), member("a", -1, &[])];
        check(ClassicAssignor::Range, &members, &[&[2, 3], &[0, 1]]);
    }

    #[test]
    fn partitions_that_move_wait_until_they_are_given_up() {
        let sticky = ClassicAssignor::CooperativeSticky;
        check(sticky, &[member("a", 1, &[0, 1, 2, 3]), member("b", -1, &[])], &[&[0, 1], &[]]);
        check(sticky, &[member("a", 2, &[0, 1]), member("b", 2, &[])], &[&[0, 1], &[2, 3]]);
    }

    #[test]
    fn what_a_member_had_before_it_was_missed_does_not_count() {
        let members = [member("a", 1, &[0, 1, 2, 3]), member("b", 2, &[2, 3])];
        check(ClassicAssignor::CooperativeSticky, &members, &[&[0, 1], &[2, 3]]);
    }
}
