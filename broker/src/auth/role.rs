//! Roles: named bundles of rules about the topics, groups and transactional ids whose names begin alike.
//!
//! | role | with the names | on the cluster |
//! |---|---|---|
//! | `read` | READ, DESCRIBE and DESCRIBE_CONFIGS of topics, READ of groups | DESCRIBE |
//! | `write` | `read`; WRITE, CREATE, ALTER and DELETE of topics; WRITE to transactional ids | DESCRIBE |
//! | `admin` | everything | everything, if the role is about all names |

use std::str::FromStr;

use thiserror::Error;

use super::acl::{Acl, CLUSTER_NAME, Operation, PatternType, Permission, ResourceType, WILDCARD};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Read,
    Write,
    Admin,
}

/// A role that a principal has for names that begin alike: `write:User:ada:orders_`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleBinding {
    pub role: Role,
    /// `User:name`
    pub principal: String,
    /// The beginning of the names; empty: all names.
    pub prefix: String,
}

/// Why a text is not a role.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RoleError {
    #[error("unknown role \"{0}\": expected read, write or admin")]
    Unknown(String),
    #[error("role \"{0}\" does not have the form ROLE:User:NAME:PREFIX")]
    Malformed(String),
}

impl FromStr for RoleBinding {
    type Err = RoleError;

    /// `ROLE:User:NAME:PREFIX`; the prefix `*` or nothing stands for all names.
    fn from_str(text: &str) -> Result<Self, RoleError> {
        let malformed = || RoleError::Malformed(text.to_owned());
        let (role, rest) = text.split_once(':').ok_or_else(malformed)?;
        let role = match role {
            "read" => Role::Read,
            "write" => Role::Write,
            "admin" => Role::Admin,
            other => return Err(RoleError::Unknown(other.to_owned())),
        };
        let (principal, prefix) = rest.rsplit_once(':').ok_or_else(malformed)?;
        let name = principal.strip_prefix("User:").filter(|name| !name.is_empty());
        name.ok_or_else(malformed)?;
        let prefix = if prefix == WILDCARD { "" } else { prefix };
        Ok(Self { role, principal: principal.to_owned(), prefix: prefix.to_owned() })
    }
}

impl RoleBinding {
    /// The rules that the role stands for.
    pub fn rules(&self) -> Vec<Acl> {
        use Operation::{All, Alter, Create, Delete, Describe, DescribeConfigs, Read, Write};
        use ResourceType::{Cluster, Group, Topic, TransactionalId};
        let read = [(Topic, Read), (Topic, Describe), (Topic, DescribeConfigs), (Group, Read)];
        let write = [
            (Topic, Write),
            (Topic, Create),
            (Topic, Alter),
            (Topic, Delete),
            (TransactionalId, Write),
            (TransactionalId, Describe),
        ];
        let admin = [(Topic, All), (Group, All), (TransactionalId, All)];
        let named = match self.role {
            Role::Read => read.to_vec(),
            Role::Write => [&read[..], &write].concat(),
            Role::Admin => admin.to_vec(),
        };
        let on_cluster = if self.role == Role::Admin && self.prefix.is_empty() { All } else { Describe };
        let mut rules: Vec<Acl> =
            named.into_iter().map(|(kind, operation)| self.rule(kind, operation)).collect();
        let cluster = Acl {
            pattern_type: PatternType::Literal,
            name: CLUSTER_NAME.to_owned(),
            ..self.rule(Cluster, on_cluster)
        };
        rules.push(cluster);
        rules
    }

    fn rule(&self, resource_type: ResourceType, operation: Operation) -> Acl {
        let (pattern_type, name) = match self.prefix.as_str() {
            "" => (PatternType::Literal, WILDCARD),
            prefix => (PatternType::Prefixed, prefix),
        };
        Acl {
            resource_type,
            pattern_type,
            name: name.to_owned(),
            principal: self.principal.clone(),
            host: WILDCARD.to_owned(),
            operation,
            permission: Permission::Allow,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::acl_set::{AclSet, Decision, Subject};

    #[test]
    fn roles_are_parsed() {
        let parse = |text: &str| text.parse::<RoleBinding>();
        let binding = |role, principal: &str, prefix: &str| {
            Ok(RoleBinding { role, principal: principal.to_owned(), prefix: prefix.to_owned() })
        };
        assert_eq!(parse("write:User:ada:orders_"), binding(Role::Write, "User:ada", "orders_"));
        assert_eq!(parse("read:User:CN=a,O=b:*"), binding(Role::Read, "User:CN=a,O=b", ""));
        assert_eq!(parse("admin:User:root:"), binding(Role::Admin, "User:root", ""));
        assert_eq!(parse("owner:User:a:b"), Err(RoleError::Unknown("owner".to_owned())));
        for text in ["", "read", "read:ada:x", "read:User:", "read:User::x"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn roles_permit_what_their_table_says() {
        let mut set = AclSet::default();
        for text in ["read:User:r:a_", "write:User:w:a_", "admin:User:p:a_", "admin:User:root:*"] {
            text.parse::<RoleBinding>()
                .expect("a role")
                .rules()
                .into_iter()
                .for_each(|rule| set.insert(rule));
        }
        assert!(set.iter().all(|rule| rule.defect().is_none()));
        let permits = |user: &str, operation, kind, name: &str| {
            let principal = format!("User:{user}");
            let subject = Subject { principal: &principal, host: "10.0.0.1" };
            set.decide(subject, operation, kind, name) == Decision::Allowed
        };
        use Operation::{Alter, AlterConfigs, Create, Delete, Describe, Read, Write};
        use ResourceType::{Cluster, Group, Topic, TransactionalId};
        for (operation, kind, name, wanted) in [
            (Read, Topic, "a_x", "rwp"),
            (Read, Group, "a_x", "rwp"),
            (Describe, Topic, "a_x", "rwp"),
            (Write, Topic, "a_x", "wp"),
            (Create, Topic, "a_x", "wp"),
            (Delete, Topic, "a_x", "wp"),
            (Alter, Topic, "a_x", "wp"),
            (AlterConfigs, Topic, "a_x", "p"),
            (Write, TransactionalId, "a_x", "wp"),
            (Write, TransactionalId, "b", ""),
            (Delete, Group, "a_x", "p"),
            (Read, Topic, "b", ""),
            (Describe, Cluster, CLUSTER_NAME, "rwp"),
            (Create, Cluster, CLUSTER_NAME, ""),
            (Alter, Cluster, CLUSTER_NAME, ""),
        ] {
            for user in ["r", "w", "p"] {
                assert_eq!(
                    permits(user, operation, kind, name),
                    wanted.contains(user),
                    "{user} {operation:?} {name}"
                );
            }
            assert!(permits("root", operation, kind, name));
        }
    }
}
