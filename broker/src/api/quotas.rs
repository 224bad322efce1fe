//! DescribeClientQuotas and AlterClientQuotas. Source: KIP-546.

use crate::api::error_map::{self, Refusal};
use crate::api::node::Node;
use crate::auth::quota::{EntityName, QuotaEntity, QuotaKey};
use crate::metadata::record::MetadataRecord;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::alter_client_quotas::{
    AlterClientQuotasRequest, AlterClientQuotasResponse, EntityData, EntryData, EntryResult,
};
use crate::protocol::messages::describe_client_quotas as described;

const USER: &str = "user";
const CLIENT_ID: &str = "client-id";

const EXACT: i8 = 0;
const DEFAULT: i8 = 1;
const SPECIFIED: i8 = 2;

fn invalid(message: impl Into<String>) -> Refusal {
    (ErrorCode::InvalidRequest, message.into())
}

fn unknown_type(name: &str) -> Refusal {
    invalid(format!("entity type \"{name}\" has no quotas here: user and client-id have"))
}

/// Condition of a filter on one part of an entity.
enum Wanted {
    Exactly(EntityName),
    Any,
}

impl Wanted {
    fn of(component: described::ComponentData) -> Result<Self, Refusal> {
        match (component.match_type, component.match_name) {
            (EXACT, Some(name)) => Ok(Self::Exactly(EntityName::Name(name))),
            (DEFAULT, None) => Ok(Self::Exactly(EntityName::Default)),
            (SPECIFIED, None) => Ok(Self::Any),
            (EXACT, None) => Err(invalid("an exact match needs a name")),
            (DEFAULT | SPECIFIED, Some(_)) => Err(invalid("only an exact match has a name")),
            (other, _) => Err(invalid(format!("match type {other} is not known"))),
        }
    }

    fn matches(&self, name: &EntityName) -> bool {
        match self {
            Self::Exactly(wanted) => wanted == name,
            Self::Any => true,
        }
    }
}

#[derive(Default)]
struct Filter {
    user: Option<Wanted>,
    client_id: Option<Wanted>,
    strict: bool,
}

impl Filter {
    fn parse(request: described::DescribeClientQuotasRequest) -> Result<Self, Refusal> {
        let mut filter = Self { strict: request.strict, ..Self::default() };
        for component in request.components {
            let place = match component.entity_type.as_str() {
                USER => &mut filter.user,
                CLIENT_ID => &mut filter.client_id,
                other => return Err(unknown_type(other)),
            };
            if place.is_some() {
                return Err(invalid(format!("entity type \"{}\" is named twice", component.entity_type)));
            }
            *place = Some(Wanted::of(component)?);
        }
        Ok(filter)
    }

    fn matches(&self, entity: &QuotaEntity) -> bool {
        let matches = |wanted: &Option<Wanted>, name: &Option<EntityName>| match (wanted, name) {
            (None, name) => name.is_none() || !self.strict,
            (Some(_), None) => false,
            (Some(wanted), Some(name)) => wanted.matches(name),
        };
        matches(&self.user, &entity.user) && matches(&self.client_id, &entity.client_id)
    }
}

pub(crate) fn describe(
    node: &Node,
    request: described::DescribeClientQuotasRequest,
) -> described::DescribeClientQuotasResponse {
    let filter = match Filter::parse(request) {
        Ok(filter) => filter,
        Err((error_code, message)) => {
            return described::DescribeClientQuotasResponse {
                error_code,
                error_message: Some(message),
                ..described::DescribeClientQuotasResponse::default()
            };
        }
    };
    let image = node.metadata().image();
    let part = |entity_type: &str, name: &Option<EntityName>| {
        let entity_name = match name.as_ref()? {
            EntityName::Default => None,
            EntityName::Name(name) => Some(name.clone()),
        };
        Some(described::EntityData { entity_type: entity_type.to_owned(), entity_name })
    };
    let matching = image.security().quotas.iter().filter(|(entity, _)| filter.matches(entity));
    let entries = matching.map(|(entity, values)| {
        let parts = [part(USER, &entity.user), part(CLIENT_ID, &entity.client_id)];
        let value = |(key, value): (&QuotaKey, &f64)| described::ValueData {
            key: key.name().to_owned(),
            value: *value,
        };
        described::EntryData {
            entity: parts.into_iter().flatten().collect(),
            values: values.iter().map(value).collect(),
        }
    });
    described::DescribeClientQuotasResponse {
        entries: Some(entries.collect()),
        ..described::DescribeClientQuotasResponse::default()
    }
}

/// Changes of one entity.
type Change = Vec<MetadataRecord>;

fn parse_entity(parts: &[EntityData]) -> Result<QuotaEntity, Refusal> {
    let mut entity = QuotaEntity::default();
    for part in parts {
        let place = match part.entity_type.as_str() {
            USER => &mut entity.user,
            CLIENT_ID => &mut entity.client_id,
            other => return Err(unknown_type(other)),
        };
        if place.is_some() {
            return Err(invalid(format!("entity type \"{}\" is named twice", part.entity_type)));
        }
        *place = Some(match &part.entity_name {
            None => EntityName::Default,
            Some(name) if name.is_empty() => return Err(invalid("an entity's name must not be empty")),
            Some(name) => EntityName::Name(name.clone()),
        });
    }
    if entity == QuotaEntity::default() { Err(invalid("a quota needs an entity")) } else { Ok(entity) }
}

fn parse(entry: &EntryData) -> Result<Change, Refusal> {
    let entity = parse_entity(&entry.entity)?;
    let change = |op: &crate::protocol::messages::alter_client_quotas::OpData| {
        let key = QuotaKey::from_name(&op.key)
            .ok_or_else(|| invalid(format!("quota \"{}\" is not known here", op.key)))?;
        let is_usable = op.value.is_finite() && op.value > 0.0;
        if !op.remove && !is_usable {
            return Err(invalid(format!("quota \"{}\" must be greater than 0", op.key)));
        }
        let value = (!op.remove).then_some(op.value);
        Ok(MetadataRecord::QuotaSet { entity: entity.clone(), key, value })
    };
    entry.ops.iter().map(change).collect()
}

pub(crate) async fn alter(node: &Node, request: AlterClientQuotasRequest) -> AlterClientQuotasResponse {
    let mut outcomes: Vec<Result<Change, Refusal>> = request.entries.iter().map(parse).collect();
    if !request.validate_only {
        let records: Change = outcomes.iter().flatten().flatten().cloned().collect();
        if let Err(error) = node.update_metadata(move |_| Ok((records, ()))).await {
            let refusal = error_map::refusal(error);
            outcomes.iter_mut().filter(|outcome| outcome.is_ok()).for_each(|outcome| {
                *outcome = Err(refusal.clone());
            });
        }
    }
    let result = |(entry, outcome): (EntryData, Result<Change, Refusal>)| {
        let (error_code, message) = match outcome {
            Ok(_) => (ErrorCode::None, None),
            Err((code, message)) => (code, Some(message)),
        };
        EntryResult { error_code, error_message: message, entity: entry.entity }
    };
    let entries = request.entries.into_iter().zip(outcomes).map(result).collect();
    AlterClientQuotasResponse { throttle_time_ms: 0, entries }
}
