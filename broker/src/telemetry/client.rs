//! A client, as subscriptions can tell it from others.

use std::collections::BTreeSet;
use std::sync::Arc;

use uuid::Uuid;

use crate::metadata::client_metrics_config::{ALL_METRICS, ClientAttribute, INTERVAL_DEFAULT_MS};
use crate::metadata::image::MetadataImage;

/// Who asks or pushes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    pub client_id: Arc<str>,
    pub software_name: Arc<str>,
    pub software_version: Arc<str>,
    pub address: String,
    pub port: String,
}

/// What a client is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Beginnings of names.
    pub metrics: Vec<String>,
    pub interval_ms: i32,
    /// Changes with what is asked; another one for every client.
    pub subscription_id: i32,
}

impl Client {
    /// What all subscriptions for the client come to: every metric one of them wants, at the shortest interval.
    #[must_use]
    pub fn wanted(&self, instance_id: Uuid, image: &MetadataImage) -> Wanted {
        let id = instance_id.to_string();
        let attribute = |attribute: ClientAttribute| match attribute {
            ClientAttribute::InstanceId => id.as_str(),
            ClientAttribute::ClientId => self.client_id.as_ref(),
            ClientAttribute::SoftwareName => self.software_name.as_ref(),
            ClientAttribute::SoftwareVersion => self.software_version.as_ref(),
            ClientAttribute::SourceAddress => self.address.as_str(),
            ClientAttribute::SourcePort => self.port.as_str(),
        };
        let mut metrics = BTreeSet::new();
        let mut interval_ms = INTERVAL_DEFAULT_MS;
        for subscription in image.client_metrics().values() {
            if subscription.matches(attribute) {
                metrics.extend(subscription.metrics().iter().cloned());
                interval_ms = interval_ms.min(subscription.interval_ms());
            }
        }
        if metrics.contains(ALL_METRICS) {
            metrics = BTreeSet::from([ALL_METRICS.to_owned()]);
        }
        let metrics: Vec<String> = metrics.into_iter().collect();
        let subscription_id = checksum(&metrics, interval_ms, instance_id);
        Wanted { metrics, interval_ms, subscription_id }
    }
}

fn checksum(metrics: &[String], interval_ms: i32, instance_id: Uuid) -> i32 {
    let mut crc = crc32c::crc32c(&interval_ms.to_be_bytes());
    for metric in metrics {
        crc = crc32c::crc32c_append(crc, metric.as_bytes());
        crc = crc32c::crc32c_append(crc, &[0]);
    }
    crc32c::crc32c_append(crc, instance_id.as_bytes()).cast_signed()
}
