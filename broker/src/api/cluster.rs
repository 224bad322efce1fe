//! ApiVersions, Metadata and DescribeCluster.

use uuid::Uuid;

use crate::api::node::Node;
use crate::ids::{TopicId, TopicPartition, validate_topic_name};
use crate::metadata::image::{MetadataImage, Topic};
use crate::net::session::Session;
use crate::protocol::api_key::ApiKey;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::api_versions::{
    ApiVersion, ApiVersionsRequest, ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
};
use crate::protocol::messages::describe_cluster::{
    DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse,
};
use crate::protocol::messages::describe_topic_partitions::{
    Cursor, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
    DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use crate::protocol::messages::metadata::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseBroker,
    MetadataResponsePartition, MetadataResponseTopic,
};

/// The leader epoch of partitions that have had one leader only.
pub(crate) const FIRST_LEADER_EPOCH: i32 = 0;

/// Bits of the operations of an unrestricted client. Source: KIP-430.
const TOPIC_OPERATIONS: i32 = 0b1101_1111_1000;
const CLUSTER_OPERATIONS: i32 = 0b1_1111_1010_0000;

/// Levels clients read: `group.version` 1 stands for KIP-848, `transaction.version` 2 tells that writing to a partition
/// adds it to the transaction (KIP-890). Source: KIP-584.
const FEATURES: [(&str, i16); 2] = [("group.version", 1), ("transaction.version", 2)];

/// librdkafka before 2.8 compresses only for brokers that claim the oldest versions of Produce; those are refused when
/// they are used, as Kafka 4 does it (KAFKA-18659).
const PRODUCE_VERSION_CLAIMED_MIN: i16 = 0;

/// The first version in which clients say what they are made of.
const SOFTWARE_VERSION_FIRST: i16 = 3;

/// APIs that clients use as soon as they are offered, and that are of use only with a subscription (KIP-714).
const TELEMETRY_APIS: [ApiKey; 2] = [ApiKey::GetTelemetrySubscriptions, ApiKey::PushTelemetry];

pub(crate) fn api_versions(
    node: &Node,
    session: &Session,
    version: i16,
    request: &ApiVersionsRequest,
) -> ApiVersionsResponse {
    let (name, software_version) = (&request.client_software_name, &request.client_software_version);
    if version >= SOFTWARE_VERSION_FIRST
        && !session.name_software(name, software_version)
        && !session.is_internal()
    {
        return ApiVersionsResponse {
            error_code: ErrorCode::InvalidRequest,
            ..ApiVersionsResponse::default()
        };
    }
    let offers_telemetry = !node.metadata().image().client_metrics().is_empty();
    let served = |api: &ApiKey| {
        if TELEMETRY_APIS.contains(api) && !offers_telemetry {
            return None;
        }
        let versions = api.served_versions()?;
        let min_version = if *api == ApiKey::Produce { PRODUCE_VERSION_CLAIMED_MIN } else { versions.min };
        Some(ApiVersion { api_key: api.code(), min_version, max_version: versions.max })
    };
    let supported = |(name, level): (&str, i16)| SupportedFeatureKey {
        name: name.to_owned(),
        min_version: 0,
        max_version: level,
    };
    let finalized = |(name, level): (&str, i16)| FinalizedFeatureKey {
        name: name.to_owned(),
        max_version_level: level,
        min_version_level: level,
    };
    ApiVersionsResponse {
        error_code: ErrorCode::None,
        api_keys: ApiKey::ALL.iter().filter_map(served).collect(),
        throttle_time_ms: 0,
        supported_features: FEATURES.map(supported).into(),
        finalized_features_epoch: 0,
        finalized_features: FEATURES.map(finalized).into(),
        zk_migration_ready: false,
    }
}

pub(crate) async fn metadata(node: &Node, version: i16, request: MetadataRequest) -> MetadataResponse {
    let operations = if request.include_topic_authorized_operations { TOPIC_OPERATIONS } else { i32::MIN };
    let wanted = match request.topics {
        Some(topics) if version == 0 && topics.is_empty() => None,
        topics => topics,
    };
    let mut topics = Vec::new();
    match wanted {
        None => {
            let image = node.metadata().image();
            topics.extend(image.topics().map(|topic| describe_topic(node, topic)));
        }
        Some(wanted) => {
            if node.config().auto_create_topics && request.allow_auto_topic_creation {
                create_missing(node, &wanted).await;
            }
            let image = node.metadata().image();
            topics.extend(wanted.into_iter().map(|topic| find_topic(node, &image, version, topic)));
        }
    }
    for topic in &mut topics {
        topic.topic_authorized_operations = operations;
    }
    let (host, port) = node.advertised();
    let cluster_operations =
        if request.include_cluster_authorized_operations { CLUSTER_OPERATIONS } else { i32::MIN };
    MetadataResponse {
        brokers: vec![MetadataResponseBroker { node_id: node.id(), host, port, rack: None }],
        cluster_id: Some(cluster_id(node)),
        controller_id: node.id(),
        topics,
        cluster_authorized_operations: cluster_operations,
        ..MetadataResponse::default()
    }
}

async fn create_missing(node: &Node, wanted: &[MetadataRequestTopic]) {
    let image = node.metadata().image();
    for name in wanted.iter().filter_map(|topic| topic.name.as_deref()) {
        if image.topic(name).is_none()
            && validate_topic_name(name).is_ok()
            && let Err(error) = node.topics().create_default(name).await
        {
            tracing::warn!(topic = name, %error, "topic not created automatically");
        }
    }
}

fn find_topic(
    node: &Node,
    image: &MetadataImage,
    version: i16,
    wanted: MetadataRequestTopic,
) -> MetadataResponseTopic {
    let missing = |error_code, name: Option<String>, topic_id| MetadataResponseTopic {
        error_code,
        // Null only exists from version 12 on.
        name: name.or_else(|| (version < 12).then(String::new)),
        topic_id,
        ..MetadataResponseTopic::default()
    };
    // Kafka's consumer sends an empty name, not null, with an id.
    let Some(name) = wanted.name.filter(|_| wanted.topic_id.is_nil()) else {
        return match image.topic_by_id(TopicId(wanted.topic_id)) {
            Some(topic) => describe_topic(node, topic),
            None => missing(ErrorCode::UnknownTopicId, None, wanted.topic_id),
        };
    };
    match image.topic(&name) {
        Some(topic) => describe_topic(node, topic),
        None => {
            let code = match validate_topic_name(&name) {
                Ok(()) => ErrorCode::UnknownTopicOrPartition,
                Err(_) => ErrorCode::InvalidTopicException,
            };
            missing(code, Some(name), Uuid::nil())
        }
    }
}

fn describe_topic(node: &Node, topic: &Topic) -> MetadataResponseTopic {
    let partition = |partition_index| {
        let replicas = replicas_of(node, topic, partition_index);
        MetadataResponsePartition {
            error_code: replicas.error_code,
            partition_index,
            leader_id: replicas.leader_id,
            leader_epoch: FIRST_LEADER_EPOCH,
            replica_nodes: vec![node.id()],
            isr_nodes: replicas.in_sync,
            offline_replicas: replicas.offline,
        }
    };
    MetadataResponseTopic {
        error_code: ErrorCode::None,
        name: Some(topic.name.to_string()),
        topic_id: topic.id.0,
        is_internal: topic.is_internal(),
        partitions: (0..topic.partitions).map(partition).collect(),
        ..MetadataResponseTopic::default()
    }
}

/// Leader and replicas of a partition.
struct Replicas {
    error_code: ErrorCode,
    leader_id: i32,
    in_sync: Vec<i32>,
    offline: Vec<i32>,
}

/// This broker, unless the log is damaged: then no replica is online, as in Kafka for a failed directory.
fn replicas_of(node: &Node, topic: &Topic, index: i32) -> Replicas {
    const NO_LEADER: i32 = -1;
    let id = node.id();
    match node.replicas().find_offline(&TopicPartition::new(topic.name.clone(), index)) {
        None => {
            Replicas { error_code: ErrorCode::None, leader_id: id, in_sync: vec![id], offline: Vec::new() }
        }
        Some(_) => Replicas {
            error_code: ErrorCode::LeaderNotAvailable,
            leader_id: NO_LEADER,
            in_sync: Vec::new(),
            offline: vec![id],
        },
    }
}

fn cluster_id(node: &Node) -> String {
    short_uuid(node.metadata().image().cluster_id)
}

/// An id in the 22 characters Kafka's tools show.
pub(crate) fn short_uuid(id: Uuid) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let id = id.as_u128();
    // 128 bits are 21 groups of 6 bits and one of 2, from the highest.
    let digit = |index: u32| {
        let shift = 122_i32 - 6 * i32::try_from(index).expect("at most 21");
        let bits = if shift >= 0 { id >> shift } else { id << -shift };
        char::from(ALPHABET[(bits & 63) as usize])
    };
    (0..22).map(digit).collect()
}

pub(crate) fn describe_cluster(node: &Node, request: &DescribeClusterRequest) -> DescribeClusterResponse {
    const BROKERS: i8 = 1;
    if request.endpoint_type != BROKERS {
        return DescribeClusterResponse {
            error_code: ErrorCode::MismatchedEndpointType,
            error_message: Some("this endpoint serves brokers".to_owned()),
            ..DescribeClusterResponse::default()
        };
    }
    let (host, port) = node.advertised();
    let operations =
        if request.include_cluster_authorized_operations { CLUSTER_OPERATIONS } else { i32::MIN };
    DescribeClusterResponse {
        cluster_id: cluster_id(node),
        controller_id: node.id(),
        brokers: vec![DescribeClusterBroker {
            broker_id: node.id(),
            host,
            port,
            rack: None,
            is_fenced: false,
        }],
        cluster_authorized_operations: operations,
        ..DescribeClusterResponse::default()
    }
}

/// DescribeTopicPartitions, in pages: topics by name, from the cursor on, up to a number of partitions (KIP-966).
pub(crate) fn describe_topic_partitions(
    node: &Node,
    request: DescribeTopicPartitionsRequest,
) -> DescribeTopicPartitionsResponse {
    const PAGE_MAX: i32 = 2000;
    let image = node.metadata().image();
    let mut names: Vec<String> = if request.topics.is_empty() {
        image.topics().map(|topic| topic.name.to_string()).collect()
    } else {
        request.topics.into_iter().map(|topic| topic.name).collect()
    };
    names.sort();
    names.dedup();
    let (from_topic, from_partition) = request
        .cursor
        .map_or((String::new(), 0), |cursor| (cursor.topic_name, cursor.partition_index.max(0)));
    names.retain(|name| *name >= from_topic);
    let mut left = request.response_partition_limit.clamp(1, PAGE_MAX);
    let mut response = DescribeTopicPartitionsResponse::default();
    for name in names {
        if left == 0 {
            response.next_cursor = Some(Cursor { topic_name: name, partition_index: 0 });
            break;
        }
        let first = if name == from_topic { from_partition } else { 0 };
        let Some(topic) = image.topic(&name) else {
            response.topics.push(DescribeTopicPartitionsResponseTopic {
                error_code: ErrorCode::UnknownTopicOrPartition,
                name: Some(name),
                ..DescribeTopicPartitionsResponseTopic::default()
            });
            continue;
        };
        let last = topic.partitions.min(first.saturating_add(left));
        let partition = |partition_index| {
            let replicas = replicas_of(node, topic, partition_index);
            DescribeTopicPartitionsResponsePartition {
                error_code: replicas.error_code,
                partition_index,
                leader_id: replicas.leader_id,
                leader_epoch: FIRST_LEADER_EPOCH,
                replica_nodes: vec![node.id()],
                isr_nodes: replicas.in_sync,
                // Kafka's own admin client takes them for lists, though the protocol allows null.
                eligible_leader_replicas: Some(Vec::new()),
                last_known_elr: Some(Vec::new()),
                offline_replicas: replicas.offline,
            }
        };
        response.topics.push(DescribeTopicPartitionsResponseTopic {
            error_code: ErrorCode::None,
            name: Some(name.clone()),
            topic_id: topic.id.0,
            is_internal: topic.is_internal(),
            partitions: (first..last.max(first)).map(partition).collect(),
            topic_authorized_operations: TOPIC_OPERATIONS,
        });
        left -= (last - first).max(0);
        if last < topic.partitions {
            response.next_cursor = Some(Cursor { topic_name: name, partition_index: last });
            break;
        }
    }
    response
}
