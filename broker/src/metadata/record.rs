//! What the metadata log says: every change of topics, settings and id allocations, in order.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::broker_config::Scope;
use crate::auth::acl::Acl;
use crate::auth::quota::{QuotaEntity, QuotaKey};
use crate::auth::scram::{ScramCredential, ScramMechanism};

/// One change. Written as JSON; a variant or field, once released, keeps its meaning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum MetadataRecord {
    /// First record of a log.
    Cluster {
        #[serde(with = "uuid_text")]
        cluster_id: Uuid,
        /// Changes that were made before those of this log, which a rewrite has left out.
        #[serde(default)]
        changes_before: i64,
    },
    /// The topic exists from here on; missing partition directories are made at start.
    TopicCreated {
        name: String,
        #[serde(with = "uuid_text")]
        id: Uuid,
        partitions: i32,
        configs: BTreeMap<String, String>,
    },
    /// More partitions; the number is the new total.
    PartitionsAdded { name: String, partitions: i32 },
    /// The topic's settings, as a whole.
    ConfigsChanged { name: String, configs: BTreeMap<String, String> },
    /// The topic is gone for clients; its directories may still exist.
    TopicDeleting {
        name: String,
        #[serde(with = "uuid_text")]
        id: Uuid,
    },
    /// The directories of the topic with this id are gone.
    TopicDeleted {
        #[serde(with = "uuid_text")]
        id: Uuid,
    },
    /// Settings of the broker made while it runs, as a whole for their scope.
    BrokerConfigsChanged { scope: Scope, configs: BTreeMap<String, String> },
    /// The settings of a consumer group, as a whole; none removes them.
    GroupConfigsChanged { group: String, configs: BTreeMap<String, String> },
    /// The settings of a subscription to client metrics, as a whole; none removes it.
    ClientMetricsChanged { name: String, configs: BTreeMap<String, String> },
    /// Producer ids below `next` may be in use.
    ProducerIds { next: i64 },
    /// The user's password under one mechanism is what this proves.
    CredentialSet { user: String, credential: StoredCredential },
    /// The user has no password under this mechanism.
    CredentialRemoved { user: String, mechanism: ScramMechanism },
    /// The rule holds from here on.
    AclAdded { acl: Acl },
    /// The rule holds no more.
    AclRemoved { acl: Acl },
    /// The quota of an entity; none removes it.
    QuotaSet {
        entity: QuotaEntity,
        key: QuotaKey,
        #[serde(with = "number_text")]
        value: Option<f64>,
    },
}

/// What is stored of a password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredCredential {
    pub mechanism: ScramMechanism,
    pub iterations: u32,
    #[serde(with = "base64_text")]
    pub salt: Vec<u8>,
    #[serde(with = "base64_text")]
    pub stored_key: Vec<u8>,
    #[serde(with = "base64_text")]
    pub server_key: Vec<u8>,
}

/// Keys stay out of logs.
impl fmt::Debug for StoredCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredCredential").field("mechanism", &self.mechanism).finish_non_exhaustive()
    }
}

impl From<&ScramCredential> for StoredCredential {
    fn from(credential: &ScramCredential) -> Self {
        Self {
            mechanism: credential.mechanism,
            iterations: credential.iterations,
            salt: credential.salt.clone(),
            stored_key: credential.stored_key.clone(),
            server_key: credential.server_key.clone(),
        }
    }
}

impl StoredCredential {
    /// The credential as it is used.
    #[must_use]
    pub fn credential(&self) -> ScramCredential {
        ScramCredential {
            mechanism: self.mechanism,
            iterations: self.iterations,
            salt: self.salt.clone(),
            stored_key: self.stored_key.clone(),
            server_key: self.server_key.clone(),
        }
    }
}

/// Bytes as base64.
mod base64_text {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map_err(serde::de::Error::custom)
    }
}

/// Numbers with a fraction as text: what is tagged is read twice, and numbers do not survive that unchanged.
mod number_text {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
        value.map(|value| value.to_string()).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| text.parse().map_err(serde::de::Error::custom)).transpose()
    }
}

/// UUIDs in their usual form of 36 characters.
mod uuid_text {
    use serde::{Deserialize, Deserializer, Serializer};
    use uuid::Uuid;

    pub(super) fn serialize<S: Serializer>(id: &Uuid, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(id)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Uuid, D::Error> {
        let text = String::deserialize(deserializer)?;
        Uuid::parse_str(&text).map_err(serde::de::Error::custom)
    }
}
