//! Topics, settings, rules, users and quotas.

use std::collections::BTreeMap;

use uuid::Uuid;
use weir_broker::auth::scram::ScramMechanism;
use weir_broker::protocol::error_code::ErrorCode;
use weir_broker::protocol::messages::alter_client_quotas::{
    AlterClientQuotasRequest, EntityData, EntryData, OpData,
};
use weir_broker::protocol::messages::alter_configs::{
    AlterConfigsRequest, AlterConfigsResource, AlterableConfig,
};
use weir_broker::protocol::messages::alter_user_scram_credentials::{
    AlterUserScramCredentialsRequest, ScramCredentialDeletion, ScramCredentialUpsertion,
};
use weir_broker::protocol::messages::create_acls::{AclCreation, CreateAclsRequest};
use weir_broker::protocol::messages::create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic};
use weir_broker::protocol::messages::create_topics::{CreatableTopic, CreateTopicsRequest};
use weir_broker::protocol::messages::delete_acls::{DeleteAclsFilter, DeleteAclsRequest};
use weir_broker::protocol::messages::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use weir_broker::protocol::messages::describe_acls::DescribeAclsRequest;
use weir_broker::protocol::messages::describe_client_quotas::DescribeClientQuotasRequest;
use weir_broker::protocol::messages::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
use weir_broker::protocol::messages::describe_user_scram_credentials::DescribeUserScramCredentialsRequest;
use weir_broker::protocol::messages::incremental_alter_configs as incremental;
use weir_broker::protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic};
use weir_broker::protocol::request::Request;
use weir_broker::protocol::response::Response;

use super::{Node, call};

const ANY: i8 = 1;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_made_deleted_and_widened_stay_so() {
    let node = Node::new().await;
    let topic = CreatableTopic {
        name: "t".to_owned(),
        num_partitions: 2,
        replication_factor: -1,
        assignments: Vec::new(),
        configs: Vec::new(),
    };
    let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 30_000, validate_only: false };
    let (answer, after) = node.acknowledged(Request::CreateTopics(request)).await;
    let Response::CreateTopics(answer) = answer else { panic!("{answer:?}") };
    assert_eq!(answer.topics[0].error_code, ErrorCode::None);
    let there = after.admin().describe_topic("t").await.expect("described").expect("there");
    assert_eq!((there.id.0, there.partitions), (answer.topics[0].topic_id, 2));

    let topic = CreatePartitionsTopic { name: "t".to_owned(), count: 5, assignments: None };
    let request = CreatePartitionsRequest { topics: vec![topic], timeout_ms: 30_000, validate_only: false };
    let (answer, after) = node.acknowledged(Request::CreatePartitions(request)).await;
    let Response::CreatePartitions(answer) = answer else { panic!("{answer:?}") };
    assert_eq!(answer.results[0].error_code, ErrorCode::None);
    let there = after.admin().describe_topic("t").await.expect("described").expect("there");
    assert_eq!(there.partitions, 5);

    let topics = vec![DeleteTopicState { name: Some("t".to_owned()), topic_id: Uuid::nil() }];
    let request = DeleteTopicsRequest { topics, topic_names: Vec::new(), timeout_ms: 30_000 };
    let (answer, after) = node.acknowledged(Request::DeleteTopics(request)).await;
    let Response::DeleteTopics(answer) = answer else { panic!("{answer:?}") };
    assert_eq!(answer.responses[0].error_code, ErrorCode::None);
    assert_eq!(after.admin().describe_topic("t").await.expect("described"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_was_made_because_it_was_asked_for_stays() {
    let node = Node::new().await;
    let topic = MetadataRequestTopic { topic_id: Uuid::nil(), name: Some("t".to_owned()) };
    let request = MetadataRequest {
        topics: Some(vec![topic]),
        allow_auto_topic_creation: true,
        ..MetadataRequest::default()
    };
    let (answer, after) = node.acknowledged(Request::Metadata(request)).await;
    let Response::Metadata(answer) = answer else { panic!("{answer:?}") };
    assert_eq!(answer.topics[0].error_code, ErrorCode::None);
    let there = after.admin().describe_topic("t").await.expect("described").expect("there");
    assert_eq!(there.id.0, answer.topics[0].topic_id);
}

/// The value of a setting.
async fn setting(node: &Node, resource_type: i8, resource: &str, name: &str) -> Option<String> {
    let resource = DescribeConfigsResource {
        resource_type,
        resource_name: resource.to_owned(),
        configuration_keys: Some(vec![name.to_owned()]),
    };
    let request = DescribeConfigsRequest { resources: vec![resource], ..DescribeConfigsRequest::default() };
    let mut results = call!(node.transport, DescribeConfigs, request).results;
    results.remove(0).configs.into_iter().next().and_then(|config| config.value)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_stay_set() {
    let node = Node::with_topic("t", 1).await;
    for (resource_type, resource, name, value) in [
        (2, "t", "retention.ms", "123456"),
        (4, "", "log.retention.ms", "654321"),
        (16, "subscription", "interval.ms", "12345"),
        (32, "g", "consumer.session.timeout.ms", "50000"),
    ] {
        let config = incremental::AlterableConfig {
            name: name.to_owned(),
            config_operation: 0,
            value: Some(value.to_owned()),
        };
        let target = incremental::AlterConfigsResource {
            resource_type,
            resource_name: resource.to_owned(),
            configs: vec![config],
        };
        let request =
            incremental::IncrementalAlterConfigsRequest { resources: vec![target], validate_only: false };
        let (answer, after) = node.acknowledged(Request::IncrementalAlterConfigs(request)).await;
        let Response::IncrementalAlterConfigs(answer) = answer else { panic!("{answer:?}") };
        assert_eq!(answer.responses[0].error_code, ErrorCode::None, "{name}: {answer:?}");
        assert_eq!(setting(&after, resource_type, resource, name).await.as_deref(), Some(value));
    }
    let config = AlterableConfig { name: "segment.ms".to_owned(), value: Some("77777".to_owned()) };
    let target =
        AlterConfigsResource { resource_type: 2, resource_name: "t".to_owned(), configs: vec![config] };
    let request = AlterConfigsRequest { resources: vec![target], validate_only: false };
    let (answer, after) = node.acknowledged(Request::AlterConfigs(request)).await;
    let Response::AlterConfigs(answer) = answer else { panic!("{answer:?}") };
    assert_eq!(answer.responses[0].error_code, ErrorCode::None);
    assert_eq!(setting(&after, 2, "t", "segment.ms").await.as_deref(), Some("77777"));
    assert_eq!(setting(&after, 2, "t", "retention.ms").await.as_deref(), Some("654321"), "the broker's");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_taken_back_stay_so() {
    let node = Node::with_topic("t", 1).await;
    let before = setting(&node, 2, "t", "retention.ms").await;
    for (value, expected) in [(Some("123456"), Some("123456")), (None, before.as_deref())] {
        let set = incremental::AlterableConfig {
            name: "retention.ms".to_owned(),
            // 0: set, 1: delete.
            config_operation: i8::from(value.is_none()),
            value: value.map(str::to_owned),
        };
        let target = incremental::AlterConfigsResource {
            resource_type: 2,
            resource_name: "t".to_owned(),
            configs: vec![set],
        };
        let request =
            incremental::IncrementalAlterConfigsRequest { resources: vec![target], validate_only: false };
        let (answer, after) = node.acknowledged_again(Request::IncrementalAlterConfigs(request)).await;
        let Response::IncrementalAlterConfigs(answer) = answer else { panic!("{answer:?}") };
        assert_eq!(answer.responses[0].error_code, ErrorCode::None, "{answer:?}");
        assert_eq!(setting(&after, 2, "t", "retention.ms").await.as_deref(), expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_stay_granted_and_revoked() {
    let node = Node::new().await;
    let creation = AclCreation {
        resource_type: 2,
        resource_name: "t".to_owned(),
        resource_pattern_type: 3,
        principal: "User:alice".to_owned(),
        host: "*".to_owned(),
        operation: 3,
        permission_type: 3,
    };
    let request = CreateAclsRequest { creations: vec![creation] };
    let (answer, after) = node.acknowledged(Request::CreateAcls(request)).await;
    let Response::CreateAcls(answer) = answer else { panic!("{answer:?}") };
    assert_eq!(answer.results[0].error_code, ErrorCode::None);
    let all = || DescribeAclsRequest {
        resource_type_filter: ANY,
        pattern_type_filter: ANY,
        operation: ANY,
        permission_type: ANY,
        ..DescribeAclsRequest::default()
    };
    assert_eq!(call!(after.transport, DescribeAcls, all()).resources.len(), 1);
    let filter = DeleteAclsFilter {
        resource_type_filter: ANY,
        pattern_type_filter: ANY,
        operation: ANY,
        permission_type: ANY,
        ..DeleteAclsFilter::default()
    };
    let (answer, after) =
        node.acknowledged(Request::DeleteAcls(DeleteAclsRequest { filters: vec![filter] })).await;
    let Response::DeleteAcls(answer) = answer else { panic!("{answer:?}") };
    assert_eq!(answer.filter_results[0].matching_acls.len(), 1);
    assert_eq!(call!(after.transport, DescribeAcls, all()).resources.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_stay_known_and_removed() {
    let node = Node::new().await;
    let mechanism = ScramMechanism::Sha256;
    let salted = mechanism.salted_password("secret", b"salt", 4_096);
    let upsertion = ScramCredentialUpsertion {
        name: "alice".to_owned(),
        mechanism: mechanism.code(),
        iterations: 4_096,
        salt: b"salt".to_vec().into(),
        salted_password: salted.into(),
    };
    let request = AlterUserScramCredentialsRequest { upsertions: vec![upsertion], ..Default::default() };
    let (answer, after) = node.acknowledged(Request::AlterUserScramCredentials(request)).await;
    let Response::AlterUserScramCredentials(answer) = answer else { panic!("{answer:?}") };
    assert_eq!(answer.results[0].error_code, ErrorCode::None);
    let all = || DescribeUserScramCredentialsRequest { users: None };
    assert_eq!(call!(after.transport, DescribeUserScramCredentials, all()).results.len(), 1);
    let deletion = ScramCredentialDeletion { name: "alice".to_owned(), mechanism: mechanism.code() };
    let request = AlterUserScramCredentialsRequest { deletions: vec![deletion], ..Default::default() };
    let (answer, after) = node.acknowledged(Request::AlterUserScramCredentials(request)).await;
    let Response::AlterUserScramCredentials(answer) = answer else { panic!("{answer:?}") };
    assert_eq!(answer.results[0].error_code, ErrorCode::None);
    assert_eq!(call!(after.transport, DescribeUserScramCredentials, all()).results.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quotas_stay_set_and_removed() {
    let node = Node::new().await;
    for (remove, expected) in [(false, 1), (true, 0)] {
        let entity =
            vec![EntityData { entity_type: "user".to_owned(), entity_name: Some("alice".to_owned()) }];
        let ops = vec![OpData { key: "producer_byte_rate".to_owned(), value: 1_000.0, remove }];
        let request =
            AlterClientQuotasRequest { entries: vec![EntryData { entity, ops }], validate_only: false };
        let (answer, after) = node.acknowledged(Request::AlterClientQuotas(request)).await;
        let Response::AlterClientQuotas(answer) = answer else { panic!("{answer:?}") };
        assert_eq!(answer.entries[0].error_code, ErrorCode::None);
        let described = call!(after.transport, DescribeClientQuotas, DescribeClientQuotasRequest::default());
        assert_eq!(described.entries.unwrap_or_default().len(), expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_acknowledged_may_be_gone_but_never_halfway() {
    let node = Node::new().await;
    let held = node.storage.hold_syncs(|_| true);
    let transport = node.transport.clone();
    let making = tokio::spawn(async move {
        let admin = weir_broker::client::admin::Admin::new(transport);
        admin.create_topic("t", 3, &BTreeMap::new()).await
    });
    assert!(
        tokio::time::timeout(super::HELD, async {
            while !making.is_finished() {
                tokio::task::yield_now().await
            }
        })
        .await
        .is_err()
    );
    let after = node.after_power_cut().await;
    let there = after.admin().describe_topic("t").await.expect("described");
    assert!(there.is_none_or(|topic| topic.partitions == 3));
    drop(held);
    making.await.expect("no panic").expect("created");
}
