//! Messages of SASL/OAUTHBEARER. Source: RFC 7628, KIP-255.
//!
//! ```text
//! client: n,a=user,^Aauth=Bearer TOKEN^A^A    server: (empty), or {"status":"invalid_token"}
//! client: ^A                                  server: failure
//! ```

use std::fmt;

use super::config::Secret;
use super::scram::message::MessageError;
use super::token::TokenError;

/// Separator of key-value pairs; alone, the answer of a client to an error response.
pub const SEPARATOR: &[u8] = b"\x01";
/// Longest token. The limit of a first request is higher.
const TOKEN_BYTES_MAX: usize = 64 << 10;

/// A token to verify and the identity the client asks for.
#[derive(Clone, PartialEq, Eq)]
pub struct BearerToken {
    /// User the client wants to act as; it must be the token's own.
    pub authorization_id: Option<String>,
    pub token: Secret,
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = &self.authorization_id;
        f.debug_struct("BearerToken").field("authorization_id", id).finish_non_exhaustive()
    }
}

impl BearerToken {
    /// Parses the initial response of a client.
    ///
    /// Errors: the message is malformed, uses channel binding, or has no `auth` pair with a bearer token.
    pub fn parse(message: &[u8]) -> Result<Self, MessageError> {
        let text = std::str::from_utf8(message).map_err(|_| MessageError::NotText)?;
        let mut parts = text.split('\x01');
        let header = parts.next().unwrap_or_default();
        let authorization_id = authorization_id(header)?;
        // Two separators end the message: the last pair's own and the message's.
        let mut pairs: Vec<&str> = parts.collect();
        if pairs.pop() != Some("") || pairs.pop() != Some("") {
            return Err(MessageError::Malformed("end of the message"));
        }
        let mut token = None;
        for pair in pairs {
            let (key, value) = pair.split_once('=').ok_or(MessageError::Malformed("key-value pair"))?;
            if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_alphabetic()) {
                return Err(MessageError::Malformed("key"));
            }
            // Other keys are extensions (KIP-342); Weir knows none.
            if key == "auth" && token.replace(bearer(value)?).is_some() {
                return Err(MessageError::Malformed("second auth key"));
            }
        }
        let token = Secret::new(token.ok_or(MessageError::Missing("auth key"))?);
        Ok(Self { authorization_id, token })
    }

    /// The initial response that carries a token.
    pub fn message(token: &Secret) -> Vec<u8> {
        format!("n,,\x01auth=Bearer {}\x01\x01", token.reveal()).into_bytes()
    }
}

/// `n,[a=name],`
fn authorization_id(header: &str) -> Result<Option<String>, MessageError> {
    let malformed = MessageError::Malformed("GS2 header");
    let rest = header.strip_prefix("n,").and_then(|rest| rest.strip_suffix(','));
    match rest.ok_or(malformed)? {
        "" => Ok(None),
        name => {
            let name = name.strip_prefix("a=").filter(|name| !name.is_empty() && !name.contains(','));
            Ok(Some(name.ok_or(malformed)?.replace("=2C", ",").replace("=3D", "=")))
        }
    }
}

/// `Bearer TOKEN`; the scheme is case-insensitive.
fn bearer(value: &str) -> Result<String, MessageError> {
    let (scheme, token) = value.split_once(' ').ok_or(MessageError::Malformed("auth value"))?;
    let token = token.trim_matches(' ');
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(MessageError::Malformed("scheme, it is not bearer"));
    }
    // The alphabet of RFC 6750, section 2.1.
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    if token.is_empty() || token.len() > TOKEN_BYTES_MAX || !token.bytes().all(is_token) {
        return Err(MessageError::Malformed("token"));
    }
    Ok(token.to_owned())
}

/// The error response to a token that was rejected.
pub fn error_response(error: &TokenError) -> String {
    serde_json::json!({ "status": error.status() }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(message: &str) -> Result<(Option<String>, String), MessageError> {
        let parsed = BearerToken::parse(message.as_bytes())?;
        Ok((parsed.authorization_id, parsed.token.reveal().to_owned()))
    }

    #[test]
    fn initial_responses_are_parsed() {
        let token = || "a.b-c_d".to_owned();
        assert_eq!(parse("n,,\x01auth=Bearer a.b-c_d\x01\x01"), Ok((None, token())));
        assert_eq!(parse("n,a=ada,\x01auth=bearer  a.b-c_d\x01\x01"), Ok((Some("ada".to_owned()), token())));
        let extended = "n,a=a=2Cb=3Dc,\x01traceId=123\x01auth=Bearer a.b-c_d\x01\x01";
        assert_eq!(parse(extended), Ok((Some("a,b=c".to_owned()), token())));
        let message = BearerToken::message(&Secret::new("t"));
        assert_eq!(
            BearerToken::parse(&message).map(|parsed| parsed.token.reveal().to_owned()),
            Ok("t".to_owned())
        );
    }

    #[test]
    fn malformed_responses_are_rejected() {
        for message in [
            "",
            "\x01",
            "n,,",
            "n,,\x01\x01",
            "y,,\x01auth=Bearer t\x01\x01",
            "p=tls-unique,,\x01auth=Bearer t\x01\x01",
            "n,b=x,\x01auth=Bearer t\x01\x01",
            "n,a=,\x01auth=Bearer t\x01\x01",
            "n,,\x01auth=Bearer t\x01",
            "n,,\x01auth=Bearer \x01\x01",
            "n,,\x01auth=Basic t\x01\x01",
            "n,,\x01auth=Bearer t u\x01\x01",
            "n,,\x01auth=Bearer t\x01auth=Bearer u\x01\x01",
            "n,,\x01a1=x\x01auth=Bearer t\x01\x01",
            "n,,\x01auth\x01\x01",
            "n,,\x01host=x\x01\x01",
        ] {
            assert!(parse(message).is_err(), "{message:?}");
        }
        assert!(BearerToken::parse(b"n,,\x01auth=Bearer \xff\x01\x01").is_err());
    }

    #[test]
    fn tokens_are_not_shown() {
        let parsed = BearerToken::parse(b"n,a=ada,\x01auth=Bearer secret\x01\x01").expect("well formed");
        assert!(!format!("{parsed:?}").contains("secret"));
        assert_eq!(error_response(&TokenError::Expired), r#"{"status":"invalid_token"}"#);
        assert_eq!(error_response(&TokenError::Scope), r#"{"status":"insufficient_scope"}"#);
    }
}
