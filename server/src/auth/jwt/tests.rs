//! Tokens of a provider with two keys, as a file.

use std::path::Path;

use jsonwebtoken::{Algorithm, EncodingKey, encode};
use serde_json::json;

use super::*;
use crate::auth::jwks::KeySource;
use crate::https::HttpsConfig;

/// Units: ms since epoch.
const NOW: i64 = 1_700_000_000_000;

/// A private key of P-256 in PKCS#8, made for these tests.
fn signing_key(seed: u8) -> EncodingKey {
    // SEQUENCE { 0, SEQUENCE { ecPublicKey, prime256v1 }, OCTET STRING { SEQUENCE { 1, OCTET STRING key } } }
    const HEAD: [u8; 36] = [
        0x30, 0x41, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06,
        0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x04, 0x27, 0x30, 0x25, 0x02, 0x01, 0x01, 0x04,
        0x20, 0x01,
    ];
    let der: Vec<u8> = HEAD.into_iter().chain([seed; 31]).collect();
    EncodingKey::from_ec_der(&der)
}

fn write_keys(path: &Path, seeds: &[u8]) {
    let keys: Vec<Value> = seeds
        .iter()
        .map(|seed| {
            let key = Jwk::from_encoding_key(&signing_key(*seed), Algorithm::ES256).expect("a key");
            let mut key = serde_json::to_value(key).expect("JSON");
            key["kid"] = json!(format!("key-{seed}"));
            key["use"] = json!("sig");
            key
        })
        .chain([json!({"kty": "oct", "kid": "shared", "k": "c2VjcmV0"}), json!({"kty": "unknown"})])
        .collect();
    std::fs::write(path, json!({"keys": keys}).to_string()).expect("written");
}

fn token(seed: u8, kid: &str, claims: &Value) -> String {
    let mut header = Header::new(Algorithm::ES256);
    header.kid = Some(kid.to_owned());
    encode(&header, claims, &signing_key(seed)).expect("signed")
}

fn claims() -> Value {
    json!({"sub": "ada", "iss": "https://id", "aud": ["weir", "x"], "exp": NOW / 1_000 + 60, "scope": "a b"})
}

fn verifier(path: &Path) -> JwtVerifier {
    let rules = TokenRules {
        issuer: Some("https://id".to_owned()),
        audience: Some("weir".to_owned()),
        ..TokenRules::default()
    };
    JwtVerifier::new(rules, KeySet::new(KeySource::File(path.to_owned()), HttpsConfig::default()))
}

#[tokio::test]
async fn tokens_are_checked() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("keys.json");
    write_keys(&path, &[1, 2]);
    let verifier = verifier(&path);
    let verified = verifier.verify(&token(1, "key-1", &claims()), NOW).await.expect("accepted");
    assert_eq!(verified.principal, "User:ada");
    assert_eq!(verified.expires_at_ms, NOW + 60_000);
    assert_eq!(verified.scopes, ["a", "b"]);
    let changed = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        token(1, "key-1", &claims)
    };
    let without = |name: &str| {
        let mut claims = claims();
        claims.as_object_mut().expect("an object").remove(name);
        token(1, "key-1", &claims)
    };
    let claim = |name: &str| TokenError::Claim(name.to_owned());
    let good = token(1, "key-1", &claims());
    let (signed, signature) = good.rsplit_once('.').expect("three parts");
    let none = format!("eyJhbGciOiJub25lIn0.{}.", good.split('.').nth(1).expect("three parts"));
    for (text, wanted) in [
        (token(2, "key-1", &claims()), TokenError::Signature),
        (token(3, "key-3", &claims()), TokenError::UnknownKey),
        (format!("{signed}x.{signature}"), TokenError::Signature),
        (changed("iss", json!("https://evil")), claim("iss")),
        (changed("aud", json!("other")), claim("aud")),
        (changed("sub", json!("")), claim("sub")),
        (changed("sub", json!(7)), claim("sub")),
        (changed("exp", json!(NOW / 1_000 - 31)), TokenError::Expired),
        (changed("nbf", json!(NOW / 1_000 + 31)), TokenError::NotYetValid),
        (changed("exp", Value::Null), claim("exp")),
        (without("exp"), claim("exp")),
        (without("iss"), claim("iss")),
        (without("aud"), claim("aud")),
        (without("sub"), claim("sub")),
        (none, TokenError::Malformed("not a signed JSON web token")),
        ("x".repeat(20_000), TokenError::Malformed("too long")),
        (String::new(), TokenError::Malformed("not a signed JSON web token")),
    ] {
        assert_eq!(verifier.verify(&text, NOW).await, Err(wanted), "{text}");
    }
}

#[tokio::test]
async fn a_token_must_grant_the_scope_that_is_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("keys.json");
    write_keys(&path, &[1]);
    let text = token(1, "key-1", &claims());
    for (scope, granted) in [("a", true), ("b", true), ("a b", false), ("c", false)] {
        let mut verifier = verifier(&path);
        verifier.rules.scope = Some(scope.to_owned());
        let outcome = verifier.verify(&text, NOW).await;
        assert_eq!(outcome.err(), (!granted).then_some(TokenError::Scope), "{scope}");
    }
}

#[tokio::test]
async fn shared_secrets_of_a_key_set_verify_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("keys.json");
    write_keys(&path, &[1]);
    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some("shared".to_owned());
    let key = EncodingKey::from_secret(b"secret").expect("a key");
    let text = encode(&header, &claims(), &key).expect("signed");
    assert_eq!(verifier(&path).verify(&text, NOW).await, Err(TokenError::UnknownKey));
}

#[tokio::test]
async fn keys_for_other_uses_and_algorithms_verify_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("keys.json");
    for (member, value) in [("use", "enc"), ("alg", "ES384"), ("kid", "key-2")] {
        write_keys(&path, &[1]);
        let text = std::fs::read_to_string(&path).expect("read");
        let mut keys: Value = serde_json::from_str(&text).expect("JSON");
        keys["keys"][0][member] = json!(value);
        std::fs::write(&path, keys.to_string()).expect("written");
        let outcome = verifier(&path).verify(&token(1, "key-1", &claims()), NOW).await;
        assert_eq!(outcome, Err(TokenError::UnknownKey), "{member} is {value}");
    }
}

#[tokio::test]
async fn keys_that_the_provider_has_withdrawn_are_forgotten() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("keys.json");
    write_keys(&path, &[1, 2]);
    let verifier = verifier(&path);
    let mut lasting = claims();
    lasting["exp"] = json!(NOW / 1_000 + 100_000);
    let first = token(1, "key-1", &lasting);
    assert!(verifier.verify(&first, NOW).await.is_ok());
    write_keys(&path, &[2]);
    assert!(verifier.verify(&first, NOW + 4 * 60_000).await.is_ok(), "looked at every five minutes");
    assert_eq!(verifier.verify(&first, NOW + 6 * 60_000).await, Err(TokenError::UnknownKey));
}

#[tokio::test]
async fn new_keys_are_found_and_old_ones_kept_while_the_provider_is_away() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("keys.json");
    let verifier = verifier(&path);
    let far = |text: &Value| {
        let mut claims = text.clone();
        claims["exp"] = json!(NOW / 1_000 + 100_000);
        claims
    };
    let (first, second) = (token(1, "key-1", &far(&claims())), token(2, "key-2", &far(&claims())));
    let unavailable = verifier.verify(&first, NOW).await;
    assert!(matches!(unavailable, Err(TokenError::Unavailable(_))), "{unavailable:?}");
    write_keys(&path, &[1]);
    assert!(verifier.verify(&first, NOW + 9_000).await.is_err(), "not asked again so soon");
    assert!(verifier.verify(&first, NOW + 11_000).await.is_ok());
    write_keys(&path, &[2]);
    assert_eq!(verifier.verify(&second, NOW + 20_000).await, Err(TokenError::UnknownKey));
    assert!(verifier.verify(&second, NOW + 22_000).await.is_ok());
    assert_eq!(verifier.verify(&first, NOW + 23_000).await, Err(TokenError::UnknownKey));
    std::fs::remove_file(&path).expect("removed");
    assert!(verifier.verify(&second, NOW + 10 * 60_000).await.is_ok());
}
