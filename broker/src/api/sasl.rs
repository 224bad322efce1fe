//! SaslHandshake and SaslAuthenticate. Source: KIP-43, KIP-152, KIP-368.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use tokio::time::{Instant, sleep};

use crate::api::node::Node;
use crate::auth::sasl::{Exchange, PlainCredential, SaslFailure, SaslMechanism, Step};
use crate::auth::scram::server::{Proven, Secrets};
use crate::auth::scram::{ITERATIONS_MIN, ScramCredential, ScramMechanism};
use crate::net::session::Session;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::sasl_authenticate::{SaslAuthenticateRequest, SaslAuthenticateResponse};
use crate::protocol::messages::sasl_handshake::{SaslHandshakeRequest, SaslHandshakeResponse};

/// Random bytes of a nonce; a multiple of three, so that base64 needs no padding.
const NONCE_LEN: usize = 24;

pub(crate) fn handshake(
    session: &Session,
    version: i16,
    request: &SaslHandshakeRequest,
) -> SaslHandshakeResponse {
    let Some(sasl) = session.endpoint().and_then(|endpoint| endpoint.sasl.as_ref()) else {
        let error_code = ErrorCode::IllegalSaslState;
        return SaslHandshakeResponse { error_code, ..SaslHandshakeResponse::default() };
    };
    let mechanisms = sasl.mechanisms.iter().map(|mechanism| mechanism.name().to_owned()).collect();
    let chosen = sasl.mechanisms.iter().find(|mechanism| mechanism.name() == request.mechanism);
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
    let outcome = match step(node, exchange, &request.auth_bytes) {
        Ok(Step::Continue { reply, next }) => {
            session.continue_exchange(mechanism, raw, next);
            return SaslAuthenticateResponse {
                auth_bytes: Bytes::from(reply),
                ..SaslAuthenticateResponse::default()
            };
        }
        Ok(Step::Proven(proven)) => Ok(proven),
        Ok(Step::CheckPassword(credential)) => check_password(node, credential).await,
        Err(failure) => Err(failure),
    };
    match outcome {
        Ok(proven) => match accept(session, mechanism, &proven) {
            Ok(session_lifetime_ms) => SaslAuthenticateResponse {
                auth_bytes: Bytes::from(proven.reply),
                session_lifetime_ms,
                ..SaslAuthenticateResponse::default()
            },
            Err(message) => refuse(node, session, mechanism, message).await,
        },
        Err(failure) => {
            let message = match failure {
                SaslFailure::Credentials => failure.to_string(),
                SaslFailure::Message(reason) => format!("{failure}: {reason}"),
            };
            refuse(node, session, mechanism, message).await
        }
    }
}

fn step(node: &Node, exchange: Exchange, message: &[u8]) -> Result<Step, SaslFailure> {
    let mut random = [0; NONCE_LEN];
    node.rng().fill_bytes(&mut random);
    let nonce = STANDARD_NO_PAD.encode(random);
    let secrets = Secrets { nonce: &nonce, decoy_key: node.decoy_key() };
    let image = node.metadata().image();
    exchange.step(message, secrets, |user, mechanism| image.security().credential(user, mechanism).cloned())
}

/// Salting a password takes milliseconds, so it is done beside the async threads, and few at a time.
async fn check_password(node: &Node, wanted: PlainCredential) -> Result<Proven, SaslFailure> {
    let _permit = node.password_checks().acquire().await.map_err(|_| SaslFailure::Credentials)?;
    let image = node.metadata().image();
    let stored = image.security().user(&wanted.user).and_then(|user| user.values().next()).cloned();
    let exists = stored.is_some();
    let stored = stored.unwrap_or_else(|| ScramCredential {
        mechanism: ScramMechanism::Sha256,
        iterations: ITERATIONS_MIN,
        salt: node.decoy_key().to_vec(),
        stored_key: vec![0; ScramMechanism::Sha256.key_len()],
        server_key: Vec::new(),
    });
    let PlainCredential { user, password } = wanted;
    let verified = tokio::task::spawn_blocking(move || stored.verifies(&password)).await.unwrap_or(false);
    if verified && exists { Ok(Proven { user, reply: String::new() }) } else { Err(SaslFailure::Credentials) }
}

/// Notes who the client is. Returns how long that holds. Units: ms; 0: for as long as the connection lives.
fn accept(session: &Session, mechanism: SaslMechanism, proven: &Proven) -> Result<i64, String> {
    let lifetime = session.endpoint().and_then(|endpoint| endpoint.sasl.as_ref()?.session_lifetime);
    let expires_at = lifetime.map(|lifetime| Instant::now() + lifetime);
    if !session.authenticate(&format!("User:{}", proven.user), mechanism, expires_at) {
        return Err("a connection keeps its user and mechanism when it authenticates again".to_owned());
    }
    tracing::debug!(connection = session.connection_id, user = proven.user, %mechanism, "client authenticated");
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
