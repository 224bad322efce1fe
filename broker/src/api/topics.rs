//! CreateTopics, DeleteTopics and CreatePartitions.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use crate::api::configs::origins;
use crate::api::error_map::{self, Refusal};
use crate::api::node::Node;
use crate::ids::TopicId;
use crate::metadata::image::{MetadataImage, Topic};
use crate::metadata::topic_config::DEFINITIONS;
use crate::metadata::topics::TopicSpec;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::create_partitions::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic, CreatePartitionsTopicResult,
};
use crate::protocol::messages::create_topics::{
    CreatableTopic, CreatableTopicConfigs, CreatableTopicResult, CreateTopicsRequest, CreateTopicsResponse,
};
use crate::protocol::messages::delete_topics::{
    DeletableTopicResult, DeleteTopicsRequest, DeleteTopicsResponse,
};

pub(crate) async fn create(node: &Node, request: CreateTopicsRequest) -> CreateTopicsResponse {
    let mut seen: HashMap<String, usize> = HashMap::new();
    for topic in &request.topics {
        *seen.entry(topic.name.clone()).or_default() += 1;
    }
    let mut results = Vec::with_capacity(request.topics.len());
    let mut specs = Vec::new();
    for topic in request.topics {
        let spec = if seen[&topic.name] > 1 {
            Err((ErrorCode::InvalidRequest, format!("topic \"{}\" is named more than once", topic.name)))
        } else {
            spec_of(node, &topic)
        };
        match spec {
            Ok(spec) => {
                specs.push(spec);
                results.push((topic.name, None));
            }
            Err(refusal) => results.push((topic.name, Some(refusal))),
        }
    }
    let outcome = if request.validate_only {
        node.topics().validate(&specs).into_iter().map(|checked| checked.map(|()| None)).collect()
    } else {
        let created = node.topics().create(specs.clone()).await;
        created.into_iter().map(|made| made.map(Some)).collect::<Vec<_>>()
    };
    let image = node.metadata().image();
    let mut outcome = specs.into_iter().zip(outcome);
    let topics = results.into_iter().map(|(name, refusal)| match refusal {
        Some((error_code, message)) => refused(name, error_code, message),
        None => match outcome.next().expect("an outcome for every specification") {
            (spec, Ok(topic)) => created(&image, &spec, topic.as_deref()),
            (_, Err(error)) => refused(name, error_map::code(&error), error.to_string()),
        },
    });
    CreateTopicsResponse { throttle_time_ms: 0, topics: topics.collect() }
}

fn refused(name: String, error_code: ErrorCode, message: String) -> CreatableTopicResult {
    CreatableTopicResult { name, error_code, error_message: Some(message), ..CreatableTopicResult::default() }
}

fn created(image: &MetadataImage, spec: &TopicSpec, topic: Option<&Topic>) -> CreatableTopicResult {
    let config = |definition: &crate::metadata::topic_config::ConfigDefinition| {
        let set = spec.configs.get(definition.name).map(String::as_str);
        let in_force = origins(image, definition, set).swap_remove(0);
        CreatableTopicConfigs {
            name: definition.name.to_owned(),
            value: in_force.value,
            read_only: false,
            config_source: in_force.source,
            is_sensitive: false,
        }
    };
    CreatableTopicResult {
        name: spec.name.clone(),
        topic_id: topic.map_or(Uuid::nil(), |topic| topic.id.0),
        error_code: ErrorCode::None,
        error_message: None,
        num_partitions: spec.partitions,
        replication_factor: 1,
        configs: Some(DEFINITIONS.iter().map(config).collect()),
        topic_config_error_code: ErrorCode::None,
    }
}

/// Turns a request into a specification; all that does not depend on other topics is checked here.
fn spec_of(node: &Node, topic: &CreatableTopic) -> Result<TopicSpec, Refusal> {
    let partitions = if topic.assignments.is_empty() {
        let factor = topic.replication_factor;
        if factor != 1 && factor != -1 {
            let message = format!("replication factor {factor} is not possible with 1 broker");
            return Err((ErrorCode::InvalidReplicationFactor, message));
        }
        match topic.num_partitions {
            -1 => node.config().num_partitions,
            count => count,
        }
    } else {
        assigned_partitions(node, topic)?
    };
    let mut configs = BTreeMap::new();
    for config in &topic.configs {
        let Some(value) = &config.value else {
            return Err((ErrorCode::InvalidConfig, format!("setting \"{}\" has no value", config.name)));
        };
        configs.insert(config.name.clone(), value.clone());
    }
    Ok(TopicSpec { name: topic.name.clone(), partitions, configs })
}

fn assigned_partitions(node: &Node, topic: &CreatableTopic) -> Result<i32, Refusal> {
    let refusal = |code, message: &str| Err((code, message.to_owned()));
    if topic.num_partitions != -1 || topic.replication_factor != -1 {
        return refusal(
            ErrorCode::InvalidRequest,
            "with an assignment, the counts of partitions and replicas must be -1",
        );
    }
    let mut indexes: Vec<i32> =
        topic.assignments.iter().map(|assignment| assignment.partition_index).collect();
    indexes.sort_unstable();
    let count = i32::try_from(indexes.len()).unwrap_or(i32::MAX);
    if indexes.into_iter().ne(0..count) {
        return refusal(
            ErrorCode::InvalidReplicaAssignment,
            "partitions must be numbered from 0 without gaps",
        );
    }
    if topic.assignments.iter().any(|assignment| assignment.broker_ids != [node.id()]) {
        return refusal(
            ErrorCode::InvalidReplicaAssignment,
            "partitions can only be assigned to this broker",
        );
    }
    Ok(count)
}

pub(crate) async fn delete(node: &Node, version: i16, request: DeleteTopicsRequest) -> DeleteTopicsResponse {
    let image = node.metadata().image();
    let by_name = request.topic_names.into_iter().map(|name| (Some(name), Uuid::nil()));
    let by_either = request.topics.into_iter().map(|topic| (topic.name, topic.topic_id));
    let wanted: Vec<_> = if version >= 6 { by_either.collect() } else { by_name.collect() };
    let find = |name: &Option<String>, topic_id| match name {
        Some(name) => image.topic(name),
        None => image.topic_by_id(TopicId(topic_id)),
    };
    let deletable: Vec<String> = wanted
        .iter()
        .filter_map(|(name, topic_id)| find(name, *topic_id).filter(|topic| !topic.is_internal()))
        .map(|topic| topic.name.to_string())
        .collect();
    let mut outcomes = node.delete_topics(deletable).await.into_iter();
    let mut responses = Vec::with_capacity(wanted.len());
    for (name, topic_id) in wanted {
        let by_id = name.is_none();
        let found = find(&name, topic_id);
        let (error_code, error_message) = match found {
            None if by_id => (ErrorCode::UnknownTopicId, Some("there is no topic with this id".to_owned())),
            None => (ErrorCode::UnknownTopicOrPartition, Some("the topic does not exist".to_owned())),
            Some(topic) if topic.is_internal() => (
                ErrorCode::InvalidTopicException,
                Some("the broker's own topics cannot be deleted".to_owned()),
            ),
            // Shape: there is an outcome for each that comes here.
            Some(_) => match outcomes.next() {
                Some(Ok(())) | None => (ErrorCode::None, None),
                Some(Err(error)) => (error_map::code(&error), Some(error.to_string())),
            },
        };
        let name = name.or_else(|| found.map(|topic| topic.name.to_string()));
        let topic_id = found.map_or(topic_id, |topic| topic.id.0);
        responses.push(DeletableTopicResult { name, topic_id, error_code, error_message });
    }
    DeleteTopicsResponse { throttle_time_ms: 0, responses }
}

pub(crate) async fn create_partitions(
    node: &Node,
    request: CreatePartitionsRequest,
) -> CreatePartitionsResponse {
    let mut results = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let (error_code, error_message) = match grow(node, &topic, request.validate_only).await {
            Ok(()) => (ErrorCode::None, None),
            Err((code, message)) => (code, Some(message)),
        };
        results.push(CreatePartitionsTopicResult { name: topic.name, error_code, error_message });
    }
    CreatePartitionsResponse { throttle_time_ms: 0, results }
}

async fn grow(node: &Node, wanted: &CreatePartitionsTopic, validate_only: bool) -> Result<(), Refusal> {
    let image = node.metadata().image();
    let topic = image
        .topic(&wanted.name)
        .ok_or_else(|| (ErrorCode::UnknownTopicOrPartition, "the topic does not exist".to_owned()))?;
    if topic.is_internal() {
        let message = "the broker's own topics have a fixed number of partitions".to_owned();
        return Err((ErrorCode::InvalidTopicException, message));
    }
    node.topics().validate_partitions(&wanted.name, wanted.count).map_err(error_map::refusal)?;
    if let Some(assignments) = &wanted.assignments {
        let added = wanted.count - topic.partitions;
        if i32::try_from(assignments.len()) != Ok(added) {
            let message = format!("{} assignments are given for {added} new partitions", assignments.len());
            return Err((ErrorCode::InvalidReplicaAssignment, message));
        }
        if assignments.iter().any(|assignment| assignment.broker_ids != [node.id()]) {
            let message = "partitions can only be assigned to this broker".to_owned();
            return Err((ErrorCode::InvalidReplicaAssignment, message));
        }
    }
    if validate_only {
        return Ok(());
    }
    node.topics().add_partitions(&wanted.name, wanted.count).await.map_err(error_map::refusal)
}
