//! Entities that have settings: topics, brokers, groups; quotas and passwords of users and clients.

use std::collections::BTreeMap;

use weir_broker::auth::scram::ScramMechanism;
use weir_broker::protocol::messages::alter_client_quotas::{
    AlterClientQuotasRequest, EntityData, EntryData, OpData,
};
use weir_broker::protocol::messages::alter_user_scram_credentials::{
    AlterUserScramCredentialsRequest, ScramCredentialDeletion,
};
use weir_broker::protocol::messages::describe_client_quotas::{ComponentData, DescribeClientQuotasRequest};
use weir_broker::protocol::messages::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
use weir_broker::protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};

use crate::kafka_tools::connection::{Connection, ask};
use crate::kafka_tools::error::{Result, ToolError, check};
use crate::kafka_tools::group::view;
use crate::kafka_tools::user;

/// `config_source` of Kafka's protocol, by number, from 1 on.
const SOURCES: [&str; 9] = [
    "DYNAMIC_TOPIC_CONFIG",
    "DYNAMIC_BROKER_CONFIG",
    "DYNAMIC_DEFAULT_BROKER_CONFIG",
    "STATIC_BROKER_CONFIG",
    "DEFAULT_CONFIG",
    "DYNAMIC_BROKER_LOGGER_CONFIG",
    "DYNAMIC_CLIENT_METRICS_CONFIG",
    "DYNAMIC_GROUP_CONFIG",
    "UNKNOWN",
];
/// Sources of settings that were changed while the broker ran.
const OWN_SOURCES: [i8; 4] = [1, 2, 3, 8];
const MATCH_EXACT: i8 = 0;
const MATCH_DEFAULT: i8 = 1;
const MATCH_ANY: i8 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntityKind {
    Topic,
    Broker,
    Group,
    User,
    Client,
}

impl EntityKind {
    const ALL: [EntityKind; 5] =
        [EntityKind::Topic, EntityKind::Broker, EntityKind::Group, EntityKind::User, EntityKind::Client];

    pub fn parse(text: &str) -> Result<EntityKind> {
        let found = EntityKind::ALL.into_iter().find(|kind| text.trim_end_matches('s') == kind.singular());
        found.ok_or_else(|| {
            ToolError::Usage(format!(
                "entity type \"{text}\" is none of topics, brokers, groups, users, clients"
            ))
        })
    }

    pub fn singular(self) -> &'static str {
        match self {
            EntityKind::Topic => "topic",
            EntityKind::Broker => "broker",
            EntityKind::Group => "group",
            EntityKind::User => "user",
            EntityKind::Client => "client",
        }
    }

    /// The number of a resource; None for what has quotas instead of settings.
    fn resource(self) -> Option<i8> {
        match self {
            EntityKind::Topic => Some(2),
            EntityKind::Broker => Some(4),
            EntityKind::Group => Some(32),
            EntityKind::User | EntityKind::Client => None,
        }
    }

    fn quota_type(self) -> &'static str {
        if self == EntityKind::Client { "client-id" } else { "user" }
    }
}

/// An entity that has settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entity {
    pub kind: EntityKind,
    /// None: the default, or all of the kind.
    pub name: Option<String>,
    pub is_default: bool,
}

/// A setting and where its value comes from.
#[derive(Clone, Debug)]
pub struct Setting {
    pub name: String,
    pub value: String,
    /// Somebody has set it.
    pub is_own: bool,
    pub is_sensitive: bool,
    pub synonyms: Vec<String>,
}

/// Entities with names: the one that is meant, or all of its kind.
pub async fn list(connection: &Connection, entities: &[Entity]) -> Result<Vec<Vec<Entity>>> {
    let [one] = entities else { return Ok(vec![entities.to_vec()]) };
    if one.name.is_some() || one.is_default {
        return Ok(vec![entities.to_vec()]);
    }
    let names: Vec<Option<String>> = match one.kind {
        EntityKind::Topic => {
            let mut topics = connection.admin.list_topics().await?;
            topics.sort_by(|a, b| a.name.cmp(&b.name));
            topics.into_iter().map(|topic| Some(topic.name)).collect()
        }
        EntityKind::Broker => {
            let metadata = crate::kafka_tools::connection::fetch_metadata(connection, Some("")).await?;
            metadata.brokers.into_iter().map(|broker| Some(broker.node_id.to_string())).collect()
        }
        EntityKind::Group => {
            let groups = view::groups(connection).await?;
            groups.into_iter().map(|group| Some(group.group_id)).collect()
        }
        EntityKind::User | EntityKind::Client => quota_names(connection, one.kind).await?,
    };
    let entity = |name: Option<String>| vec![Entity { kind: one.kind, is_default: name.is_none(), name }];
    Ok(names.into_iter().map(entity).collect())
}

/// Those that have quotas or credentials; None is the default.
async fn quota_names(connection: &Connection, kind: EntityKind) -> Result<Vec<Option<String>>> {
    let component =
        ComponentData { entity_type: kind.quota_type().to_owned(), match_type: MATCH_ANY, match_name: None };
    let request = DescribeClientQuotasRequest { components: vec![component], strict: true };
    let answer = ask!(connection, DescribeClientQuotas, request)?;
    check(|| "describing quotas".to_owned(), answer.error_code, answer.error_message)?;
    let entries = answer.entries.unwrap_or_default().into_iter();
    let mut names: Vec<Option<String>> = entries.flat_map(|e| e.entity).map(|e| e.entity_name).collect();
    if kind == EntityKind::User {
        let users = user::credentials(connection, &[]).await?;
        names.extend(users.into_iter().map(|(name, _, _)| Some(name)));
    }
    names.sort();
    names.dedup();
    Ok(names)
}

/// The settings of an entity, or the quotas and credentials of a user, a client, or a client of a user.
pub async fn describe(connection: &Connection, entities: &[Entity]) -> Result<Vec<Setting>> {
    let Some((resource_type, entity)) =
        entities.first().and_then(|entity| Some((entity.kind.resource()?, entity)))
    else {
        return describe_quotas(connection, entities).await;
    };
    let resource = DescribeConfigsResource {
        resource_type,
        resource_name: entity.name.clone().unwrap_or_default(),
        configuration_keys: None,
    };
    let request = DescribeConfigsRequest {
        resources: vec![resource],
        include_synonyms: true,
        ..DescribeConfigsRequest::default()
    };
    let mut settings = Vec::new();
    for result in ask!(connection, DescribeConfigs, request)?.results {
        check(|| what("describing", entity), result.error_code, result.error_message)?;
        settings.extend(result.configs.into_iter().map(|config| {
            Setting {
                is_own: OWN_SOURCES.contains(&config.config_source),
                value: config.value.unwrap_or_default(),
                is_sensitive: config.is_sensitive,
                synonyms: config
                    .synonyms
                    .into_iter()
                    .map(|s| format!("{}:{}={}", source(s.source), s.name, s.value.unwrap_or_default()))
                    .collect(),
                name: config.name,
            }
        }));
    }
    Ok(settings)
}

fn source(number: i8) -> &'static str {
    let at = usize::try_from(i32::from(number) - 1).unwrap_or(usize::MAX);
    SOURCES.get(at).copied().unwrap_or("UNKNOWN")
}

fn what(doing: &str, entity: &Entity) -> String {
    match &entity.name {
        Some(name) => format!("{doing} {} \"{name}\"", entity.kind.singular()),
        None => format!("{doing} the default {}", entity.kind.singular()),
    }
}

async fn describe_quotas(connection: &Connection, entities: &[Entity]) -> Result<Vec<Setting>> {
    let component = |entity: &Entity| ComponentData {
        entity_type: entity.kind.quota_type().to_owned(),
        match_type: match (&entity.name, entity.is_default) {
            (Some(_), _) => MATCH_EXACT,
            (None, true) => MATCH_DEFAULT,
            (None, false) => MATCH_ANY,
        },
        match_name: entity.name.clone(),
    };
    let request =
        DescribeClientQuotasRequest { components: entities.iter().map(component).collect(), strict: true };
    let answer = ask!(connection, DescribeClientQuotas, request)?;
    check(|| "describing quotas".to_owned(), answer.error_code, answer.error_message)?;
    let own = |name: String, value: String| Setting {
        name,
        value,
        is_own: true,
        is_sensitive: false,
        synonyms: Vec::new(),
    };
    let quotas = answer.entries.unwrap_or_default().into_iter().flat_map(|entry| entry.values);
    let mut settings: Vec<Setting> = quotas.map(|quota| own(quota.key, quota.value.to_string())).collect();
    if let [Entity { kind: EntityKind::User, name: Some(name), .. }] = entities {
        let credentials = user::credentials(connection, std::slice::from_ref(name)).await?;
        settings.extend(
            credentials
                .into_iter()
                .map(|(_, m, iterations)| own(m.to_owned(), format!("iterations={iterations}"))),
        );
    }
    Ok(settings)
}

/// Sets settings, and returns those with None to their defaults.
pub async fn alter(
    connection: &Connection,
    entities: &[Entity],
    changes: &BTreeMap<String, Option<String>>,
) -> Result<()> {
    let Some((resource_type, entity)) =
        entities.first().and_then(|entity| Some((entity.kind.resource()?, entity)))
    else {
        return alter_quotas(connection, entities, changes).await;
    };
    let change = |(name, value): (&String, &Option<String>)| AlterableConfig {
        name: name.clone(),
        config_operation: i8::from(value.is_none()),
        value: value.clone(),
    };
    let resource = AlterConfigsResource {
        resource_type,
        resource_name: entity.name.clone().unwrap_or_default(),
        configs: changes.iter().map(change).collect(),
    };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
    for result in ask!(connection, IncrementalAlterConfigs, request)?.responses {
        check(|| what("altering", entity), result.error_code, result.error_message)?;
    }
    Ok(())
}

async fn alter_quotas(
    connection: &Connection,
    entities: &[Entity],
    changes: &BTreeMap<String, Option<String>>,
) -> Result<()> {
    let mut ops = Vec::new();
    for (name, value) in changes {
        if let Ok(mechanism) = name.parse::<ScramMechanismName>() {
            alter_credential(connection, entities, mechanism.0, value.as_deref()).await?;
            continue;
        }
        let number = |text: &String| {
            text.parse::<f64>().map_err(|_| ToolError::Usage(format!("{name}: \"{text}\" is no number")))
        };
        let number = value.as_ref().map(number).transpose()?;
        ops.push(OpData { key: name.clone(), value: number.unwrap_or(0.0), remove: number.is_none() });
    }
    if ops.is_empty() {
        return Ok(());
    }
    let of = |entity: &Entity| EntityData {
        entity_type: entity.kind.quota_type().to_owned(),
        entity_name: entity.name.clone(),
    };
    let entry = EntryData { entity: entities.iter().map(of).collect(), ops };
    let request = AlterClientQuotasRequest { entries: vec![entry], validate_only: false };
    for result in ask!(connection, AlterClientQuotas, request)?.entries {
        check(|| "altering quotas".to_owned(), result.error_code, result.error_message)?;
    }
    Ok(())
}

/// A mechanism by Kafka's name of it.
struct ScramMechanismName(ScramMechanism);

impl std::str::FromStr for ScramMechanismName {
    type Err = ();

    fn from_str(text: &str) -> std::result::Result<ScramMechanismName, ()> {
        ScramMechanism::ALL.into_iter().find(|m| m.name() == text).map(ScramMechanismName).ok_or(())
    }
}

/// `[iterations=8192,password=…]` makes a credential, None deletes it.
async fn alter_credential(
    connection: &Connection,
    entities: &[Entity],
    mechanism: ScramMechanism,
    value: Option<&str>,
) -> Result<()> {
    let [Entity { kind: EntityKind::User, name: Some(name), .. }] = entities else {
        return Err(ToolError::Usage("credentials are of one user with a name".to_owned()));
    };
    let Some(value) = value else {
        let deletion = ScramCredentialDeletion { name: name.clone(), mechanism: mechanism.code() };
        let request = AlterUserScramCredentialsRequest { deletions: vec![deletion], upsertions: Vec::new() };
        return user::alter(connection, "deleting", request).await;
    };
    let mut iterations = user::ITERATIONS;
    let mut password = None;
    for item in value.split(',') {
        match item.split_once('=') {
            Some(("iterations", number)) => {
                let wrong = |_| ToolError::Usage(format!("iterations \"{number}\" is no number"));
                iterations = number.parse().map_err(wrong)?;
            }
            Some(("password", text)) => password = Some(text),
            // Not shown: it may be part of a password.
            _ => return Err(ToolError::Usage("a credential is [iterations=N,password=TEXT]".to_owned())),
        }
    }
    let password = password.ok_or_else(|| ToolError::Usage("a credential needs a password".to_owned()))?;
    user::create(connection, name, password, &[mechanism], iterations).await
}
