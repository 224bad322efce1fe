//! Requests about the cluster, its topics, settings, users, rules and quotas.

use uuid::Uuid;

use crate::api::authorize::{Check, Verdict, completed, message, take_out};
use crate::auth::acl::{CLUSTER_NAME, Operation, ResourceType};
use crate::ids::TopicId;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::alter_client_quotas::{
    AlterClientQuotasRequest, AlterClientQuotasResponse, EntryResult,
};
use crate::protocol::messages::alter_configs::{AlterConfigsRequest, AlterConfigsResourceResponse};
use crate::protocol::messages::alter_user_scram_credentials::{
    AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse, AlterUserScramCredentialsResult,
};
use crate::protocol::messages::create_acls::{AclCreationResult, CreateAclsRequest, CreateAclsResponse};
use crate::protocol::messages::create_partitions::{CreatePartitionsRequest, CreatePartitionsTopicResult};
use crate::protocol::messages::create_topics::{CreatableTopicResult, CreateTopicsRequest};
use crate::protocol::messages::delete_acls::{DeleteAclsFilterResult, DeleteAclsRequest, DeleteAclsResponse};
use crate::protocol::messages::delete_topics::{DeletableTopicResult, DeleteTopicState, DeleteTopicsRequest};
use crate::protocol::messages::describe_acls::DescribeAclsResponse;
use crate::protocol::messages::describe_client_quotas::DescribeClientQuotasResponse;
use crate::protocol::messages::describe_cluster::DescribeClusterRequest;
use crate::protocol::messages::describe_configs::{DescribeConfigsRequest, DescribeConfigsResult};
use crate::protocol::messages::describe_log_dirs::DescribeLogDirsResponse;
use crate::protocol::messages::describe_topic_partitions::{
    DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, DescribeTopicPartitionsResponseTopic,
    TopicRequest,
};
use crate::protocol::messages::describe_user_scram_credentials::DescribeUserScramCredentialsResponse;
use crate::protocol::messages::incremental_alter_configs as incremental;
use crate::protocol::messages::metadata::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseTopic,
};

const REFUSED: ErrorCode = ErrorCode::TopicAuthorizationFailed;

/// A topic the client may not know of, or may not make.
fn hidden_topic(version: i16, topic: MetadataRequestTopic) -> MetadataResponseTopic {
    MetadataResponseTopic {
        error_code: REFUSED,
        // Null only exists from version 12 on.
        name: topic.name.or_else(|| (version < 12).then(String::new)),
        topic_id: topic.topic_id,
        ..MetadataResponseTopic::default()
    }
}

pub(super) fn metadata(check: Check<'_>, request: &mut MetadataRequest) -> Verdict {
    let Check { access, image, version, auto_create } = check;
    let cluster_wanted = request.include_cluster_authorized_operations;
    if access.is_unrestricted() && !cluster_wanted && !request.include_topic_authorized_operations {
        return Verdict::Allowed;
    }
    let may_create = |name: &str| access.topic_or_cluster(Operation::Create, name);
    let creating = auto_create && request.allow_auto_topic_creation;
    // A request may give a name, an id, or both, so both are checked; clients that mean an id may send an empty name.
    let is_refused = |topic: &MetadataRequestTopic| {
        let id_refused =
            !topic.topic_id.is_nil() && !check.topic(Operation::Describe, true, "", topic.topic_id);
        let name_refused = |name: &String| {
            !access.topic(Operation::Describe, name)
                || (creating && image.topic(name).is_none() && !may_create(name))
        };
        id_refused || topic.name.as_ref().filter(|name| !name.is_empty()).is_some_and(name_refused)
    };
    let asked_for_all = request.topics.as_ref().is_none_or(|topics| version == 0 && topics.is_empty());
    let refused = match &mut request.topics {
        Some(topics) if !asked_for_all => take_out(topics, is_refused),
        _ => Vec::new(),
    };
    let nothing_left = !asked_for_all && request.topics.as_ref().is_some_and(Vec::is_empty);
    if version == 0 && nothing_left && !refused.is_empty() {
        // An empty list would ask for all topics. Brokers are told with the next request.
        let topics = refused.into_iter().map(|topic| hidden_topic(version, topic)).collect();
        return Verdict::Refused(MetadataResponse { topics, ..MetadataResponse::default() }.into());
    }
    let access = access.unaudited();
    completed!(Metadata, |answer| {
        if asked_for_all {
            let visible = |name: &Option<String>| {
                name.as_ref().is_some_and(|name| access.topic(Operation::Describe, name))
            };
            answer.topics.retain(|topic| visible(&topic.name));
        }
        for topic in &mut answer.topics {
            if topic.topic_authorized_operations != i32::MIN
                && let Some(name) = &topic.name
            {
                topic.topic_authorized_operations = access.operations(ResourceType::Topic, name);
            }
        }
        if cluster_wanted {
            answer.cluster_authorized_operations = cluster_operations(&access);
        }
        answer.topics.extend(refused.into_iter().map(|topic| hidden_topic(version, topic)));
    })
}

fn cluster_operations(access: &crate::api::access::Access) -> i32 {
    access.operations(ResourceType::Cluster, CLUSTER_NAME)
}

pub(super) fn describe_topic_partitions(
    check: Check<'_>,
    request: &mut DescribeTopicPartitionsRequest,
) -> Verdict {
    let access = check.access.unaudited();
    let mut refused = Vec::new();
    if !check.access.is_unrestricted() {
        if request.topics.is_empty() {
            let visible = check.image.topics().filter(|topic| access.topic(Operation::Describe, &topic.name));
            request.topics = visible.map(|topic| TopicRequest { name: topic.name.to_string() }).collect();
        } else {
            let may_see = |name: &str| check.access.topic(Operation::Describe, name);
            refused = take_out(&mut request.topics, |topic| !may_see(&topic.name));
        }
        // An empty list would ask for all topics.
        if request.topics.is_empty() {
            let answer = DescribeTopicPartitionsResponse {
                topics: refused.into_iter().map(hidden_topic_partitions).collect(),
                ..DescribeTopicPartitionsResponse::default()
            };
            return Verdict::Refused(answer.into());
        }
    }
    completed!(DescribeTopicPartitions, |answer| {
        for topic in &mut answer.topics {
            if let (ErrorCode::None, Some(name)) = (topic.error_code, &topic.name) {
                topic.topic_authorized_operations = access.operations(ResourceType::Topic, name);
            }
        }
        answer.topics.extend(refused.into_iter().map(hidden_topic_partitions));
    })
}

fn hidden_topic_partitions(topic: TopicRequest) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic {
        error_code: REFUSED,
        name: Some(topic.name),
        ..DescribeTopicPartitionsResponseTopic::default()
    }
}

/// Addresses of brokers need no right; the client's own operations are listed on request.
pub(super) fn describe_cluster(check: Check<'_>, request: &DescribeClusterRequest) -> Verdict {
    if !request.include_cluster_authorized_operations {
        return Verdict::Allowed;
    }
    let operations = cluster_operations(check.access);
    completed!(DescribeCluster, |answer| {
        if !answer.error_code.is_err() {
            answer.cluster_authorized_operations = operations;
        }
    })
}

pub(super) fn create_topics(check: Check<'_>, request: &mut CreateTopicsRequest) -> Verdict {
    if check.access.is_unrestricted() {
        return Verdict::Allowed;
    }
    let may_create = |name: &str| check.access.topic_or_cluster(Operation::Create, name);
    let refused = take_out(&mut request.topics, |topic| !may_create(&topic.name));
    let access = check.access.unaudited();
    completed!(CreateTopics, |answer| {
        for topic in answer.topics.iter_mut().filter(|topic| !topic.error_code.is_err()) {
            if !access.topic(Operation::DescribeConfigs, &topic.name) {
                topic.topic_config_error_code = REFUSED;
                topic.configs = None;
                topic.num_partitions = -1;
                topic.replication_factor = -1;
            }
        }
        answer.topics.extend(refused.into_iter().map(|topic| CreatableTopicResult {
            name: topic.name,
            error_code: REFUSED,
            error_message: message(REFUSED),
            ..CreatableTopicResult::default()
        }));
    })
}

pub(super) fn delete_topics(check: Check<'_>, request: &mut DeleteTopicsRequest) -> Verdict {
    let Check { access, image, .. } = check;
    let deletable = |name: &str| access.topic(Operation::Delete, name);
    let names = take_out(&mut request.topic_names, |name| !deletable(name));
    let states = take_out(&mut request.topics, |topic| match &topic.name {
        Some(name) => !deletable(name),
        None => image.topic_by_id(TopicId(topic.topic_id)).is_some_and(|topic| !deletable(&topic.name)),
    });
    let by_name = |name| DeleteTopicState { name: Some(name), topic_id: Uuid::nil() };
    let refuse = |topic: DeleteTopicState| {
        // Who knows an id only learns the name if it may.
        let known = image.topic_by_id(TopicId(topic.topic_id)).map(|topic| topic.name.to_string());
        let visible = known.filter(|name| access.unaudited().topic(Operation::Describe, name));
        DeletableTopicResult {
            name: topic.name.or(visible),
            topic_id: topic.topic_id,
            error_code: REFUSED,
            error_message: message(REFUSED),
        }
    };
    let refused: Vec<_> = names.into_iter().map(by_name).chain(states).map(refuse).collect();
    completed!(DeleteTopics, |answer| { answer.responses.extend(refused) })
}

pub(super) fn create_partitions(check: Check<'_>, request: &mut CreatePartitionsRequest) -> Verdict {
    let refused = take_out(&mut request.topics, |topic| !check.access.topic(Operation::Alter, &topic.name));
    completed!(CreatePartitions, |answer| {
        answer.results.extend(refused.into_iter().map(|topic| CreatePartitionsTopicResult {
            name: topic.name,
            error_code: REFUSED,
            error_message: message(REFUSED),
        }));
    })
}

/// Numbers of the resources that have settings.
const CONFIG_TOPIC: i8 = 2;
const CONFIG_GROUP: i8 = 32;

/// May the settings of a resource not be seen or changed? Whatever is neither topic nor group is the cluster's.
fn config_refused(check: Check<'_>, operation: Operation, kind: i8, name: &str) -> bool {
    match kind {
        CONFIG_TOPIC => !check.access.topic(operation, name),
        CONFIG_GROUP => !check.access.group(operation, name),
        _ => !check.cluster(operation),
    }
}

/// The code of resources that were taken out.
const fn config_code(kind: i8) -> ErrorCode {
    match kind {
        CONFIG_TOPIC => REFUSED,
        CONFIG_GROUP => ErrorCode::GroupAuthorizationFailed,
        _ => ErrorCode::ClusterAuthorizationFailed,
    }
}

pub(super) fn describe_configs(check: Check<'_>, request: &mut DescribeConfigsRequest) -> Verdict {
    let refused = take_out(&mut request.resources, |resource| {
        let (kind, name) = (resource.resource_type, &resource.resource_name);
        config_refused(check, Operation::DescribeConfigs, kind, name)
    });
    completed!(DescribeConfigs, |answer| {
        answer.results.extend(refused.into_iter().map(|resource| DescribeConfigsResult {
            error_code: config_code(resource.resource_type),
            error_message: message(config_code(resource.resource_type)),
            resource_type: resource.resource_type,
            resource_name: resource.resource_name,
            configs: Vec::new(),
        }));
    })
}

pub(super) fn alter_configs(check: Check<'_>, request: &mut AlterConfigsRequest) -> Verdict {
    let refused = take_out(&mut request.resources, |resource| {
        let (kind, name) = (resource.resource_type, &resource.resource_name);
        config_refused(check, Operation::AlterConfigs, kind, name)
    });
    completed!(AlterConfigs, |answer| {
        answer.responses.extend(refused.into_iter().map(|resource| AlterConfigsResourceResponse {
            error_code: config_code(resource.resource_type),
            error_message: message(config_code(resource.resource_type)),
            resource_type: resource.resource_type,
            resource_name: resource.resource_name,
        }));
    })
}

pub(super) fn incremental_alter_configs(
    check: Check<'_>,
    request: &mut incremental::IncrementalAlterConfigsRequest,
) -> Verdict {
    let refused = take_out(&mut request.resources, |resource| {
        let (kind, name) = (resource.resource_type, &resource.resource_name);
        config_refused(check, Operation::AlterConfigs, kind, name)
    });
    completed!(IncrementalAlterConfigs, |answer| {
        let refuse =
            |resource: incremental::AlterConfigsResource| incremental::AlterConfigsResourceResponse {
                error_code: config_code(resource.resource_type),
                error_message: message(config_code(resource.resource_type)),
                resource_type: resource.resource_type,
                resource_name: resource.resource_name,
            };
        answer.responses.extend(refused.into_iter().map(refuse));
    })
}

pub(super) fn no_log_dirs(error_code: ErrorCode) -> DescribeLogDirsResponse {
    DescribeLogDirsResponse { error_code, ..DescribeLogDirsResponse::default() }
}

pub(super) fn no_acls(error_code: ErrorCode) -> DescribeAclsResponse {
    DescribeAclsResponse { error_code, error_message: message(error_code), ..DescribeAclsResponse::default() }
}

pub(super) fn no_creations(request: &CreateAclsRequest, error_code: ErrorCode) -> CreateAclsResponse {
    let result = |_: &_| AclCreationResult { error_code, error_message: message(error_code) };
    CreateAclsResponse { throttle_time_ms: 0, results: request.creations.iter().map(result).collect() }
}

pub(super) fn no_deletions(request: &DeleteAclsRequest, error_code: ErrorCode) -> DeleteAclsResponse {
    let result = |_: &_| DeleteAclsFilterResult {
        error_code,
        error_message: message(error_code),
        ..DeleteAclsFilterResult::default()
    };
    DeleteAclsResponse { throttle_time_ms: 0, filter_results: request.filters.iter().map(result).collect() }
}

pub(super) fn no_quotas(error_code: ErrorCode) -> DescribeClientQuotasResponse {
    DescribeClientQuotasResponse {
        error_code,
        error_message: message(error_code),
        ..DescribeClientQuotasResponse::default()
    }
}

pub(super) fn no_new_quotas(
    request: &mut AlterClientQuotasRequest,
    error_code: ErrorCode,
) -> AlterClientQuotasResponse {
    let entries = request.entries.drain(..).map(|entry| EntryResult {
        error_code,
        error_message: message(error_code),
        entity: entry.entity,
    });
    AlterClientQuotasResponse { throttle_time_ms: 0, entries: entries.collect() }
}

pub(super) fn no_users(error_code: ErrorCode) -> DescribeUserScramCredentialsResponse {
    DescribeUserScramCredentialsResponse {
        error_code,
        error_message: message(error_code),
        ..DescribeUserScramCredentialsResponse::default()
    }
}

pub(super) fn no_new_users(
    request: &AlterUserScramCredentialsRequest,
    error_code: ErrorCode,
) -> AlterUserScramCredentialsResponse {
    let deleted = request.deletions.iter().map(|deletion| &deletion.name);
    let users = deleted.chain(request.upsertions.iter().map(|upsertion| &upsertion.name));
    let unique: std::collections::BTreeSet<&String> = users.collect();
    let result = |user: &String| AlterUserScramCredentialsResult {
        user: user.clone(),
        error_code,
        error_message: message(error_code),
    };
    AlterUserScramCredentialsResponse {
        throttle_time_ms: 0,
        results: unique.into_iter().map(result).collect(),
    }
}
