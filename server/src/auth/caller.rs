//! The client that a request comes from, and the check of every right that the request needs.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use weir_broker::api::security::Security;
use weir_broker::auth::acl::{CLUSTER_NAME, Operation, ResourceType};

use crate::error::{ApiError, ErrorCode};

/// The principal of clients that present no credentials.
pub const ANONYMOUS: &str = "User:ANONYMOUS";
/// The principal of the node itself.
const INTERNAL: &str = "User:weir";

/// An operation on a resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    pub operation: Operation,
    pub kind: ResourceType,
    pub name: String,
}

impl Right {
    pub fn topic(operation: Operation, name: impl Into<String>) -> Right {
        Right { operation, kind: ResourceType::Topic, name: name.into() }
    }

    pub fn cluster(operation: Operation) -> Right {
        Right { operation, kind: ResourceType::Cluster, name: CLUSTER_NAME.to_owned() }
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            ResourceType::Cluster => write!(f, "{:?} on the cluster", self.operation),
            kind => {
                write!(f, "{:?} on {} \"{}\"", self.operation, format!("{kind:?}").to_lowercase(), self.name)
            }
        }
    }
}

/// The proof of a client's identity. One that may lapse is checked again while a request runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// None is asked for, or a certificate, which holds as long as its connection.
    Lasting,
    /// The password of the user that the principal names.
    Password,
    /// A bearer token. Units: ms since epoch, UTC.
    Token { expires_at_ms: i64 },
}

/// Decides whether a client has a right. Implemented by the broker's rules and by test doubles.
pub trait Authorizer: Send + Sync {
    /// The decision by the rules of this moment.
    fn permits(&self, principal: &Arc<str>, address: IpAddr, right: &Right) -> bool;

    /// Why a proof does not hold any more; None: it does.
    fn lapse(&self, principal: &Arc<str>, proof: Proof) -> Option<&'static str>;

    /// Reports a decision to the audit, if there is one. Without `right` it is about the action as a whole.
    fn audit(
        &self,
        principal: &Arc<str>,
        address: IpAddr,
        action: &'static str,
        right: Option<&Right>,
        allowed: bool,
    );
}

impl Authorizer for Security {
    fn permits(&self, principal: &Arc<str>, address: IpAddr, right: &Right) -> bool {
        Security::permits(self, principal, address, right.operation, right.kind, &right.name)
    }

    fn lapse(&self, principal: &Arc<str>, proof: Proof) -> Option<&'static str> {
        match proof {
            Proof::Lasting => None,
            Proof::Password => (!self.has_user(principal)).then_some("the user has been deleted"),
            Proof::Token { expires_at_ms } => (self.now_ms() >= expires_at_ms).then_some("token has expired"),
        }
    }

    fn audit(
        &self,
        principal: &Arc<str>,
        address: IpAddr,
        action: &'static str,
        right: Option<&Right>,
        allowed: bool,
    ) {
        let right = right.map(|right| (right.operation, right.kind, right.name.as_str()));
        Security::audit(self, principal, address, Cow::Borrowed(action), right, allowed);
    }
}

/// Decisions that are reported to the audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audited {
    All,
    /// The same rights were reported before.
    Denials,
}

/// A client of the HTTP API. Cheap to clone.
#[derive(Clone)]
pub struct Caller {
    principal: Arc<str>,
    /// None: the node itself, whose rights are not checked.
    client: Option<Client>,
}

#[derive(Clone)]
struct Client {
    address: IpAddr,
    proof: Proof,
    authorizer: Arc<dyn Authorizer>,
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller")
            .field("principal", &self.principal)
            .field("address", &self.address())
            .finish()
    }
}

impl Caller {
    /// The node itself, which may do everything.
    pub fn internal() -> Caller {
        Caller { principal: INTERNAL.into(), client: None }
    }

    pub fn new(
        principal: impl Into<Arc<str>>,
        address: IpAddr,
        proof: Proof,
        authorizer: Arc<dyn Authorizer>,
    ) -> Caller {
        Caller { principal: principal.into(), client: Some(Client { address, proof, authorizer }) }
    }

    /// `User:name`
    pub fn principal(&self) -> &str {
        &self.principal
    }

    /// None: the node itself.
    pub fn address(&self) -> Option<IpAddr> {
        self.client.as_ref().map(|client| client.address)
    }

    pub fn may(&self, right: &Right) -> bool {
        let permits = |client: &Client| client.authorizer.permits(&self.principal, client.address, right);
        self.client.as_ref().is_none_or(permits)
    }

    /// True if lists may name the topic to this client.
    pub fn sees_topic(&self, topic: &str) -> bool {
        self.client.is_none() || self.may(&Right::topic(Operation::Describe, topic))
    }

    /// True if this client may end what `owner` has started without having written to it.
    pub fn controls(&self, owner: &str) -> bool {
        self.client.is_none() || *self.principal == *owner || self.may(&Right::cluster(Operation::Alter))
    }

    /// Checks the rights that an action needs and reports the decisions.
    ///
    /// Errors: the first right that the client does not have.
    pub fn require<'r>(
        &self,
        action: &'static str,
        rights: impl IntoIterator<Item = &'r Right>,
        audited: Audited,
    ) -> Result<(), ApiError> {
        for right in rights {
            let allowed = self.may(right);
            if !allowed || audited == Audited::All {
                self.audit(action, Some(right), allowed);
            }
            if !allowed {
                let message = format!("{} is not authorized to {action}: needs {right}", self.principal);
                return Err(ApiError::new(ErrorCode::AccessDenied, message));
            }
        }
        Ok(())
    }

    /// Checks again, while an action is under way, what was checked when it began. Refusals are reported.
    ///
    /// Errors: a right was taken from the client, or its proof has lapsed.
    pub fn require_still<'r>(
        &self,
        action: &'static str,
        rights: impl IntoIterator<Item = &'r Right>,
    ) -> Result<(), ApiError> {
        let lapse = |client: &Client| client.authorizer.lapse(&self.principal, client.proof);
        if let Some(reason) = self.client.as_ref().and_then(lapse) {
            self.audit(action, None, false);
            return Err(ApiError::new(ErrorCode::Unauthenticated, format!("{}: {reason}", self.principal)));
        }
        self.require(action, rights, Audited::Denials)
    }

    /// Reports an action that needs no right.
    pub fn note(&self, action: &'static str) {
        self.audit(action, None, true);
    }

    fn audit(&self, action: &'static str, right: Option<&Right>, allowed: bool) {
        if let Some(Client { address, authorizer, .. }) = &self.client {
            authorizer.audit(&self.principal, *address, action, right, allowed);
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_broker::broker::Broker;
    use weir_broker::config::BrokerConfig;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_proof_lapses_with_its_token_or_its_user() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut config = BrokerConfig::new(dir.path());
        config.listeners.clear();
        let broker = Broker::start(config).await.expect("starts");
        let security = broker.security();
        let principal: Arc<str> = "User:ada".into();
        let lapse = |proof| Authorizer::lapse(&security, &principal, proof);
        let now_ms = security.now_ms();
        assert_eq!(lapse(Proof::Lasting), None);
        assert_eq!(lapse(Proof::Token { expires_at_ms: now_ms + 60_000 }), None);
        assert!(lapse(Proof::Token { expires_at_ms: now_ms }).is_some());
        assert!(lapse(Proof::Password).is_some(), "there is no such user");
        broker.shutdown().await.expect("stops");
    }
}
