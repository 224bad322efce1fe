//! What the metadata log says: every change of topics, settings and id allocations, in order.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One change. Written as JSON; a variant or field, once released, keeps its meaning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum MetadataRecord {
    /// First record of a log.
    Cluster {
        #[serde(with = "uuid_text")]
        cluster_id: Uuid,
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
    /// Producer ids below `next` may be in use.
    ProducerIds { next: i64 },
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
