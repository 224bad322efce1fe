//! Members that join, leave, crash, lose answers and come back, while topics grow and the coordinator restarts.

use super::*;
use crate::env::rng::{Rng, SeededRng};
use crate::group::consumer::assignor::Assignor;

const STEPS: usize = 600;
const SEEDS: u64 = 30;

/// A consumer, as its client library would behave.
#[derive(Debug, Clone)]
struct Client {
    member_id: String,
    instance_id: Option<String>,
    topics: Vec<String>,
    regex: Option<String>,
    assignor: Option<String>,
    /// 0: has to join.
    epoch: i32,
    /// What it reads at this moment.
    owned: PartitionSet,
    /// What it was last told to read.
    target: PartitionSet,
    /// What it last told that it reads.
    stated: Option<PartitionSet>,
    /// The next heartbeat says everything, because the last answer did not arrive.
    full: bool,
}

impl Client {
    fn request(&self, rng: &SeededRng) -> HeartbeatRequest {
        let full = self.full || self.epoch == 0;
        HeartbeatRequest {
            member_id: self.member_id.clone(),
            member_epoch: self.epoch,
            instance_id: self.instance_id.clone(),
            rebalance_timeout_ms: if full { REBALANCE_MS } else { -1 },
            topics: full.then(|| self.topics.clone()),
            regex: self.regex.clone().filter(|_| full),
            server_assignor: self.assignor.clone().filter(|_| full),
            owned: (full || self.stated.as_ref() != Some(&self.owned) || rng.below(4) == 0)
                .then(|| self.owned.clone()),
            ..HeartbeatRequest::default()
        }
    }
}

struct Churn {
    seed: u64,
    rng: SeededRng,
    bench: Bench,
    clients: Vec<Client>,
    member_next: u32,
}

impl Churn {
    fn new(seed: u64) -> Self {
        let bench = Bench::new(&[("a", 3), ("b", 5), ("c-1", 2)]);
        Self { seed, rng: SeededRng::new(seed), bench, clients: Vec::new(), member_next: 0 }
    }

    fn chance(&self, one_in: u64) -> bool {
        self.rng.below(one_in) == 0
    }

    fn pick(&self) -> Option<usize> {
        let count = self.clients.len() as u64;
        (count > 0).then(|| usize::try_from(self.rng.below(count)).expect("few"))
    }

    fn join(&mut self) {
        self.member_next += 1;
        let instance = self.rng.below(6);
        let instance_id = (instance < 2).then(|| format!("i{instance}"));
        if self.clients.iter().any(|client| instance_id.is_some() && client.instance_id == instance_id) {
            return;
        }
        let (topics, regex): (&[&str], _) = match self.rng.below(4) {
            0 => (&["a"], None),
            1 => (&["b"], Some("c-.*".to_owned())),
            _ => (&["a", "b", "c-1"], None),
        };
        let assignor = match self.rng.below(4) {
            0 => Some(Assignor::Range.name().to_owned()),
            1 => Some(Assignor::Uniform.name().to_owned()),
            _ => None,
        };
        self.clients.push(Client {
            member_id: format!("m{}", self.member_next),
            instance_id,
            topics: topics.iter().map(|name| (*name).to_owned()).collect(),
            regex,
            assignor,
            epoch: 0,
            owned: PartitionSet::new(),
            target: PartitionSet::new(),
            stated: None,
            full: false,
        });
    }

    fn beat(&mut self, index: usize, answers_arrive: bool) {
        let request = self.clients[index].request(&self.rng);
        // An answer is not lost twice in a row.
        let lost = !answers_arrive && !self.clients[index].full;
        if lost && self.chance(3) {
            self.clients[index].full = true;
            return;
        }
        let outcome = self.bench.heartbeat(&request);
        let client = &mut self.clients[index];
        if lost {
            client.full = true;
            return;
        }
        if request.owned.is_some() {
            client.stated = request.owned;
        }
        match outcome {
            Ok(reply) => {
                client.epoch = reply.member_epoch;
                client.full = false;
                if let Some(assignment) = reply.assignment {
                    client.target = assignment;
                }
            }
            Err(ErrorCode::FencedMemberEpoch | ErrorCode::UnknownMemberId | ErrorCode::GroupIdNotFound) => {
                client.epoch = 0;
                client.owned.clear();
                client.target.clear();
            }
            Err(ErrorCode::UnreleasedInstanceId) => {}
            Err(other) => panic!("seed={}: {other}", self.seed),
        }
    }

    /// The client does what it was told: it lets go first, and takes on after it has.
    fn follow(&mut self, index: usize) {
        let client = &mut self.clients[index];
        let surplus: PartitionSet = client.owned.difference(&client.target).copied().collect();
        if surplus.is_empty() {
            client.owned.clone_from(&client.target);
        } else {
            client.owned.retain(|partition| !surplus.contains(partition));
        }
    }

    fn leave(&mut self, index: usize) {
        let client = self.clients.remove(index);
        if client.epoch > 0 {
            let epoch = if client.instance_id.is_some() && self.chance(2) { -2 } else { -1 };
            let request = HeartbeatRequest {
                instance_id: client.instance_id.clone(),
                ..beat(&client.member_id, epoch)
            };
            // It may have been removed before.
            drop(self.bench.heartbeat(&request));
        }
    }

    fn pass(&mut self, ms: i64) {
        self.bench.pass(ms);
        // A client that could not reach the coordinator for a session gives up by itself.
        let Some(group) = self.bench.coordinator.group("g").and_then(AnyGroup::as_consumer) else { return };
        for client in &mut self.clients {
            if client.epoch > 0 && !group.members.contains_key(&client.member_id) {
                client.epoch = 0;
                client.owned.clear();
                client.target.clear();
            }
        }
    }

    fn step(&mut self) {
        match self.rng.below(20) {
            0 | 1 if self.clients.len() < 8 => self.join(),
            2 => {
                if let Some(index) = self.pick() {
                    self.leave(index);
                }
            }
            // Gone without a word.
            3 if self.chance(2) => {
                if let Some(index) = self.pick() {
                    self.clients.remove(index);
                }
            }
            4 if self.chance(4) => {
                let partitions = self.bench.image.topic("a").expect("made at the start").partitions + 1;
                let name = "a".to_owned();
                self.bench.change(&MetadataRecord::PartitionsAdded { name, partitions });
            }
            5 if self.chance(4) => self.bench.create(&format!("c-{}", self.rng.below(4)), 2),
            6 => self.pass(i64::try_from(self.rng.below(9_000)).expect("small")),
            7 if self.chance(4) => self.bench.coordinator = self.bench.replayed(),
            8..=12 => {
                if let Some(index) = self.pick() {
                    self.follow(index);
                }
            }
            _ => {
                if let Some(index) = self.pick() {
                    let answers_arrive = !self.chance(5);
                    self.beat(index, answers_arrive);
                }
            }
        }
    }

    fn check(&self) {
        let mut owners: BTreeMap<(Uuid, i32), &str> = BTreeMap::new();
        for client in &self.clients {
            for partition in &client.owned {
                let other = owners.insert(*partition, &client.member_id);
                assert_eq!(other, None, "seed={}: {partition:?} is also {}'s", self.seed, client.member_id);
            }
        }
        let Some(group) = self.bench.coordinator.group("g").and_then(AnyGroup::as_consumer) else { return };
        let mut held = BTreeMap::new();
        for member in group.members() {
            for partition in member.assigned.iter().chain(&member.revoking) {
                let other = held.insert(*partition, &member.member_id);
                assert_eq!(other, None, "seed={}: {partition:?} is held twice", self.seed);
            }
        }
        assert_eq!(held.len(), group.owners.len(), "seed={}", self.seed);
    }

    /// Without further trouble everybody gets to the target, and every partition that is subscribed to is read.
    fn settle(&mut self) {
        for _ in 0..200 {
            for index in 0..self.clients.len() {
                self.beat(index, true);
                self.follow(index);
                self.follow(index);
                self.check();
            }
            self.pass(1_000);
            let arrived = |client: &Client| client.epoch > 0 && client.owned == client.target;
            let stable = self.bench.group().state() == ConsumerGroupState::Stable;
            if stable && self.clients.iter().all(arrived) {
                break;
            }
        }
        let group = self.bench.group();
        assert_eq!(group.state(), ConsumerGroupState::Stable, "seed={}: {group:#?}", self.seed);
        let owned: PartitionSet = self.clients.iter().flat_map(|client| client.owned.clone()).collect();
        let read = |name: &str| {
            self.clients.iter().any(|client| {
                client.topics.iter().any(|topic| topic == name)
                    || (client.regex.is_some() && name.starts_with("c-"))
            })
        };
        let expected: PartitionSet = self
            .bench
            .image
            .topics()
            .filter(|topic| read(&topic.name))
            .flat_map(|topic| (0..topic.partitions).map(move |partition| (topic.id.0, partition)))
            .collect();
        assert_eq!(owned, expected, "seed={}", self.seed);
    }
}

#[test]
fn no_partition_ever_has_two_owners() {
    for seed in 0..SEEDS {
        let mut churn = Churn::new(seed);
        for _ in 0..STEPS {
            churn.step();
            churn.check();
        }
        while churn.clients.len() < 3 {
            churn.join();
        }
        churn.settle();
        churn.bench.check_replay();
    }
}

#[test]
fn a_large_group_settles_evenly() {
    let mut churn = Churn::new(1);
    churn.bench.create("large", 500);
    for number in 0..100 {
        churn.clients.push(Client {
            member_id: format!("m{number:03}"),
            instance_id: None,
            topics: vec!["large".to_owned()],
            regex: None,
            assignor: None,
            epoch: 0,
            owned: PartitionSet::new(),
            target: PartitionSet::new(),
            stated: None,
            full: false,
        });
        churn.beat(number, true);
    }
    churn.settle();
    assert!(churn.clients.iter().all(|client| client.owned.len() == 5));
}
