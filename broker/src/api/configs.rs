//! DescribeConfigs, AlterConfigs and IncrementalAlterConfigs.

use std::collections::BTreeMap;

use crate::api::error_map;
use crate::api::node::Node;
use crate::error::Error;
use crate::metadata::topic_config::{ConfigDefinition, DEFINITIONS, TopicConfig, ValueKind, definition};
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::alter_configs::{
    AlterConfigsRequest, AlterConfigsResourceResponse, AlterConfigsResponse,
};
use crate::protocol::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResponse,
    DescribeConfigsResult, DescribeConfigsSynonym,
};
use crate::protocol::messages::incremental_alter_configs as incremental;

/// The source of a value set on the topic.
pub(crate) const TOPIC_CONFIG: i8 = 1;
/// The source of a value from the broker's configuration.
const STATIC_BROKER_CONFIG: i8 = 4;
/// The source of a built-in value.
pub(crate) const DEFAULT_CONFIG: i8 = 5;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

type Refusal = (ErrorCode, String);

pub(crate) fn describe(node: &Node, request: DescribeConfigsRequest) -> DescribeConfigsResponse {
    let synonyms = request.include_synonyms;
    let describe = |resource: DescribeConfigsResource| {
        let configs = match resource.resource_type {
            TOPIC => describe_topic(node, &resource, synonyms),
            BROKER => describe_broker(node, &resource),
            other => Err((ErrorCode::InvalidRequest, format!("resource type {other} has no settings here"))),
        };
        let (configs, error_code, error_message) = match configs {
            Ok(configs) => (configs, ErrorCode::None, None),
            Err((code, message)) => (Vec::new(), code, Some(message)),
        };
        DescribeConfigsResult {
            error_code,
            error_message,
            resource_type: resource.resource_type,
            resource_name: resource.resource_name,
            configs,
        }
    };
    DescribeConfigsResponse {
        throttle_time_ms: 0,
        results: request.resources.into_iter().map(describe).collect(),
    }
}

fn wanted(resource: &DescribeConfigsResource, name: &str) -> bool {
    resource.configuration_keys.as_ref().is_none_or(|keys| keys.iter().any(|key| key == name))
}

fn describe_topic(
    node: &Node,
    resource: &DescribeConfigsResource,
    synonyms: bool,
) -> Result<Vec<DescribeConfigsResourceResult>, Refusal> {
    let image = node.metadata().image();
    let missing = || (ErrorCode::UnknownTopicOrPartition, "the topic does not exist".to_owned());
    let topic = image.topic(&resource.resource_name).ok_or_else(missing)?;
    let entry = |definition: &ConfigDefinition| {
        let set = topic.config.overrides().contains_key(definition.name);
        let value = Some(topic.config.value(definition.name).to_owned());
        let synonym = |value: &str, source| DescribeConfigsSynonym {
            name: definition.name.to_owned(),
            value: Some(value.to_owned()),
            source,
        };
        let mut known = Vec::new();
        if synonyms && set {
            known.push(synonym(topic.config.value(definition.name), TOPIC_CONFIG));
        }
        if synonyms {
            known.push(synonym(definition.default, DEFAULT_CONFIG));
        }
        DescribeConfigsResourceResult {
            name: definition.name.to_owned(),
            value,
            config_source: if set { TOPIC_CONFIG } else { DEFAULT_CONFIG },
            synonyms: known,
            config_type: config_type(definition.kind),
            ..DescribeConfigsResourceResult::default()
        }
    };
    Ok(DEFINITIONS.iter().filter(|definition| wanted(resource, definition.name)).map(entry).collect())
}

/// The numbers of DescribeConfigs' value types.
fn config_type(kind: ValueKind) -> i8 {
    match kind {
        ValueKind::Bool => 1,
        ValueKind::OneOf(_) | ValueKind::Text => 2,
        ValueKind::Int { .. } => 3,
        ValueKind::Long { .. } => 5,
        ValueKind::Ratio => 6,
        ValueKind::ListOf(_) => 7,
    }
}

fn describe_broker(
    node: &Node,
    resource: &DescribeConfigsResource,
) -> Result<Vec<DescribeConfigsResourceResult>, Refusal> {
    let own = node.id().to_string();
    if !resource.resource_name.is_empty() && resource.resource_name != own {
        return Err((ErrorCode::InvalidRequest, format!("broker {own} knows only its own settings")));
    }
    let settings = node.config().kafka_names();
    let entry = |(name, value): (&'static str, String)| DescribeConfigsResourceResult {
        name: name.to_owned(),
        value: Some(value),
        read_only: true,
        config_source: STATIC_BROKER_CONFIG,
        config_type: 2,
        ..DescribeConfigsResourceResult::default()
    };
    Ok(settings.into_iter().filter(|(name, _)| wanted(resource, name)).map(entry).collect())
}

/// A topic's settings before and after are whole maps; every way of altering ends here.
async fn change(
    node: &Node,
    resource_type: i8,
    name: &str,
    validate_only: bool,
    edit: impl Fn(&TopicConfig) -> Result<BTreeMap<String, String>, Error> + Send + 'static,
) -> Result<(), Refusal> {
    if resource_type != TOPIC {
        return Err((ErrorCode::InvalidRequest, "only the settings of topics can be altered".to_owned()));
    }
    let image = node.metadata().image();
    let missing = || (ErrorCode::UnknownTopicOrPartition, "the topic does not exist".to_owned());
    let topic = image.topic(name).ok_or_else(missing)?;
    let refusal = |error: Error| (error_map::code(&error), error.to_string());
    if validate_only {
        let configs = edit(&topic.config).map_err(refusal)?;
        return TopicConfig::parse(&configs).map(|_| ()).map_err(refusal);
    }
    node.topics().alter_configs(name, edit).await.map_err(refusal)
}

pub(crate) async fn alter(node: &Node, request: AlterConfigsRequest) -> AlterConfigsResponse {
    let mut responses = Vec::with_capacity(request.resources.len());
    for resource in request.resources {
        let configs: BTreeMap<String, String> =
            resource.configs.into_iter().filter_map(|config| Some((config.name, config.value?))).collect();
        let edit = move |_: &TopicConfig| Ok(configs.clone());
        let outcome =
            change(node, resource.resource_type, &resource.resource_name, request.validate_only, edit).await;
        let (error_code, error_message) = outcome_fields(outcome);
        responses.push(AlterConfigsResourceResponse {
            error_code,
            error_message,
            resource_type: resource.resource_type,
            resource_name: resource.resource_name,
        });
    }
    AlterConfigsResponse { throttle_time_ms: 0, responses }
}

fn outcome_fields(outcome: Result<(), Refusal>) -> (ErrorCode, Option<String>) {
    match outcome {
        Ok(()) => (ErrorCode::None, None),
        Err((code, message)) => (code, Some(message)),
    }
}

pub(crate) async fn incremental_alter(
    node: &Node,
    request: incremental::IncrementalAlterConfigsRequest,
) -> incremental::IncrementalAlterConfigsResponse {
    let mut responses = Vec::with_capacity(request.resources.len());
    for resource in request.resources {
        let edits = resource.configs;
        let edit = move |config: &TopicConfig| edited(config, &edits);
        let outcome =
            change(node, resource.resource_type, &resource.resource_name, request.validate_only, edit).await;
        let (error_code, error_message) = outcome_fields(outcome);
        responses.push(incremental::AlterConfigsResourceResponse {
            error_code,
            error_message,
            resource_type: resource.resource_type,
            resource_name: resource.resource_name,
        });
    }
    incremental::IncrementalAlterConfigsResponse { throttle_time_ms: 0, responses }
}

fn edited(
    config: &TopicConfig,
    edits: &[incremental::AlterableConfig],
) -> Result<BTreeMap<String, String>, Error> {
    let mut configs = config.overrides().clone();
    for edit in edits {
        let value = edit.value.clone().unwrap_or_default();
        let wrong =
            |expected| Error::InvalidConfig { key: edit.name.clone(), value: value.clone(), expected };
        let known = definition(&edit.name).ok_or_else(|| wrong("a known topic setting"))?;
        match edit.config_operation {
            SET => {
                configs.insert(edit.name.clone(), value);
            }
            DELETE => {
                configs.remove(&edit.name);
            }
            APPEND | SUBTRACT => {
                if !matches!(known.kind, ValueKind::ListOf(_)) {
                    return Err(wrong("a setting that is a list"));
                }
                let current = configs.get(&edit.name).map_or(known.default, String::as_str);
                let mut items: Vec<&str> =
                    current.split(',').map(str::trim).filter(|item| !item.is_empty()).collect();
                for item in value.split(',').map(str::trim) {
                    items.retain(|present| *present != item);
                    if edit.config_operation == APPEND {
                        items.push(item);
                    }
                }
                let joined = items.join(",");
                configs.insert(edit.name.clone(), joined);
            }
            _ => return Err(wrong("operation set, delete, append or subtract")),
        }
    }
    Ok(configs)
}
