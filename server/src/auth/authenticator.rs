//! Finds out which client a request comes from: Basic, Bearer, a certificate, or nothing where nothing is asked for.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use weir_broker::api::security::Security;
use weir_broker::auth::config::Secret;
use weir_broker::auth::token::TokenError;
use weir_broker::env::rng::Rng;

use crate::auth::caller::{ANONYMOUS, Caller, Proof};
use crate::auth::credentials::{Credentials, Presented};
use crate::auth::jwt::CLOCK_SKEW_MS;
use crate::error::{ApiError, ErrorCode};

/// Random bytes of the token of this process.
const LOCAL_TOKEN_LEN: usize = 32;
const AUTHENTICATE: &str = "Authenticate";

/// The check of credentials.
pub struct Authenticator {
    security: Security,
    /// False: the node is set up without users, and every client is anonymous.
    is_required: bool,
    /// Known in this process only: for the shell on an embedded node.
    local_token: Secret,
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator").field("is_required", &self.is_required).finish_non_exhaustive()
    }
}

impl Authenticator {
    /// `is_required`: every client must prove who it is.
    pub fn new(security: Security, is_required: bool, rng: &dyn Rng) -> Authenticator {
        let mut random = [0; LOCAL_TOKEN_LEN];
        rng.fill_bytes(&mut random);
        let local_token = Secret::new(random.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        Authenticator { security, is_required, local_token }
    }

    /// A bearer token of the node itself.
    pub fn local_token(&self) -> &Secret {
        &self.local_token
    }

    pub fn security(&self) -> &Security {
        &self.security
    }

    /// Errors: the credentials are wrong, or missing where they are required.
    pub async fn authenticate(&self, credentials: Credentials) -> Result<Caller, ApiError> {
        let Credentials { presented, certified, address } = credentials;
        let caller = |principal: Arc<str>, proof| {
            Caller::new(principal, address, proof, Arc::new(self.security.clone()))
        };
        match presented {
            Presented::Bearer(token) if self.is_local(&token) => Ok(Caller::internal()),
            _ if !self.is_required => {
                Ok(caller(certified.unwrap_or_else(|| ANONYMOUS.into()), Proof::Lasting))
            }
            Presented::Basic { user, password } => {
                let principal: Arc<str> = format!("User:{user}").into();
                if self.security.check_password(&user, password.reveal()).await {
                    return Ok(caller(principal, Proof::Password));
                }
                Err(self.refuse(&principal, address, "user name or password is wrong"))
            }
            Presented::Bearer(token) => match self.security.verify_token(token.reveal()).await {
                Some(Ok(verified)) => {
                    let expires_at_ms = verified.expires_at_ms.saturating_add(CLOCK_SKEW_MS);
                    Ok(caller(verified.principal.into(), Proof::Token { expires_at_ms }))
                }
                Some(Err(error @ TokenError::Unavailable(_))) => {
                    tracing::warn!(%error, "a bearer token cannot be verified");
                    Err(ApiError::new(ErrorCode::NotReady, error.to_string()))
                }
                Some(Err(error)) => Err(self.refuse(&ANONYMOUS.into(), address, error.to_string())),
                None => Err(self.refuse(&ANONYMOUS.into(), address, "bearer tokens are not accepted here")),
            },
            Presented::Nothing => match certified {
                Some(principal) => Ok(caller(principal, Proof::Lasting)),
                None => Err(self.refuse(&ANONYMOUS.into(), address, "authentication is required")),
            },
        }
    }

    /// In time that does not depend on the token.
    fn is_local(&self, token: &Secret) -> bool {
        let (wanted, given) = (self.local_token.reveal().as_bytes(), token.reveal().as_bytes());
        let difference = wanted.iter().zip(given).fold(0, |sum, (a, b)| sum | (a ^ b));
        wanted.len() == given.len() && std::hint::black_box(difference) == 0
    }

    fn refuse(&self, principal: &Arc<str>, address: IpAddr, message: impl Into<String>) -> ApiError {
        self.security.audit(principal, address, Cow::Borrowed(AUTHENTICATE), None, false);
        ApiError::new(ErrorCode::Unauthenticated, message)
    }
}
