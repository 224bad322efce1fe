//! A harmless request of every API about topic `t`, group `g` and transactional id `x`.

use uuid::Uuid;

use crate::auth::acl::CLUSTER_NAME;
use crate::protocol::api_key::ApiKey;
use crate::protocol::messages::add_offsets_to_txn::AddOffsetsToTxnRequest;
use crate::protocol::messages::add_partitions_to_txn::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use crate::protocol::messages::alter_client_quotas::{AlterClientQuotasRequest, EntityData, EntryData};
use crate::protocol::messages::alter_configs::{AlterConfigsRequest, AlterConfigsResource};
use crate::protocol::messages::alter_partition_reassignments::AlterPartitionReassignmentsRequest;
use crate::protocol::messages::alter_replica_log_dirs::{
    AlterReplicaLogDir, AlterReplicaLogDirTopic, AlterReplicaLogDirsRequest,
};
use crate::protocol::messages::alter_user_scram_credentials::{
    AlterUserScramCredentialsRequest, ScramCredentialDeletion,
};
use crate::protocol::messages::api_versions::ApiVersionsRequest;
use crate::protocol::messages::consumer_group_describe::ConsumerGroupDescribeRequest;
use crate::protocol::messages::consumer_group_heartbeat::ConsumerGroupHeartbeatRequest;
use crate::protocol::messages::create_acls::{AclCreation, CreateAclsRequest};
use crate::protocol::messages::create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic};
use crate::protocol::messages::create_topics::{CreatableTopic, CreateTopicsRequest};
use crate::protocol::messages::delete_acls::{DeleteAclsFilter, DeleteAclsRequest};
use crate::protocol::messages::delete_groups::DeleteGroupsRequest;
use crate::protocol::messages::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use crate::protocol::messages::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use crate::protocol::messages::describe_acls::DescribeAclsRequest;
use crate::protocol::messages::describe_client_quotas::DescribeClientQuotasRequest;
use crate::protocol::messages::describe_cluster::DescribeClusterRequest;
use crate::protocol::messages::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
use crate::protocol::messages::describe_groups::DescribeGroupsRequest;
use crate::protocol::messages::describe_log_dirs::DescribeLogDirsRequest;
use crate::protocol::messages::describe_producers::{DescribeProducersRequest, TopicRequest};
use crate::protocol::messages::describe_quorum::DescribeQuorumRequest;
use crate::protocol::messages::describe_topic_partitions::{
    DescribeTopicPartitionsRequest, TopicRequest as WantedTopic,
};
use crate::protocol::messages::describe_transactions::DescribeTransactionsRequest;
use crate::protocol::messages::describe_user_scram_credentials::DescribeUserScramCredentialsRequest;
use crate::protocol::messages::elect_leaders::{ElectLeadersRequest, TopicPartitions};
use crate::protocol::messages::end_txn::EndTxnRequest;
use crate::protocol::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
use crate::protocol::messages::find_coordinator::FindCoordinatorRequest;
use crate::protocol::messages::get_telemetry_subscriptions::GetTelemetrySubscriptionsRequest;
use crate::protocol::messages::heartbeat::HeartbeatRequest;
use crate::protocol::messages::incremental_alter_configs as incremental;
use crate::protocol::messages::init_producer_id::InitProducerIdRequest;
use crate::protocol::messages::join_group::JoinGroupRequest;
use crate::protocol::messages::leave_group::LeaveGroupRequest;
use crate::protocol::messages::list_config_resources::ListConfigResourcesRequest;
use crate::protocol::messages::list_groups::ListGroupsRequest;
use crate::protocol::messages::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use crate::protocol::messages::list_partition_reassignments::ListPartitionReassignmentsRequest;
use crate::protocol::messages::list_transactions::ListTransactionsRequest;
use crate::protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic};
use crate::protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use crate::protocol::messages::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use crate::protocol::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use crate::protocol::messages::offset_for_leader_epoch::{
    OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use crate::protocol::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use crate::protocol::messages::push_telemetry::PushTelemetryRequest;
use crate::protocol::messages::sasl_authenticate::SaslAuthenticateRequest;
use crate::protocol::messages::sasl_handshake::SaslHandshakeRequest;
use crate::protocol::messages::sync_group::SyncGroupRequest;
use crate::protocol::messages::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use crate::protocol::messages::write_txn_markers::WriteTxnMarkersRequest;
use crate::protocol::request::Request;

fn t() -> String {
    "t".to_owned()
}

fn g() -> String {
    "g".to_owned()
}

fn x() -> String {
    "x".to_owned()
}

/// Resources with settings.
fn configurable() -> [(i8, String); 4] {
    [(2, t()), (4, String::new()), (16, "metrics".to_owned()), (32, g())]
}

pub(super) fn request(api: ApiKey, version: i16, topic_id: Uuid) -> Request {
    match api {
        ApiKey::Produce
        | ApiKey::Fetch
        | ApiKey::ListOffsets
        | ApiKey::OffsetForLeaderEpoch
        | ApiKey::DeleteRecords
        | ApiKey::DescribeProducers => about_records(api, topic_id),
        ApiKey::OffsetCommit
        | ApiKey::OffsetFetch
        | ApiKey::OffsetDelete
        | ApiKey::FindCoordinator
        | ApiKey::JoinGroup
        | ApiKey::SyncGroup
        | ApiKey::Heartbeat
        | ApiKey::LeaveGroup
        | ApiKey::ListGroups
        | ApiKey::DescribeGroups
        | ApiKey::DeleteGroups
        | ApiKey::ConsumerGroupHeartbeat
        | ApiKey::ConsumerGroupDescribe => about_groups(api, topic_id),
        ApiKey::InitProducerId
        | ApiKey::AddPartitionsToTxn
        | ApiKey::AddOffsetsToTxn
        | ApiKey::TxnOffsetCommit
        | ApiKey::EndTxn
        | ApiKey::WriteTxnMarkers
        | ApiKey::DescribeTransactions
        | ApiKey::ListTransactions => about_transactions(api, version),
        ApiKey::ApiVersions
        | ApiKey::GetTelemetrySubscriptions
        | ApiKey::PushTelemetry
        | ApiKey::SaslHandshake
        | ApiKey::SaslAuthenticate
        | ApiKey::Metadata
        | ApiKey::DescribeTopicPartitions
        | ApiKey::DescribeCluster
        | ApiKey::CreateTopics
        | ApiKey::DeleteTopics
        | ApiKey::CreatePartitions
        | ApiKey::DescribeConfigs
        | ApiKey::AlterConfigs
        | ApiKey::IncrementalAlterConfigs
        | ApiKey::DescribeLogDirs => about_the_cluster(api, version),
        ApiKey::AlterReplicaLogDirs
        | ApiKey::ElectLeaders
        | ApiKey::AlterPartitionReassignments
        | ApiKey::ListPartitionReassignments
        | ApiKey::DescribeQuorum
        | ApiKey::ListConfigResources => about_replicas(api),
        ApiKey::DescribeAcls
        | ApiKey::CreateAcls
        | ApiKey::DeleteAcls
        | ApiKey::DescribeClientQuotas
        | ApiKey::AlterClientQuotas
        | ApiKey::DescribeUserScramCredentials
        | ApiKey::AlterUserScramCredentials => about_security(api),
    }
}

fn about_records(api: ApiKey, topic_id: Uuid) -> Request {
    match api {
        ApiKey::Produce => {
            let partition_data = vec![PartitionProduceData { index: 0, records: None }];
            let topic_data = vec![TopicProduceData { name: t(), topic_id, partition_data }];
            ProduceRequest { transactional_id: Some(x()), acks: 1, timeout_ms: 1, topic_data }.into()
        }
        ApiKey::Fetch => {
            let partitions = vec![FetchPartition::default()];
            let topics = vec![FetchTopic { topic: t(), topic_id, partitions }];
            FetchRequest { topics, ..FetchRequest::default() }.into()
        }
        ApiKey::ListOffsets => {
            let partition = ListOffsetsPartition { timestamp: -1, ..ListOffsetsPartition::default() };
            let topics = vec![ListOffsetsTopic { name: t(), partitions: vec![partition] }];
            ListOffsetsRequest { topics, ..ListOffsetsRequest::default() }.into()
        }
        ApiKey::OffsetForLeaderEpoch => {
            let partitions = vec![OffsetForLeaderPartition::default()];
            let topics = vec![OffsetForLeaderTopic { topic: t(), partitions }];
            OffsetForLeaderEpochRequest { topics, ..OffsetForLeaderEpochRequest::default() }.into()
        }
        ApiKey::DeleteRecords => {
            let partitions = vec![DeleteRecordsPartition { partition_index: 0, offset: 0 }];
            let topics = vec![DeleteRecordsTopic { name: t(), partitions }];
            DeleteRecordsRequest { topics, timeout_ms: 1 }.into()
        }
        _ => {
            let topics = vec![TopicRequest { name: t(), partition_indexes: vec![0] }];
            DescribeProducersRequest { topics }.into()
        }
    }
}

fn about_groups(api: ApiKey, topic_id: Uuid) -> Request {
    match api {
        ApiKey::OffsetCommit => {
            let partitions = vec![OffsetCommitRequestPartition::default()];
            let topics = vec![OffsetCommitRequestTopic { name: t(), topic_id, partitions }];
            OffsetCommitRequest { group_id: g(), topics, ..OffsetCommitRequest::default() }.into()
        }
        ApiKey::OffsetFetch => {
            let older = OffsetFetchRequestTopic { name: t(), partition_indexes: vec![0] };
            let newer = OffsetFetchRequestTopics { name: t(), topic_id, partition_indexes: vec![0] };
            let group = OffsetFetchRequestGroup {
                group_id: g(),
                topics: Some(vec![newer]),
                ..OffsetFetchRequestGroup::default()
            };
            OffsetFetchRequest {
                group_id: g(),
                topics: Some(vec![older]),
                groups: vec![group],
                ..OffsetFetchRequest::default()
            }
            .into()
        }
        ApiKey::OffsetDelete => {
            let partitions = vec![OffsetDeleteRequestPartition { partition_index: 0 }];
            let topics = vec![OffsetDeleteRequestTopic { name: t(), partitions }];
            OffsetDeleteRequest { group_id: g(), topics }.into()
        }
        ApiKey::FindCoordinator => {
            FindCoordinatorRequest { key: g(), key_type: 0, coordinator_keys: vec![g()] }.into()
        }
        ApiKey::JoinGroup => JoinGroupRequest { group_id: g(), ..JoinGroupRequest::default() }.into(),
        ApiKey::SyncGroup => SyncGroupRequest { group_id: g(), ..SyncGroupRequest::default() }.into(),
        ApiKey::Heartbeat => HeartbeatRequest { group_id: g(), ..HeartbeatRequest::default() }.into(),
        ApiKey::LeaveGroup => LeaveGroupRequest { group_id: g(), ..LeaveGroupRequest::default() }.into(),
        ApiKey::ListGroups => ListGroupsRequest::default().into(),
        ApiKey::DescribeGroups => {
            DescribeGroupsRequest { groups: vec![g()], include_authorized_operations: false }.into()
        }
        ApiKey::DeleteGroups => DeleteGroupsRequest { groups_names: vec![g()] }.into(),
        ApiKey::ConsumerGroupHeartbeat => ConsumerGroupHeartbeatRequest {
            group_id: g(),
            subscribed_topic_names: Some(vec![t()]),
            ..ConsumerGroupHeartbeatRequest::default()
        }
        .into(),
        _ => {
            ConsumerGroupDescribeRequest { group_ids: vec![g()], include_authorized_operations: false }.into()
        }
    }
}

fn about_transactions(api: ApiKey, version: i16) -> Request {
    match api {
        ApiKey::InitProducerId => InitProducerIdRequest {
            transactional_id: Some(x()),
            transaction_timeout_ms: 1_000,
            ..InitProducerIdRequest::default()
        }
        .into(),
        ApiKey::AddPartitionsToTxn => {
            let topics = vec![AddPartitionsToTxnTopic { name: t(), partitions: vec![0] }];
            let transaction = AddPartitionsToTxnTransaction {
                transactional_id: x(),
                topics: topics.clone(),
                ..AddPartitionsToTxnTransaction::default()
            };
            AddPartitionsToTxnRequest {
                transactions: if version >= 4 { vec![transaction] } else { Vec::new() },
                v3_and_below_transactional_id: x(),
                v3_and_below_topics: topics,
                ..AddPartitionsToTxnRequest::default()
            }
            .into()
        }
        ApiKey::AddOffsetsToTxn => {
            let (transactional_id, group_id) = (x(), g());
            AddOffsetsToTxnRequest { transactional_id, group_id, ..AddOffsetsToTxnRequest::default() }.into()
        }
        ApiKey::TxnOffsetCommit => {
            let partitions = vec![TxnOffsetCommitRequestPartition::default()];
            let topics = vec![TxnOffsetCommitRequestTopic { name: t(), partitions }];
            TxnOffsetCommitRequest {
                transactional_id: x(),
                group_id: g(),
                topics,
                ..TxnOffsetCommitRequest::default()
            }
            .into()
        }
        ApiKey::EndTxn => EndTxnRequest { transactional_id: x(), ..EndTxnRequest::default() }.into(),
        ApiKey::WriteTxnMarkers => WriteTxnMarkersRequest::default().into(),
        ApiKey::DescribeTransactions => DescribeTransactionsRequest { transactional_ids: vec![x()] }.into(),
        _ => ListTransactionsRequest::default().into(),
    }
}

fn about_the_cluster(api: ApiKey, version: i16) -> Request {
    match api {
        ApiKey::ApiVersions => ApiVersionsRequest::default().into(),
        ApiKey::GetTelemetrySubscriptions => GetTelemetrySubscriptionsRequest::default().into(),
        ApiKey::PushTelemetry => PushTelemetryRequest::default().into(),
        ApiKey::SaslHandshake => SaslHandshakeRequest { mechanism: "PLAIN".to_owned() }.into(),
        ApiKey::SaslAuthenticate => SaslAuthenticateRequest::default().into(),
        ApiKey::Metadata => {
            let topics = Some(vec![MetadataRequestTopic { topic_id: Uuid::nil(), name: Some(t()) }]);
            MetadataRequest { topics, ..MetadataRequest::default() }.into()
        }
        ApiKey::DescribeTopicPartitions => {
            let topics = vec![WantedTopic { name: t() }];
            DescribeTopicPartitionsRequest { topics, ..DescribeTopicPartitionsRequest::default() }.into()
        }
        ApiKey::DescribeCluster => DescribeClusterRequest::default().into(),
        ApiKey::CreateTopics => {
            let topic = CreatableTopic {
                name: "new".to_owned(),
                num_partitions: 1,
                replication_factor: 1,
                ..CreatableTopic::default()
            };
            CreateTopicsRequest { topics: vec![topic], timeout_ms: 1, validate_only: true }.into()
        }
        ApiKey::DeleteTopics => {
            // Everybody else needs `t`.
            let name = "gone".to_owned();
            let state = DeleteTopicState { name: Some(name.clone()), topic_id: Uuid::nil() };
            let (names, topics) = if version < 6 { (vec![name], vec![]) } else { (vec![], vec![state]) };
            DeleteTopicsRequest { topics, topic_names: names, timeout_ms: 1 }.into()
        }
        ApiKey::CreatePartitions => {
            let topics = vec![CreatePartitionsTopic { name: t(), count: 1, assignments: None }];
            CreatePartitionsRequest { topics, timeout_ms: 1, validate_only: true }.into()
        }
        ApiKey::DescribeConfigs => {
            let resource = |(resource_type, resource_name)| DescribeConfigsResource {
                resource_type,
                resource_name,
                configuration_keys: None,
            };
            let resources = configurable().map(resource).into();
            DescribeConfigsRequest { resources, ..DescribeConfigsRequest::default() }.into()
        }
        ApiKey::AlterConfigs => {
            let resource = |(resource_type, resource_name)| AlterConfigsResource {
                resource_type,
                resource_name,
                configs: Vec::new(),
            };
            AlterConfigsRequest { resources: configurable().map(resource).into(), validate_only: true }.into()
        }
        ApiKey::IncrementalAlterConfigs => {
            let resource = |(resource_type, resource_name)| incremental::AlterConfigsResource {
                resource_type,
                resource_name,
                configs: Vec::new(),
            };
            let resources = configurable().map(resource).into();
            incremental::IncrementalAlterConfigsRequest { resources, validate_only: true }.into()
        }
        _ => DescribeLogDirsRequest { topics: None }.into(),
    }
}

fn about_replicas(api: ApiKey) -> Request {
    match api {
        ApiKey::AlterReplicaLogDirs => {
            let topics = vec![AlterReplicaLogDirTopic { name: t(), partitions: vec![0] }];
            let dirs = vec![AlterReplicaLogDir { path: "/elsewhere".to_owned(), topics }];
            AlterReplicaLogDirsRequest { dirs }.into()
        }
        ApiKey::ElectLeaders => {
            let topic_partitions = Some(vec![TopicPartitions { topic: t(), partitions: vec![0] }]);
            ElectLeadersRequest { topic_partitions, ..ElectLeadersRequest::default() }.into()
        }
        ApiKey::AlterPartitionReassignments => AlterPartitionReassignmentsRequest::default().into(),
        ApiKey::ListPartitionReassignments => ListPartitionReassignmentsRequest::default().into(),
        ApiKey::DescribeQuorum => DescribeQuorumRequest::default().into(),
        _ => ListConfigResourcesRequest::default().into(),
    }
}

fn about_security(api: ApiKey) -> Request {
    let nobody = "User:nobody".to_owned();
    match api {
        ApiKey::DescribeAcls => DescribeAclsRequest {
            resource_type_filter: 1,
            resource_name_filter: Some("nothing".to_owned()),
            operation: 1,
            permission_type: 1,
            ..DescribeAclsRequest::default()
        }
        .into(),
        ApiKey::CreateAcls => {
            let creation = AclCreation {
                resource_type: 4,
                resource_name: CLUSTER_NAME.to_owned(),
                principal: nobody,
                host: "*".to_owned(),
                operation: 8,
                permission_type: 3,
                ..AclCreation::default()
            };
            CreateAclsRequest { creations: vec![creation] }.into()
        }
        ApiKey::DeleteAcls => {
            let filter = DeleteAclsFilter {
                resource_type_filter: 1,
                principal_filter: Some(nobody),
                operation: 1,
                permission_type: 1,
                ..DeleteAclsFilter::default()
            };
            DeleteAclsRequest { filters: vec![filter] }.into()
        }
        ApiKey::DescribeClientQuotas => DescribeClientQuotasRequest::default().into(),
        ApiKey::AlterClientQuotas => {
            let entity = vec![EntityData { entity_type: "user".to_owned(), entity_name: None }];
            let entries = vec![EntryData { entity, ops: Vec::new() }];
            AlterClientQuotasRequest { entries, validate_only: true }.into()
        }
        ApiKey::DescribeUserScramCredentials => DescribeUserScramCredentialsRequest::default().into(),
        _ => {
            let deletions = vec![ScramCredentialDeletion { name: "nobody".to_owned(), mechanism: 1 }];
            AlterUserScramCredentialsRequest { deletions, upsertions: Vec::new() }.into()
        }
    }
}
