//! What the client of a request may do.

use std::sync::Arc;

use crate::api::node::Node;
use crate::auth::acl::{CLUSTER_NAME, Operation, ResourceType};
use crate::auth::acl_set::{Decision, Subject};
use crate::metadata::security::SecurityImage;
use crate::net::session::Session;

/// A client and the rules it is under.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    restrictions: Option<Restrictions>,
}

#[derive(Debug, Clone)]
struct Restrictions {
    principal: Arc<str>,
    host: String,
    security: Arc<SecurityImage>,
    /// What holds where no rule does.
    allowed_without_rule: bool,
}

impl Access {
    /// The access of a session. Callers in this process, super users, and everybody where there is no authorizer, may
    /// do everything.
    pub(crate) fn of(node: &Node, session: &Session) -> Self {
        let Some(authorizer) = &node.config().security.authorizer else { return Self { restrictions: None } };
        let principal = session.principal();
        if session.is_internal() || authorizer.super_users.iter().any(|name| **name == *principal) {
            return Self { restrictions: None };
        }
        let host = session.peer.map(|peer| peer.ip().to_canonical().to_string()).unwrap_or_default();
        let security = node.metadata().image().security().clone();
        let allowed_without_rule = authorizer.allow_everyone_if_no_acl;
        Self { restrictions: Some(Restrictions { principal, host, security, allowed_without_rule }) }
    }

    /// May the client do everything?
    pub(crate) fn is_unrestricted(&self) -> bool {
        self.restrictions.is_none()
    }

    /// May the client do this to a resource?
    pub(crate) fn may(&self, operation: Operation, kind: ResourceType, name: &str) -> bool {
        let Some(restrictions) = &self.restrictions else { return true };
        self.may_under(&restrictions.security, operation, kind, name)
    }

    /// May the client do this to a resource, by the rules of another moment?
    pub(crate) fn may_under(
        &self,
        security: &SecurityImage,
        operation: Operation,
        kind: ResourceType,
        name: &str,
    ) -> bool {
        let Some(restrictions) = &self.restrictions else { return true };
        restrictions.permits(security.acls.decide(restrictions.subject(), operation, kind, name))
    }

    /// The same for clients that the same rules are for; `None` for those that nobody restricts.
    pub(crate) fn subject_name(&self) -> Option<String> {
        let restrictions = self.restrictions.as_ref()?;
        Some(format!("{}@{}", restrictions.principal, restrictions.host))
    }

    pub(crate) fn topic(&self, operation: Operation, name: &str) -> bool {
        self.may(operation, ResourceType::Topic, name)
    }

    pub(crate) fn group(&self, operation: Operation, name: &str) -> bool {
        self.may(operation, ResourceType::Group, name)
    }

    pub(crate) fn transactional_id(&self, operation: Operation, name: &str) -> bool {
        self.may(operation, ResourceType::TransactionalId, name)
    }

    pub(crate) fn cluster(&self, operation: Operation) -> bool {
        self.may(operation, ResourceType::Cluster, CLUSTER_NAME)
    }

    /// May the client do this to some resource of the type?
    pub(crate) fn any(&self, operation: Operation, kind: ResourceType) -> bool {
        let Some(restrictions) = &self.restrictions else { return true };
        let decision = restrictions.security.acls.decide_any(restrictions.subject(), operation, kind);
        restrictions.permits(decision)
    }

    /// Bit n is set if the client may do operation n to the resource (KIP-430).
    pub(crate) fn operations(&self, kind: ResourceType, name: &str) -> i32 {
        let allowed = kind.operations().iter().filter(|operation| self.may(**operation, kind, name));
        allowed.fold(0, |bits, operation| bits | operation.bit())
    }
}

impl Restrictions {
    fn subject(&self) -> Subject<'_> {
        Subject { principal: &self.principal, host: &self.host }
    }

    fn permits(&self, decision: Decision) -> bool {
        match decision {
            Decision::Allowed => true,
            Decision::Denied => false,
            Decision::NoRule => self.allowed_without_rule,
        }
    }
}
