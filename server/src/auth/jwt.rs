//! Bearer tokens as JSON web tokens of an identity provider. Source: RFC 7519, RFC 9068, KIP-768.

use futures::FutureExt;
use futures::future::BoxFuture;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{AlgorithmFamily, DecodingKey, Header, Validation, decode, decode_header};
use serde_json::{Map, Value};
use weir_broker::auth::token::{TokenError, TokenVerifier, VerifiedToken};

use crate::auth::jwks::KeySet;

/// Bytes of a token.
const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// Clocks of the provider and this node may differ so much. Units: ms.
pub(crate) const CLOCK_SKEW_MS: i64 = 30_000;

/// The tokens that are accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenRules {
    /// `iss` must be this.
    pub issuer: Option<String>,
    /// `aud` must contain this.
    pub audience: Option<String>,
    /// The claim that names the principal; default `sub` (`sasl.oauthbearer.sub.claim.name`).
    pub principal_claim: Option<String>,
    /// A scope that the token must grant.
    pub scope: Option<String>,
}

/// Verifies tokens with the keys of a provider. Only signatures by private keys are accepted: a key set is public.
#[derive(Debug)]
pub struct JwtVerifier {
    rules: TokenRules,
    keys: KeySet,
}

impl JwtVerifier {
    pub fn new(rules: TokenRules, keys: KeySet) -> JwtVerifier {
        JwtVerifier { rules, keys }
    }

    async fn check(&self, token: &str, now_ms: i64) -> Result<VerifiedToken, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Malformed("too long"));
        }
        let header =
            decode_header(token).map_err(|_| TokenError::Malformed("not a signed JSON web token"))?;
        let keys = self.keys.matching(|key| fits(key, &header), now_ms).await?;
        let mut failure = TokenError::UnknownKey;
        for key in &keys {
            match self.claims(token, key, &header) {
                Ok(claims) => return self.accept(&claims, now_ms),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// Checks signature, issuer and audience.
    fn claims(&self, token: &str, key: &Jwk, header: &Header) -> Result<Map<String, Value>, TokenError> {
        let mut validation = Validation::new(header.alg);
        // Time is checked against the node's clock.
        validation.validate_exp = false;
        validation.validate_aud = self.rules.audience.is_some();
        let mut required = vec!["exp"];
        if let Some(issuer) = &self.rules.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        if let Some(audience) = &self.rules.audience {
            validation.set_audience(&[audience]);
            required.push("aud");
        }
        validation.set_required_spec_claims(&required);
        let key = DecodingKey::from_jwk(key).map_err(|_| TokenError::UnknownKey)?;
        decode(token, &key, &validation).map(|data| data.claims).map_err(|error| match error.into_kind() {
            ErrorKind::InvalidSignature | ErrorKind::InvalidAlgorithm => TokenError::Signature,
            ErrorKind::InvalidIssuer => TokenError::Claim("iss".to_owned()),
            ErrorKind::InvalidAudience => TokenError::Claim("aud".to_owned()),
            ErrorKind::MissingRequiredClaim(name) | ErrorKind::InvalidClaimFormat(name) => {
                TokenError::Claim(name)
            }
            _ => TokenError::Malformed("not a signed JSON web token"),
        })
    }

    fn accept(&self, claims: &Map<String, Value>, now_ms: i64) -> Result<VerifiedToken, TokenError> {
        let expires_at_ms = time_ms(claims, "exp")?.ok_or_else(|| TokenError::Claim("exp".to_owned()))?;
        if now_ms >= expires_at_ms.saturating_add(CLOCK_SKEW_MS) {
            return Err(TokenError::Expired);
        }
        if time_ms(claims, "nbf")?.is_some_and(|from| now_ms < from.saturating_sub(CLOCK_SKEW_MS)) {
            return Err(TokenError::NotYetValid);
        }
        let name = self.rules.principal_claim.as_deref().unwrap_or("sub");
        let user = claims.get(name).and_then(Value::as_str).filter(|user| !user.trim().is_empty());
        let user = user.ok_or_else(|| TokenError::Claim(name.to_owned()))?;
        let scopes = scopes(claims);
        if self.rules.scope.as_ref().is_some_and(|wanted| !scopes.contains(wanted)) {
            return Err(TokenError::Scope);
        }
        Ok(VerifiedToken { principal: format!("User:{user}"), expires_at_ms, scopes })
    }
}

impl TokenVerifier for JwtVerifier {
    fn verify<'a>(&'a self, token: &'a str, now_ms: i64) -> BoxFuture<'a, Result<VerifiedToken, TokenError>> {
        self.check(token, now_ms).boxed()
    }
}

/// True if the key may have signed a token with this header.
fn fits(key: &Jwk, header: &Header) -> bool {
    let common = &key.common;
    let is_named = header.kid.is_none() || common.key_id == header.kid;
    let is_for_signatures = matches!(common.public_key_use, None | Some(PublicKeyUse::Signature));
    let has_algorithm =
        common.key_algorithm.is_none_or(|of_key| of_key.to_string().parse().ok() == Some(header.alg));
    let family = header.alg.family();
    let is_of_family = DecodingKey::from_jwk(key).is_ok_and(|key| key.family() == family);
    family != AlgorithmFamily::Hmac && is_named && is_for_signatures && has_algorithm && is_of_family
}

/// A claim in seconds, which may have a fraction.
fn time_ms(claims: &Map<String, Value>, name: &str) -> Result<Option<i64>, TokenError> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = value.as_f64().filter(|seconds| seconds.is_finite() && *seconds >= 0.0);
    let seconds = seconds.ok_or_else(|| TokenError::Claim(name.to_owned()))?;
    // Saturates.
    Ok(Some((seconds * 1_000.0) as i64))
}

/// `scope` as text with blanks (RFC 8693), or `scp` or `scope` as a list.
fn scopes(claims: &Map<String, Value>) -> Vec<String> {
    let listed = ["scope", "scp"].into_iter().filter_map(|name| claims.get(name));
    let texts = listed.flat_map(|value| match value {
        Value::String(text) => text.split_whitespace().map(str::to_owned).collect(),
        Value::Array(items) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    });
    texts.collect()
}

#[cfg(test)]
mod tests;
