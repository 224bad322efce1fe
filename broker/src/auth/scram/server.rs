//! The server's side of an exchange.
//!
//! ```text
//! (start) --client first--> ServerExchange --client final--> user, or failure
//! ```

use std::fmt;

use subtle::ConstantTimeEq;

use super::message::{ClientFinal, ClientFirst, MessageError, ServerFirst, build_server_final};
use super::{ITERATIONS_MIN, ScramCredential, ScramMechanism};

/// An exchange whose first message was answered.
#[derive(Clone)]
pub struct ServerExchange {
    user: String,
    gs2_header: String,
    nonce: String,
    /// Client first without header, server first.
    signed_so_far: String,
    credential: ScramCredential,
    /// The user does not exist; the exchange goes on so that this does not show, and fails in the end.
    made_up: bool,
}

impl fmt::Debug for ServerExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerExchange").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Who proved to be whom, and what proves the server to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    pub user: String,
    pub reply: String,
}

/// Randomness of an exchange.
#[derive(Clone, Copy)]
pub struct Secrets<'a> {
    /// Printable characters without commas, new for each exchange.
    pub nonce: &'a str,
    /// Of the process: makes salts of users that do not exist stay the same, as those of real ones do.
    pub decoy_key: &'a [u8],
}

impl fmt::Debug for Secrets<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets")
    }
}

impl ServerExchange {
    /// Answers a client's first message.
    pub fn begin(
        mechanism: ScramMechanism,
        message: &[u8],
        secrets: Secrets<'_>,
        find: impl FnOnce(&str) -> Option<ScramCredential>,
    ) -> Result<(Self, String), MessageError> {
        let first = ClientFirst::parse(message)?;
        if first.has_extensions {
            return Err(MessageError::Malformed("extension, none is supported"));
        }
        let found = find(&first.user);
        let made_up = found.is_none();
        let credential = found.unwrap_or_else(|| decoy(mechanism, &first.user, secrets.decoy_key));
        let nonce = format!("{}{}", first.nonce, secrets.nonce);
        let salt = credential.salt.clone();
        let reply = ServerFirst { nonce: nonce.clone(), salt, iterations: credential.iterations }.build();
        let signed_so_far = format!("{},{reply}", first.bare);
        let exchange = Self {
            user: first.user,
            gs2_header: first.gs2_header,
            nonce,
            signed_so_far,
            credential,
            made_up,
        };
        Ok((exchange, reply))
    }

    /// Who is being authenticated.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Checks a client's final message; `Ok(None)` when it does not prove the password.
    pub fn finish(self, message: &[u8]) -> Result<Option<Proven>, MessageError> {
        let last = ClientFinal::parse(message)?;
        if last.channel_binding != self.gs2_header.as_bytes() {
            return Err(MessageError::Malformed("channel binding"));
        }
        // A proof made for another exchange is none (CVE-2024-56128). As with Kafka, something may stand in front:
        // librdkafka before 2.6.1 repeats its own nonce there.
        if !last.nonce.ends_with(&self.nonce) {
            return Err(MessageError::Malformed("nonce, it is not this exchange's"));
        }
        let credential = &self.credential;
        let mechanism = credential.mechanism;
        if last.proof.len() != mechanism.key_len() {
            return Err(MessageError::Malformed("proof"));
        }
        let signed = format!("{},{}", self.signed_so_far, last.without_proof);
        let signature = mechanism.hmac(&credential.stored_key, signed.as_bytes());
        let client_key: Vec<u8> =
            last.proof.iter().zip(signature.as_ref()).map(|(proof, signature)| proof ^ signature).collect();
        let key_matches: bool = mechanism.hash(&client_key).as_ref().ct_eq(&credential.stored_key[..]).into();
        if !key_matches || self.made_up {
            return Ok(None);
        }
        let proof = mechanism.hmac(&credential.server_key, signed.as_bytes());
        Ok(Some(Proven { user: self.user, reply: build_server_final(proof.as_ref()) }))
    }
}

/// What an attacker is shown of a user that does not exist.
fn decoy(mechanism: ScramMechanism, user: &str, key: &[u8]) -> ScramCredential {
    let salt = ScramMechanism::Sha256.hmac(key, user.as_bytes()).as_ref().to_vec();
    let stored_key = mechanism.hmac(key, &salt).as_ref().to_vec();
    let server_key = stored_key.clone();
    ScramCredential { mechanism, iterations: ITERATIONS_MIN, salt, stored_key, server_key }
}
