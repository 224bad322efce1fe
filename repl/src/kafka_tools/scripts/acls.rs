//! `kafka-acls`.

use std::collections::BTreeMap;

use clap::Parser;

use crate::kafka_tools::acl::{self, AclRow, RuleArgs};
use crate::kafka_tools::connection::Connection;
use crate::kafka_tools::error::{Result, ToolError};
use crate::kafka_tools::output::line;
use crate::kafka_tools::scripts::arguments::{Bootstrap, Ignored, only_one};

/// Operations that are added when none is given.
const EVERY_OPERATION: &str = "all";

/// Add, remove and list access rules, as kafka-acls.sh does
#[derive(Debug, Parser)]
#[command(name = "kafka-acls", version, infer_long_args = true)]
pub struct AclsArgs {
    #[command(flatten)]
    bootstrap: Bootstrap,
    #[arg(long)]
    add: bool,
    #[arg(long)]
    remove: bool,
    #[arg(long)]
    list: bool,
    #[command(flatten)]
    rule: RuleArgs,
    /// With --list only the rules of this principal
    #[arg(long)]
    principal: Vec<String>,
    /// Rights of a producer: write, describe and create on topics, write and describe on transactional ids
    #[arg(long)]
    producer: bool,
    /// Rights of a consumer: read and describe on topics, read on groups
    #[arg(long)]
    consumer: bool,
    /// Right of idempotent producers on old brokers: idempotent_write on the cluster
    #[arg(long)]
    idempotent: bool,
}

impl Ignored for AclsArgs {
    const IGNORED: &'static [(&'static str, bool)] = &[
        ("--authorizer", true),
        ("--authorizer-properties", true),
        ("--bootstrap-controller", true),
        ("--force", false),
    ];
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    Add,
    Remove,
    List,
}

pub async fn run(args: AclsArgs) -> Result<()> {
    let actions = [(args.add, Action::Add), (args.remove, Action::Remove), (args.list, Action::List)];
    let action = only_one(&actions, "--add, --remove, --list")?;
    let rules = rules(&args)?;
    let connection = args.bootstrap.open(&[]).await?;
    match action {
        Action::Add => {
            for rule in &rules {
                let added = acl::create(&connection, rule).await?;
                show("Adding ACLs for resource", &added);
            }
        }
        Action::Remove => {
            for rule in &rules {
                acl::delete(&connection, rule).await?;
            }
        }
        Action::List => {
            let mut all = Vec::new();
            for rule in &rules {
                all.extend(acl::list(&connection, rule).await?);
            }
            let wanted = |row: &AclRow| args.principal.is_empty() || args.principal.contains(&row.principal);
            all.retain(wanted);
            all.sort();
            all.dedup();
            show("Current ACLs for resource", &all);
            return Ok(());
        }
    }
    current(&connection, &rules).await
}

/// The rules that flags stand for: as they were given, or for producers and consumers.
fn rules(args: &AclsArgs) -> Result<Vec<RuleArgs>> {
    if !args.producer && !args.consumer {
        let mut rule = args.rule.clone();
        if args.add && rule.operation.is_empty() {
            rule.operation.push(EVERY_OPERATION.to_owned());
        }
        let mut rules = vec![rule];
        if args.idempotent {
            rules.push(args.rule.on_cluster(&["idempotent_write"]));
        }
        return Ok(rules);
    }
    if args.consumer && args.rule.group.is_empty() && args.add {
        return Err(ToolError::Usage("--consumer needs --group".to_owned()));
    }
    if args.rule.topic.is_empty() {
        return Err(ToolError::Usage("--producer and --consumer need --topic".to_owned()));
    }
    let mut rules = Vec::new();
    if args.producer {
        rules.push(args.rule.on_topics(&["write", "describe", "create"]));
        if !args.rule.transactional_id.is_empty() {
            rules.push(args.rule.on_transactional_ids(&["write", "describe"]));
        }
        if args.idempotent {
            rules.push(args.rule.on_cluster(&["idempotent_write"]));
        }
    }
    if args.consumer {
        rules.push(args.rule.on_topics(&["read", "describe"]));
        rules.push(args.rule.on_groups(&["read"]));
    }
    Ok(rules)
}

/// The rules that hold now for the resources that were changed.
async fn current(connection: &Connection, rules: &[RuleArgs]) -> Result<()> {
    let mut all = Vec::new();
    for rule in rules {
        all.extend(acl::list(connection, &rule.resources_only()).await?);
    }
    all.sort();
    all.dedup();
    show("Current ACLs for resource", &all);
    Ok(())
}

fn show(title: &str, rows: &[AclRow]) {
    let mut by_resource: BTreeMap<(&str, &str, &str), Vec<&AclRow>> = BTreeMap::new();
    for row in rows {
        by_resource.entry((&row.resource, &row.name, &row.pattern)).or_default().push(row);
    }
    for ((kind, name, pattern), rows) in by_resource {
        let (kind, pattern) = (kind.to_ascii_uppercase(), pattern.to_ascii_uppercase());
        line(&format!(
            "{title} `ResourcePattern(resourceType={kind}, name={name}, patternType={pattern})`: "
        ));
        for row in rows {
            line(&format!(
                " \t(principal={}, host={}, operation={}, permissionType={})",
                row.principal,
                row.host,
                row.operation.to_ascii_uppercase(),
                row.permission.to_ascii_uppercase()
            ));
        }
        line("");
    }
}
