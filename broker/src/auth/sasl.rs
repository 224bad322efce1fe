//! SASL mechanisms as a broker offers them, and one exchange as a state machine.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

use super::oauth::BearerToken;
use super::scram::message::MessageError;
use super::scram::server::{Proven, Secrets, ServerExchange};
use super::scram::{ScramCredential, ScramMechanism};
use super::token::TokenError;

/// A way of proving who one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaslMechanism {
    /// Name and password as they are (RFC 4616); only over TLS is that wise.
    Plain,
    Scram(ScramMechanism),
    /// A token of an identity provider (RFC 7628); only over TLS is that wise.
    OauthBearer,
}

impl SaslMechanism {
    pub const ALL: [Self; 4] = [
        Self::Plain,
        Self::Scram(ScramMechanism::Sha256),
        Self::Scram(ScramMechanism::Sha512),
        Self::OauthBearer,
    ];

    /// The name in `SaslHandshake`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Scram(mechanism) => mechanism.name(),
            Self::OauthBearer => "OAUTHBEARER",
        }
    }
}

impl fmt::Display for SaslMechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is no mechanism's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("unknown SASL mechanism \"{0}\": expected PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER")]
pub struct UnknownMechanism(pub String);

impl FromStr for SaslMechanism {
    type Err = UnknownMechanism;

    fn from_str(name: &str) -> Result<Self, UnknownMechanism> {
        let found = Self::ALL.into_iter().find(|mechanism| mechanism.name() == name);
        found.ok_or_else(|| UnknownMechanism(name.to_owned()))
    }
}

/// What a listener asks of its clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaslConfig {
    /// `sasl.enabled.mechanisms`. OAUTHBEARER is offered only if there is a token verifier as well.
    pub mechanisms: Vec<SaslMechanism>,
    /// How long an authentication holds; clients renew it before (`connections.max.reauth.ms`, KIP-368).
    pub session_lifetime: Option<Duration>,
}

impl Default for SaslConfig {
    /// All mechanisms, for as long as the connection lives.
    fn default() -> Self {
        Self { mechanisms: SaslMechanism::ALL.to_vec(), session_lifetime: None }
    }
}

/// A name and the password that is to be checked.
#[derive(Clone, PartialEq, Eq)]
pub struct PlainCredential {
    pub user: String,
    pub password: String,
}

impl fmt::Debug for PlainCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlainCredential").field("user", &self.user).finish_non_exhaustive()
    }
}

impl PlainCredential {
    /// `[authorization id] NUL name NUL password`
    pub fn parse(message: &[u8]) -> Result<Self, MessageError> {
        let text = std::str::from_utf8(message).map_err(|_| MessageError::NotText)?;
        let mut parts = text.split('\0');
        let (authzid, user, password) = (parts.next(), parts.next(), parts.next());
        let (Some(authzid), Some(user), Some(password), None) = (authzid, user, password, parts.next())
        else {
            return Err(MessageError::Malformed("list of names"));
        };
        if user.is_empty() {
            return Err(MessageError::Missing("user name"));
        }
        if password.is_empty() {
            return Err(MessageError::Missing("password"));
        }
        // Nobody speaks for somebody else.
        if !authzid.is_empty() && authzid != user {
            return Err(MessageError::Malformed("authorization id"));
        }
        Ok(Self { user: user.to_owned(), password: password.to_owned() })
    }

    /// What a client sends.
    pub fn message(&self) -> Vec<u8> {
        format!("\0{}\0{}", self.user, self.password).into_bytes()
    }
}

/// An exchange on one connection.
#[derive(Debug, Clone)]
pub enum Exchange {
    /// The mechanism is agreed on, nothing was said yet.
    Agreed(SaslMechanism),
    /// The first message of SCRAM was answered.
    Scram(Box<ServerExchange>),
    /// The token was rejected; the client acknowledges that before the exchange fails (RFC 7628, section 3.2.3).
    TokenRejected(TokenError),
}

/// What follows a message of the client.
#[derive(Debug)]
pub enum Step {
    /// The client is to be sent this, and says more.
    Continue { reply: String, next: Exchange },
    /// The password must be checked, which takes milliseconds.
    CheckPassword(PlainCredential),
    /// The token must be verified, which may take a request to its issuer.
    CheckToken(BearerToken),
    /// The client is who it says.
    Proven(Proven),
}

/// Why a client was not authenticated.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SaslFailure {
    #[error("message cannot be used")]
    Message(#[from] MessageError),
    /// No such user, or not its password; which of the two is not told.
    #[error("user name or password is wrong")]
    Credentials,
    #[error("token was rejected")]
    Token(#[from] TokenError),
}

impl Exchange {
    /// Name of the user that the exchange is about, once the client has given it.
    pub fn user(&self) -> Option<&str> {
        match self {
            Self::Scram(exchange) => Some(exchange.user()),
            Self::Agreed(_) | Self::TokenRejected(_) => None,
        }
    }

    /// Takes the next message.
    pub fn step(
        self,
        message: &[u8],
        secrets: Secrets<'_>,
        find: impl FnOnce(&str, ScramMechanism) -> Option<ScramCredential>,
    ) -> Result<Step, SaslFailure> {
        match self {
            Self::Agreed(SaslMechanism::Plain) => Ok(Step::CheckPassword(PlainCredential::parse(message)?)),
            Self::Agreed(SaslMechanism::Scram(mechanism)) => {
                let find = |user: &str| find(user, mechanism);
                let (exchange, reply) = ServerExchange::begin(mechanism, message, secrets, find)?;
                Ok(Step::Continue { reply, next: Self::Scram(Box::new(exchange)) })
            }
            Self::Agreed(SaslMechanism::OauthBearer) => Ok(Step::CheckToken(BearerToken::parse(message)?)),
            Self::TokenRejected(error) => Err(SaslFailure::Token(error)),
            Self::Scram(exchange) => {
                exchange.finish(message)?.map(Step::Proven).ok_or(SaslFailure::Credentials)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_messages_are_taken_apart() {
        let parse = |message: &str| PlainCredential::parse(message.as_bytes());
        let alice = PlainCredential { user: "alice".to_owned(), password: "se cret".to_owned() };
        assert_eq!(parse("\0alice\0se cret"), Ok(alice.clone()));
        assert_eq!(parse("alice\0alice\0se cret"), Ok(alice.clone()));
        assert_eq!(PlainCredential::parse(&alice.message()), Ok(alice));
        for message in ["", "alice", "\0alice", "\0\0x", "\0alice\0", "bob\0alice\0x", "\0alice\0x\0"] {
            assert!(parse(message).is_err(), "{message:?}");
        }
    }

    #[test]
    fn mechanisms_are_known_by_name() {
        for mechanism in SaslMechanism::ALL {
            assert_eq!(mechanism.name().parse(), Ok(mechanism));
        }
        assert!("GSSAPI".parse::<SaslMechanism>().is_err());
    }
}
