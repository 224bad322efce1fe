//! Bearer tokens: the check that SASL/OAUTHBEARER and HTTP share. Source: RFC 6750, RFC 7628, KIP-255.
//!
//! The check itself (signatures, issuers, key sets) is an implementation of [`TokenVerifier`] given with the
//! configuration; this crate knows the contract only.

use std::fmt;

use futures::future::BoxFuture;
use thiserror::Error;

/// A token that passed the check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedToken {
    /// Principal that the token authenticates, as `User:name`.
    pub principal: String,
    /// Expiry of the token. Units: ms since epoch, UTC.
    pub expires_at_ms: i64,
    /// Scopes that the token grants.
    pub scopes: Vec<String>,
}

/// Reason for the rejection of a token. None of the messages contains the token or a part of it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TokenError {
    #[error("token is malformed: {0}")]
    Malformed(&'static str),
    #[error("token is signed with a key that is not in the key set")]
    UnknownKey,
    #[error("token signature is invalid")]
    Signature,
    #[error("token has expired")]
    Expired,
    #[error("token is not valid yet")]
    NotYetValid,
    #[error("token has no valid \"{0}\" claim")]
    Claim(String),
    #[error("token does not have the required scope")]
    Scope,
    /// The only temporary failure: the key set could not be loaded.
    #[error("key set is not available: {0}")]
    Unavailable(String),
}

impl TokenError {
    /// Value of `status` in the error response of RFC 7628, section 3.2.2.
    pub const fn status(&self) -> &'static str {
        match self {
            Self::Scope => "insufficient_scope",
            Self::Malformed(_) => "invalid_request",
            Self::UnknownKey
            | Self::Signature
            | Self::Expired
            | Self::NotYetValid
            | Self::Claim(_)
            | Self::Unavailable(_) => "invalid_token",
        }
    }
}

/// The check of bearer tokens.
///
/// Threads: called on async threads, concurrently. An implementation that must load keys does so with a deadline of
/// its own; it limits how often unknown keys make it load them again.
pub trait TokenVerifier: fmt::Debug + Send + Sync {
    /// Verifies a token as it was sent, without `Bearer `.
    ///
    /// Units: `now_ms` is the wall clock, ms since epoch, UTC.
    fn verify<'a>(&'a self, token: &'a str, now_ms: i64) -> BoxFuture<'a, Result<VerifiedToken, TokenError>>;
}
