//! Making a connection: TCP, TLS, versions, authentication.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::auth::oauth::{BearerToken, SEPARATOR};
use crate::auth::sasl::{PlainCredential, SaslMechanism};
use crate::auth::scram::ScramMechanism;
use crate::auth::scram::client::ClientExchange;
use crate::client::security::ClientSasl;
use crate::client::tcp::TcpTransportConfig;
use crate::client::tcp::versions::BrokerVersions;
use crate::env::rng::{Rng, SystemRng};
use crate::error::chain;
use crate::net::frame_io::{FrameReader, FrameWriter};
use crate::net::memory_budget::MemoryBudget;
use crate::net::tls::connector;
use crate::protocol::api_key::ApiKey;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::frame::{decode_response, encode_request};
use crate::protocol::header::RequestHeader;
use crate::protocol::messages::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use crate::protocol::messages::sasl_authenticate::{SaslAuthenticateRequest, SaslAuthenticateResponse};
use crate::protocol::messages::sasl_handshake::{SaslHandshakeRequest, SaslHandshakeResponse};
use crate::protocol::request::Request;
use crate::protocol::response::Response;

type Source = Box<dyn AsyncRead + Send + Unpin>;
type Sink = Box<dyn AsyncWrite + Send + Unpin>;

/// Random bytes of a nonce; a multiple of three, so that base64 needs no padding.
const NONCE_LEN: usize = 24;

/// A connection that is ready for requests.
pub(super) struct Link {
    pub(super) reader: FrameReader<Source>,
    pub(super) writer: FrameWriter<Sink>,
    pub(super) versions: BrokerVersions,
    /// When the authentication should be renewed, which is done by connecting again.
    pub(super) renew_at: Option<Instant>,
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum LinkError {
    /// It may work later.
    Unreachable(String),
    /// Broker and client do not accept each other.
    Authentication(String),
}

impl From<String> for LinkError {
    fn from(reason: String) -> Self {
        Self::Unreachable(reason)
    }
}

impl Link {
    pub(super) async fn open(address: &str, config: &TcpTransportConfig) -> Result<Self, LinkError> {
        let (source, sink) = connect(address, config).await?;
        // A connection of its own shares its room with nobody.
        let memory = MemoryBudget::new(config.response_bytes_max, usize::MAX);
        let reader = FrameReader::new(source, memory.clone());
        let writer = FrameWriter::new(sink, memory);
        let mut opening = Opening { reader, writer, config, correlation_id: 0 };
        let response = opening.negotiate().await?;
        let renew_at = match &config.security.sasl {
            None => None,
            Some(sasl) => opening.authenticate(sasl, &response).await?,
        };
        let versions = BrokerVersions::new(&response);
        Ok(Self { reader: opening.reader, writer: opening.writer, versions, renew_at })
    }
}

async fn connect(address: &str, config: &TcpTransportConfig) -> Result<(Source, Sink), LinkError> {
    let stream = TcpStream::connect(address).await.map_err(|e| e.to_string())?;
    // Only latency is lost without it.
    let _ = stream.set_nodelay(true);
    let Some(files) = &config.security.tls else {
        let (source, sink) = stream.into_split();
        return Ok((Box::new(source), Box::new(sink)));
    };
    let refused = |reason: String| LinkError::Authentication(reason);
    // Read for each connection, so that renewed certificates are used.
    let connector = connector(files).map_err(|e| refused(chain(&e)))?;
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(host).map_err(|e| refused(e.to_string()))?;
    let stream = Box::pin(connector.connect(name, stream)).await.map_err(|error| {
        // A broker that is not trusted now will not be in a moment; one that hangs up may just be ending.
        let is_tls = error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>());
        if is_tls { refused(error.to_string()) } else { LinkError::Unreachable(error.to_string()) }
    })?;
    let (source, sink) = tokio::io::split(stream);
    Ok((Box::new(source), Box::new(sink)))
}

/// A connection that is not ready yet.
struct Opening<'a> {
    reader: FrameReader<Source>,
    writer: FrameWriter<Sink>,
    config: &'a TcpTransportConfig,
    correlation_id: i32,
}

impl Opening<'_> {
    /// Sends one request and waits for the frame that answers it.
    async fn ask(&mut self, version: i16, request: &Request) -> Result<Bytes, String> {
        self.correlation_id += 1;
        let header = RequestHeader {
            api_key: request.api_key(),
            api_version: version,
            correlation_id: self.correlation_id,
            client_id: self.config.client_id.clone(),
        };
        self.writer.push(encode_request(&header, request).map_err(|e| e.to_string())?);
        while !self.writer.is_idle() {
            self.writer.write_some().await.map_err(|e| e.to_string())?;
        }
        let frame =
            self.reader.next_frame(self.config.response_bytes_max).await.map_err(|e| e.to_string())?;
        Ok(frame.ok_or_else(|| "connection closed by broker".to_owned())?.bytes)
    }

    fn decode(&self, api: ApiKey, version: i16, bytes: Bytes) -> Result<Response, String> {
        let (correlation_id, response) = decode_response(api, version, bytes).map_err(|e| e.to_string())?;
        if correlation_id == self.correlation_id {
            Ok(response)
        } else {
            Err("broker answered another request".to_owned())
        }
    }

    /// Learns the broker's versions.
    async fn negotiate(&mut self) -> Result<ApiVersionsResponse, String> {
        let newest = ApiKey::ApiVersions.known_versions().max;
        let mut response = self.ask_versions(newest).await?;
        if response.error_code == ErrorCode::UnsupportedVersion {
            let theirs = response.api_keys.iter().find(|entry| entry.api_key == ApiKey::ApiVersions.code());
            let version = theirs.map_or(0, |entry| entry.max_version).clamp(0, newest);
            response = self.ask_versions(version).await?;
        }
        response.error_code.into_result().map_err(|code| format!("ApiVersions failed with {code}"))?;
        Ok(response)
    }

    async fn ask_versions(&mut self, version: i16) -> Result<ApiVersionsResponse, String> {
        let named = |text: &str| if version >= 3 { text.to_owned() } else { String::new() };
        let request = Request::ApiVersions(ApiVersionsRequest {
            client_software_name: named("weir"),
            client_software_version: named(env!("CARGO_PKG_VERSION")),
        });
        let bytes = self.ask(version, &request).await?;
        // A broker that does not know the version answers in version 0 (KIP-511).
        let refused = bytes.get(4..6) == Some(&ErrorCode::UnsupportedVersion.code().to_be_bytes()[..]);
        let answered = if refused { 0 } else { version };
        let response = self.decode(ApiKey::ApiVersions, answered, bytes)?;
        ApiVersionsResponse::try_from(response).map_err(|e| e.to_string())
    }

    /// Proves who the client is. Returns when that should be done again.
    async fn authenticate(
        &mut self,
        sasl: &ClientSasl,
        broker: &ApiVersionsResponse,
    ) -> Result<Option<Instant>, LinkError> {
        let handshake =
            Request::SaslHandshake(SaslHandshakeRequest { mechanism: sasl.mechanism.name().to_owned() });
        let bytes = self.ask(1, &handshake).await?;
        let answer = SaslHandshakeResponse::try_from(self.decode(ApiKey::SaslHandshake, 1, bytes)?)
            .map_err(|e| e.to_string())?;
        if answer.error_code.is_err() {
            let (code, offered) = (answer.error_code, answer.mechanisms.join(", "));
            let reason = format!("{} is refused with {code}, offered are: {offered}", sasl.mechanism);
            return Err(LinkError::Authentication(reason));
        }
        let known = ApiKey::SaslAuthenticate.known_versions().max;
        let theirs = broker.api_keys.iter().find(|entry| entry.api_key == ApiKey::SaslAuthenticate.code());
        let version = theirs.map_or(0, |entry| entry.max_version).clamp(0, known);
        let lifetime_ms = match sasl.mechanism {
            SaslMechanism::Plain => {
                let (user, password) = (sasl.user.clone(), sasl.password.reveal().to_owned());
                let message = PlainCredential { user, password }.message();
                self.send_token(version, message.into()).await?.session_lifetime_ms
            }
            SaslMechanism::Scram(mechanism) => self.scram(mechanism, sasl, version).await?,
            SaslMechanism::OauthBearer => self.bearer(sasl, version).await?,
        };
        // Well before the broker ends the session.
        let lifetime = u64::try_from(lifetime_ms).ok().filter(|ms| *ms > 0);
        Ok(lifetime.map(|ms| Instant::now() + Duration::from_millis(ms / 10 * 9)))
    }

    async fn scram(
        &mut self,
        mechanism: ScramMechanism,
        sasl: &ClientSasl,
        version: i16,
    ) -> Result<i64, LinkError> {
        let refused = |reason: String| LinkError::Authentication(reason);
        let mut random = [0; NONCE_LEN];
        SystemRng.fill_bytes(&mut random);
        let nonce = STANDARD_NO_PAD.encode(random);
        let (exchange, first) = ClientExchange::begin(mechanism, &sasl.user, sasl.password.reveal(), &nonce);
        let answer = self.send_token(version, first.into()).await?;
        let proving = tokio::task::spawn_blocking(move || exchange.prove(&answer.auth_bytes));
        let proved = proving.await.map_err(|e| refused(e.to_string()))?;
        let (proof, last) = proved.map_err(|e| refused(e.to_string()))?;
        let answer = self.send_token(version, last.into()).await?;
        proof
            .verify(&answer.auth_bytes)
            .map_err(|_| refused("broker does not know the password".to_owned()))?;
        Ok(answer.session_lifetime_ms)
    }

    async fn bearer(&mut self, sasl: &ClientSasl, version: i16) -> Result<i64, LinkError> {
        let message = BearerToken::message(&sasl.password);
        let answer = self.send_token(version, message.into()).await?;
        if answer.auth_bytes.is_empty() {
            return Ok(answer.session_lifetime_ms);
        }
        // An error response; its acknowledgement is answered with the reason.
        self.send_token(version, Bytes::from_static(SEPARATOR)).await?;
        let status = String::from_utf8_lossy(&answer.auth_bytes).into_owned();
        Err(LinkError::Authentication(format!("token was rejected: {status}")))
    }

    async fn send_token(
        &mut self,
        version: i16,
        auth_bytes: Bytes,
    ) -> Result<SaslAuthenticateResponse, LinkError> {
        let request = Request::SaslAuthenticate(SaslAuthenticateRequest { auth_bytes });
        let bytes = self.ask(version, &request).await?;
        let response = self.decode(ApiKey::SaslAuthenticate, version, bytes)?;
        let response = SaslAuthenticateResponse::try_from(response).map_err(|e| e.to_string())?;
        match response.error_code {
            ErrorCode::None => Ok(response),
            code => Err(LinkError::Authentication(
                response.error_message.unwrap_or_else(|| format!("SaslAuthenticate failed with {code}")),
            )),
        }
    }
}
