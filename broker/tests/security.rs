//! Who a client is: SASL and TLS against a whole broker.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use weir_broker::auth::config::{BootstrapUser, Secret};
use weir_broker::auth::sasl::{SaslConfig, SaslMechanism};
use weir_broker::auth::scram::ScramMechanism;
use weir_broker::broker::Broker;
use weir_broker::client::admin::Admin;
use weir_broker::client::error::ClientError;
use weir_broker::client::security::{ClientSasl, ClientSecurity};
use weir_broker::client::tcp::{TcpTransport, TcpTransportConfig};
use weir_broker::client::transport::{Transport, TransportError};
use weir_broker::config::BrokerConfig;
use weir_broker::net::config::ListenerConfig;
use weir_broker::net::tls::{ClientAuth, TlsClientFiles, TlsServer, TlsServerFiles};
use weir_broker::protocol::api_key::ApiKey;
use weir_broker::protocol::error_code::ErrorCode;
use weir_broker::protocol::frame::{decode_response, encode_request};
use weir_broker::protocol::header::RequestHeader;
use weir_broker::protocol::messages::alter_user_scram_credentials::{
    AlterUserScramCredentialsRequest, ScramCredentialDeletion, ScramCredentialUpsertion,
};
use weir_broker::protocol::messages::api_versions::ApiVersionsRequest;
use weir_broker::protocol::messages::describe_user_scram_credentials::DescribeUserScramCredentialsRequest;
use weir_broker::protocol::messages::metadata::MetadataRequest;
use weir_broker::protocol::messages::sasl_authenticate::SaslAuthenticateRequest;
use weir_broker::protocol::messages::sasl_handshake::SaslHandshakeRequest;
use weir_broker::protocol::request::Request;
use weir_broker::protocol::response::Response;

const SHA256: SaslMechanism = SaslMechanism::Scram(ScramMechanism::Sha256);
const SHA512: SaslMechanism = SaslMechanism::Scram(ScramMechanism::Sha512);
const BY_PASSWORD: [SaslMechanism; 3] = [SaslMechanism::Plain, SHA256, SHA512];
const PATIENCE: Duration = Duration::from_secs(120);

/// Certificates of an authority made for one test.
struct Certificates {
    dir: PathBuf,
    authority: rcgen::CertifiedIssuer<'static, rcgen::KeyPair>,
}

impl Certificates {
    fn new(dir: &Path) -> Self {
        let mut params = rcgen::CertificateParams::new(Vec::new()).expect("no names to be wrong");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().expect("a key");
        let authority = rcgen::CertifiedIssuer::self_signed(params, key).expect("an authority");
        std::fs::write(dir.join("ca.pem"), authority.pem()).expect("written");
        Self { dir: dir.to_owned(), authority }
    }

    /// Writes `NAME.pem` and `NAME.key`.
    fn issue(&self, name: &str) -> (PathBuf, PathBuf) {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = rcgen::CertificateParams::new(names).expect("good names");
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::OrganizationName, "Weir");
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.authority).expect("signed");
        let (chain, path) = (self.dir.join(format!("{name}.pem")), self.dir.join(format!("{name}.key")));
        std::fs::write(&chain, certificate.pem()).expect("written");
        std::fs::write(&path, key.serialize_pem()).expect("written");
        (chain, path)
    }

    fn server(&self, client_auth: ClientAuth) -> Arc<TlsServer> {
        let (certificate_chain, key) = self.issue("server");
        let client_authorities = Some(self.dir.join("ca.pem"));
        let files = TlsServerFiles { certificate_chain, key, client_authorities, client_auth };
        Arc::new(TlsServer::load(files).expect("loads"))
    }

    fn client(&self, certificate: Option<&str>) -> TlsClientFiles {
        let certificate = certificate.map(|name| self.issue(name));
        TlsClientFiles { authorities: self.dir.join("ca.pem"), certificate }
    }
}

fn listener(tls: Option<Arc<TlsServer>>, sasl: Option<SaslConfig>) -> ListenerConfig {
    ListenerConfig { address: "127.0.0.1:0".to_owned(), tls, sasl, ..ListenerConfig::default() }
}

async fn start(dir: &Path, listeners: Vec<ListenerConfig>) -> Broker {
    let mut config = BrokerConfig::new(dir.join("data"));
    config.listeners = listeners;
    let password = Secret::new("admin-secret");
    config.security.users = vec![BootstrapUser { name: "admin".to_owned(), password }];
    config.security.failed_authentication_delay = Duration::from_millis(1);
    Broker::start(config).await.expect("the broker starts")
}

fn sasl(mechanism: SaslMechanism, user: &str, password: &str) -> Option<ClientSasl> {
    Some(ClientSasl { mechanism, user: user.to_owned(), password: Secret::new(password) })
}

fn client(address: SocketAddr, security: ClientSecurity) -> Arc<dyn Transport> {
    let config = TcpTransportConfig { security, ..TcpTransportConfig::default() };
    Arc::new(TcpTransport::new(address.to_string(), config))
}

async fn try_metadata(address: SocketAddr, security: ClientSecurity) -> Result<Response, TransportError> {
    let transport = client(address, security);
    timeout(PATIENCE, transport.send(MetadataRequest::default().into())).await.expect("an answer or an error")
}

fn upsertion(
    user: &str,
    mechanism: ScramMechanism,
    password: &str,
    iterations: u32,
) -> ScramCredentialUpsertion {
    let salt = b"some salt".to_vec();
    let salted = mechanism.salted_password(password, &salt, iterations.max(1));
    ScramCredentialUpsertion {
        name: user.to_owned(),
        mechanism: mechanism.code(),
        iterations: iterations as i32,
        salt: salt.into(),
        salted_password: salted.into(),
    }
}

async fn alter(
    transport: &Arc<dyn Transport>,
    request: AlterUserScramCredentialsRequest,
) -> Vec<(String, ErrorCode)> {
    let Response::AlterUserScramCredentials(response) =
        transport.send(request.into()).await.expect("answered")
    else {
        panic!("another API's answer")
    };
    response.results.into_iter().map(|result| (result.user, result.error_code)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn users_authenticate_by_every_mechanism_and_survive_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = start(dir.path(), vec![listener(None, Some(SaslConfig::default()))]).await;
    let admin = broker.transport();
    let upsertions = ScramMechanism::ALL.map(|mechanism| upsertion("alice", mechanism, "pass,=word", 4_096));
    let request = AlterUserScramCredentialsRequest { upsertions: upsertions.into(), ..Default::default() };
    assert_eq!(alter(&admin, request).await, [("alice".to_owned(), ErrorCode::None)]);
    broker.shutdown().await.expect("stops");

    let broker = start(dir.path(), vec![listener(None, Some(SaslConfig::default()))]).await;
    let address = broker.local_addr().expect("bound");
    for mechanism in BY_PASSWORD {
        for (user, password) in [("admin", "admin-secret"), ("alice", "pass,=word")] {
            let security = ClientSecurity { tls: None, sasl: sasl(mechanism, user, password) };
            let answer = try_metadata(address, security).await;
            assert!(matches!(answer, Ok(Response::Metadata(_))), "{mechanism} {user}: {answer:?}");
        }
        for (user, password) in [("admin", "admin"), ("nobody", "x"), ("alice", "admin-secret")] {
            let security = ClientSecurity { tls: None, sasl: sasl(mechanism, user, password) };
            let answer = try_metadata(address, security).await;
            assert!(
                matches!(answer, Err(TransportError::Authentication { .. })),
                "{mechanism} {user}: {answer:?}"
            );
        }
    }
    assert_eq!(broker.node().metrics().authentications_failed.get(), 9);
    let answer = try_metadata(address, ClientSecurity::default()).await;
    assert!(matches!(answer, Err(TransportError::Disconnected { .. })), "{answer:?}");
    broker.shutdown().await.expect("stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_changed_all_or_not() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = start(dir.path(), Vec::new()).await;
    let admin = broker.transport();
    let (sha256, sha512) = (ScramMechanism::Sha256, ScramMechanism::Sha512);
    let deletion = |name: &str, mechanism| ScramCredentialDeletion { name: name.to_owned(), mechanism };
    let mut short = upsertion("short", sha512, "x", 4_096);
    short.salted_password = Bytes::from_static(b"too short");
    let request = AlterUserScramCredentialsRequest {
        deletions: vec![deletion("nobody", 1), deletion("admin", 1), deletion("odd", 9)],
        upsertions: vec![
            upsertion("", sha256, "x", 4_096),
            upsertion("few", sha256, "x", 4_095),
            upsertion("few", sha512, "x", 4_096),
            upsertion("many", sha256, "x", 16_385),
            upsertion("twice", sha256, "x", 4_096),
            upsertion("twice", sha256, "y", 4_096),
            short,
            upsertion("most", sha256, "x", 16_384),
        ],
    };
    let expected = [
        ("", ErrorCode::UnacceptableCredential),
        ("admin", ErrorCode::None),
        ("few", ErrorCode::UnacceptableCredential),
        ("many", ErrorCode::UnacceptableCredential),
        ("most", ErrorCode::None),
        ("nobody", ErrorCode::ResourceNotFound),
        ("odd", ErrorCode::UnsupportedSaslMechanism),
        ("short", ErrorCode::UnacceptableCredential),
        ("twice", ErrorCode::DuplicateResource),
    ];
    let expected: Vec<_> = expected.into_iter().map(|(user, code)| (user.to_owned(), code)).collect();
    assert_eq!(alter(&admin, request).await, expected);
    let request = DescribeUserScramCredentialsRequest { users: None };
    let Ok(Response::DescribeUserScramCredentials(all)) = admin.send(request.into()).await else {
        panic!("an answer is due")
    };
    let found: Vec<_> = all
        .results
        .iter()
        .map(|user| {
            let infos = user.credential_infos.iter().map(|info| (info.mechanism, info.iterations));
            (user.user.as_str(), infos.collect::<Vec<_>>())
        })
        .collect();
    assert_eq!(found, [("admin", vec![(2, 4_096)]), ("most", vec![(1, 16_384)])]);
    broker.shutdown().await.expect("stops");
}

/// A client that says what it likes.
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
}

impl Peer {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.expect("accepted") }
    }

    async fn send(&mut self, version: i16, request: impl Into<Request>) {
        let request = request.into();
        let header = RequestHeader {
            api_key: request.api_key(),
            api_version: version,
            correlation_id: 5,
            client_id: None,
        };
        let frame = encode_request(&header, &request).expect("encodable").to_bytes();
        self.stream.write_all(&frame).await.expect("taken");
    }

    pub(crate) async fn frame(&mut self) -> Option<Bytes> {
        let read = async {
            let length = self.stream.read_i32().await.ok()?;
            let mut bytes = BytesMut::zeroed(usize::try_from(length).ok()?);
            self.stream.read_exact(&mut bytes).await.ok()?;
            Some(bytes.freeze())
        };
        timeout(PATIENCE, read).await.expect("a frame or the end")
    }

    pub(crate) async fn ask(&mut self, version: i16, request: impl Into<Request>) -> Option<Response> {
        let request = request.into();
        let api = request.api_key();
        self.send(version, request).await;
        Some(decode_response(api, version, self.frame().await?).expect("well-formed").1)
    }

    async fn handshake(&mut self, version: i16, mechanism: &str) -> ErrorCode {
        let request = SaslHandshakeRequest { mechanism: mechanism.to_owned() };
        match self.ask(version, request).await {
            Some(Response::SaslHandshake(answer)) => answer.error_code,
            other => panic!("{other:?}"),
        }
    }

    async fn token(&mut self, token: &'static [u8]) -> (ErrorCode, i64) {
        let request = SaslAuthenticateRequest { auth_bytes: Bytes::from_static(token) };
        match self.ask(2, request).await {
            Some(Response::SaslAuthenticate(answer)) => (answer.error_code, answer.session_lifetime_ms),
            other => panic!("{other:?}"),
        }
    }
}

const ADMIN: &[u8] = b"\0admin\0admin-secret";

#[tokio::test(flavor = "multi_thread")]
async fn the_order_of_requests_is_enforced() {
    let dir = tempfile::tempdir().expect("a directory");
    let plain = SaslConfig { mechanisms: vec![SaslMechanism::Plain], session_lifetime: None };
    let broker = start(dir.path(), vec![listener(None, Some(plain)), listener(None, None)]).await;
    let address = broker.listeners()[0].local_addr();

    let mut peer = Peer::connect(address).await;
    assert!(peer.ask(3, ApiVersionsRequest::default()).await.is_some());
    peer.send(9, MetadataRequest::default()).await;
    assert_eq!(peer.frame().await, None, "not before authentication");

    let mut peer = Peer::connect(address).await;
    assert_eq!(peer.handshake(1, "SCRAM-SHA-256").await, ErrorCode::UnsupportedSaslMechanism);
    assert_eq!(peer.frame().await, None);

    let mut peer = Peer::connect(address).await;
    assert_eq!(peer.token(ADMIN).await.0, ErrorCode::IllegalSaslState);
    assert_eq!(peer.frame().await, None);

    let mut peer = Peer::connect(address).await;
    assert_eq!(peer.handshake(1, "PLAIN").await, ErrorCode::None);
    assert_eq!(peer.token(b"\0admin\0wrong").await.0, ErrorCode::SaslAuthenticationFailed);
    assert_eq!(peer.frame().await, None);

    // What comes behind the proof waits for it.
    let mut peer = Peer::connect(address).await;
    assert_eq!(peer.handshake(1, "PLAIN").await, ErrorCode::None);
    peer.send(2, SaslAuthenticateRequest { auth_bytes: Bytes::from_static(ADMIN) }).await;
    peer.send(9, MetadataRequest::default()).await;
    assert!(peer.frame().await.is_some() && peer.frame().await.is_some());
    assert_eq!(peer.handshake(1, "PLAIN").await, ErrorCode::IllegalSaslState, "it is proven already");

    // Tokens without headers.
    for (token, accepted) in [(ADMIN, true), (b"\0admin\0wrong", false)] {
        let mut peer = Peer::connect(address).await;
        assert_eq!(peer.handshake(0, "PLAIN").await, ErrorCode::None);
        peer.stream.write_i32(token.len() as i32).await.expect("taken");
        peer.stream.write_all(token).await.expect("taken");
        assert_eq!(peer.frame().await, accepted.then(Bytes::new));
        if accepted {
            assert!(peer.ask(9, MetadataRequest::default()).await.is_some());
        }
    }

    let mut peer = Peer::connect(broker.listeners()[1].local_addr()).await;
    assert_eq!(peer.handshake(1, "PLAIN").await, ErrorCode::IllegalSaslState, "a listener without SASL");
    assert!(peer.ask(9, MetadataRequest::default()).await.is_some());
    assert_eq!(broker.net_metrics().connections_unauthenticated.get(), 1);
    broker.shutdown().await.expect("stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_refused_is_left_to_end_the_connection() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = start(dir.path(), vec![listener(None, Some(SaslConfig::default()))]).await;
    let mut peer = Peer::connect(broker.local_addr().expect("bound")).await;
    assert_eq!(peer.handshake(1, "PLAIN").await, ErrorCode::None);
    assert_eq!(peer.token(b"\0admin\0wrong").await.0, ErrorCode::SaslAuthenticationFailed);
    let mut byte = [0];
    let more = peer.stream.try_read(&mut byte);
    assert!(more.as_ref().is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock), "{more:?}");
    assert_eq!(broker.net_metrics().connections.get(), 1);
    // Nothing that it sends is answered any more.
    peer.send(1, MetadataRequest::default()).await;
    peer.stream.shutdown().await.expect("ended");
    assert!(peer.frame().await.is_none());
    broker.shutdown().await.expect("stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authentication_is_renewed_before_it_expires() {
    let dir = tempfile::tempdir().expect("a directory");
    let lifetime = Some(Duration::from_secs(3600));
    let config = SaslConfig { session_lifetime: lifetime, ..SaslConfig::default() };
    let expired = SaslConfig { session_lifetime: Some(Duration::ZERO), ..SaslConfig::default() };
    let broker = start(dir.path(), vec![listener(None, Some(config)), listener(None, Some(expired))]).await;
    let mut peer = Peer::connect(broker.listeners()[0].local_addr()).await;
    for _ in 0..2 {
        assert_eq!(peer.handshake(1, "PLAIN").await, ErrorCode::None);
        assert_eq!(peer.token(ADMIN).await, (ErrorCode::None, 3_600_000));
        assert!(peer.ask(9, MetadataRequest::default()).await.is_some());
    }
    let mut peer = Peer::connect(broker.listeners()[1].local_addr()).await;
    assert_eq!(peer.handshake(1, "PLAIN").await, ErrorCode::None);
    assert_eq!(peer.token(ADMIN).await, (ErrorCode::None, 0));
    peer.send(9, MetadataRequest::default()).await;
    assert_eq!(peer.frame().await, None, "expired");
    broker.shutdown().await.expect("stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_carries_requests_and_certificates_name_clients() {
    let dir = tempfile::tempdir().expect("a directory");
    let certificates = Certificates::new(dir.path());
    let listeners = vec![
        listener(Some(certificates.server(ClientAuth::None)), None),
        listener(Some(certificates.server(ClientAuth::Required)), None),
        listener(Some(certificates.server(ClientAuth::Requested)), None),
        listener(Some(certificates.server(ClientAuth::None)), Some(SaslConfig::default())),
    ];
    let broker = start(dir.path(), listeners).await;
    let address = |index: usize| broker.listeners()[index].local_addr();
    let tls = |certificate| ClientSecurity { tls: Some(certificates.client(certificate)), sasl: None };
    let accepted = [(0, None), (0, Some("bob")), (1, Some("bob")), (2, None), (2, Some("bob"))];
    for (index, certificate) in accepted {
        let answer = try_metadata(address(index), tls(certificate)).await;
        assert!(matches!(answer, Ok(Response::Metadata(_))), "{index} {certificate:?}: {answer:?}");
    }
    assert!(try_metadata(address(1), tls(None)).await.is_err(), "a certificate is required");

    let elsewhere = tempfile::tempdir().expect("a directory");
    let strangers = Certificates::new(elsewhere.path());
    let stranger = ClientSecurity { tls: Some(strangers.client(None)), sasl: None };
    let answer = try_metadata(address(0), stranger).await;
    assert!(matches!(answer, Err(TransportError::Authentication { .. })), "{answer:?}");
    let (chain, key) = strangers.issue("mallory");
    let files = TlsClientFiles { certificate: Some((chain, key)), ..certificates.client(None) };
    for index in [1, 2] {
        let mallory = ClientSecurity { tls: Some(files.clone()), sasl: None };
        assert!(try_metadata(address(index), mallory).await.is_err(), "{index}");
    }

    for mechanism in [SHA256, SHA512, SaslMechanism::Plain] {
        let both = ClientSecurity { sasl: sasl(mechanism, "admin", "admin-secret"), ..tls(None) };
        let answer = try_metadata(address(3), both).await;
        assert!(matches!(answer, Ok(Response::Metadata(_))), "{mechanism}: {answer:?}");
    }
    assert!(try_metadata(address(0), ClientSecurity::default()).await.is_err(), "no TLS");
    assert!(broker.net_metrics().tls_handshakes_failed.get() >= 3);
    // Renewed certificates hold for new connections; unusable ones change nothing.
    certificates.issue("server");
    broker.reload_certificates().expect("reloaded");
    assert!(try_metadata(address(0), tls(None)).await.is_ok());
    std::fs::write(dir.path().join("server.pem"), "none").expect("written");
    assert!(broker.reload_certificates().is_err());
    assert!(try_metadata(address(0), tls(None)).await.is_ok());
    broker.shutdown().await.expect("stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_told_the_address_of_their_own_listener() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut outside = listener(None, None);
    outside.advertised = Some(("broker.example".to_owned(), 4711));
    let broker = start(dir.path(), vec![listener(None, None), outside]).await;
    for (index, expected) in [(0, "127.0.0.1"), (1, "broker.example")] {
        let address = broker.listeners()[index].local_addr();
        let Ok(Response::Metadata(answer)) = try_metadata(address, ClientSecurity::default()).await else {
            panic!("an answer is due")
        };
        let port = if index == 0 { i32::from(address.port()) } else { 4711 };
        assert_eq!((answer.brokers[0].host.as_str(), answer.brokers[0].port), (expected, port));
    }
    broker.shutdown().await.expect("stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_of_one_address_are_limited() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = ListenerConfig { connections_per_ip_max: 2, ..listener(None, None) };
    let broker = start(dir.path(), vec![config]).await;
    let address = broker.local_addr().expect("bound");
    let mut peers = Vec::new();
    for _ in 0..2 {
        let mut peer = Peer::connect(address).await;
        assert!(peer.ask(9, MetadataRequest::default()).await.is_some());
        peers.push(peer);
    }
    assert_eq!(Peer::connect(address).await.frame().await, None);
    drop(peers);
    while broker.net_metrics().connections.get() > 0 {
        tokio::task::yield_now().await;
    }
    assert!(Peer::connect(address).await.ask(9, MetadataRequest::default()).await.is_some());
    broker.shutdown().await.expect("stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_authenticate_in_time_is_let_go() {
    let dir = tempfile::tempdir().expect("a directory");
    let short =
        |sasl| ListenerConfig { authentication_timeout: Duration::from_millis(100), ..listener(None, sasl) };
    let broker = start(dir.path(), vec![short(Some(SaslConfig::default())), short(None)]).await;
    let mut open = Peer::connect(broker.listeners()[1].local_addr()).await;
    let mut silent = Peer::connect(broker.listeners()[0].local_addr()).await;
    assert!(silent.ask(3, ApiVersionsRequest::default()).await.is_some());
    assert_eq!(silent.frame().await, None);
    assert!(open.ask(9, MetadataRequest::default()).await.is_some(), "nothing is asked of it");
    assert_eq!(broker.net_metrics().connections_timed_out.get(), 1);
    broker.shutdown().await.expect("stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_told_at_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = start(dir.path(), vec![listener(None, Some(SaslConfig::default()))]).await;
    let security = ClientSecurity { tls: None, sasl: sasl(SHA256, "admin", "wrong") };
    let admin = Admin::new(client(broker.local_addr().expect("bound"), security));
    let error = timeout(PATIENCE, admin.list_topics()).await.expect("at once").err();
    let Some(ClientError::Transport(error @ TransportError::Authentication { .. })) = error else {
        panic!("{error:?}")
    };
    assert!(!error.is_retriable());
    assert!(error.to_string().contains("user name or password is wrong"), "{error}");
    broker.shutdown().await.expect("stops");
}

#[test]
fn apis_of_authentication_are_served() {
    for api in [ApiKey::SaslHandshake, ApiKey::SaslAuthenticate] {
        assert_eq!(api.served_versions(), Some(api.known_versions()));
    }
}

mod quotas {
    use weir_broker::client::producer::idempotent::IdempotentProducer;
    use weir_broker::ids::TopicPartition;
    use weir_broker::protocol::messages::alter_client_quotas::{
        AlterClientQuotasRequest, EntityData, EntryData, OpData,
    };
    use weir_broker::protocol::messages::describe_client_quotas::{
        ComponentData, DescribeClientQuotasRequest,
    };
    use weir_broker::protocol::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
    use weir_broker::record::builder::{BatchOptions, RecordBatchBuilder};

    use super::*;

    fn entry(user: Option<&str>, client_id: Option<&str>, key: &str, value: Option<f64>) -> EntryData {
        let part = |kind: &str, name: &str| EntityData {
            entity_type: kind.to_owned(),
            entity_name: (name != "<default>").then(|| name.to_owned()),
        };
        let parts = [user.map(|name| part("user", name)), client_id.map(|name| part("client-id", name))];
        let op = OpData { key: key.to_owned(), value: value.unwrap_or_default(), remove: value.is_none() };
        EntryData { entity: parts.into_iter().flatten().collect(), ops: vec![op] }
    }

    async fn set(transport: &Arc<dyn Transport>, entries: Vec<EntryData>) -> Vec<ErrorCode> {
        let request = AlterClientQuotasRequest { entries, validate_only: false };
        let Ok(Response::AlterClientQuotas(answer)) = transport.send(request.into()).await else {
            panic!("an answer is due")
        };
        answer.entries.iter().map(|entry| entry.error_code).collect()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn quotas_are_kept_and_found() {
        let dir = tempfile::tempdir().expect("a directory");
        let broker = start(dir.path(), Vec::new()).await;
        let admin = broker.transport();
        let entries = vec![
            entry(Some("alice"), None, "producer_byte_rate", Some(1000.0)),
            entry(Some("alice"), Some("<default>"), "request_percentage", Some(12.5)),
            entry(None, Some("app"), "consumer_byte_rate", Some(5.0)),
            entry(None, Some("app"), "controller_mutation_rate", Some(5.0)),
            entry(None, Some("app"), "consumer_byte_rate", Some(0.0)),
            entry(None, None, "consumer_byte_rate", Some(5.0)),
        ];
        let codes = set(&admin, entries).await;
        let expected = [&[ErrorCode::None; 3][..], &[ErrorCode::InvalidRequest; 3]].concat();
        assert_eq!(codes, expected);
        broker.shutdown().await.expect("stops");
        let broker = start(dir.path(), Vec::new()).await;
        let admin = broker.transport();
        let component = |entity_type: &str, match_type, name: Option<&str>| ComponentData {
            entity_type: entity_type.to_owned(),
            match_type,
            match_name: name.map(str::to_owned),
        };
        let cases = [
            (vec![], false, 3),
            (vec![component("user", 0, Some("alice"))], false, 2),
            (vec![component("user", 0, Some("alice"))], true, 1),
            (vec![component("user", 0, Some("bob"))], false, 0),
            (vec![component("client-id", 2, None)], false, 2),
            (vec![component("client-id", 1, None)], false, 1),
            (vec![component("client-id", 2, None)], true, 1),
        ];
        for (components, strict, count) in cases {
            let request = DescribeClientQuotasRequest { components: components.clone(), strict };
            let Ok(Response::DescribeClientQuotas(answer)) = admin.send(request.into()).await else {
                panic!("an answer is due")
            };
            assert_eq!(answer.entries.map(|entries| entries.len()), Some(count), "{components:?} {strict}");
        }
        let removal = entry(Some("alice"), None, "producer_byte_rate", None);
        assert_eq!(set(&admin, vec![removal]).await, [ErrorCode::None]);
        broker.shutdown().await.expect("stops");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_uses_more_is_told_to_pause_and_not_read_meanwhile() {
        let dir = tempfile::tempdir().expect("a directory");
        let broker = start(dir.path(), vec![listener(None, None)]).await;
        let admin = broker.transport();
        Admin::new(admin.clone()).create_topic("t", 1, &Default::default()).await.expect("made");
        let mut builder = RecordBatchBuilder::new(BatchOptions::default());
        for _ in 0..10 {
            builder.append(1_700_000_000_000, None, Some(&[7; 1_000]), &[]);
        }
        let batch = builder.build().expect("builds");
        let mut producer = IdempotentProducer::init(admin.clone()).await.expect("begins");
        producer
            .send(vec![(TopicPartition::new("t", 0), vec![batch])])
            .await
            .expect("no quota in this process");
        let entries = vec![entry(Some("<default>"), None, "consumer_byte_rate", Some(8_000.0))];
        assert_eq!(set(&admin, entries).await, [ErrorCode::None]);

        let mut peer = Peer::connect(broker.local_addr().expect("bound")).await;
        let fetch = || {
            let partition = FetchPartition { partition_max_bytes: 1 << 20, ..FetchPartition::default() };
            let topics = vec![FetchTopic {
                topic: "t".to_owned(),
                partitions: vec![partition],
                ..FetchTopic::default()
            }];
            FetchRequest { topics, ..FetchRequest::default() }
        };
        let Some(Response::Fetch(answer)) = peer.ask(12, fetch()).await else { panic!("an answer is due") };
        // About 10,000 bytes, of which 8,000 are there at once.
        assert!((100..=400).contains(&answer.throttle_time_ms), "{}", answer.throttle_time_ms);
        let paused = Duration::from_millis(u64::try_from(answer.throttle_time_ms).expect("positive"));
        let started = tokio::time::Instant::now();
        assert!(peer.ask(9, MetadataRequest::default()).await.is_some());
        assert!(started.elapsed() + Duration::from_millis(20) >= paused, "{:?}", started.elapsed());
        assert_eq!(broker.node().metrics().requests_throttled.get(), 1);
        broker.shutdown().await.expect("stops");
    }
}
