//! How much of a broker a client may use. Source: KIP-13, KIP-55, KIP-546.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A name, or all names that have no quota of their own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntityName {
    Default,
    Name(String),
}

/// What a quota is for: a user, a client id, or a client id of a user. One of the two is set.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct QuotaEntity {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<EntityName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<EntityName>,
}

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuotaKey {
    /// Units: bytes of produce requests per second.
    ProducerByteRate,
    /// Units: bytes of fetch responses per second.
    ConsumerByteRate,
    /// Units: percent of one thread's time.
    RequestPercentage,
}

impl QuotaKey {
    pub const ALL: [Self; 3] = [Self::ProducerByteRate, Self::ConsumerByteRate, Self::RequestPercentage];

    /// The name in `AlterClientQuotas`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ProducerByteRate => "producer_byte_rate",
            Self::ConsumerByteRate => "consumer_byte_rate",
            Self::RequestPercentage => "request_percentage",
        }
    }

    /// The key of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.name() == name)
    }
}

/// All quotas.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct QuotaSet {
    values: BTreeMap<QuotaEntity, BTreeMap<QuotaKey, f64>>,
}

/// Who shares one allowance.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BucketId {
    pub key: QuotaKey,
    /// `None`: of all users.
    pub user: Option<Arc<str>>,
    /// `None`: of all client ids.
    pub client_id: Option<Arc<str>>,
}

impl QuotaSet {
    /// Every entity with its quotas.
    pub fn iter(&self) -> impl Iterator<Item = (&QuotaEntity, &BTreeMap<QuotaKey, f64>)> {
        self.values.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Sets a quota, or removes it when `value` is `None`.
    pub fn set(&mut self, entity: &QuotaEntity, key: QuotaKey, value: Option<f64>) {
        let values = self.values.entry(entity.clone()).or_default();
        match value {
            Some(value) => drop(values.insert(key, value)),
            None => drop(values.remove(&key)),
        }
        if values.is_empty() {
            self.values.remove(entity);
        }
    }

    /// The quota that holds for a client, and with whom the client shares it: the most specific one there is.
    pub fn resolve(&self, key: QuotaKey, user: &str, client_id: &str) -> Option<(f64, BucketId)> {
        let named = |name: &str| Some(EntityName::Name(name.to_owned()));
        let default = || Some(EntityName::Default);
        let levels = [
            (named(user), named(client_id)),
            (named(user), default()),
            (named(user), None),
            (default(), named(client_id)),
            (default(), default()),
            (default(), None),
            (None, named(client_id)),
            (None, default()),
        ];
        levels.into_iter().find_map(|(of_user, of_client)| {
            let shared_by_clients = of_client.is_none();
            let shared_by_users = of_user.is_none();
            let entity = QuotaEntity { user: of_user, client_id: of_client };
            let value = *self.values.get(&entity)?.get(&key)?;
            let bucket = BucketId {
                key,
                user: (!shared_by_users).then(|| user.into()),
                client_id: (!shared_by_clients).then(|| client_id.into()),
            };
            Some((value, bucket))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entity(user: Option<&str>, client_id: Option<&str>) -> QuotaEntity {
        let name = |name: &str| match name {
            "<default>" => EntityName::Default,
            name => EntityName::Name(name.to_owned()),
        };
        QuotaEntity { user: user.map(name), client_id: client_id.map(name) }
    }

    #[test]
    fn the_most_specific_quota_holds() {
        let levels = [
            (entity(Some("u"), Some("c")), (true, true)),
            (entity(Some("u"), Some("<default>")), (true, true)),
            (entity(Some("u"), None), (true, false)),
            (entity(Some("<default>"), Some("c")), (true, true)),
            (entity(Some("<default>"), Some("<default>")), (true, true)),
            (entity(Some("<default>"), None), (true, false)),
            (entity(None, Some("c")), (false, true)),
            (entity(None, Some("<default>")), (false, true)),
        ];
        let key = QuotaKey::ProducerByteRate;
        let mut quotas = QuotaSet::default();
        for (rank, (entity, _)) in levels.iter().enumerate() {
            quotas.set(entity, key, Some(rank as f64));
        }
        quotas.set(&entity(Some("other"), Some("c")), key, Some(99.0));
        for (rank, (entity, (by_user, by_client))) in levels.iter().enumerate() {
            let (value, bucket) = quotas.resolve(key, "u", "c").expect("a quota holds");
            assert_eq!(value, rank as f64);
            assert_eq!((bucket.user.is_some(), bucket.client_id.is_some()), (*by_user, *by_client), "{rank}");
            assert_eq!(quotas.resolve(QuotaKey::ConsumerByteRate, "u", "c"), None);
            quotas.set(entity, key, None);
        }
        assert_eq!(quotas.resolve(key, "u", "c"), None);
        assert_eq!(quotas.iter().count(), 1, "entities without quotas are forgotten");
    }
}
