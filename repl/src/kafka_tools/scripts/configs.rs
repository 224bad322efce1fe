//! `kafka-configs`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Parser;

use crate::kafka_tools::client_properties::{assignment, property_lines};
use crate::kafka_tools::config_entity::{Entity, EntityKind, alter, describe, list};
use crate::kafka_tools::error::{Result, ToolError};
use crate::kafka_tools::output::line;
use crate::kafka_tools::scripts::arguments::{Bootstrap, Ignored, only_one};

/// Describe and alter settings of topics, brokers, groups, users and clients, as kafka-configs.sh does
#[derive(Debug, Parser)]
#[command(name = "kafka-configs", version, infer_long_args = true)]
pub struct ConfigsArgs {
    #[command(flatten)]
    bootstrap: Bootstrap,
    #[arg(long)]
    describe: bool,
    #[arg(long)]
    alter: bool,
    /// topics, brokers, groups, users, clients; users and clients together mean clients of users
    #[arg(long, value_name = "TYPE")]
    entity_type: Vec<String>,
    /// Names in the order of the types
    #[arg(long, value_name = "NAME")]
    entity_name: Vec<String>,
    /// All that have no settings of their own
    #[arg(long)]
    entity_default: bool,
    #[arg(long)]
    topic: Option<String>,
    #[arg(long)]
    broker: Option<String>,
    #[arg(long)]
    group: Option<String>,
    #[arg(long)]
    user: Option<String>,
    #[arg(long)]
    client: Option<String>,
    #[arg(long)]
    broker_defaults: bool,
    #[arg(long)]
    user_defaults: bool,
    #[arg(long)]
    client_defaults: bool,
    /// With --describe: defaults as well
    #[arg(long)]
    all: bool,
    /// KEY=VALUE,KEY=[VALUE,VALUE]
    #[arg(long, value_name = "KEY=VALUE,...")]
    add_config: Vec<String>,
    /// File of such lines
    #[arg(long, value_name = "FILE", conflicts_with = "add_config")]
    add_config_file: Option<PathBuf>,
    #[arg(long, value_name = "KEY,...", value_delimiter = ',')]
    delete_config: Vec<String>,
}

impl Ignored for ConfigsArgs {
    const IGNORED: &'static [(&'static str, bool)] = &[("--bootstrap-controller", true), ("--force", false)];
}

pub async fn run(args: ConfigsArgs) -> Result<()> {
    let alters = only_one(&[(args.describe, false), (args.alter, true)], "--describe, --alter")?;
    let entities = entities(&args)?;
    let changes = changes(&args)?;
    if alters && changes.is_empty() {
        let message = "nothing to alter: give --add-config, --add-config-file or --delete-config";
        return Err(ToolError::Usage(message.to_owned()));
    }
    let connection = args.bootstrap.open(&[]).await?;
    if alters {
        alter(&connection, &entities, &changes).await?;
        line(&format!("Completed updating config for {}.", named(&entities)));
        return Ok(());
    }
    for entities in list(&connection, &entities).await? {
        let described = describe(&connection, &entities).await?;
        let shown: Vec<_> = described.iter().filter(|config| args.all || config.is_own).collect();
        match entities[0].kind {
            EntityKind::User | EntityKind::Client => {
                if shown.is_empty() {
                    continue;
                }
                let values: Vec<String> =
                    shown.iter().map(|config| format!("{}={}", config.name, config.value)).collect();
                line(&format!("Quota configs for {} are {}", named(&entities), values.join(", ")));
            }
            EntityKind::Topic | EntityKind::Broker | EntityKind::Group => {
                let which = if args.all { "All" } else { "Dynamic" };
                line(&format!("{which} configs for {} are:", named(&entities)));
                for config in shown {
                    let value = if config.is_sensitive { "null" } else { config.value.as_str() };
                    let synonyms = config.synonyms.join(", ");
                    line(&format!(
                        "  {}={value} sensitive={} synonyms={{{synonyms}}}",
                        config.name, config.is_sensitive
                    ));
                }
            }
        }
    }
    Ok(())
}

fn named(entities: &[Entity]) -> String {
    let name = |entity: &Entity| match (&entity.name, entity.kind) {
        (None, EntityKind::User) => "the default user-principal".to_owned(),
        (None, EntityKind::Client) => "the default client-id".to_owned(),
        (None, kind) => format!("the default {}", kind.singular()),
        (Some(name), EntityKind::User) => format!("user-principal '{name}'"),
        (Some(name), EntityKind::Client) => format!("client-id '{name}'"),
        (Some(name), kind) => format!("{} {name}", kind.singular()),
    };
    entities.iter().map(name).collect::<Vec<_>>().join(", ")
}

/// Entity of settings. Without a name all of a kind are described, and the default is altered.
fn entities(args: &ConfigsArgs) -> Result<Vec<Entity>> {
    let mut entities = Vec::new();
    let mut names = args.entity_name.iter();
    for text in &args.entity_type {
        let kind = EntityKind::parse(text)?;
        let name = if args.entity_default { None } else { names.next().cloned() };
        entities.push(Entity {
            kind,
            is_default: name.is_none() && (args.entity_default || args.alter),
            name,
        });
    }
    let short = [
        (EntityKind::Topic, &args.topic, false),
        (EntityKind::Broker, &args.broker, args.broker_defaults),
        (EntityKind::Group, &args.group, false),
        (EntityKind::User, &args.user, args.user_defaults),
        (EntityKind::Client, &args.client, args.client_defaults),
    ];
    for (kind, name, is_default) in short.into_iter().filter(|(_, name, default)| name.is_some() || *default)
    {
        entities.push(Entity { kind, name: name.clone(), is_default: is_default && name.is_none() });
    }
    let is_quota = |entity: &Entity| matches!(entity.kind, EntityKind::User | EntityKind::Client);
    match entities.as_slice() {
        [_] => Ok(entities),
        [a, b] if a.kind != b.kind && is_quota(a) && is_quota(b) => Ok(entities),
        [] => Err(ToolError::Usage("--entity-type is missing".to_owned())),
        _ => Err(ToolError::Usage("only users and clients can be meant together".to_owned())),
    }
}

/// Settings to set, and with None those to return to their defaults.
fn changes(args: &ConfigsArgs) -> Result<BTreeMap<String, Option<String>>> {
    let mut changes = BTreeMap::new();
    if let Some(path) = &args.add_config_file {
        for text in property_lines(path)? {
            let (name, value) = assignment(&text)?;
            changes.insert(name, Some(value));
        }
    }
    for text in &args.add_config {
        for item in split_outside_brackets(text) {
            let (name, value) = assignment(item)?;
            let value = value
                .strip_prefix('[')
                .and_then(|v| v.strip_suffix(']'))
                .map_or(value.clone(), str::to_owned);
            changes.insert(name, Some(value));
        }
    }
    changes.extend(args.delete_config.iter().map(|name| (name.trim().to_owned(), None)));
    Ok(changes)
}

/// `a=1,b=[2,3]` at the first comma only.
fn split_outside_brackets(text: &str) -> Vec<&str> {
    let mut items = Vec::new();
    let (mut depth, mut start) = (0_usize, 0);
    for (at, c) in text.char_indices() {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                items.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    items.push(&text[start..]);
    items.retain(|item| !item.trim().is_empty());
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_stay_together_in_brackets() {
        assert_eq!(split_outside_brackets("a=1,b=[2,3],c=4"), ["a=1", "b=[2,3]", "c=4"]);
        assert_eq!(split_outside_brackets("a=[x=1,y=2]"), ["a=[x=1,y=2]"]);
        assert!(split_outside_brackets("").is_empty());
    }
}
