//! Assignment of partitions to members by the coordinator.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

/// Partitions by topic id and number.
pub type PartitionSet = BTreeSet<(Uuid, i32)>;

/// A way to divide partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assignor {
    /// Every member gets as many partitions as the others, and keeps as many of its former ones as that allows.
    Uniform,
    /// Each topic is cut into contiguous ranges, in the order of the members.
    Range,
}

impl Assignor {
    /// All of them; the first is used when members have no preference.
    pub const ALL: [Self; 2] = [Self::Uniform, Self::Range];

    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Range => "range",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|assignor| assignor.name() == name)
    }
}

/// A member, as an assignor sees it.
#[derive(Debug, Clone)]
pub struct Subscriber<'a> {
    pub member_id: &'a str,
    pub instance_id: Option<&'a str>,
    pub topics: BTreeSet<Uuid>,
    /// The member's former target.
    pub former: Option<&'a PartitionSet>,
}

/// Divides the partitions of `topics` (id → number of partitions). One set for each subscriber, in their order.
#[must_use]
pub fn assign(
    assignor: Assignor,
    subscribers: &[Subscriber<'_>],
    topics: &BTreeMap<Uuid, i32>,
) -> Vec<PartitionSet> {
    if subscribers.is_empty() {
        return Vec::new();
    }
    let alike = subscribers.iter().all(|subscriber| subscriber.topics == subscribers[0].topics);
    match assignor {
        Assignor::Range => range(subscribers, topics),
        Assignor::Uniform if alike => uniform_alike(subscribers, topics),
        Assignor::Uniform => uniform_mixed(subscribers, topics),
    }
}

/// The partitions of a subscriber's former target that it may still have and that are not taken yet.
fn still_valid<'a>(
    subscriber: &'a Subscriber<'_>,
    topics: &'a BTreeMap<Uuid, i32>,
) -> impl Iterator<Item = (Uuid, i32)> + 'a {
    subscriber.former.into_iter().flatten().copied().filter(|(topic, partition)| {
        subscriber.topics.contains(topic) && topics.get(topic).is_some_and(|count| partition < count)
    })
}

fn range(subscribers: &[Subscriber<'_>], topics: &BTreeMap<Uuid, i32>) -> Vec<PartitionSet> {
    let mut assignment = vec![PartitionSet::new(); subscribers.len()];
    let mut order: Vec<usize> = (0..subscribers.len()).collect();
    // Static members keep their ranges when they come back under another member id.
    order.sort_by_key(|index| {
        let subscriber = &subscribers[*index];
        (subscriber.instance_id.is_none(), subscriber.instance_id.unwrap_or(subscriber.member_id))
    });
    for (topic, count) in topics {
        let takers: Vec<usize> =
            order.iter().copied().filter(|index| subscribers[*index].topics.contains(topic)).collect();
        let Ok(takers_count) = i32::try_from(takers.len()) else { continue };
        if takers_count == 0 {
            continue;
        }
        let (share, extra) = (count / takers_count, count % takers_count);
        let mut next = 0;
        for (position, taker) in (0..).zip(takers) {
            let end = next + share + i32::from(position < extra);
            assignment[taker].extend((next..end).map(|partition| (*topic, partition)));
            next = end;
        }
    }
    assignment
}

/// All members read the same topics: their numbers of partitions differ by at most one.
fn uniform_alike(subscribers: &[Subscriber<'_>], topics: &BTreeMap<Uuid, i32>) -> Vec<PartitionSet> {
    let mut free: PartitionSet = topics
        .iter()
        .filter(|(topic, _)| subscribers[0].topics.contains(topic))
        .flat_map(|(topic, count)| (0..*count).map(|partition| (*topic, partition)))
        .collect();
    let share = free.len() / subscribers.len();
    let mut extra_left = free.len() % subscribers.len();
    let mut assignment = vec![PartitionSet::new(); subscribers.len()];
    for (subscriber, kept) in subscribers.iter().zip(&mut assignment) {
        for partition in still_valid(subscriber, topics) {
            let extra = usize::from(extra_left > 0);
            if kept.len() == share + extra {
                break;
            }
            if free.remove(&partition) {
                kept.insert(partition);
            }
        }
        if kept.len() > share {
            extra_left -= 1;
        }
    }
    // One after the other, so that a topic spreads over the members.
    let mut open: Vec<usize> =
        (0..subscribers.len()).filter(|index| assignment[*index].len() < share).collect();
    let mut free = free.into_iter().peekable();
    while !open.is_empty() && free.peek().is_some() {
        for index in &open {
            if let Some(partition) = free.next() {
                assignment[*index].insert(partition);
            }
        }
        open.retain(|index| assignment[*index].len() < share);
    }
    let at_share = (0..subscribers.len()).filter(|index| assignment[*index].len() == share);
    for (index, partition) in at_share.collect::<Vec<_>>().into_iter().zip(free) {
        assignment[index].insert(partition);
    }
    assignment
}

/// Members read different topics: former partitions stay, free ones go to the least loaded reader, and then partitions
/// move as long as that evens out two members.
fn uniform_mixed(subscribers: &[Subscriber<'_>], topics: &BTreeMap<Uuid, i32>) -> Vec<PartitionSet> {
    let readers = |topic: &Uuid| -> Vec<usize> {
        (0..subscribers.len()).filter(|index| subscribers[*index].topics.contains(topic)).collect()
    };
    let readers: BTreeMap<Uuid, Vec<usize>> = topics.keys().map(|topic| (*topic, readers(topic))).collect();
    let mut taken = PartitionSet::new();
    let mut assignment: Vec<PartitionSet> = Vec::with_capacity(subscribers.len());
    for subscriber in subscribers {
        assignment
            .push(still_valid(subscriber, topics).filter(|partition| taken.insert(*partition)).collect());
    }
    let least = |assignment: &[PartitionSet], topic: &Uuid| {
        readers[topic].iter().copied().min_by_key(|index| (assignment[*index].len(), *index))
    };
    // Topics with few readers first: their partitions have the least choice.
    let mut order: Vec<&Uuid> = topics.keys().collect();
    order.sort_by_key(|topic| (readers[*topic].len(), **topic));
    for topic in order {
        for partition in 0..topics[topic] {
            if !taken.contains(&(*topic, partition))
                && let Some(reader) = least(&assignment, topic)
            {
                assignment[reader].insert((*topic, partition));
            }
        }
    }
    even_out(&mut assignment, least);
    assignment
}

/// Each move brings two members closer together, so there is an end to it.
fn even_out(assignment: &mut [PartitionSet], least: impl Fn(&[PartitionSet], &Uuid) -> Option<usize>) {
    let mut moved = true;
    while moved {
        moved = false;
        let mut order: Vec<usize> = (0..assignment.len()).collect();
        order.sort_by_key(|index| (std::cmp::Reverse(assignment[*index].len()), *index));
        for from in order {
            let candidates: Vec<(Uuid, i32)> = assignment[from].iter().copied().collect();
            for partition in candidates {
                let Some(to) = least(assignment, &partition.0) else { continue };
                if assignment[to].len() + 1 < assignment[from].len() {
                    assignment[from].remove(&partition);
                    assignment[to].insert(partition);
                    moved = true;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    fn subscriber<'a>(id: &'a str, topics: &[u128], former: Option<&'a PartitionSet>) -> Subscriber<'a> {
        let topics = topics.iter().map(|number| topic(*number)).collect();
        Subscriber { member_id: id, instance_id: None, topics, former }
    }

    fn sizes(assignment: &[PartitionSet]) -> Vec<usize> {
        assignment.iter().map(PartitionSet::len).collect()
    }

    fn check_once(assignment: &[PartitionSet], total: usize) {
        let all: PartitionSet = assignment.iter().flatten().copied().collect();
        assert_eq!(all.len(), total, "every partition has an owner");
        assert_eq!(sizes(assignment).iter().sum::<usize>(), total, "no partition has two");
    }

    #[test]
    fn range_cuts_each_topic_in_the_order_of_the_members() {
        let topics = BTreeMap::from([(topic(1), 5), (topic(2), 2)]);
        let subscribers =
            [subscriber("b", &[1, 2], None), subscriber("a", &[1, 2], None), subscriber("c", &[1], None)];
        let assignment = assign(Assignor::Range, &subscribers, &topics);
        let numbers = |index: usize, number: u128| -> Vec<i32> {
            assignment[index].iter().filter(|(id, _)| *id == topic(number)).map(|(_, p)| *p).collect()
        };
        assert_eq!((numbers(1, 1), numbers(0, 1), numbers(2, 1)), (vec![0, 1], vec![2, 3], vec![4]));
        assert_eq!((numbers(1, 2), numbers(0, 2), numbers(2, 2)), (vec![0], vec![1], vec![]));
    }

    #[test]
    fn uniform_is_even_and_keeps_what_it_can() {
        let topics = BTreeMap::from([(topic(1), 4), (topic(2), 3)]);
        let first = assign(Assignor::Uniform, &[subscriber("a", &[1, 2], None)], &topics);
        assert_eq!(sizes(&first), [7]);
        let two = [subscriber("a", &[1, 2], Some(&first[0])), subscriber("b", &[1, 2], None)];
        let second = assign(Assignor::Uniform, &two, &topics);
        check_once(&second, 7);
        assert_eq!(sizes(&second), [4, 3]);
        assert!(second[0].is_subset(&first[0]));
        let three = [
            subscriber("a", &[1, 2], Some(&second[0])),
            subscriber("b", &[1, 2], Some(&second[1])),
            subscriber("c", &[1, 2], None),
        ];
        let third = assign(Assignor::Uniform, &three, &topics);
        check_once(&third, 7);
        assert_eq!(sizes(&third), [3, 2, 2]);
        assert!(third[0].is_subset(&second[0]));
        assert!(third[1].is_subset(&second[1]));
        // The last one leaves: the others keep everything they have.
        let back = [subscriber("a", &[1, 2], Some(&third[0])), subscriber("b", &[1, 2], Some(&third[1]))];
        let fourth = assign(Assignor::Uniform, &back, &topics);
        check_once(&fourth, 7);
        assert!(third[0].is_subset(&fourth[0]));
        assert!(third[1].is_subset(&fourth[1]));
    }

    #[test]
    fn more_members_than_partitions_leave_some_without() {
        let topics = BTreeMap::from([(topic(1), 2)]);
        let subscribers: Vec<_> = ["a", "b", "c"].map(|id| subscriber(id, &[1], None)).into();
        for assignor in Assignor::ALL {
            let assignment = assign(assignor, &subscribers, &topics);
            check_once(&assignment, 2);
            assert_eq!(sizes(&assignment), [1, 1, 0]);
        }
    }

    #[test]
    fn mixed_subscriptions_are_evened_out_within_what_members_read() {
        let topics = BTreeMap::from([(topic(1), 6), (topic(2), 2), (topic(3), 4)]);
        let hog: PartitionSet = (0..6).map(|p| (topic(1), p)).chain((0..4).map(|p| (topic(3), p))).collect();
        let subscribers = [
            subscriber("a", &[1, 3], Some(&hog)),
            subscriber("b", &[1, 2], None),
            subscriber("c", &[2], None),
        ];
        let assignment = assign(Assignor::Uniform, &subscribers, &topics);
        check_once(&assignment, 12);
        assert_eq!(sizes(&assignment), [5, 5, 2]);
        assert!(assignment[0].is_subset(&hog));
        for (subscriber, set) in subscribers.iter().zip(&assignment) {
            assert!(set.iter().all(|(id, _)| subscriber.topics.contains(id)));
        }
    }

    #[test]
    fn partitions_that_are_gone_are_not_kept() {
        let former = PartitionSet::from([(topic(1), 7), (topic(9), 0), (topic(1), 0)]);
        let topics = BTreeMap::from([(topic(1), 1)]);
        for assignor in Assignor::ALL {
            let assignment = assign(assignor, &[subscriber("a", &[1], Some(&former))], &topics);
            assert_eq!(assignment, [PartitionSet::from([(topic(1), 0)])]);
        }
    }
}
