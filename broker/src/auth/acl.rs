//! One rule: who may, or may not, do what to which resource. Source: KIP-11, KIP-290.

use serde::{Deserialize, Serialize};

/// The name of the one cluster resource.
pub const CLUSTER_NAME: &str = "kafka-cluster";
/// A literal name, host or (as `User:*`) principal that stands for all.
pub const WILDCARD: &str = "*";
/// The principal that stands for all.
pub const EVERYBODY: &str = "User:*";

/// Enums whose variants have a number on the wire and a name in the log.
macro_rules! coded {
    ($(#[$meta:meta])* $name:ident { $($variant:ident = $code:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($variant,)* }

        impl $name {
            /// All, in the order of the numbers.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The number on the wire.
            pub const fn code(self) -> i8 {
                match self { $(Self::$variant => $code,)* }
            }

            /// What a number on the wire stands for; 0 and 1 are "unknown" and "any".
            pub const fn from_code(code: i8) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

coded! {
    /// A kind of resource.
    ResourceType { Topic = 2, Group = 3, Cluster = 4, TransactionalId = 5, DelegationToken = 6, User = 7, }
}

coded! {
    /// How a rule's name is meant.
    PatternType { Literal = 3, Prefixed = 4, }
}

coded! {
    /// What is done.
    Operation {
        All = 2, Read = 3, Write = 4, Create = 5, Delete = 6, Alter = 7, Describe = 8, ClusterAction = 9,
        DescribeConfigs = 10, AlterConfigs = 11, IdempotentWrite = 12, CreateTokens = 13, DescribeTokens = 14,
        TwoPhaseCommit = 15,
    }
}

coded! {
    /// Whether a rule forbids or permits.
    Permission { Deny = 2, Allow = 3, }
}

impl ResourceType {
    /// What can be done to resources of the type, for `authorized_operations` fields (KIP-430).
    pub const fn operations(self) -> &'static [Operation] {
        use Operation::{
            Alter, AlterConfigs, ClusterAction, Create, Delete, Describe, DescribeConfigs, IdempotentWrite,
            Read, TwoPhaseCommit, Write,
        };
        match self {
            Self::Topic => &[Read, Write, Create, Delete, Alter, Describe, DescribeConfigs, AlterConfigs],
            Self::Group => &[Read, Delete, Describe, DescribeConfigs, AlterConfigs],
            Self::Cluster => {
                &[Create, Alter, Describe, ClusterAction, DescribeConfigs, AlterConfigs, IdempotentWrite]
            }
            Self::TransactionalId => &[Write, Describe, TwoPhaseCommit],
            Self::DelegationToken => &[Describe],
            Self::User => &[Operation::CreateTokens, Operation::DescribeTokens],
        }
    }
}

impl Operation {
    /// The bit of the operation in `authorized_operations` fields.
    pub const fn bit(self) -> i32 {
        1 << self.code()
    }

    /// Does permission to do `self` include permission to do `wanted`?
    pub const fn permits(self, wanted: Self) -> bool {
        match self {
            Self::All => true,
            Self::Read | Self::Write | Self::Delete | Self::Alter if matches!(wanted, Self::Describe) => true,
            Self::AlterConfigs if matches!(wanted, Self::DescribeConfigs) => true,
            _ => self.code() == wanted.code(),
        }
    }

    /// Does a prohibition of `self` include one of `wanted`?
    pub const fn forbids(self, wanted: Self) -> bool {
        matches!(self, Self::All) || self.code() == wanted.code()
    }
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Acl {
    pub resource_type: ResourceType,
    pub pattern_type: PatternType,
    /// A name, the beginning of names, or `*`.
    pub name: String,
    /// `User:name` or `User:*`.
    pub principal: String,
    /// An address or `*`.
    pub host: String,
    pub operation: Operation,
    pub permission: Permission,
}

impl Acl {
    /// Is the rule about this name?
    pub fn covers(&self, name: &str) -> bool {
        match self.pattern_type {
            PatternType::Literal => self.name == name || self.name == WILDCARD,
            PatternType::Prefixed => name.starts_with(&self.name),
        }
    }

    /// Is the rule about this client?
    pub fn concerns(&self, principal: &str, host: &str) -> bool {
        (self.principal == principal || self.principal == EVERYBODY)
            && (self.host == host || self.host == WILDCARD)
    }

    /// What is wrong with a rule that is to be stored.
    pub fn defect(&self) -> Option<&'static str> {
        if self.name.is_empty() {
            return Some("resource name must not be empty");
        }
        if self.resource_type == ResourceType::Cluster
            && (self.pattern_type != PatternType::Literal || self.name != CLUSTER_NAME)
        {
            return Some("the only cluster resource is the literal name \"kafka-cluster\"");
        }
        if self.host.is_empty() {
            return Some("host must be an address or \"*\"");
        }
        match self.principal.split_once(':') {
            Some((kind, name)) if !kind.is_empty() && !name.is_empty() => None,
            _ => Some("principal must have the form \"User:name\""),
        }
    }
}
