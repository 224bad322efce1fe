//! Users, rules and quotas, as part of the metadata.

use std::collections::BTreeMap;

use crate::auth::acl_set::AclSet;
use crate::auth::quota::QuotaSet;
use crate::auth::scram::{ScramCredential, ScramMechanism};

use super::record::{MetadataRecord, StoredCredential};

/// Everything stored about security.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SecurityImage {
    credentials: BTreeMap<String, BTreeMap<ScramMechanism, ScramCredential>>,
    pub acls: AclSet,
    pub quotas: QuotaSet,
}

impl SecurityImage {
    /// What is stored of a user's password under a mechanism.
    #[must_use]
    pub fn credential(&self, user: &str, mechanism: ScramMechanism) -> Option<&ScramCredential> {
        self.credentials.get(user)?.get(&mechanism)
    }

    /// All that is stored of a user's password; never empty.
    #[must_use]
    pub fn user(&self, name: &str) -> Option<&BTreeMap<ScramMechanism, ScramCredential>> {
        self.credentials.get(name)
    }

    /// All users with what is stored of their passwords, by name.
    pub fn users(&self) -> impl Iterator<Item = (&str, &BTreeMap<ScramMechanism, ScramCredential>)> {
        self.credentials.iter().map(|(name, credentials)| (name.as_str(), credentials))
    }

    pub(super) fn set_credential(&mut self, user: &str, stored: &StoredCredential) {
        let credentials = self.credentials.entry(user.to_owned()).or_default();
        credentials.insert(stored.mechanism, stored.credential());
    }

    pub(super) fn remove_credential(&mut self, user: &str, mechanism: ScramMechanism) {
        if let Some(credentials) = self.credentials.get_mut(user) {
            credentials.remove(&mechanism);
            if credentials.is_empty() {
                self.credentials.remove(user);
            }
        }
    }

    /// The changes that give this image.
    pub(super) fn records(&self) -> Vec<MetadataRecord> {
        let mut records = Vec::new();
        for (user, credentials) in &self.credentials {
            records.extend(credentials.values().map(|credential| MetadataRecord::CredentialSet {
                user: user.clone(),
                credential: StoredCredential::from(credential),
            }));
        }
        records.extend(self.acls.iter().map(|acl| MetadataRecord::AclAdded { acl: acl.as_ref().clone() }));
        for (entity, values) in self.quotas.iter() {
            records.extend(values.iter().map(|(key, value)| MetadataRecord::QuotaSet {
                entity: entity.clone(),
                key: *key,
                value: Some(*value),
            }));
        }
        records
    }
}
