//! Settings of consumer groups of the newer protocol, whose timeouts the coordinator decides (KIP-848).

use std::collections::BTreeMap;

use super::topic_config::{self, ConfigDefinition, ValueKind};
use crate::error::{Error, Result};

/// How long a member may be silent. Units: ms.
pub const SESSION_TIMEOUT: &str = "consumer.session.timeout.ms";
/// How often members are to send heartbeats. Units: ms.
pub const HEARTBEAT_INTERVAL: &str = "consumer.heartbeat.interval.ms";

/// All settings, by name.
pub const DEFINITIONS: &[ConfigDefinition] = &[
    ConfigDefinition {
        name: HEARTBEAT_INTERVAL,
        broker_name: "group.consumer.heartbeat.interval.ms",
        default: "5000",
        kind: ValueKind::Int { min: 100, max: 60_000 },
        documentation: "Interval between heartbeats of members of the group.",
    },
    ConfigDefinition {
        name: SESSION_TIMEOUT,
        broker_name: "group.consumer.session.timeout.ms",
        default: "45000",
        kind: ValueKind::Int { min: 1_000, max: 1_800_000 },
        documentation: "How long a member of the group may be silent before it is removed.",
    },
];

/// The definition of a setting.
#[must_use]
pub fn definition(name: &str) -> Option<&'static ConfigDefinition> {
    DEFINITIONS.iter().find(|definition| definition.name == name)
}

/// Checks every name and value.
///
/// Errors: `InvalidConfig`.
pub fn check(configs: &BTreeMap<String, String>) -> Result<()> {
    for (name, value) in configs {
        let unknown = || Error::InvalidConfig {
            key: name.clone(),
            value: value.clone(),
            expected: "a known group setting",
        };
        topic_config::check(definition(name).ok_or_else(unknown)?, value)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_checked() {
        let one = |name: &str, value: &str| check(&BTreeMap::from([(name.to_owned(), value.to_owned())]));
        for definition in DEFINITIONS {
            one(definition.name, definition.default).expect("defaults pass");
        }
        assert!(one(SESSION_TIMEOUT, "10").is_err());
        assert!(one(HEARTBEAT_INTERVAL, "soon").is_err());
        assert!(one("share.session.timeout.ms", "45000").is_err());
    }
}
