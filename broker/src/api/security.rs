//! Users, tokens, rules, quotas and audit of a broker, for protocols other than Kafka's that this process serves.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::api::access::Access;
use crate::api::node::Node;
use crate::api::sasl;
use crate::auth::acl::{Operation, ResourceType};
use crate::auth::audit::{AuditEvent, AuditResource, Interface};
use crate::auth::password_cache::PasswordCache;
use crate::auth::quota::QuotaKey;
use crate::auth::scram::ScramCredential;
use crate::auth::token::{TokenError, VerifiedToken};

/// The same users, rules and quotas that hold for clients of the Kafka listeners. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Security {
    node: Arc<Node>,
    passwords: Arc<PasswordCache>,
}

impl Security {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        let mut key = [0; 32];
        node.rng().fill_bytes(&mut key);
        Self { node, passwords: Arc::new(PasswordCache::new(&key)) }
    }

    /// Checks a password. That takes milliseconds for one that was not checked before. A failure is answered late,
    /// so that guessing takes time.
    pub async fn check_password(&self, user: &str, password: &str) -> bool {
        if self.passwords.find(user, password).is_some_and(|credential| self.is_current(user, &credential)) {
            return true;
        }
        match sasl::verify_password(&self.node, user, password.to_owned()).await {
            Some(credential) => {
                self.passwords.remember(user, password, credential);
                true
            }
            None => {
                self.count_failure().await;
                false
            }
        }
    }

    /// True while `credential` is still what is stored of the user's password.
    fn is_current(&self, user: &str, credential: &ScramCredential) -> bool {
        let image = self.node.image();
        image.security().credential(user, credential.mechanism) == Some(credential)
    }

    /// True while the user of a principal, `User:name`, has a password.
    pub fn has_user(&self, principal: &str) -> bool {
        let user = principal.strip_prefix("User:").unwrap_or(principal);
        self.node.image().security().user(user).is_some()
    }

    /// The wall clock by which tokens expire. Units: ms since epoch, UTC.
    pub fn now_ms(&self) -> i64 {
        self.node.clock().now_ms()
    }

    /// Verifies a bearer token. None: tokens are not accepted here.
    pub async fn verify_token(&self, token: &str) -> Option<Result<VerifiedToken, TokenError>> {
        let verifier = self.node.config().security.token_verifier.as_ref()?;
        let verified = verifier.verify(token, self.node.clock().now_ms()).await;
        if verified.is_err() {
            self.count_failure().await;
        }
        Some(verified)
    }

    /// Counts a failed authentication and holds its answer back for a moment.
    async fn count_failure(&self) {
        self.node.metrics().authentications_failed.increment();
        tokio::time::sleep(self.node.config().security.failed_authentication_delay).await;
    }

    /// True if the rules of this moment let a client do this to a resource.
    pub fn permits(
        &self,
        principal: &Arc<str>,
        address: IpAddr,
        operation: Operation,
        kind: ResourceType,
        name: &str,
    ) -> bool {
        Access::of_client(&self.node, principal, Some(address)).may(operation, kind, name)
    }

    /// Reports an HTTP decision to the audit, if there is one. Without `right` it is about the action as a whole.
    pub fn audit(
        &self,
        principal: &Arc<str>,
        client: IpAddr,
        action: Cow<'static, str>,
        right: Option<(Operation, ResourceType, &str)>,
        allowed: bool,
    ) {
        let Some(sink) = &self.node.config().security.audit else { return };
        sink.record(AuditEvent {
            time_ms: self.node.clock().now_ms(),
            principal: Arc::clone(principal),
            client: Some(client.to_canonical()),
            interface: Interface::Http,
            action,
            operation: right.map(|(operation, ..)| operation),
            resource: right.map(|(_, kind, name)| AuditResource { kind, name: name.to_owned() }),
            allowed,
            repetitions: 0,
        });
    }

    /// True if there are quotas at all.
    pub fn has_quotas(&self) -> bool {
        !self.node.image().security().quotas.is_empty()
    }

    /// Notes the use of `amount` under the quota that holds for a client, if one does. Returns how long the client
    /// is to pause.
    pub fn charge(&self, principal: &str, client_id: &str, key: QuotaKey, amount: f64) -> Duration {
        let image = self.node.image();
        let user = principal.strip_prefix("User:").unwrap_or(principal);
        match image.security().quotas.resolve(key, user, client_id) {
            Some((rate, bucket)) => {
                self.node.throttle().record(bucket, rate, amount, self.node.clock().monotonic())
            }
            None => Duration::ZERO,
        }
    }
}
