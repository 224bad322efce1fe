//! Many consumers: who waits costs others nothing, and a group costs what its members cost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use uuid::Uuid;
use weir_broker::client::admin::Admin;
use weir_broker::client::transport::Transport;
use weir_broker::env::open_files::OpenFiles;
use weir_broker::ids::TopicPartition;
use weir_broker::protocol::api_key::ApiKey;
use weir_broker::protocol::error_code::ErrorCode;
use weir_broker::protocol::frame::decode_response;
use weir_broker::protocol::messages::consumer_group_heartbeat::{
    ConsumerGroupHeartbeatRequest, TopicPartitions,
};
use weir_broker::protocol::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
use weir_broker::protocol::request::Request;
use weir_broker::protocol::response::Response;

use crate::scale::child::{Child, Options, PATIENCE};
use crate::scale::crowd::{Peer, many};
use crate::scale::number;
use crate::scale::traffic::{Traffic, produce_to_all};

const WATCHED: &str = "watched";
const FETCH_VERSION: i16 = 12;
/// Rounds of other clients that are measured.
const ROUNDS: u64 = 400;

fn long_poll() -> Request {
    let partition = FetchPartition { partition_max_bytes: 1 << 20, ..FetchPartition::default() };
    let topic =
        FetchTopic { topic: WATCHED.to_owned(), partitions: vec![partition], ..FetchTopic::default() };
    let request = FetchRequest {
        replica_id: -1,
        max_wait_ms: 60_000,
        min_bytes: 1,
        max_bytes: 1 << 20,
        topics: vec![topic],
        ..FetchRequest::default()
    };
    request.into()
}

/// Processor time of the broker for a round of other clients.
async fn cost_of_a_round(child: &Child, traffic: &Traffic) -> Duration {
    let (cpu, rounds) = (child.cpu(), traffic.rounds());
    traffic.more(ROUNDS).await;
    (child.cpu() - cpu) / u32::try_from(traffic.rounds() - rounds).expect("few")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_polls_cost_those_who_do_not_wait_nothing() {
    let count = number("WEIR_SCALE_CONNECTIONS", 2_000);
    let _ = OpenFiles::raise();
    let dir = tempfile::tempdir().expect("a directory");
    let mut child = Child::start(dir.path(), &Options::default()).await;
    Admin::new(child.transport()).create_topic(WATCHED, 1, &BTreeMap::new()).await.expect("created");
    let traffic = Traffic::start(&child).await;
    traffic.more(ROUNDS).await;
    let alone = cost_of_a_round(&child, &traffic).await;

    let address = child.address.clone();
    let mut peers = many(count, |_| async {
        let mut peer = Peer::connect(&address).await;
        assert!(peer.greet().await);
        peer.send(&long_poll(), FETCH_VERSION).await.expect("sent");
        peer
    })
    .await;
    let beside = cost_of_a_round(&child, &traffic).await;
    traffic.end().await;

    let (cpu, waking) = (child.cpu(), Instant::now());
    produce_to_all(child.transport(), &[TopicPartition::new(WATCHED, 0)]).await;
    for peer in &mut peers {
        let answer = peer.receive().await.expect("an answer");
        let (_, response) =
            decode_response(ApiKey::Fetch, FETCH_VERSION, answer.into()).expect("well formed");
        let Response::Fetch(response) = response else { panic!("a fetch response is due") };
        let records = response.responses[0].partitions[0].records.as_ref();
        assert!(records.is_some_and(|records| !records.is_empty()), "who waited gets the record");
    }
    let (woken, waking) = ((child.cpu() - cpu) / u32::try_from(count).expect("few"), waking.elapsed());
    println!(
        "{count} long polls: a round of others costs {beside:.0?} of processor time, {alone:.0?} without them; waking \
         all took {waking:.0?}, {woken:.0?} of processor time for each"
    );
    // The clock of processor time is coarse, and so is this bound: a scan of all that wait would cost far more.
    assert!(beside <= alone * 3 + Duration::from_micros(200), "{beside:?} instead of {alone:?}");
    drop(peers);
    child.until("connections", |open| open == 0).await;
    child.stop().await;
}

/// A member of a group of the new protocol, as far as it matters here.
#[derive(Debug)]
struct Member {
    group: String,
    id: String,
    epoch: i32,
    owned: Vec<TopicPartitions>,
}

impl Member {
    fn new(group: usize) -> Self {
        let (group, id) = (format!("group-{group}"), Uuid::new_v4().to_string());
        Member { group, id, epoch: 0, owned: Vec::new() }
    }

    async fn heartbeat(&mut self, transport: &dyn Transport) {
        let joins = self.epoch == 0;
        let request = ConsumerGroupHeartbeatRequest {
            group_id: self.group.clone(),
            member_id: self.id.clone(),
            member_epoch: self.epoch,
            rebalance_timeout_ms: if joins { 60_000 } else { -1 },
            subscribed_topic_names: joins.then(|| vec![WATCHED.to_owned()]),
            topic_partitions: Some(self.owned.clone()),
            ..ConsumerGroupHeartbeatRequest::default()
        };
        let answer = transport.send(Request::ConsumerGroupHeartbeat(request)).await.expect("answered");
        let Response::ConsumerGroupHeartbeat(answer) = answer else { panic!("a heartbeat is answered") };
        assert_eq!(answer.error_code, ErrorCode::None, "{:?}", answer.error_message);
        self.epoch = answer.member_epoch;
        if let Some(assignment) = answer.assignment {
            self.owned = assignment.topic_partitions;
        }
    }

    fn partitions(&self) -> impl Iterator<Item = i32> {
        self.owned.iter().flat_map(|topic| topic.partitions.iter().copied())
    }
}

/// Lets every member send a heartbeat. Some at once, over a few connections.
async fn beat(transports: &[Arc<dyn Transport>], members: &[Arc<Mutex<Member>>]) {
    many(members.len(), |index| async move {
        members[index].lock().await.heartbeat(transports[index % transports.len()].as_ref()).await;
    })
    .await;
}

/// The members of `groups` groups, which have shared the partitions out.
async fn settle(
    transports: &[Arc<dyn Transport>],
    groups: std::ops::Range<usize>,
    partitions: i32,
) -> Vec<Arc<Mutex<Member>>> {
    const MEMBERS: usize = 10;
    let members: Vec<_> = groups
        .flat_map(|group| (0..MEMBERS).map(move |_| Arc::new(Mutex::new(Member::new(group)))))
        .collect();
    let deadline = Instant::now() + PATIENCE;
    loop {
        beat(transports, &members).await;
        let mut owners = BTreeMap::<String, BTreeSet<i32>>::new();
        let mut count = 0;
        for member in &members {
            let member = member.lock().await;
            count += member.partitions().count();
            owners.entry(member.group.clone()).or_default().extend(member.partitions());
        }
        let complete = owners.values().all(|owned| owned.len() == partitions as usize);
        if complete && count == members.len() / MEMBERS * partitions as usize {
            return members;
        }
        assert!(Instant::now() < deadline, "groups do not settle: {owners:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_heartbeat_costs_the_same_in_few_and_in_many_groups() {
    const PARTITIONS: i32 = 20;
    let groups = number("WEIR_SCALE_GROUPS", 200);
    let dir = tempfile::tempdir().expect("a directory");
    let child = Child::start(dir.path(), &Options::default()).await;
    Admin::new(child.transport()).create_topic(WATCHED, PARTITIONS, &BTreeMap::new()).await.expect("created");
    let transports: Vec<_> = (0..4).map(|_| child.transport()).collect();

    let cost = async |members: &[Arc<Mutex<Member>>], wanted: usize| {
        let rounds = wanted.div_ceil(members.len());
        let cpu = child.cpu();
        for _ in 0..rounds {
            beat(&transports, members).await;
        }
        (child.cpu() - cpu) / u32::try_from(rounds * members.len()).expect("few")
    };
    let few = settle(&transports, 0..2, PARTITIONS).await;
    let in_few = cost(&few, 10_000).await;
    let settling = Instant::now();
    let many = settle(&transports, 2..groups, PARTITIONS).await;
    let settled = settling.elapsed();
    let in_many = cost(&many, 10_000).await;
    println!(
        "{groups} groups of 10 members settled in {settled:.1?}; a heartbeat costs {in_many:.0?} of processor time, \
         {in_few:.0?} with 2 groups; RSS {} MiB",
        child.rss() >> 20
    );
    assert!(in_many <= in_few * 3 + Duration::from_micros(100), "{in_many:?} instead of {in_few:?}");
    child.stop().await;
}
