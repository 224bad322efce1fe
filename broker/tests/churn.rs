//! Members that join, leave and die all the time: a partition never has two owners, and the group settles.
//!
//! `WEIR_CHURN_SECONDS=3600` goes on for an hour instead of eight seconds.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinHandle;
use weir_broker::broker::Broker;
use weir_broker::client::admin::Admin;
use weir_broker::client::tcp::{TcpTransport, TcpTransportConfig};
use weir_broker::client::transport::Transport;
use weir_broker::config::BrokerConfig;
use weir_broker::net::config::ListenerConfig;
use weir_broker::protocol::error_code::ErrorCode;
use weir_broker::protocol::messages::heartbeat::HeartbeatRequest;
use weir_broker::protocol::messages::join_group::{
    JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse,
};
use weir_broker::protocol::messages::leave_group::{LeaveGroupRequest, MemberIdentity};
use weir_broker::protocol::messages::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};
use weir_broker::protocol::request::Request;
use weir_broker::protocol::response::Response;

const MEMBERS: usize = 200;
const PARTITIONS: usize = 240;
const SECONDS: u64 = 8;
const GROUP: &str = "churn";
const SETTLED_WITHIN: Duration = Duration::from_secs(80);

/// Who owns what, as the members themselves believe.
#[derive(Debug, Default)]
struct Owners {
    owner: HashMap<usize, u64>,
    violations: Vec<String>,
    rebalances: Vec<Duration>,
}

impl Owners {
    fn claim(&mut self, member: u64, generation: i32, partitions: &[usize]) {
        for partition in partitions {
            if let Some(other) = self.owner.insert(*partition, member).filter(|other| *other != member) {
                let violation =
                    format!("partition {partition}: {other} and {member} in generation {generation}");
                self.violations.push(violation);
            }
        }
    }

    fn release(&mut self, member: u64) {
        self.owner.retain(|_, owner| *owner != member);
    }
}

type Shared = Arc<Mutex<Owners>>;

/// A consumer of the classic protocol that gives everything up before it joins again.
struct Member {
    number: u64,
    transport: Arc<dyn Transport>,
    owners: Shared,
    id: String,
    generation: i32,
}

impl Drop for Member {
    /// A member that dies owns nothing, although the group learns of it later.
    fn drop(&mut self) {
        self.owners.lock().release(self.number);
    }
}

fn encode(partitions: &[usize]) -> Bytes {
    partitions.iter().flat_map(|partition| (*partition as u32).to_be_bytes()).collect::<Vec<u8>>().into()
}

fn decode(bytes: &[u8]) -> Vec<usize> {
    bytes.chunks_exact(4).map(|four| u32::from_be_bytes(four.try_into().expect("four")) as usize).collect()
}

impl Member {
    async fn join(&mut self) -> Option<JoinGroupResponse> {
        self.owners.lock().release(self.number);
        loop {
            let protocol = JoinGroupRequestProtocol { name: "range".to_owned(), metadata: Bytes::new() };
            let request = JoinGroupRequest {
                group_id: GROUP.to_owned(),
                session_timeout_ms: 2_000,
                rebalance_timeout_ms: 2_000,
                member_id: self.id.clone(),
                protocol_type: "consumer".to_owned(),
                protocols: vec![protocol],
                ..JoinGroupRequest::default()
            };
            let Ok(Response::JoinGroup(answer)) = self.transport.send(Request::JoinGroup(request)).await
            else {
                return None;
            };
            match answer.error_code {
                ErrorCode::None => {
                    (self.id, self.generation) = (answer.member_id.clone(), answer.generation_id);
                    return Some(answer);
                }
                ErrorCode::MemberIdRequired => self.id = answer.member_id,
                ErrorCode::UnknownMemberId => self.id = String::new(),
                ErrorCode::RebalanceInProgress => {}
                code => panic!("joining: {code:?}"),
            }
        }
    }

    /// The leader deals the partitions out; everybody gets their own. False: join again.
    async fn sync(&mut self, joined: &JoinGroupResponse) -> Option<bool> {
        let mut assignments = Vec::new();
        if joined.leader == self.id {
            for (at, member) in joined.members.iter().enumerate() {
                let own: Vec<usize> = (at..PARTITIONS).step_by(joined.members.len()).collect();
                let member_id = member.member_id.clone();
                assignments.push(SyncGroupRequestAssignment { member_id, assignment: encode(&own) });
            }
        }
        let request = SyncGroupRequest {
            group_id: GROUP.to_owned(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            protocol_type: Some("consumer".to_owned()),
            protocol_name: Some("range".to_owned()),
            assignments,
            ..SyncGroupRequest::default()
        };
        let Ok(Response::SyncGroup(answer)) = self.transport.send(Request::SyncGroup(request)).await else {
            return None;
        };
        if answer.error_code == ErrorCode::None {
            self.owners.lock().claim(self.number, self.generation, &decode(&answer.assignment));
        }
        Some(answer.error_code == ErrorCode::None)
    }

    /// Heartbeats until there is a reason to join again.
    async fn stay(&mut self) -> Option<()> {
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let request = HeartbeatRequest {
                group_id: GROUP.to_owned(),
                generation_id: self.generation,
                member_id: self.id.clone(),
                ..HeartbeatRequest::default()
            };
            let Ok(Response::Heartbeat(answer)) = self.transport.send(Request::Heartbeat(request)).await
            else {
                return None;
            };
            match answer.error_code {
                ErrorCode::None => {}
                ErrorCode::UnknownMemberId => {
                    self.id = String::new();
                    return Some(());
                }
                _ => return Some(()),
            }
        }
    }

    async fn live(mut self) {
        loop {
            let started = Instant::now();
            let Some(joined) = self.join().await else { return };
            let Some(assigned) = self.sync(&joined).await else { return };
            if assigned {
                self.owners.lock().rebalances.push(started.elapsed());
                if self.stay().await.is_none() {
                    return;
                }
            }
        }
    }
}

/// The ids of the members of the group, to leave in their names.
async fn leave(transport: &Arc<dyn Transport>, member_id: String) {
    let request = LeaveGroupRequest {
        group_id: GROUP.to_owned(),
        members: vec![MemberIdentity { member_id, ..MemberIdentity::default() }],
        ..LeaveGroupRequest::default()
    };
    // The answer makes no difference to somebody who has gone.
    drop(transport.send(Request::LeaveGroup(request)).await);
}

struct Fleet {
    address: String,
    owners: Shared,
    next: u64,
    members: Vec<JoinHandle<()>>,
}

impl Fleet {
    fn add(&mut self) {
        self.next += 1;
        let member = Member {
            number: self.next,
            transport: Arc::new(TcpTransport::new(self.address.clone(), TcpTransportConfig::default())),
            owners: Arc::clone(&self.owners),
            id: String::new(),
            generation: -1,
        };
        self.members.push(tokio::spawn(member.live()));
    }

    /// A member dies without a word.
    async fn kill(&mut self, random: &mut StdRng) {
        let at = random.random_range(0..self.members.len());
        let member = self.members.swap_remove(at);
        member.abort();
        drop(member.await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_never_has_two_owners() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = weir_broker::env::rng::test_seed();
    println!(
        "seed={seed}; again: WEIR_SEED={seed} tests/cargo.sh test --test broker_suite churn -- --nocapture"
    );
    let mut random = StdRng::seed_from_u64(seed);
    let dir = tempfile::tempdir().expect("a directory");
    let mut config = BrokerConfig::new(dir.path());
    config.listeners =
        vec![ListenerConfig { address: "127.0.0.1:0".to_owned(), ..ListenerConfig::default() }];
    config.groups.session_timeout_min_ms = 1_000;
    let broker = Broker::start(config).await.expect("starts");
    Admin::new(broker.transport()).create_topic("t", 1, &BTreeMap::new()).await.expect("created");
    let address = broker.local_addr().expect("a listener").to_string();
    let owners: Shared = Arc::default();
    let mut fleet = Fleet { address, owners: Arc::clone(&owners), next: 0, members: Vec::new() };
    (0..MEMBERS).for_each(|_| fleet.add());
    let (started, duration) =
        (Instant::now(), Duration::from_secs(number("WEIR_CHURN_SECONDS").unwrap_or(SECONDS)));
    let mut changes = 0;
    while started.elapsed() < duration {
        tokio::time::sleep(Duration::from_millis(random.random_range(50..500))).await;
        changes += 1;
        match random.random_range(0..3) {
            0 => fleet.add(),
            1 => fleet.kill(&mut random).await,
            _ => {
                fleet.kill(&mut random).await;
                fleet.add();
            }
        }
        // Somebody who was never there leaves.
        leave(&broker.transport(), format!("nobody-{changes}")).await;
    }
    let settling = Instant::now();
    while owners.lock().owner.len() < PARTITIONS {
        assert!(
            settling.elapsed() < SETTLED_WITHIN,
            "seed {seed}: {} of {PARTITIONS} partitions are owned, {} members",
            owners.lock().owner.len(),
            fleet.members.len()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut owners = owners.lock();
    assert!(owners.violations.is_empty(), "seed {seed}: {:?}", owners.violations);
    owners.rebalances.sort_unstable();
    let p99 = owners.rebalances[owners.rebalances.len() * 99 / 100];
    println!(
        "{} members, {changes} changes, {} rebalances of members, p99 {p99:?}, settled after {:?}",
        fleet.members.len(),
        owners.rebalances.len(),
        settling.elapsed()
    );
}
