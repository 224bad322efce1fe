//! The client's side of an exchange.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use subtle::ConstantTimeEq;

use super::message::{MessageError, ServerFirst, escape, parse_server_final};
use super::{ITERATIONS_MIN, ScramMechanism};

const GS2_HEADER: &str = "n,,";
/// More than any broker stores: a count made up to keep clients busy.
const ITERATIONS_LIMIT: u32 = 1_000_000;

/// An exchange that was begun.
pub struct ClientExchange {
    mechanism: ScramMechanism,
    password: String,
    nonce: String,
    bare: String,
}

/// An exchange whose proof was sent.
pub struct ClientProof {
    signature: Vec<u8>,
}

impl fmt::Debug for ClientExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientExchange").field("mechanism", &self.mechanism).finish_non_exhaustive()
    }
}

impl fmt::Debug for ClientProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientProof")
    }
}

impl ClientExchange {
    /// Begins an exchange; `nonce` is printable, without commas, and new. Returns the first message.
    pub fn begin(mechanism: ScramMechanism, user: &str, password: &str, nonce: &str) -> (Self, String) {
        let bare = format!("n={},r={nonce}", escape(user));
        let message = format!("{GS2_HEADER}{bare}");
        let exchange = Self { mechanism, password: password.to_owned(), nonce: nonce.to_owned(), bare };
        (exchange, message)
    }

    /// Answers the server's first message. Slow on purpose: milliseconds.
    pub fn prove(self, message: &[u8]) -> Result<(ClientProof, String), MessageError> {
        let first = ServerFirst::parse(message)?;
        if !first.nonce.starts_with(&self.nonce) || first.nonce.len() == self.nonce.len() {
            return Err(MessageError::Malformed("nonce"));
        }
        if !(ITERATIONS_MIN..=ITERATIONS_LIMIT).contains(&first.iterations) {
            return Err(MessageError::Malformed("iteration count"));
        }
        let mechanism = self.mechanism;
        let salted = mechanism.salted_password(&self.password, &first.salt, first.iterations);
        let client_key = mechanism.hmac(&salted, b"Client Key");
        let server_key = mechanism.hmac(&salted, b"Server Key");
        let stored_key = mechanism.hash(client_key.as_ref());
        let without_proof = format!("c={},r={}", BASE64.encode(GS2_HEADER), first.nonce);
        let server_first = String::from_utf8_lossy(message);
        let signed = format!("{},{server_first},{without_proof}", self.bare);
        let signature = mechanism.hmac(stored_key.as_ref(), signed.as_bytes());
        let proof: Vec<u8> =
            client_key.as_ref().iter().zip(signature.as_ref()).map(|(key, sign)| key ^ sign).collect();
        let expected = mechanism.hmac(server_key.as_ref(), signed.as_bytes());
        let reply = format!("{without_proof},p={}", BASE64.encode(proof));
        Ok((ClientProof { signature: expected.as_ref().to_vec() }, reply))
    }
}

impl ClientProof {
    /// Checks that the server knows the credential too.
    pub fn verify(&self, message: &[u8]) -> Result<(), MessageError> {
        let signature = parse_server_final(message)?;
        if signature.ct_eq(&self.signature).into() {
            Ok(())
        } else {
            Err(MessageError::Malformed("signature"))
        }
    }
}
