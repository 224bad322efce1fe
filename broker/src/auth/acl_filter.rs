//! Which rules a request is about.

use super::acl::{Acl, Operation, PatternType, Permission, ResourceType};

/// How the name in a filter is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatternFilter {
    /// The name as it stands in the rule, of either type.
    Any,
    /// Rules that apply to a resource of this name.
    Match,
    /// The name as it stands in the rule.
    Exactly(PatternType),
}

/// Rules with all the given properties; `None` leaves a property open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AclFilter {
    pub resource_type: Option<ResourceType>,
    pub name: Option<String>,
    pub pattern: PatternFilter,
    pub principal: Option<String>,
    pub host: Option<String>,
    pub operation: Option<Operation>,
    pub permission: Option<Permission>,
}

/// A number of a filter that stands for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("filter has unknown {what} {code}")]
pub struct UnknownCode {
    pub what: &'static str,
    pub code: i8,
}

/// A code of a filter, in which 1 stands for "any".
fn filter_code<T>(
    what: &'static str,
    code: i8,
    from_code: impl Fn(i8) -> Option<T>,
) -> Result<Option<T>, UnknownCode> {
    const ANY: i8 = 1;
    if code == ANY { Ok(None) } else { from_code(code).map(Some).ok_or(UnknownCode { what, code }) }
}

/// A filter as it is on the wire.
#[derive(Debug, Clone)]
pub struct WireFilter {
    pub resource_type: i8,
    pub name: Option<String>,
    pub pattern_type: i8,
    pub principal: Option<String>,
    pub host: Option<String>,
    pub operation: i8,
    pub permission: i8,
}

impl TryFrom<WireFilter> for AclFilter {
    type Error = UnknownCode;

    fn try_from(wire: WireFilter) -> Result<Self, UnknownCode> {
        const ANY: i8 = 1;
        const MATCH: i8 = 2;
        let pattern = match wire.pattern_type {
            ANY => PatternFilter::Any,
            MATCH => PatternFilter::Match,
            code => PatternType::from_code(code)
                .map(PatternFilter::Exactly)
                .ok_or(UnknownCode { what: "pattern type", code })?,
        };
        Ok(Self {
            resource_type: filter_code("resource type", wire.resource_type, ResourceType::from_code)?,
            name: wire.name,
            pattern,
            principal: wire.principal,
            host: wire.host,
            operation: filter_code("operation", wire.operation, Operation::from_code)?,
            permission: filter_code("permission type", wire.permission, Permission::from_code)?,
        })
    }
}

impl AclFilter {
    /// Is the rule one of those meant?
    pub fn matches(&self, acl: &Acl) -> bool {
        let named = match (&self.name, self.pattern) {
            (None, PatternFilter::Any | PatternFilter::Match) => true,
            (None, PatternFilter::Exactly(pattern)) => acl.pattern_type == pattern,
            (Some(name), PatternFilter::Any) => acl.name == *name,
            (Some(name), PatternFilter::Match) => acl.covers(name),
            (Some(name), PatternFilter::Exactly(pattern)) => acl.pattern_type == pattern && acl.name == *name,
        };
        named
            && self.resource_type.is_none_or(|wanted| acl.resource_type == wanted)
            && self.principal.as_ref().is_none_or(|wanted| acl.principal == *wanted)
            && self.host.as_ref().is_none_or(|wanted| acl.host == *wanted)
            && self.operation.is_none_or(|wanted| acl.operation == wanted)
            && self.permission.is_none_or(|wanted| acl.permission == wanted)
    }
}
