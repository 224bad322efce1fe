//! AlterConfigs and IncrementalAlterConfigs.

use std::collections::BTreeMap;

use crate::api::configs::{BROKER, GROUP, TOPIC};
use crate::api::error_map::{Refusal, refusal};
use crate::api::node::Node;
use crate::config::settings::Setting;
use crate::error::Error;
use crate::metadata::broker_config::{BrokerSettings, Scope};
use crate::metadata::client_metrics_config::{self, ClientMetricsSubscription};
use crate::metadata::group_config;
use crate::metadata::topic_config::{
    ConfigDefinition, TopicConfig, ValueKind, definition, definition_by_broker_name,
};
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::alter_configs::{
    AlterConfigsRequest, AlterConfigsResourceResponse, AlterConfigsResponse,
};
use crate::protocol::messages::incremental_alter_configs as incremental;
use crate::protocol::messages::list_config_resources::CLIENT_METRICS;

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

type Configs = BTreeMap<String, String>;

/// Look-up of a resource's settings by name.
type Lookup = fn(&str) -> Option<&'static ConfigDefinition>;

/// A resource's settings before and after are whole maps; every way of altering ends here.
async fn change(
    node: &Node,
    resource_type: i8,
    name: &str,
    validate_only: bool,
    edit: impl Fn(&Configs, Lookup) -> Result<Configs, Error> + Send + 'static,
) -> Result<(), Refusal> {
    match resource_type {
        TOPIC => change_topic(node, name, validate_only, edit).await,
        BROKER => change_broker(node, name, validate_only, edit).await,
        GROUP => change_group(node, name, validate_only, edit).await,
        CLIENT_METRICS => change_client_metrics(node, name, validate_only, edit).await,
        other => Err((
            ErrorCode::InvalidRequest,
            format!("the settings of resource type {other} cannot be altered"),
        )),
    }
}

async fn change_topic(
    node: &Node,
    name: &str,
    validate_only: bool,
    edit: impl Fn(&Configs, Lookup) -> Result<Configs, Error> + Send + 'static,
) -> Result<(), Refusal> {
    let image = node.metadata().image();
    let missing = || (ErrorCode::UnknownTopicOrPartition, "the topic does not exist".to_owned());
    let topic = image.topic(name).ok_or_else(missing)?;
    let edit = move |config: &TopicConfig| edit(config.overrides(), definition);
    if validate_only {
        let configs = edit(&topic.config).map_err(refusal)?;
        return TopicConfig::parse(&configs).map(|_| ()).map_err(refusal);
    }
    node.topics().alter_configs(name, edit).await.map_err(refusal)
}

async fn change_group(
    node: &Node,
    name: &str,
    validate_only: bool,
    edit: impl Fn(&Configs, Lookup) -> Result<Configs, Error> + Send + 'static,
) -> Result<(), Refusal> {
    if name.is_empty() {
        return Err((ErrorCode::InvalidRequest, "the group has no name".to_owned()));
    }
    let edit = move |configs: &Configs| edit(configs, group_config::definition);
    if validate_only {
        let image = node.metadata().image();
        let present = image.group_settings().get(name).cloned().unwrap_or_default();
        return edit(&present).and_then(|configs| group_config::check(&configs)).map_err(refusal);
    }
    node.topics().alter_group_configs(name, edit).await.map_err(refusal)
}

async fn change_client_metrics(
    node: &Node,
    name: &str,
    validate_only: bool,
    edit: impl Fn(&Configs, Lookup) -> Result<Configs, Error> + Send + 'static,
) -> Result<(), Refusal> {
    if name.is_empty() {
        return Err((ErrorCode::InvalidRequest, "the subscription has no name".to_owned()));
    }
    let edit = move |configs: &Configs| edit(configs, client_metrics_config::definition);
    if validate_only {
        let image = node.metadata().image();
        let present = image.client_metrics().get(name).map(|present| present.configs().clone());
        let edited = edit(&present.unwrap_or_default());
        return edited
            .and_then(|configs| ClientMetricsSubscription::parse(&configs))
            .map(|_| ())
            .map_err(refusal);
    }
    node.topics().alter_client_metrics(name, edit).await.map_err(refusal)
}

async fn change_broker(
    node: &Node,
    name: &str,
    validate_only: bool,
    edit: impl Fn(&Configs, Lookup) -> Result<Configs, Error> + Send + 'static,
) -> Result<(), Refusal> {
    let own = node.id().to_string();
    let scope = match name {
        "" => Scope::Cluster,
        name if name == own => Scope::Broker,
        _ => return Err((ErrorCode::InvalidRequest, format!("there is no broker but {own}"))),
    };
    let edit = move |configs: &Configs| {
        let edited = edit(configs, definition_by_broker_name)?;
        match edited.iter().find(|(name, _)| Setting::named(name).is_some()) {
            None => Ok(edited),
            Some((key, value)) => Err(Error::InvalidConfig {
                key: key.clone(),
                value: value.clone(),
                expected: "a restart of the broker with another value",
            }),
        }
    };
    if validate_only {
        let image = node.metadata().image();
        let configs = edit(image.broker_settings().of(scope)).map_err(refusal)?;
        return BrokerSettings::default().replace(scope, &configs).map_err(refusal);
    }
    node.topics().alter_broker_configs(scope, edit).await.map_err(refusal)
}

pub(crate) async fn alter(node: &Node, request: AlterConfigsRequest) -> AlterConfigsResponse {
    let mut responses = Vec::with_capacity(request.resources.len());
    for resource in request.resources {
        let configs: Configs =
            resource.configs.into_iter().filter_map(|config| Some((config.name, config.value?))).collect();
        let edit = move |_: &Configs, _: Lookup| Ok(configs.clone());
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
        let edit = move |configs: &Configs, lookup: Lookup| edited(configs, lookup, &edits);
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
    configs: &Configs,
    lookup: Lookup,
    edits: &[incremental::AlterableConfig],
) -> Result<Configs, Error> {
    let mut configs = configs.clone();
    for edit in edits {
        let value = edit.value.clone().unwrap_or_default();
        let wrong =
            |expected| Error::InvalidConfig { key: edit.name.clone(), value: value.clone(), expected };
        let known = lookup(&edit.name).ok_or_else(|| wrong("a known setting that can be altered"))?;
        match edit.config_operation {
            SET => {
                configs.insert(edit.name.clone(), value);
            }
            DELETE => {
                configs.remove(&edit.name);
            }
            APPEND | SUBTRACT => {
                if !matches!(known.kind, ValueKind::ListOf(_) | ValueKind::List) {
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
