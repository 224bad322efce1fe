//! Administration as clients see it, request by request: settings, replicas, resources.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use weir_broker::broker::Broker;
use weir_broker::client::admin::Admin;
use weir_broker::client::transport::Transport;
use weir_broker::config::BrokerConfig;
use weir_broker::protocol::error_code::ErrorCode;
use weir_broker::protocol::messages::alter_partition_reassignments::{
    AlterPartitionReassignmentsRequest, ReassignablePartition, ReassignableTopic,
};
use weir_broker::protocol::messages::alter_replica_log_dirs::{
    AlterReplicaLogDir, AlterReplicaLogDirTopic, AlterReplicaLogDirsRequest,
};
use weir_broker::protocol::messages::api_versions::ApiVersionsRequest;
use weir_broker::protocol::messages::consumer_group_heartbeat::ConsumerGroupHeartbeatRequest;
use weir_broker::protocol::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult,
};
use weir_broker::protocol::messages::describe_quorum::{DescribeQuorumRequest, WantedPartition, WantedTopic};
use weir_broker::protocol::messages::elect_leaders::{ElectLeadersRequest, TopicPartitions};
use weir_broker::protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use weir_broker::protocol::messages::list_config_resources::ListConfigResourcesRequest;
use weir_broker::protocol::messages::list_partition_reassignments::ListPartitionReassignmentsRequest;
use weir_broker::protocol::request::Request;
use weir_broker::protocol::response::Response;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;

async fn start(dir: &Path) -> Broker {
    let mut config = BrokerConfig::new(dir);
    config.listeners.clear();
    Broker::start(config).await.expect("the broker starts")
}

/// Sends a request in the process and takes the answer of the same API.
macro_rules! call {
    ($transport:expr, $api:ident, $request:expr) => {
        match $transport.send(Request::$api($request)).await.expect("answered") {
            Response::$api(response) => response,
            other => panic!("{other:?}"),
        }
    };
}

async fn alter(
    transport: &Arc<dyn Transport>,
    resource_type: i8,
    name: &str,
    operation: i8,
    setting: (&str, &str),
) -> ErrorCode {
    let config = AlterableConfig {
        name: setting.0.to_owned(),
        config_operation: operation,
        value: Some(setting.1.to_owned()),
    };
    let resource =
        AlterConfigsResource { resource_type, resource_name: name.to_owned(), configs: vec![config] };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
    call!(transport, IncrementalAlterConfigs, request).responses[0].error_code
}

async fn describe(
    transport: &Arc<dyn Transport>,
    resource_type: i8,
    name: &str,
) -> BTreeMap<String, DescribeConfigsResourceResult> {
    let resource =
        DescribeConfigsResource { resource_type, resource_name: name.to_owned(), configuration_keys: None };
    let request = DescribeConfigsRequest {
        resources: vec![resource],
        include_synonyms: true,
        include_documentation: true,
    };
    let result = call!(transport, DescribeConfigs, request).results.remove(0);
    assert_eq!(result.error_code, ErrorCode::None);
    result.configs.into_iter().map(|config| (config.name.clone(), config)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_come_from_the_topic_the_broker_the_cluster_or_the_default() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = start(dir.path()).await;
    let transport = broker.transport();
    Admin::new(transport.clone()).create_topic("t", 1, &BTreeMap::new()).await.expect("created");
    let in_force = async |transport: &Arc<dyn Transport>| {
        let config = describe(transport, TOPIC, "t").await.remove("retention.ms").expect("listed");
        let sources: Vec<i8> = config.synonyms.iter().map(|synonym| synonym.source).collect();
        (config.value.expect("has a value"), config.config_source, sources)
    };
    assert_eq!(in_force(&transport).await, ("604800000".to_owned(), 5, vec![5]));
    assert_eq!(alter(&transport, BROKER, "", SET, ("log.retention.ms", "1000")).await, ErrorCode::None);
    assert_eq!(in_force(&transport).await, ("1000".to_owned(), 3, vec![3, 5]));
    assert_eq!(alter(&transport, BROKER, "1", SET, ("log.retention.ms", "2000")).await, ErrorCode::None);
    assert_eq!(in_force(&transport).await, ("2000".to_owned(), 2, vec![2, 3, 5]));
    assert_eq!(alter(&transport, TOPIC, "t", SET, ("retention.ms", "3000")).await, ErrorCode::None);
    assert_eq!(in_force(&transport).await, ("3000".to_owned(), 1, vec![1, 2, 3, 5]));

    let topic = describe(&transport, TOPIC, "t").await;
    assert!(topic.values().all(|config| config.documentation.as_ref().is_some_and(|text| text.len() > 10)));
    assert_eq!((topic["retention.ms"].config_type, topic["cleanup.policy"].config_type), (5, 7));
    let own = describe(&transport, BROKER, "1").await;
    assert_eq!(own["log.retention.ms"].value.as_deref(), Some("2000"));
    assert!(own["broker.id"].read_only && !own["log.retention.ms"].read_only);
    assert!(own.values().all(|config| config.documentation.as_ref().is_some_and(|text| text.len() > 10)));
    assert_eq!((own["num.partitions"].config_type, own["group.consumer.assignors"].config_type), (3, 7));
    let cluster = describe(&transport, BROKER, "").await;
    assert_eq!(cluster.keys().collect::<Vec<_>>(), ["log.retention.ms"]);
    assert_eq!(cluster["log.retention.ms"].value.as_deref(), Some("1000"));

    let refused = alter(&transport, BROKER, "1", SET, ("broker.id", "7")).await;
    assert_eq!(refused, ErrorCode::InvalidConfig);
    assert_eq!(alter(&transport, BROKER, "1", SET, ("nonsense", "7")).await, ErrorCode::InvalidConfig);
    assert_eq!(
        alter(&transport, BROKER, "9", SET, ("log.retention.ms", "7")).await,
        ErrorCode::InvalidRequest
    );
    assert_eq!(alter(&transport, TOPIC, "t", SET, ("retention.ms", "x")).await, ErrorCode::InvalidConfig);
    broker.shutdown().await.expect("a clean end");

    let broker = start(dir.path()).await;
    let transport = broker.transport();
    assert_eq!(in_force(&transport).await.0, "3000");
    assert_eq!(alter(&transport, TOPIC, "t", DELETE, ("retention.ms", "")).await, ErrorCode::None);
    assert_eq!(alter(&transport, BROKER, "1", DELETE, ("log.retention.ms", "")).await, ErrorCode::None);
    assert_eq!(in_force(&transport).await, ("1000".to_owned(), 3, vec![3, 5]));
    broker.shutdown().await.expect("a clean end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_may_have_its_own_timeouts() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = start(dir.path()).await;
    let transport = broker.transport();
    let interval = async |group_id: &str| {
        let request = ConsumerGroupHeartbeatRequest {
            group_id: group_id.to_owned(),
            member_id: "m".to_owned(),
            rebalance_timeout_ms: 1_000,
            subscribed_topic_names: Some(vec!["t".to_owned()]),
            topic_partitions: Some(Vec::new()),
            ..ConsumerGroupHeartbeatRequest::default()
        };
        let answer = call!(transport, ConsumerGroupHeartbeat, request);
        assert_eq!(answer.error_code, ErrorCode::None);
        answer.heartbeat_interval_ms
    };
    let setting = ("consumer.heartbeat.interval.ms", "700");
    assert_eq!(alter(&transport, GROUP, "g", SET, setting).await, ErrorCode::None);
    assert_eq!((interval("g").await, interval("h").await), (700, 5_000));
    let described = describe(&transport, GROUP, "g").await;
    let config = &described["consumer.heartbeat.interval.ms"];
    assert_eq!((config.value.as_deref(), config.config_source), (Some("700"), 8));
    assert_eq!(described["consumer.session.timeout.ms"].value.as_deref(), Some("45000"));
    let refused = alter(&transport, GROUP, "g", SET, ("consumer.session.timeout.ms", "1")).await;
    assert_eq!(refused, ErrorCode::InvalidConfig);
    assert_eq!(alter(&transport, GROUP, "g", SET, ("nonsense", "1")).await, ErrorCode::InvalidConfig);
    assert_eq!(alter(&transport, GROUP, "g", DELETE, setting).await, ErrorCode::None);
    assert_eq!(interval("g").await, 5_000);
    broker.shutdown().await.expect("a clean end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_are_where_they_are() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = start(dir.path()).await;
    let transport = broker.transport();
    Admin::new(transport.clone()).create_topic("t", 1, &BTreeMap::new()).await.expect("created");
    let elect = async |topic_partitions| {
        let request = ElectLeadersRequest { topic_partitions, ..ElectLeadersRequest::default() };
        let response = call!(transport, ElectLeaders, request);
        assert_eq!(response.error_code, ErrorCode::None);
        let results = response.replica_election_results.into_iter();
        results.flat_map(|topic| topic.partition_result).map(|result| result.error_code).collect::<Vec<_>>()
    };
    let wanted = TopicPartitions { topic: "t".to_owned(), partitions: vec![0, 1] };
    let codes = elect(Some(vec![wanted])).await;
    assert_eq!(codes, [ErrorCode::ElectionNotNeeded, ErrorCode::UnknownTopicOrPartition]);
    assert!(elect(None).await.is_empty());

    let reassign = async |replicas: Option<Vec<i32>>, partition_index| {
        let partition = ReassignablePartition { partition_index, replicas };
        let topic = ReassignableTopic { name: "t".to_owned(), partitions: vec![partition] };
        let request = AlterPartitionReassignmentsRequest {
            topics: vec![topic],
            ..AlterPartitionReassignmentsRequest::default()
        };
        call!(transport, AlterPartitionReassignments, request).responses[0].partitions[0].error_code
    };
    assert_eq!(reassign(Some(vec![1]), 0).await, ErrorCode::None);
    assert_eq!(reassign(Some(vec![1, 2]), 0).await, ErrorCode::InvalidReplicaAssignment);
    assert_eq!(reassign(None, 0).await, ErrorCode::NoReassignmentInProgress);
    assert_eq!(reassign(Some(vec![1]), 5).await, ErrorCode::UnknownTopicOrPartition);
    let request = ListPartitionReassignmentsRequest::default();
    assert!(call!(transport, ListPartitionReassignments, request).topics.is_empty());

    let own = dir.path().display().to_string();
    let move_to = async |path: &str, partition| {
        let topic = AlterReplicaLogDirTopic { name: "t".to_owned(), partitions: vec![partition] };
        let dir = AlterReplicaLogDir { path: path.to_owned(), topics: vec![topic] };
        let request = AlterReplicaLogDirsRequest { dirs: vec![dir] };
        call!(transport, AlterReplicaLogDirs, request).results[0].partitions[0].error_code
    };
    assert_eq!(move_to(&own, 0).await, ErrorCode::None);
    assert_eq!(move_to(&own, 3).await, ErrorCode::UnknownTopicOrPartition);
    assert_eq!(move_to("/elsewhere", 0).await, ErrorCode::LogDirNotFound);
    broker.shutdown().await.expect("a clean end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resources_and_features_are_listed() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = start(dir.path()).await;
    let transport = broker.transport();
    Admin::new(transport.clone()).create_topic("t", 1, &BTreeMap::new()).await.expect("created");
    let list = async |resource_types: &[i8]| {
        let request = ListConfigResourcesRequest { resource_types: resource_types.to_vec() };
        call!(transport, ListConfigResources, request)
    };
    let all: Vec<_> =
        list(&[]).await.config_resources.into_iter().map(|r| (r.resource_type, r.resource_name)).collect();
    assert!(all.contains(&(TOPIC, "t".to_owned())) && all.contains(&(BROKER, "1".to_owned())));
    assert!(list(&[CLIENT_METRICS]).await.config_resources.is_empty());
    assert_eq!(list(&[99]).await.error_code, ErrorCode::UnsupportedVersion);

    let versions = call!(transport, ApiVersions, ApiVersionsRequest::default());
    let levels: BTreeMap<_, _> =
        versions.finalized_features.into_iter().map(|f| (f.name, f.max_version_level)).collect();
    assert_eq!((levels["group.version"], levels["transaction.version"]), (1, 2));
    let produce = versions.api_keys.iter().find(|api| api.api_key == 0).expect("served");
    assert_eq!((produce.min_version, produce.max_version), (0, 13));
    broker.shutdown().await.expect("a clean end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriptions_to_client_metrics_are_checked_kept_and_listed() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = start(dir.path()).await;
    let transport = broker.transport();
    let set = async |setting| alter(&transport, CLIENT_METRICS, "orders", SET, setting).await;
    assert_eq!(set(("interval.ms", "50")).await, ErrorCode::InvalidConfig);
    assert_eq!(set(("match", "nobody=x")).await, ErrorCode::InvalidConfig);
    assert_eq!(set(("match", "client_id=(")).await, ErrorCode::InvalidConfig);
    assert_eq!(set(("retention.ms", "5")).await, ErrorCode::InvalidConfig);
    assert_eq!(set(("interval.ms", "500")).await, ErrorCode::None);
    assert_eq!(set(("match", "client_id=orders.*")).await, ErrorCode::None);
    assert_eq!(set(("metrics", "a.")).await, ErrorCode::None);
    let append = alter(&transport, CLIENT_METRICS, "orders", APPEND, ("metrics", "b.")).await;
    assert_eq!(append, ErrorCode::None);
    let nameless = alter(&transport, CLIENT_METRICS, "", SET, ("metrics", "a.")).await;
    assert_eq!(nameless, ErrorCode::InvalidRequest);
    broker.shutdown().await.expect("a clean end");

    let broker = start(dir.path()).await;
    let transport = broker.transport();
    let described = describe(&transport, CLIENT_METRICS, "orders").await;
    let value = |name: &str| (described[name].value.as_deref(), described[name].config_source);
    assert_eq!(value("metrics"), (Some("a.,b."), 7));
    assert_eq!(value("interval.ms"), (Some("500"), 7));
    assert_eq!(value("match"), (Some("client_id=orders.*"), 7));
    let unset = describe(&transport, CLIENT_METRICS, "another").await;
    assert_eq!(
        (unset["interval.ms"].value.as_deref(), unset["interval.ms"].config_source),
        (Some("300000"), 5)
    );
    let list = async || {
        let request = ListConfigResourcesRequest { resource_types: vec![CLIENT_METRICS] };
        let resources = call!(transport, ListConfigResources, request).config_resources;
        resources.into_iter().map(|resource| resource.resource_name).collect::<Vec<_>>()
    };
    assert_eq!(list().await, ["orders"]);
    for setting in ["metrics", "interval.ms", "match"] {
        let code = alter(&transport, CLIENT_METRICS, "orders", DELETE, (setting, "")).await;
        assert_eq!(code, ErrorCode::None);
    }
    assert!(list().await.is_empty());
    broker.shutdown().await.expect("a clean end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_only_node_is_the_only_voter() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = start(dir.path()).await;
    let transport = broker.transport();
    let describe = async |name: &str, partitions: &[i32]| {
        let wanted = |index: &i32| WantedPartition { partition_index: *index };
        let partitions = partitions.iter().map(wanted).collect();
        let topic = WantedTopic { topic_name: name.to_owned(), partitions };
        call!(transport, DescribeQuorum, DescribeQuorumRequest { topics: vec![topic] })
    };
    let before = describe("__cluster_metadata", &[0]).await;
    assert_eq!(before.error_code, ErrorCode::None);
    let partition = &before.topics[0].partitions[0];
    assert_eq!((partition.error_code, partition.leader_id), (ErrorCode::None, 1));
    let voters: Vec<_> = partition.current_voters.iter().map(|v| (v.replica_id, v.log_end_offset)).collect();
    assert_eq!(voters, [(1, partition.high_watermark)]);
    assert!(partition.observers.is_empty());
    assert_eq!(before.nodes.iter().map(|node| node.node_id).collect::<Vec<_>>(), [1]);
    Admin::new(transport.clone()).create_topic("t", 1, &BTreeMap::new()).await.expect("created");
    let after = describe("__cluster_metadata", &[0]).await;
    assert!(after.topics[0].partitions[0].high_watermark > partition.high_watermark);
    for (name, index) in [("__cluster_metadata", 1), ("t", 0)] {
        let other = describe(name, &[index]).await;
        assert_eq!(other.topics[0].partitions[0].error_code, ErrorCode::UnknownTopicOrPartition);
    }
    broker.shutdown().await.expect("a clean end");
}
