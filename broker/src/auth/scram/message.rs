//! The four messages of an exchange: parsed strictly, built in one way.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use thiserror::Error;

/// Longest message that is looked at, in bytes.
const MESSAGE_LEN_MAX: usize = 16 * 1024;

/// What is wrong with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum MessageError {
    #[error("message is longer than {MESSAGE_LEN_MAX} bytes or not text")]
    NotText,
    #[error("channel binding is not supported")]
    ChannelBinding,
    #[error("message lacks {0}")]
    Missing(&'static str),
    #[error("message has a malformed {0}")]
    Malformed(&'static str),
    #[error("server refused")]
    Refused,
}

fn text(bytes: &[u8]) -> Result<&str, MessageError> {
    if bytes.len() > MESSAGE_LEN_MAX {
        return Err(MessageError::NotText);
    }
    std::str::from_utf8(bytes).map_err(|_| MessageError::NotText)
}

/// The value of the next attribute, which must be called `name`.
fn attribute<'a>(
    parts: &mut impl Iterator<Item = &'a str>,
    prefix: &'static str,
    name: &'static str,
) -> Result<&'a str, MessageError> {
    parts.next().and_then(|part| part.strip_prefix(prefix)).ok_or(MessageError::Missing(name))
}

fn decoded(value: &str, name: &'static str) -> Result<Vec<u8>, MessageError> {
    BASE64.decode(value).map_err(|_| MessageError::Malformed(name))
}

/// A nonce is printable ASCII without commas.
fn nonce(value: &str) -> Result<&str, MessageError> {
    let printable = value.bytes().all(|byte| (0x21..=0x7e).contains(&byte) && byte != b',');
    if value.is_empty() || !printable { Err(MessageError::Malformed("nonce")) } else { Ok(value) }
}

/// Commas and equals signs in names are written `=2C` and `=3D`.
pub(crate) fn escape(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

fn unescape(name: &str) -> Result<String, MessageError> {
    let mut plain = String::with_capacity(name.len());
    let mut rest = name;
    while let Some((before, after)) = rest.split_once('=') {
        plain.push_str(before);
        let (sign, after) = match (after.strip_prefix("2C"), after.strip_prefix("3D")) {
            (Some(after), _) => (',', after),
            (None, Some(after)) => ('=', after),
            (None, None) => return Err(MessageError::Malformed("user name")),
        };
        plain.push(sign);
        rest = after;
    }
    plain.push_str(rest);
    if plain.is_empty() { Err(MessageError::Malformed("user name")) } else { Ok(plain) }
}

/// `n,,n=user,r=nonce`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFirst {
    /// Up to and with the second comma; returned in the final message.
    pub gs2_header: String,
    pub user: String,
    pub nonce: String,
    /// What follows the header: part of what is signed.
    pub bare: String,
    /// Extensions Kafka defines, such as `tokenauth`; none is known here.
    pub has_extensions: bool,
}

impl ClientFirst {
    pub fn parse(bytes: &[u8]) -> Result<Self, MessageError> {
        let message = text(bytes)?;
        let mut sections = message.splitn(3, ',');
        let (flag, authzid) = (sections.next().unwrap_or_default(), sections.next());
        let authzid = authzid.ok_or(MessageError::Missing("header"))?;
        let bare = sections.next().ok_or(MessageError::Missing("user name"))?;
        match flag {
            "n" | "y" => {}
            binding if binding.starts_with("p=") => return Err(MessageError::ChannelBinding),
            _ => return Err(MessageError::Malformed("header")),
        }
        let mut parts = bare.split(',');
        let user = unescape(attribute(&mut parts, "n=", "user name")?)?;
        let nonce = nonce(attribute(&mut parts, "r=", "nonce")?)?.to_owned();
        // Nobody speaks for somebody else.
        match authzid.strip_prefix("a=") {
            None if authzid.is_empty() => {}
            Some(name) if unescape(name)? == user => {}
            _ => return Err(MessageError::Malformed("authorization id")),
        }
        let gs2_header = format!("{flag},{authzid},");
        let has_extensions = parts.next().is_some();
        Ok(Self { gs2_header, user, nonce, bare: bare.to_owned(), has_extensions })
    }
}

/// `r=nonce,s=salt,i=iterations`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFirst {
    pub nonce: String,
    pub salt: Vec<u8>,
    pub iterations: u32,
}

impl ServerFirst {
    pub fn parse(bytes: &[u8]) -> Result<Self, MessageError> {
        let mut parts = text(bytes)?.split(',');
        let nonce = nonce(attribute(&mut parts, "r=", "nonce")?)?.to_owned();
        let salt = decoded(attribute(&mut parts, "s=", "salt")?, "salt")?;
        let iterations = attribute(&mut parts, "i=", "iteration count")?;
        let iterations = iterations.parse().map_err(|_| MessageError::Malformed("iteration count"))?;
        Ok(Self { nonce, salt, iterations })
    }

    pub fn build(&self) -> String {
        format!("r={},s={},i={}", self.nonce, BASE64.encode(&self.salt), self.iterations)
    }
}

/// `c=header,r=nonce,p=proof`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFinal {
    pub channel_binding: Vec<u8>,
    pub nonce: String,
    pub proof: Vec<u8>,
    /// What comes before the proof: part of what is signed.
    pub without_proof: String,
}

impl ClientFinal {
    pub fn parse(bytes: &[u8]) -> Result<Self, MessageError> {
        let message = text(bytes)?;
        let (without_proof, proof) = message.rsplit_once(",p=").ok_or(MessageError::Missing("proof"))?;
        let mut parts = without_proof.split(',');
        let channel_binding = decoded(attribute(&mut parts, "c=", "channel binding")?, "channel binding")?;
        let nonce = nonce(attribute(&mut parts, "r=", "nonce")?)?.to_owned();
        let proof = decoded(proof, "proof")?;
        Ok(Self { channel_binding, nonce, proof, without_proof: without_proof.to_owned() })
    }
}

/// `v=signature`, or `e=error`
pub fn parse_server_final(bytes: &[u8]) -> Result<Vec<u8>, MessageError> {
    let message = text(bytes)?;
    if message.starts_with("e=") {
        return Err(MessageError::Refused);
    }
    let mut parts = message.split(',');
    decoded(attribute(&mut parts, "v=", "signature")?, "signature")
}

/// The answer that proves the server.
pub fn build_server_final(signature: &[u8]) -> String {
    format!("v={}", BASE64.encode(signature))
}
