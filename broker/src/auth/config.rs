//! What an operator decides about security.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::acl_set::AclSet;
use super::audit::AuditSink;
use super::token::TokenVerifier;

/// A text that is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// A user that exists from the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootstrapUser {
    pub name: String,
    pub password: Secret,
}

/// Who may do everything, and what holds where no rule does.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AuthorizerConfig {
    /// Principals that no rule restricts, as `User:name` (`super.users`).
    pub super_users: Vec<String>,
    /// Rules that hold beside those that are stored.
    pub rules: Arc<AclSet>,
    /// Resources no rule is about are open to everybody (`allow.everyone.if.no.acl.found`).
    pub allow_everyone_if_no_acl: bool,
}

/// Security of a broker.
#[derive(Debug, Clone)]
pub struct SecurityConfig {
    /// `None`: whoever gets past authentication may do everything.
    pub authorizer: Option<AuthorizerConfig>,
    /// Users whose passwords are set at every start, unless they are so already.
    pub users: Vec<BootstrapUser>,
    /// How long a failed authentication waits for its answer (`connection.failed.authentication.delay.ms`).
    pub failed_authentication_delay: Duration,
    /// The check of bearer tokens; with it, listeners that use SASL offer OAUTHBEARER.
    pub token_verifier: Option<Arc<dyn TokenVerifier>>,
    /// Destination of audit events: every access decision and every authentication. `None`: no audit.
    pub audit: Option<Arc<dyn AuditSink>>,
}

impl Default for SecurityConfig {
    fn default() -> Self {
        Self {
            authorizer: None,
            users: Vec::new(),
            failed_authentication_delay: Duration::from_millis(100),
            token_verifier: None,
            audit: None,
        }
    }
}
