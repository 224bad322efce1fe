//! SaslHandshake and SaslAuthenticate. Source: KIP-43, KIP-152, KIP-255, KIP-368.

use std::borrow::Cow;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use tokio::time::{Instant, sleep};

use crate::api::node::Node;
use crate::auth::audit::{AuditEvent, Interface};
use crate::auth::audit_trail::Frequency;
use crate::auth::oauth::{BearerToken, error_response};
use crate::auth::sasl::{Exchange, PlainCredential, SaslFailure, SaslMechanism, Step};
use crate::auth::scram::server::{Proven, Secrets};
use crate::auth::scram::{ITERATIONS_MIN, ScramCredential, ScramMechanism};
use crate::auth::token::TokenError;
use crate::net::session::{ANONYMOUS, Session};
use crate::protocol::api_key::ApiKey;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::sasl_authenticate::{SaslAuthenticateRequest, SaslAuthenticateResponse};
use crate::protocol::messages::sasl_handshake::{SaslHandshakeRequest, SaslHandshakeResponse};

/// Random bytes of a nonce; a multiple of three, so that base64 needs no padding.
const NONCE_LEN: usize = 24;
/// A token that expires later is verified again after this time: ten years, which no instant overflows by.
const TOKEN_LIFETIME_MS_MAX: u64 = 10 * 365 * 24 * 60 * 60 * 1_000;

/// An identity that was proven.
struct Authenticated {
    /// `User:name`.
    principal: String,
    /// Last message of the exchange.
    reply: String,
    /// Time the proof is valid for; `None`: no limit of its own.
    lifetime: Option<Duration>,
}

impl From<Proven> for Authenticated {
    fn from(proven: Proven) -> Self {
        Self { principal: format!("User:{}", proven.user), reply: proven.reply, lifetime: None }
    }
}

pub(crate) fn handshake(
    node: &Node,
    session: &Session,
    version: i16,
    request: &SaslHandshakeRequest,
) -> SaslHandshakeResponse {
    let Some(sasl) = session.endpoint().and_then(|endpoint| endpoint.sasl.as_ref()) else {
        let error_code = ErrorCode::IllegalSaslState;
        return SaslHandshakeResponse { error_code, ..SaslHandshakeResponse::default() };
    };
    let has_verifier = node.config().security.token_verifier.is_some();
    let is_offered = |mechanism: &&SaslMechanism| has_verifier || **mechanism != SaslMechanism::OauthBearer;
    let offered: Vec<SaslMechanism> = sasl.mechanisms.iter().filter(is_offered).copied().collect();
    let chosen = offered.iter().find(|mechanism| mechanism.name() == request.mechanism);
    let error_code = match chosen {
        None => {
            session.close();
            ErrorCode::UnsupportedSaslMechanism
        }
        // Version 0 is followed by tokens without headers.
        Some(mechanism) if session.begin_exchange(*mechanism, version == 0) => ErrorCode::None,
        Some(_) => {
            session.close();
            ErrorCode::IllegalSaslState
        }
    };
    let mechanisms = offered.iter().map(|mechanism| mechanism.name().to_owned()).collect();
    SaslHandshakeResponse { error_code, mechanisms }
}

pub(crate) async fn authenticate(
    node: &Node,
    session: &Session,
    request: SaslAuthenticateRequest,
) -> SaslAuthenticateResponse {
    let Some((mechanism, raw, exchange)) = session.take_exchange() else {
        session.close();
        return SaslAuthenticateResponse {
            error_code: ErrorCode::IllegalSaslState,
            error_message: Some(
                "no mechanism was agreed on before, or the client has authenticated".to_owned(),
            ),
            ..SaslAuthenticateResponse::default()
        };
    };
    let go_on = |reply: String, next: Exchange| {
        session.continue_exchange(mechanism, raw, next);
        SaslAuthenticateResponse { auth_bytes: Bytes::from(reply), ..SaslAuthenticateResponse::default() }
    };
    let mut claimed = exchange.user().map(str::to_owned);
    let outcome = match step(node, exchange, &request.auth_bytes) {
        Ok(Step::Continue { reply, next }) => return go_on(reply, next),
        Ok(Step::Proven(proven)) => Ok(proven.into()),
        Ok(Step::CheckPassword(credential)) => {
            claimed = Some(credential.user.clone());
            check_password(node, credential).await.map(Into::into)
        }
        Ok(Step::CheckToken(token)) => match check_token(node, &token).await {
            Ok(authenticated) => Ok(authenticated),
            Err(error) => return go_on(error_response(&error), Exchange::TokenRejected(error)),
        },
        Err(failure) => Err(failure),
    };
    match outcome {
        Ok(authenticated) => match accept(session, mechanism, &authenticated) {
            Ok(session_lifetime_ms) => {
                report(node, session, &authenticated.principal, true);
                SaslAuthenticateResponse {
                    auth_bytes: Bytes::from(authenticated.reply),
                    session_lifetime_ms,
                    ..SaslAuthenticateResponse::default()
                }
            }
            Err(message) => {
                report(node, session, &authenticated.principal, false);
                refuse(node, session, mechanism, message).await
            }
        },
        Err(failure) => {
            let message = match &failure {
                SaslFailure::Credentials => failure.to_string(),
                SaslFailure::Message(reason) => format!("{failure}: {reason}"),
                SaslFailure::Token(reason) => format!("{failure}: {reason}"),
            };
            let claimed = claimed.map_or_else(|| ANONYMOUS.to_owned(), |user| format!("User:{user}"));
            report(node, session, &claimed, false);
            refuse(node, session, mechanism, message).await
        }
    }
}

/// Reports an authentication, where that is wanted.
fn report(node: &Node, session: &Session, principal: &str, allowed: bool) {
    let Some(trail) = node.audit() else { return };
    let event = AuditEvent {
        time_ms: node.clock().now_ms(),
        principal: principal.into(),
        client: session.peer.map(|peer| peer.ip().to_canonical()),
        interface: Interface::Kafka,
        action: Cow::Borrowed(ApiKey::SaslAuthenticate.name()),
        operation: None,
        resource: None,
        allowed,
        repetitions: 0,
    };
    trail.record(event, Frequency::Single);
}

fn step(node: &Node, exchange: Exchange, message: &[u8]) -> Result<Step, SaslFailure> {
    let mut random = [0; NONCE_LEN];
    node.rng().fill_bytes(&mut random);
    let nonce = STANDARD_NO_PAD.encode(random);
    let secrets = Secrets { nonce: &nonce, decoy_key: node.decoy_key() };
    let image = node.metadata().image();
    exchange.step(message, secrets, |user, mechanism| image.security().credential(user, mechanism).cloned())
}

async fn check_password(node: &Node, wanted: PlainCredential) -> Result<Proven, SaslFailure> {
    let PlainCredential { user, password } = wanted;
    let verified = verify_password(node, &user, password).await;
    verified.map(|_| Proven { user, reply: String::new() }).ok_or(SaslFailure::Credentials)
}

/// The stored credential of a user if this is the user's password. Salting a password takes milliseconds, so it is
/// done beside the async threads, and few at a time.
pub(crate) async fn verify_password(node: &Node, user: &str, password: String) -> Option<ScramCredential> {
    let _permit = node.password_checks().acquire().await.ok()?;
    let image = node.metadata().image();
    let stored = image.security().user(user).and_then(|user| user.values().next()).cloned();
    let exists = stored.is_some();
    let stored = stored.unwrap_or_else(|| ScramCredential {
        mechanism: ScramMechanism::Sha256,
        iterations: ITERATIONS_MIN,
        salt: node.decoy_key().to_vec(),
        stored_key: vec![0; ScramMechanism::Sha256.key_len()],
        server_key: Vec::new(),
    });
    let checking = tokio::task::spawn_blocking(move || stored.verifies(&password).then_some(stored));
    checking.await.ok().flatten().filter(|_| exists)
}

/// Verifies a token with the verifier of the configuration.
async fn check_token(node: &Node, wanted: &BearerToken) -> Result<Authenticated, TokenError> {
    let Some(verifier) = &node.config().security.token_verifier else {
        return Err(TokenError::Unavailable("no token verifier is configured".to_owned()));
    };
    let now_ms = node.clock().now_ms();
    let token = verifier.verify(wanted.token.reveal(), now_ms).await?;
    let left_ms = u64::try_from(token.expires_at_ms.saturating_sub(now_ms)).unwrap_or(0);
    if left_ms == 0 {
        return Err(TokenError::Expired);
    }
    let name = token.principal.strip_prefix("User:").unwrap_or_default();
    if name.is_empty() || wanted.authorization_id.as_deref().is_some_and(|id| id != name) {
        return Err(TokenError::Claim("sub".to_owned()));
    }
    let lifetime = Some(Duration::from_millis(left_ms.min(TOKEN_LIFETIME_MS_MAX)));
    Ok(Authenticated { principal: token.principal, reply: String::new(), lifetime })
}

/// Records the identity of the client. Returns how long that is valid. Units: ms; 0: as long as the connection lives.
fn accept(session: &Session, mechanism: SaslMechanism, authenticated: &Authenticated) -> Result<i64, String> {
    let configured = session.endpoint().and_then(|endpoint| endpoint.sasl.as_ref()?.session_lifetime);
    let lifetime = [configured, authenticated.lifetime].into_iter().flatten().min();
    let expires_at = lifetime.map(|lifetime| Instant::now() + lifetime);
    let principal = &authenticated.principal;
    if !session.authenticate(principal, mechanism, expires_at) {
        return Err("a connection keeps its user and mechanism when it authenticates again".to_owned());
    }
    tracing::debug!(connection = session.connection_id, principal, %mechanism, "client authenticated");
    Ok(lifetime.map_or(0, |lifetime| i64::try_from(lifetime.as_millis()).unwrap_or(i64::MAX)))
}

/// Answers late, so that trying passwords takes time, and ends the connection.
async fn refuse(
    node: &Node,
    session: &Session,
    mechanism: SaslMechanism,
    message: String,
) -> SaslAuthenticateResponse {
    let peer = session.client_host();
    tracing::info!(connection = session.connection_id, peer, %mechanism, reason = message, "authentication failed");
    node.metrics().authentications_failed.increment();
    sleep(node.config().security.failed_authentication_delay).await;
    session.close();
    SaslAuthenticateResponse {
        error_code: ErrorCode::SaslAuthenticationFailed,
        error_message: Some(format!("authentication with {mechanism} failed: {message}")),
        ..SaslAuthenticateResponse::default()
    }
}
