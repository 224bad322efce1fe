//! DescribeConfigs and ListConfigResources.

use crate::api::error_map::Refusal;
use crate::api::node::Node;
use crate::config::settings::{SETTINGS, Setting};
use crate::metadata::broker_config::Scope;
use crate::metadata::client_metrics_config;
use crate::metadata::group_config;
use crate::metadata::image::MetadataImage;
use crate::metadata::topic_config::{ConfigDefinition, DEFINITIONS, ValueKind};
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResponse,
    DescribeConfigsResult, DescribeConfigsSynonym,
};
use crate::protocol::messages::list_config_resources::{
    CLIENT_METRICS, ConfigResource, ListConfigResourcesRequest, ListConfigResourcesResponse,
};

/// The source of a value set on the topic.
pub(crate) const TOPIC_CONFIG: i8 = 1;
/// The source of a value set for this broker while it runs.
const DYNAMIC_BROKER_CONFIG: i8 = 2;
/// The source of a value set for all brokers while they run.
const DYNAMIC_DEFAULT_BROKER_CONFIG: i8 = 3;
/// The source of a value from the broker's configuration.
const STATIC_BROKER_CONFIG: i8 = 4;
/// The source of a built-in value.
pub(crate) const DEFAULT_CONFIG: i8 = 5;
/// The source of a value set for a subscription to client metrics.
const DYNAMIC_CLIENT_METRICS_CONFIG: i8 = 7;
/// The source of a value set for a group.
const GROUP_CONFIG: i8 = 8;

pub(crate) const TOPIC: i8 = 2;
pub(crate) const BROKER: i8 = 4;
const BROKER_LOGGER: i8 = 8;
pub(crate) const GROUP: i8 = 32;

const BOOLEAN: i8 = 1;
const STRING: i8 = 2;
const INT: i8 = 3;
const LONG: i8 = 5;
const DOUBLE: i8 = 6;
const LIST: i8 = 7;

/// Parts of an answer beside the values.
#[derive(Debug, Clone, Copy)]
struct Detail {
    synonyms: bool,
    documentation: bool,
}

pub(crate) fn describe(node: &Node, request: DescribeConfigsRequest) -> DescribeConfigsResponse {
    let detail = Detail { synonyms: request.include_synonyms, documentation: request.include_documentation };
    let describe = |resource: DescribeConfigsResource| {
        let configs = match resource.resource_type {
            TOPIC => describe_topic(node, &resource, detail),
            BROKER => describe_broker(node, &resource, detail),
            GROUP => describe_group(node, &resource, detail),
            CLIENT_METRICS => describe_client_metrics(node, &resource, detail),
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

/// Sources of a setting's values, the effective one first.
pub(crate) fn origins(
    image: &MetadataImage,
    definition: &ConfigDefinition,
    topic_value: Option<&str>,
) -> Vec<DescribeConfigsSynonym> {
    let origin = |name: &str, value: &str, source| DescribeConfigsSynonym {
        name: name.to_owned(),
        value: Some(value.to_owned()),
        source,
    };
    let set = |scope: Scope| image.broker_settings().of(scope).get(definition.broker_name);
    let mut known = Vec::new();
    known.extend(topic_value.map(|value| origin(definition.name, value, TOPIC_CONFIG)));
    for (scope, source) in
        [(Scope::Broker, DYNAMIC_BROKER_CONFIG), (Scope::Cluster, DYNAMIC_DEFAULT_BROKER_CONFIG)]
    {
        known.extend(set(scope).map(|value| origin(definition.broker_name, value, source)));
    }
    let configured = image.broker_settings().configured_value(definition.broker_name);
    known.extend(configured.map(|value| origin(definition.broker_name, value, STATIC_BROKER_CONFIG)));
    let name = if definition.broker_name.is_empty() { definition.name } else { definition.broker_name };
    known.push(origin(name, definition.default, DEFAULT_CONFIG));
    known
}

fn entry(
    name: &str,
    definition: &ConfigDefinition,
    mut origins: Vec<DescribeConfigsSynonym>,
    detail: Detail,
) -> DescribeConfigsResourceResult {
    let (value, config_source) = (origins[0].value.clone(), origins[0].source);
    if !detail.synonyms {
        origins.clear();
    }
    DescribeConfigsResourceResult {
        name: name.to_owned(),
        value,
        config_source,
        synonyms: origins,
        config_type: config_type(definition.kind),
        documentation: detail.documentation.then(|| definition.documentation.to_owned()),
        ..DescribeConfigsResourceResult::default()
    }
}

fn describe_topic(
    node: &Node,
    resource: &DescribeConfigsResource,
    detail: Detail,
) -> Result<Vec<DescribeConfigsResourceResult>, Refusal> {
    let image = node.metadata().image();
    let missing = || (ErrorCode::UnknownTopicOrPartition, "the topic does not exist".to_owned());
    let topic = image.topic(&resource.resource_name).ok_or_else(missing)?;
    let describe = |definition: &ConfigDefinition| {
        let value = topic.config.overrides().get(definition.name).map(String::as_str);
        entry(definition.name, definition, origins(&image, definition, value), detail)
    };
    Ok(DEFINITIONS.iter().filter(|definition| wanted(resource, definition.name)).map(describe).collect())
}

/// Settings of a consumer group, which need not exist yet.
fn describe_group(
    node: &Node,
    resource: &DescribeConfigsResource,
    detail: Detail,
) -> Result<Vec<DescribeConfigsResourceResult>, Refusal> {
    if resource.resource_name.is_empty() {
        return Err((ErrorCode::InvalidRequest, "the group has no name".to_owned()));
    }
    let image = node.metadata().image();
    let set = image.group_settings().get(&resource.resource_name);
    let describe = |definition: &ConfigDefinition| {
        let origin = |name: &str, value: &str, source| DescribeConfigsSynonym {
            name: name.to_owned(),
            value: Some(value.to_owned()),
            source,
        };
        let mut origins = Vec::new();
        let own = set.and_then(|set| set.get(definition.name));
        origins.extend(own.map(|value| origin(definition.name, value, GROUP_CONFIG)));
        let broker = Setting::named(definition.broker_name);
        origins.extend(
            broker.map(|known| origin(known.name, &known.value(node.config()), STATIC_BROKER_CONFIG)),
        );
        origins.push(origin(definition.broker_name, definition.default, DEFAULT_CONFIG));
        entry(definition.name, definition, origins, detail)
    };
    let wanted = group_config::DEFINITIONS.iter().filter(|definition| wanted(resource, definition.name));
    Ok(wanted.map(describe).collect())
}

/// Settings of a subscription to client metrics, which need not exist yet.
fn describe_client_metrics(
    node: &Node,
    resource: &DescribeConfigsResource,
    detail: Detail,
) -> Result<Vec<DescribeConfigsResourceResult>, Refusal> {
    if resource.resource_name.is_empty() {
        return Err((ErrorCode::InvalidRequest, "the subscription has no name".to_owned()));
    }
    let image = node.metadata().image();
    let set = image.client_metrics().get(&resource.resource_name);
    let describe = |definition: &ConfigDefinition| {
        let origin = |value: &str, source| DescribeConfigsSynonym {
            name: definition.name.to_owned(),
            value: Some(value.to_owned()),
            source,
        };
        let own = set.and_then(|set| set.configs().get(definition.name));
        let own = own.map(|value| origin(value, DYNAMIC_CLIENT_METRICS_CONFIG));
        let default = origin(definition.default, DEFAULT_CONFIG);
        entry(definition.name, definition, own.into_iter().chain([default]).collect(), detail)
    };
    let wanted = client_metrics_config::DEFINITIONS.iter().filter(|known| wanted(resource, known.name));
    Ok(wanted.map(describe).collect())
}

/// The numbers of DescribeConfigs' value types.
fn config_type(kind: ValueKind) -> i8 {
    match kind {
        ValueKind::Bool => BOOLEAN,
        ValueKind::OneOf(_) | ValueKind::Text => STRING,
        ValueKind::Int { .. } => INT,
        ValueKind::Long { .. } => LONG,
        ValueKind::Ratio => DOUBLE,
        ValueKind::ListOf(_) | ValueKind::List => LIST,
    }
}

/// Without a name: what was set for all brokers. With the own id: everything.
fn describe_broker(
    node: &Node,
    resource: &DescribeConfigsResource,
    detail: Detail,
) -> Result<Vec<DescribeConfigsResourceResult>, Refusal> {
    let own = node.id().to_string();
    let image = node.metadata().image();
    let by_broker_name = DEFINITIONS
        .iter()
        .filter(|known| !known.broker_name.is_empty() && wanted(resource, known.broker_name));
    if resource.resource_name.is_empty() {
        let mut entries: Vec<_> = by_broker_name
            .map(|known| entry(known.broker_name, known, origins(&image, known, None), detail))
            .collect();
        let set = image.broker_settings().of(Scope::Cluster);
        entries.retain(|entry| set.contains_key(&entry.name));
        for entry in &mut entries {
            entry.value = set.get(&entry.name).cloned();
            entry.config_source = DYNAMIC_DEFAULT_BROKER_CONFIG;
            entry.synonyms.retain(|synonym| synonym.source >= DYNAMIC_DEFAULT_BROKER_CONFIG);
        }
        return Ok(entries);
    }
    if resource.resource_name != own {
        return Err((ErrorCode::InvalidRequest, format!("broker {own} knows only its own settings")));
    }
    let fixed = |setting: &Setting| DescribeConfigsResourceResult {
        name: setting.name.to_owned(),
        config_type: config_type(setting.kind),
        value: Some(setting.value(node.config())),
        read_only: true,
        config_source: STATIC_BROKER_CONFIG,
        documentation: detail.documentation.then(|| setting.documentation.to_owned()),
        ..DescribeConfigsResourceResult::default()
    };
    let settings = SETTINGS.iter().filter(|setting| wanted(resource, setting.name));
    let mut entries: Vec<_> = settings.map(fixed).collect();
    entries.extend(
        by_broker_name.map(|known| entry(known.broker_name, known, origins(&image, known, None), detail)),
    );
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// ListConfigResources: topics, this broker, groups with settings, and subscriptions to client metrics.
pub(crate) fn list(
    node: &Node,
    version: i16,
    request: ListConfigResourcesRequest,
) -> ListConfigResourcesResponse {
    const KNOWN: [i8; 5] = [TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP];
    let types = match (version, request.resource_types) {
        (0, _) => vec![CLIENT_METRICS],
        (_, types) if types.is_empty() => KNOWN.to_vec(),
        (_, types) => types,
    };
    if types.iter().any(|wanted| !KNOWN.contains(wanted)) {
        return ListConfigResourcesResponse {
            error_code: ErrorCode::UnsupportedVersion,
            ..ListConfigResourcesResponse::default()
        };
    }
    let mut config_resources = Vec::new();
    if types.contains(&TOPIC) {
        config_resources.extend(
            node.metadata()
                .image()
                .topics()
                .map(|topic| ConfigResource { resource_name: topic.name.to_string(), resource_type: TOPIC }),
        );
    }
    if types.contains(&BROKER) {
        let resource_name = node.id().to_string();
        config_resources.push(ConfigResource { resource_name, resource_type: BROKER });
    }
    if types.contains(&CLIENT_METRICS) {
        let image = node.metadata().image();
        let resource =
            |name: &String| ConfigResource { resource_name: name.clone(), resource_type: CLIENT_METRICS };
        config_resources.extend(image.client_metrics().keys().map(resource));
    }
    if types.contains(&GROUP) {
        config_resources.extend(
            node.metadata()
                .image()
                .group_settings()
                .keys()
                .map(|group| ConfigResource { resource_name: group.clone(), resource_type: GROUP }),
        );
    }
    ListConfigResourcesResponse { config_resources, ..ListConfigResourcesResponse::default() }
}
