//! Clients that authenticate with bearer tokens (OAUTHBEARER), against a verifier made for the test.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use weir_broker::auth::audit::AuditQueue;
use weir_broker::auth::config::Secret;
use weir_broker::auth::sasl::{SaslConfig, SaslMechanism};
use weir_broker::auth::token::{TokenError, TokenVerifier, VerifiedToken};
use weir_broker::broker::{Broker, StartError};
use weir_broker::client::security::{ClientSasl, ClientSecurity};
use weir_broker::client::tcp::{TcpTransport, TcpTransportConfig};
use weir_broker::client::transport::{Transport, TransportError};
use weir_broker::config::BrokerConfig;
use weir_broker::net::config::ListenerConfig;
use weir_broker::protocol::error_code::ErrorCode;
use weir_broker::protocol::messages::metadata::MetadataRequest;
use weir_broker::protocol::messages::sasl_authenticate::{SaslAuthenticateRequest, SaslAuthenticateResponse};
use weir_broker::protocol::messages::sasl_handshake::SaslHandshakeRequest;
use weir_broker::protocol::request::Request;
use weir_broker::protocol::response::Response;

use crate::security::Peer;

/// Tokens are `NAME.MS`: the user and how long the token is still valid.
#[derive(Debug)]
struct NamedTokens;

impl TokenVerifier for NamedTokens {
    fn verify<'a>(&'a self, token: &'a str, now_ms: i64) -> BoxFuture<'a, Result<VerifiedToken, TokenError>> {
        let verified = || {
            let (name, ms) = token.split_once('.').ok_or(TokenError::Signature)?;
            let left_ms: i64 = ms.parse().map_err(|_| TokenError::Malformed("claims"))?;
            let principal = format!("User:{name}");
            Ok(VerifiedToken { principal, expires_at_ms: now_ms + left_ms, scopes: Vec::new() })
        };
        std::future::ready(verified()).boxed()
    }
}

async fn start(dir: &Path, sasl: SaslConfig, change: impl FnOnce(&mut BrokerConfig)) -> Broker {
    let mut config = BrokerConfig::new(dir.join("data"));
    config.listeners = vec![ListenerConfig {
        address: "127.0.0.1:0".to_owned(),
        sasl: Some(sasl),
        ..ListenerConfig::default()
    }];
    config.security.failed_authentication_delay = Duration::from_millis(1);
    config.security.token_verifier = Some(Arc::new(NamedTokens));
    change(&mut config);
    Broker::start(config).await.expect("the broker starts")
}

async fn handshake(peer: &mut Peer) -> (ErrorCode, Vec<String>) {
    let request = SaslHandshakeRequest { mechanism: "OAUTHBEARER".to_owned() };
    match peer.ask(1, request).await {
        Some(Response::SaslHandshake(answer)) => (answer.error_code, answer.mechanisms),
        other => panic!("{other:?}"),
    }
}

async fn token(peer: &mut Peer, message: &str) -> SaslAuthenticateResponse {
    let request = SaslAuthenticateRequest { auth_bytes: Bytes::copy_from_slice(message.as_bytes()) };
    match peer.ask(2, request).await {
        Some(Response::SaslAuthenticate(answer)) => answer,
        other => panic!("{other:?}"),
    }
}

async fn connected(broker: &Broker) -> Peer {
    let mut peer = Peer::connect(broker.local_addr().expect("bound")).await;
    assert_eq!(handshake(&mut peer).await.0, ErrorCode::None);
    peer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_authenticates_for_as_long_as_it_is_valid() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = start(dir.path(), SaslConfig::default(), |_| {}).await;
    for (message, lifetime_ms) in [
        ("n,,\x01auth=Bearer ada.60000\x01\x01", 60_000),
        ("n,a=ada,\x01auth=Bearer ada.60000\x01\x01", 60_000),
        ("n,,\x01auth=Bearer ada.9000000000000000000\x01\x01", 315_360_000_000),
    ] {
        let mut peer = connected(&broker).await;
        let answer = token(&mut peer, message).await;
        assert_eq!((answer.error_code, &answer.auth_bytes[..]), (ErrorCode::None, &b""[..]), "{answer:?}");
        assert_eq!(answer.session_lifetime_ms, lifetime_ms);
        assert!(peer.ask(9, MetadataRequest::default()).await.is_some());
        // A session that ends can be renewed, by the same user only.
        assert_eq!(handshake(&mut peer).await.0, ErrorCode::None);
        let again = token(&mut peer, "n,,\x01auth=Bearer ada.70000\x01\x01").await;
        assert_eq!((again.error_code, again.session_lifetime_ms), (ErrorCode::None, 70_000));
        assert_eq!(handshake(&mut peer).await.0, ErrorCode::None);
        let other = token(&mut peer, "n,,\x01auth=Bearer bob.70000\x01\x01").await;
        assert_eq!(other.error_code, ErrorCode::SaslAuthenticationFailed);
    }
    broker.shutdown().await.expect("stops");

    // The listener's own limit holds as well.
    let sasl = SaslConfig { session_lifetime: Some(Duration::from_secs(5)), ..SaslConfig::default() };
    let broker = start(dir.path(), sasl, |_| {}).await;
    let mut peer = connected(&broker).await;
    let answer = token(&mut peer, "n,,\x01auth=Bearer ada.60000\x01\x01").await;
    assert_eq!((answer.error_code, answer.session_lifetime_ms), (ErrorCode::None, 5_000));
    broker.shutdown().await.expect("stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_token_is_answered_with_an_error_response_first() {
    let dir = tempfile::tempdir().expect("a directory");
    let (queue, mut events) = AuditQueue::new(100);
    let broker = start(dir.path(), SaslConfig::default(), |config| config.security.audit = Some(queue)).await;
    for (message, status) in [
        ("n,,\x01auth=Bearer nonsense\x01\x01", "invalid_token"),
        ("n,,\x01auth=Bearer ada.0\x01\x01", "invalid_token"),
        ("n,,\x01auth=Bearer ada.-5\x01\x01", "invalid_token"),
        ("n,,\x01auth=Bearer ada.soon\x01\x01", "invalid_request"),
        ("n,,\x01auth=Bearer .60000\x01\x01", "invalid_token"),
        ("n,a=bob,\x01auth=Bearer ada.60000\x01\x01", "invalid_token"),
    ] {
        let mut peer = connected(&broker).await;
        let first = token(&mut peer, message).await;
        let expected = format!("{{\"status\":\"{status}\"}}");
        assert_eq!((first.error_code, &first.auth_bytes[..]), (ErrorCode::None, expected.as_bytes()));
        let last = token(&mut peer, "\x01").await;
        assert_eq!(last.error_code, ErrorCode::SaslAuthenticationFailed, "{message}");
        let reason = last.error_message.expect("a reason");
        assert!(reason.contains("token was rejected") && !reason.contains("ada."), "{reason}");
        assert_eq!(peer.frame().await, None, "the connection ends");
        let event = events.try_recv().expect("reported");
        assert_eq!((event.allowed, &*event.action), (false, "SaslAuthenticate"));
    }
    // Malformed messages fail at once.
    let mut peer = connected(&broker).await;
    assert_eq!(token(&mut peer, "\0ada\0secret").await.error_code, ErrorCode::SaslAuthenticationFailed);
    // A rejected token cannot be followed by anything but the end of the exchange.
    let mut peer = connected(&broker).await;
    token(&mut peer, "n,,\x01auth=Bearer nonsense\x01\x01").await;
    let second = token(&mut peer, "n,,\x01auth=Bearer ada.60000\x01\x01").await;
    assert_eq!(second.error_code, ErrorCode::SaslAuthenticationFailed);
    broker.shutdown().await.expect("stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_offered_only_where_they_can_be_verified() {
    let dir = tempfile::tempdir().expect("a directory");
    let with = start(dir.path(), SaslConfig::default(), |_| {}).await;
    let mut peer = Peer::connect(with.local_addr().expect("bound")).await;
    let (code, mechanisms) = handshake(&mut peer).await;
    assert_eq!(code, ErrorCode::None);
    assert_eq!(mechanisms, ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"]);
    with.shutdown().await.expect("stops");

    let without =
        start(dir.path(), SaslConfig::default(), |config| config.security.token_verifier = None).await;
    let mut peer = Peer::connect(without.local_addr().expect("bound")).await;
    let (code, mechanisms) = handshake(&mut peer).await;
    assert_eq!(code, ErrorCode::UnsupportedSaslMechanism);
    assert_eq!(mechanisms, ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]);
    without.shutdown().await.expect("stops");

    // A listener that is asked for them by name does not start without a verifier.
    let mut config = BrokerConfig::new(dir.path().join("data"));
    let sasl = SaslConfig { mechanisms: vec![SaslMechanism::OauthBearer], ..SaslConfig::default() };
    let address = "127.0.0.1:0".to_owned();
    config.listeners = vec![ListenerConfig { address, sasl: Some(sasl), ..ListenerConfig::default() }];
    let refused = Broker::start(config).await;
    assert!(matches!(refused, Err(StartError::Listen(_))), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_of_this_crate_sends_tokens() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = start(dir.path(), SaslConfig::default(), |_| {}).await;
    let address = broker.local_addr().expect("bound").to_string();
    let ask = async |token: &str| {
        let sasl = ClientSasl {
            mechanism: SaslMechanism::OauthBearer,
            user: String::new(),
            password: Secret::new(token),
        };
        let security = ClientSecurity { tls: None, sasl: Some(sasl) };
        let config = TcpTransportConfig { security, ..TcpTransportConfig::default() };
        let transport = TcpTransport::new(address.clone(), config);
        transport.send(Request::Metadata(MetadataRequest::default())).await
    };
    assert!(matches!(ask("ada.60000").await, Ok(Response::Metadata(_))));
    match ask("nonsense").await {
        Err(TransportError::Authentication { reason, .. }) => {
            assert!(reason.contains("token signature is invalid"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    broker.shutdown().await.expect("stops");
}
