//! All rules, and what follows from them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::acl::{Acl, Operation, PatternType, Permission, ResourceType, WILDCARD};

/// Rules by what they are about.
///
/// Invariant: the maps hold the rules of `all`, and no empty lists.
#[derive(Debug, Clone, Default)]
pub struct AclSet {
    all: BTreeSet<Arc<Acl>>,
    literal: HashMap<ResourceType, HashMap<String, Vec<Arc<Acl>>>>,
    prefixed: HashMap<ResourceType, HashMap<String, Vec<Arc<Acl>>>>,
    /// Lengths of the prefixes of a type, with how many rules have them; so a look-up tries no others.
    prefix_lengths: HashMap<ResourceType, BTreeMap<usize, usize>>,
}

impl PartialEq for AclSet {
    fn eq(&self, other: &Self) -> bool {
        self.all == other.all
    }
}

/// A client, as rules see it.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// `User:name`
    pub principal: &'a str,
    /// An address.
    pub host: &'a str,
}

/// What the rules say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    Allowed,
    Denied,
    /// No rule is about the resource.
    NoRule,
}

impl AclSet {
    /// All rules, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Acl>> {
        self.all.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub fn contains(&self, acl: &Acl) -> bool {
        self.all.contains(acl)
    }

    /// Adds a rule, unless it is there.
    pub fn insert(&mut self, acl: Acl) {
        let acl = Arc::new(acl);
        if !self.all.insert(acl.clone()) {
            return;
        }
        let kind = acl.resource_type;
        let index = match acl.pattern_type {
            PatternType::Literal => &mut self.literal,
            PatternType::Prefixed => {
                let lengths = self.prefix_lengths.entry(kind).or_default();
                *lengths.entry(acl.name.len()).or_default() += 1;
                &mut self.prefixed
            }
        };
        index.entry(kind).or_default().entry(acl.name.clone()).or_default().push(acl);
    }

    /// Removes a rule, if it is there.
    pub fn remove(&mut self, acl: &Acl) {
        if !self.all.remove(acl) {
            return;
        }
        let kind = acl.resource_type;
        let index = match acl.pattern_type {
            PatternType::Literal => &mut self.literal,
            PatternType::Prefixed => {
                if let Some(lengths) = self.prefix_lengths.get_mut(&kind)
                    && let Some(count) = lengths.get_mut(&acl.name.len())
                {
                    *count -= 1;
                    if *count == 0 {
                        lengths.remove(&acl.name.len());
                    }
                }
                &mut self.prefixed
            }
        };
        if let Some(names) = index.get_mut(&kind)
            && let Some(acls) = names.get_mut(&acl.name)
        {
            acls.retain(|present| **present != *acl);
            if acls.is_empty() {
                names.remove(&acl.name);
            }
        }
    }

    /// Calls `visit` with the rules about a resource.
    fn about(&self, kind: ResourceType, name: &str, mut visit: impl FnMut(&Acl)) {
        if let Some(names) = self.literal.get(&kind) {
            let wildcard = if name == WILDCARD { None } else { names.get(WILDCARD) };
            for acl in [names.get(name), wildcard].into_iter().flatten().flatten() {
                visit(acl);
            }
        }
        let (Some(names), Some(lengths)) = (self.prefixed.get(&kind), self.prefix_lengths.get(&kind)) else {
            return;
        };
        for length in lengths.keys().take_while(|length| **length <= name.len()) {
            let Some(prefix) = name.get(..*length) else { continue };
            for acl in names.get(prefix).into_iter().flatten() {
                visit(acl);
            }
        }
    }

    /// May the client do this? A prohibition wins over any permission.
    pub fn decide(
        &self,
        subject: Subject<'_>,
        operation: Operation,
        kind: ResourceType,
        name: &str,
    ) -> Decision {
        Self::decide_by(&[self], subject, operation, kind, name)
    }

    /// As [`Self::decide`], by the rules of several sets together.
    pub fn decide_by(
        sets: &[&Self],
        subject: Subject<'_>,
        operation: Operation,
        kind: ResourceType,
        name: &str,
    ) -> Decision {
        let (mut found, mut denied, mut allowed) = (false, false, false);
        let mut count = |acl: &Acl| {
            found = true;
            if acl.concerns(subject.principal, subject.host) {
                match acl.permission {
                    Permission::Deny => denied |= acl.operation.forbids(operation),
                    Permission::Allow => allowed |= acl.operation.permits(operation),
                }
            }
        };
        sets.iter().for_each(|set| set.about(kind, name, &mut count));
        match (found, denied, allowed) {
            (false, _, _) => Decision::NoRule,
            (true, false, true) => Decision::Allowed,
            (true, _, _) => Decision::Denied,
        }
    }

    /// May the client do this to some resource of the type, existing or not? (KIP-679)
    pub fn decide_any(&self, subject: Subject<'_>, operation: Operation, kind: ResourceType) -> Decision {
        Self::decide_any_by(&[self], subject, operation, kind)
    }

    /// As [`Self::decide_any`], by the rules of several sets together.
    pub fn decide_any_by(
        sets: &[&Self],
        subject: Subject<'_>,
        operation: Operation,
        kind: ResourceType,
    ) -> Decision {
        let concerning =
            |acl: &&Arc<Acl>| acl.resource_type == kind && acl.concerns(subject.principal, subject.host);
        let all = || sets.iter().flat_map(|set| &set.all);
        let denials: Vec<&Acl> = all()
            .filter(concerning)
            .filter(|acl| acl.permission == Permission::Deny && acl.operation.forbids(operation))
            .map(Arc::as_ref)
            .collect();
        if denials.iter().any(|acl| acl.pattern_type == PatternType::Literal && acl.name == WILDCARD) {
            return Decision::Denied;
        }
        // A permission is of no use if a prohibition covers all it covers.
        let dominated = |permission: &Acl| {
            denials.iter().any(|denial| match (denial.pattern_type, permission.pattern_type) {
                (PatternType::Literal, PatternType::Literal) => denial.name == permission.name,
                (PatternType::Literal, PatternType::Prefixed) => false,
                (PatternType::Prefixed, _) => {
                    permission.name != WILDCARD && permission.name.starts_with(&denial.name)
                }
            })
        };
        let mut permissions = all()
            .filter(concerning)
            .filter(|acl| acl.permission == Permission::Allow && acl.operation.permits(operation));
        if permissions.any(|acl| !dominated(acl)) { Decision::Allowed } else { Decision::NoRule }
    }
}

#[cfg(test)]
mod tests;
