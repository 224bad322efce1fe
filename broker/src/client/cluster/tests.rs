//! The transport against scripted brokers.

use std::sync::atomic::{AtomicI32, Ordering};

use super::*;
use crate::client::admin::Admin;
use crate::client::tests::ScriptedTransport;
use crate::ids::TopicPartition;
use crate::log::access::{Isolation, OffsetSpec};
use crate::protocol::messages::delete_groups::{
    DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse,
};
use crate::protocol::messages::describe_cluster::{DescribeClusterRequest, DescribeClusterResponse};
use crate::protocol::messages::find_coordinator::{Coordinator, FindCoordinatorResponse};
use crate::protocol::messages::list_groups::{ListGroupsRequest, ListGroupsResponse, ListedGroup};
use crate::protocol::messages::list_offsets::{
    ListOffsetsPartitionResponse, ListOffsetsResponse, ListOffsetsTopicResponse,
};
use crate::protocol::messages::metadata::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};

const BOOTSTRAP: &str = "given:9092";

/// State that the brokers of a test share.
#[derive(Debug)]
struct World {
    brokers: i32,
    /// Leader of the partitions of topic "t" with even numbers; the others' is broker 1.
    leader: AtomicI32,
    /// Coordinator of groups whose names begin with "m"; the others' is broker 1.
    coordinator: AtomicI32,
    /// A broker that cannot be reached.
    lost: AtomicI32,
}

impl World {
    fn of(brokers: i32) -> Arc<Self> {
        let two = || AtomicI32::new(2);
        Arc::new(Self { brokers, leader: two(), coordinator: two(), lost: AtomicI32::new(NO_BROKER) })
    }

    fn leader_of(&self, partition: i32) -> i32 {
        if partition % 2 == 0 { self.leader.load(Ordering::SeqCst).min(self.brokers) } else { 1 }
    }

    fn coordinator_of(&self, group: &str) -> i32 {
        if group.starts_with('m') { self.coordinator.load(Ordering::SeqCst) } else { 1 }
    }

    fn metadata(&self, request: &MetadataRequest) -> MetadataResponse {
        let broker = |node_id| MetadataResponseBroker {
            node_id,
            host: format!("b{node_id}"),
            port: 9092,
            ..Default::default()
        };
        let partition = |partition_index| MetadataResponsePartition {
            partition_index,
            leader_id: self.leader_of(partition_index),
            leader_epoch: self.leader.load(Ordering::SeqCst),
            ..Default::default()
        };
        let topic = MetadataResponseTopic {
            name: Some("t".to_owned()),
            partitions: (0..4).map(partition).collect(),
            ..Default::default()
        };
        MetadataResponse {
            brokers: (1..=self.brokers).map(broker).collect(),
            controller_id: 1,
            topics: request.topics.iter().flatten().map(|_| topic.clone()).collect(),
            ..Default::default()
        }
    }

    /// The answer of broker `id`.
    fn answer(&self, id: i32, request: &Request) -> Result<Response, TransportError> {
        if self.lost.load(Ordering::SeqCst) == id {
            return Err(TransportError::Connect { address: format!("b{id}"), reason: "lost".to_owned() });
        }
        Ok(match request {
            Request::Metadata(request) => self.metadata(request).into(),
            Request::DescribeCluster(_) => DescribeClusterResponse::default().into(),
            Request::ListGroups(_) => {
                let group = ListedGroup { group_id: format!("of {id}"), ..Default::default() };
                ListGroupsResponse { groups: vec![group], ..Default::default() }.into()
            }
            Request::FindCoordinator(request) => {
                let coordinator = |key: &String| Coordinator {
                    key: key.clone(),
                    node_id: self.coordinator_of(key),
                    ..Default::default()
                };
                let coordinators = request.coordinator_keys.iter().map(coordinator).collect();
                FindCoordinatorResponse { coordinators, ..Default::default() }.into()
            }
            Request::DeleteGroups(request) => {
                let result = |group: &String| DeletableGroupResult {
                    group_id: group.clone(),
                    error_code: refusal(self.coordinator_of(group) != id, ErrorCode::NotCoordinator),
                };
                let results = request.groups_names.iter().map(result).collect();
                DeleteGroupsResponse { results, ..Default::default() }.into()
            }
            Request::ListOffsets(request) => {
                let topic = &request.topics[0];
                let partition = |index: i32| ListOffsetsPartitionResponse {
                    partition_index: index,
                    error_code: refusal(self.leader_of(index) != id, ErrorCode::NotLeaderOrFollower),
                    offset: i64::from(100 * id + index),
                    ..Default::default()
                };
                let indexes = request.topics.iter().flat_map(|topic| &topic.partitions);
                let topic = ListOffsetsTopicResponse {
                    name: topic.name.clone(),
                    partitions: indexes.map(|p| partition(p.partition_index)).collect(),
                };
                ListOffsetsResponse { topics: vec![topic], ..Default::default() }.into()
            }
            other => panic!("{other:?}"),
        })
    }
}

fn refusal(is_refused: bool, code: ErrorCode) -> ErrorCode {
    if is_refused { code } else { ErrorCode::None }
}

/// The transport, and the brokers by address; the given address is broker 1's.
fn cluster(world: &Arc<World>) -> (ClusterTransport, BTreeMap<String, Arc<ScriptedTransport>>) {
    let mut brokers = BTreeMap::new();
    let addresses = (1..=world.brokers).map(|id| (format!("b{id}:9092"), id));
    for (address, id) in addresses.chain([(BOOTSTRAP.to_owned(), 1)]) {
        let world = Arc::clone(world);
        brokers.insert(address, ScriptedTransport::new(move |request| world.answer(id, request)));
    }
    let connected = brokers.clone();
    let connect = move |address: &str| -> Arc<dyn Transport> { connected[address].clone() };
    let bootstrap = vec![BOOTSTRAP.to_owned()];
    (ClusterTransport::new(bootstrap, MetadataCacheConfig::default(), connect), brokers)
}

fn apis(broker: &ScriptedTransport) -> Vec<ApiKey> {
    broker.requests().iter().map(Request::api_key).collect()
}

async fn end_offsets(transport: &ClusterTransport) -> crate::client::error::Result<Vec<Option<i64>>> {
    let wanted: Vec<_> =
        [2, 1, 0, 3].map(|p| (TopicPartition::new("t", p), OffsetSpec::Latest)).into_iter().collect();
    let admin = Admin::new(Arc::new(transport.clone()));
    let listed = admin.list_offsets(&wanted, Isolation::ReadUncommitted).await?;
    Ok(listed.into_iter().map(|listed| listed.offset).collect())
}

#[tokio::test]
async fn a_single_broker_is_talked_to_at_the_given_address() {
    let world = World::of(1);
    let (transport, brokers) = cluster(&world);
    transport.send(DescribeClusterRequest::default().into()).await.expect("answered");
    assert_eq!(end_offsets(&transport).await.expect("listed")[0], Some(102));
    let expected = [ApiKey::Metadata, ApiKey::DescribeCluster, ApiKey::ListOffsets];
    assert_eq!(apis(&brokers[BOOTSTRAP]), expected);
    assert!(brokers["b1:9092"].requests().is_empty(), "what it advertises may not be reachable");
}

#[tokio::test]
async fn partitions_are_asked_of_their_leaders() {
    let world = World::of(2);
    let (transport, brokers) = cluster(&world);
    let listed = end_offsets(&transport).await.expect("listed");
    assert_eq!(listed, [202, 101, 200, 103].map(Some), "in the order of the question");
    let epochs: Vec<i32> = brokers["b2:9092"]
        .requests()
        .into_iter()
        .filter_map(|request| match request {
            Request::ListOffsets(request) => Some(request.topics[0].partitions[0].current_leader_epoch),
            _ => None,
        })
        .collect();
    assert_eq!(epochs, [2], "the epoch that is known");
}

#[tokio::test]
async fn a_refusal_of_a_former_leader_leads_to_the_new_one() {
    let world = World::of(3);
    let (transport, brokers) = cluster(&world);
    end_offsets(&transport).await.expect("listed");
    world.leader.store(3, Ordering::SeqCst);
    let refused = end_offsets(&transport).await.expect_err("broker 2 leads no more");
    assert_eq!(refused.code(), Some(ErrorCode::NotLeaderOrFollower));
    assert_eq!(end_offsets(&transport).await.expect("listed")[0], Some(302));
    let asked = apis(&brokers[BOOTSTRAP]).into_iter().filter(|api| *api == ApiKey::Metadata);
    assert_eq!(asked.count(), 3, "for brokers, for the topic, and anew");
}

#[tokio::test]
async fn groups_are_shared_out_among_their_coordinators() {
    let world = World::of(3);
    let (transport, brokers) = cluster(&world);
    let delete = || {
        let groups_names = ["a", "m", "n"].map(str::to_owned).to_vec();
        transport.send(DeleteGroupsRequest { groups_names }.into())
    };
    let codes = |answer: Result<Response, TransportError>| {
        let Ok(Response::DeleteGroups(answer)) = answer else { panic!("{answer:?}") };
        let mut codes: Vec<_> =
            answer.results.into_iter().map(|result| (result.group_id, result.error_code)).collect();
        codes.sort_by(|a, b| a.0.cmp(&b.0));
        codes.into_iter().map(|(_, code)| code).collect::<Vec<_>>()
    };
    assert_eq!(codes(delete().await), [ErrorCode::None; 3]);
    world.coordinator.store(3, Ordering::SeqCst);
    assert_eq!(codes(delete().await)[1], ErrorCode::NotCoordinator);
    assert_eq!(codes(delete().await), [ErrorCode::None; 3], "the coordinator was looked up again");
    assert_eq!(apis(&brokers["b3:9092"]), [ApiKey::DeleteGroups]);
}

#[tokio::test]
async fn what_each_broker_knows_in_part_is_asked_of_all() {
    let world = World::of(3);
    let (transport, _) = cluster(&world);
    let answer = transport.send(ListGroupsRequest::default().into()).await;
    let Ok(Response::ListGroups(answer)) = answer else { panic!("{answer:?}") };
    let groups: Vec<&str> = answer.groups.iter().map(|group| group.group_id.as_str()).collect();
    assert_eq!(groups, ["of 1", "of 2", "of 3"]);
}

#[tokio::test]
async fn when_a_broker_is_lost_another_one_is_asked() {
    let world = World::of(2);
    let (transport, brokers) = cluster(&world);
    let describe = || transport.send(DescribeClusterRequest::default().into());
    describe().await.expect("answered");
    world.lost.store(1, Ordering::SeqCst);
    assert!(describe().await.is_err(), "whether to send it again only the caller knows");
    describe().await.expect("answered by broker 2");
    assert_eq!(apis(&brokers["b2:9092"]), [ApiKey::Metadata, ApiKey::DescribeCluster]);
}
