//! `weir acl list | create | delete`.

use clap::{Args, Subcommand};
use serde_json::Value;
use weir_broker::auth::acl::{Operation, PatternType, Permission, ResourceType};
use weir_broker::protocol::messages::create_acls::{AclCreation, CreateAclsRequest};
use weir_broker::protocol::messages::delete_acls::{DeleteAclsFilter, DeleteAclsRequest};
use weir_broker::protocol::messages::describe_acls::DescribeAclsRequest;

use crate::kafka_tools::connection::{Connection, ConnectionArgs, ask};
use crate::kafka_tools::error::{Result, ToolError, check};
use crate::kafka_tools::output::OutputArgs;

/// "Any" in filters.
const ANY: i8 = 1;
const CLUSTER: &str = "kafka-cluster";
const COLUMNS: [&str; 7] = ["principal", "permission", "operation", "resource", "name", "pattern", "host"];

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  weir acl create --allow-principal ada --operation read,write --topic clicks
  weir acl create --deny-principal User:eve --operation all --topic pay- --prefixed
  weir acl create --allow-principal ada --operation read --group reports
  weir acl list --topic clicks
  weir acl delete --allow-principal ada --topic clicks --dry-run")]
pub struct AclArgs {
    #[command(flatten)]
    pub connection: ConnectionArgs,
    #[command(flatten)]
    pub output: OutputArgs,
    #[command(subcommand)]
    pub command: AclCommand,
}

#[derive(Debug, Subcommand)]
pub enum AclCommand {
    /// Show rules; all, or those that agree with what is given
    #[command(visible_alias = "ls")]
    List(RuleArgs),
    /// Make rules: every operation for every principal on every resource that is given
    #[command(visible_alias = "add")]
    Create(RuleArgs),
    /// Delete the rules that agree with what is given
    #[command(visible_aliases = ["rm", "remove"])]
    Delete {
        #[command(flatten)]
        rule: RuleArgs,
        /// Show what would be deleted
        #[arg(long, short = 'n')]
        dry_run: bool,
        #[arg(long, hide = true)]
        force: bool,
    },
}

#[derive(Clone, Debug, Default, Args)]
pub struct RuleArgs {
    /// Principal that is permitted: User:NAME, NAME, or * for all
    #[arg(long, value_name = "PRINCIPAL", value_delimiter = ',')]
    pub allow_principal: Vec<String>,
    /// Principal that is denied
    #[arg(long, value_name = "PRINCIPAL", value_delimiter = ',')]
    pub deny_principal: Vec<String>,
    /// From where: an address, or * for anywhere
    #[arg(long, visible_aliases = ["allow-host", "deny-host"], value_name = "HOST")]
    pub host: Option<String>,
    /// all, read, write, create, delete, alter, describe, cluster_action, describe_configs, alter_configs, idempotent_write
    #[arg(long, value_name = "OPERATION", value_delimiter = ',')]
    pub operation: Vec<String>,
    /// Topic, or * for all
    #[arg(long, value_delimiter = ',')]
    pub topic: Vec<String>,
    /// Consumer group
    #[arg(long, value_delimiter = ',')]
    pub group: Vec<String>,
    /// Transactional id
    #[arg(long, value_delimiter = ',')]
    pub transactional_id: Vec<String>,
    /// The cluster
    #[arg(long)]
    pub cluster: bool,
    /// Names are beginnings of names
    #[arg(long)]
    pub prefixed: bool,
    /// literal or prefixed, as Kafka's own script has it
    #[arg(long, value_name = "TYPE", hide = true)]
    pub resource_pattern_type: Option<String>,
}

/// Resources and principals of rules; empty means any.
struct Rule {
    principals: Vec<(String, Permission)>,
    operations: Vec<Operation>,
    resources: Vec<(ResourceType, String)>,
    pattern: Option<PatternType>,
    host: Option<String>,
}

/// A rule as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AclRow {
    pub principal: String,
    pub permission: String,
    pub operation: String,
    pub resource: String,
    pub name: String,
    pub pattern: String,
    pub host: String,
}

impl AclRow {
    fn cells(self) -> Vec<Value> {
        let cells = [
            self.principal,
            self.permission,
            self.operation,
            self.resource,
            self.name,
            self.pattern,
            self.host,
        ];
        cells.map(Value::from).into()
    }
}

impl RuleArgs {
    /// The same principals on the topics alone, and so on for the other kinds of resources.
    pub fn on_topics(&self, operations: &[&str]) -> RuleArgs {
        RuleArgs { topic: self.topic.clone(), ..self.without_resources(operations) }
    }

    pub fn on_groups(&self, operations: &[&str]) -> RuleArgs {
        RuleArgs { group: self.group.clone(), ..self.without_resources(operations) }
    }

    pub fn on_transactional_ids(&self, operations: &[&str]) -> RuleArgs {
        RuleArgs { transactional_id: self.transactional_id.clone(), ..self.without_resources(operations) }
    }

    pub fn on_cluster(&self, operations: &[&str]) -> RuleArgs {
        RuleArgs {
            cluster: true,
            prefixed: false,
            resource_pattern_type: None,
            ..self.without_resources(operations)
        }
    }

    fn without_resources(&self, operations: &[&str]) -> RuleArgs {
        RuleArgs {
            operation: operations.iter().map(|operation| (*operation).to_owned()).collect(),
            topic: Vec::new(),
            group: Vec::new(),
            transactional_id: Vec::new(),
            cluster: false,
            ..self.clone()
        }
    }

    /// Any rule on the same resources.
    pub fn resources_only(&self) -> RuleArgs {
        RuleArgs {
            allow_principal: Vec::new(),
            deny_principal: Vec::new(),
            operation: Vec::new(),
            host: None,
            ..self.clone()
        }
    }

    fn rule(&self) -> Result<Rule> {
        let named = |name: &String| {
            if name.contains(':') { name.clone() } else { format!("User:{name}") }
        };
        let allowed = self.allow_principal.iter().map(|name| (named(name), Permission::Allow));
        let denied = self.deny_principal.iter().map(|name| (named(name), Permission::Deny));
        let operations = self.operation.iter().map(|text| operation(text)).collect::<Result<_>>()?;
        let of = |kind: ResourceType| move |name: &String| (kind, name.clone());
        let mut resources: Vec<(ResourceType, String)> =
            self.topic.iter().map(of(ResourceType::Topic)).collect();
        resources.extend(self.group.iter().map(of(ResourceType::Group)));
        resources.extend(self.transactional_id.iter().map(of(ResourceType::TransactionalId)));
        if self.cluster {
            resources.push((ResourceType::Cluster, CLUSTER.to_owned()));
        }
        let pattern = match self.resource_pattern_type.as_deref().map(str::to_ascii_lowercase).as_deref() {
            None if self.prefixed => Some(PatternType::Prefixed),
            None | Some("any" | "match") => None,
            Some("literal") => Some(PatternType::Literal),
            Some("prefixed") => Some(PatternType::Prefixed),
            Some(other) => {
                return Err(ToolError::Usage(format!(
                    "pattern type \"{other}\" is neither literal nor prefixed"
                )));
            }
        };
        let host = self.host.clone();
        Ok(Rule { principals: allowed.chain(denied).collect(), operations, resources, pattern, host })
    }
}

impl Rule {
    fn creations(&self) -> Result<Vec<AclCreation>> {
        for (missing, what) in [
            (self.principals.is_empty(), "--allow-principal or --deny-principal"),
            (self.operations.is_empty(), "--operation"),
            (self.resources.is_empty(), "--topic, --group, --transactional-id or --cluster"),
        ] {
            if missing {
                return Err(ToolError::Usage(format!("a rule needs {what}")));
            }
        }
        let mut creations = Vec::new();
        for (principal, permission) in &self.principals {
            for (kind, name) in &self.resources {
                creations.extend(self.operations.iter().map(|operation| AclCreation {
                    resource_type: kind.code(),
                    resource_name: name.clone(),
                    resource_pattern_type: self.pattern.unwrap_or(PatternType::Literal).code(),
                    principal: principal.clone(),
                    host: self.host.clone().unwrap_or_else(|| "*".to_owned()),
                    operation: operation.code(),
                    permission_type: permission.code(),
                }));
            }
        }
        Ok(creations)
    }

    /// A filter for each combination of what is given.
    fn filters(&self) -> Vec<DeleteAclsFilter> {
        let principals = each_or_any(&self.principals);
        let resources = each_or_any(&self.resources);
        let operations = each_or_any(&self.operations);
        let mut filters = Vec::new();
        for principal in &principals {
            for resource in &resources {
                filters.extend(operations.iter().map(|operation| DeleteAclsFilter {
                    resource_type_filter: resource.map_or(ANY, |(kind, _)| kind.code()),
                    resource_name_filter: resource.map(|(_, name)| name.clone()),
                    pattern_type_filter: self.pattern.map_or(ANY, PatternType::code),
                    principal_filter: principal.map(|(principal, _)| principal.clone()),
                    host_filter: self.host.clone(),
                    operation: operation.map_or(ANY, |operation| operation.code()),
                    permission_type: principal.map_or(ANY, |(_, permission)| permission.code()),
                }));
            }
        }
        filters
    }
}

/// Each item, or one None that stands for any.
fn each_or_any<T>(items: &[T]) -> Vec<Option<&T>> {
    if items.is_empty() { vec![None] } else { items.iter().map(Some).collect() }
}

pub async fn run(args: AclArgs) -> Result<()> {
    let connection = Connection::open(&args.connection).await?;
    let output = args.output;
    let cells = |rows: Vec<AclRow>| rows.into_iter().map(AclRow::cells).collect::<Vec<_>>();
    match args.command {
        AclCommand::List(rule) => output.show(&COLUMNS, &cells(list(&connection, &rule).await?)),
        AclCommand::Create(rule) => {
            let made = create(&connection, &rule).await?;
            output.say(&format!("Made {} rule(s)", made.len()));
        }
        AclCommand::Delete { rule, dry_run, .. } => {
            let rows =
                if dry_run { list(&connection, &rule).await? } else { delete(&connection, &rule).await? };
            output.show(&COLUMNS, &cells(rows));
            if dry_run {
                output.say("Nothing was deleted (--dry-run)");
            }
        }
    }
    Ok(())
}

/// Makes the rules that `args` stand for.
pub async fn create(connection: &Connection, args: &RuleArgs) -> Result<Vec<AclRow>> {
    let creations = args.rule()?.creations()?;
    let made = creations.iter().map(|c| {
        let resource = (c.resource_type, c.resource_name.clone(), c.resource_pattern_type);
        row(c.principal.clone(), c.permission_type, c.operation, resource, c.host.clone())
    });
    let made = made.collect();
    for result in ask!(connection, CreateAcls, CreateAclsRequest { creations })?.results {
        check(|| "making a rule".to_owned(), result.error_code, result.error_message)?;
    }
    Ok(made)
}

/// The rules that agree with `args`.
pub async fn list(connection: &Connection, args: &RuleArgs) -> Result<Vec<AclRow>> {
    let mut rows = Vec::new();
    for filter in args.rule()?.filters() {
        let request = DescribeAclsRequest {
            resource_type_filter: filter.resource_type_filter,
            resource_name_filter: filter.resource_name_filter,
            pattern_type_filter: filter.pattern_type_filter,
            principal_filter: filter.principal_filter,
            host_filter: filter.host_filter,
            operation: filter.operation,
            permission_type: filter.permission_type,
        };
        let answer = ask!(connection, DescribeAcls, request)?;
        check(|| "listing rules".to_owned(), answer.error_code, answer.error_message)?;
        for resource in answer.resources {
            for acl in resource.acls {
                let of = (resource.resource_type, resource.resource_name.clone(), resource.pattern_type);
                rows.push(row(acl.principal, acl.permission_type, acl.operation, of, acl.host));
            }
        }
    }
    rows.sort();
    rows.dedup();
    Ok(rows)
}

/// Deletes the rules that agree with `args`, which must name principals or resources.
pub async fn delete(connection: &Connection, args: &RuleArgs) -> Result<Vec<AclRow>> {
    let rule = args.rule()?;
    if rule.principals.is_empty() && rule.resources.is_empty() {
        let message = "say which rules: --allow-principal, --deny-principal, --topic, --group, --transactional-id or --cluster";
        return Err(ToolError::Usage(message.to_owned()));
    }
    let answer = ask!(connection, DeleteAcls, DeleteAclsRequest { filters: rule.filters() })?;
    let mut rows = Vec::new();
    for result in answer.filter_results {
        check(|| "deleting rules".to_owned(), result.error_code, result.error_message)?;
        for acl in result.matching_acls {
            check(|| "deleting a rule".to_owned(), acl.error_code, acl.error_message)?;
            let resource = (acl.resource_type, acl.resource_name, acl.pattern_type);
            rows.push(row(acl.principal, acl.permission_type, acl.operation, resource, acl.host));
        }
    }
    rows.sort();
    Ok(rows)
}

fn row(principal: String, permission: i8, operation: i8, resource: (i8, String, i8), host: String) -> AclRow {
    let (kind, name, pattern) = resource;
    let shown = |name: Option<String>| name.unwrap_or_else(|| "unknown".to_owned());
    AclRow {
        principal,
        permission: shown(Permission::from_code(permission).map(|p| snake(&format!("{p:?}")))),
        operation: shown(Operation::from_code(operation).map(|o| snake(&format!("{o:?}")))),
        resource: shown(ResourceType::from_code(kind).map(|r| snake(&format!("{r:?}")))),
        name,
        pattern: shown(PatternType::from_code(pattern).map(|p| snake(&format!("{p:?}")))),
        host,
    }
}

/// `ClusterAction` and `cluster-action` as `cluster_action`.
fn snake(name: &str) -> String {
    let mut out = String::new();
    for (at, c) in name.chars().enumerate() {
        if c.is_ascii_uppercase() && at > 0 && !out.ends_with('_') {
            out.push('_');
        }
        out.push(if c == '-' { '_' } else { c.to_ascii_lowercase() });
    }
    out
}

fn operation(text: &str) -> Result<Operation> {
    let wanted = text.to_ascii_lowercase().replace('-', "_");
    let same = |operation: &&Operation| {
        let name = snake(&format!("{operation:?}"));
        name == wanted || name.replace('_', "") == wanted.replace('_', "")
    };
    Operation::ALL.iter().find(same).copied().ok_or_else(|| {
        let known: Vec<String> = Operation::ALL.iter().map(|o| snake(&format!("{o:?}"))).collect();
        ToolError::Usage(format!("operation \"{text}\" is none of {}", known.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_spelled_as_kafka_does() {
        assert_eq!(operation("DescribeConfigs").expect("valid"), Operation::DescribeConfigs);
        assert_eq!(operation("idempotent-write").expect("valid"), Operation::IdempotentWrite);
        assert_eq!(operation("ALL").expect("valid"), Operation::All);
        assert!(operation("fly").is_err());
    }

    #[test]
    fn a_rule_is_made_for_every_combination() {
        let rule = Rule {
            principals: vec![
                ("User:a".to_owned(), Permission::Allow),
                ("User:b".to_owned(), Permission::Deny),
            ],
            operations: vec![Operation::Read, Operation::Write],
            resources: vec![(ResourceType::Topic, "t".to_owned())],
            pattern: None,
            host: None,
        };
        assert_eq!(rule.creations().expect("complete").len(), 4);
        assert_eq!(rule.filters().len(), 4);
        let nothing = Rule {
            principals: Vec::new(),
            operations: Vec::new(),
            resources: Vec::new(),
            pattern: None,
            host: None,
        };
        assert!(nothing.creations().is_err());
        assert_eq!(nothing.filters().len(), 1);
    }
}
