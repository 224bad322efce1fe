//! One connection, as request handlers see it: where it came in, who speaks, and how far that is proven.
//!
//! | state           | requests taken                                | left by                              |
//! |-----------------|-----------------------------------------------|--------------------------------------|
//! | open            | all (the listener asks for no SASL)           | –                                    |
//! | unproven        | ApiVersions, SaslHandshake, SaslAuthenticate  | a proof → proven; a failure → closed |
//! | proven          | all, until the session's lifetime is over     | lifetime → unproven for other APIs   |
//! | closed          | none                                          | –                                    |

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use thiserror::Error;
use tokio::time::Instant;

use crate::auth::sasl::{Exchange, SaslConfig, SaslMechanism};
use crate::protocol::api_key::ApiKey;

/// Principal of a connection until it authenticates.
pub const ANONYMOUS: &str = "User:ANONYMOUS";
/// Principal of callers in this process.
const INTERNAL: &str = "User:weir";

/// The listener a connection came in on.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Name in the configuration.
    pub name: String,
    /// Advertised address of this listener.
    pub host: String,
    pub port: u16,
    /// SASL settings; `None`: no authentication, or certificates.
    pub sasl: Option<SaslConfig>,
}

/// Reason for which a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Inadmissible {
    #[error("client has not authenticated")]
    Unauthenticated,
    #[error("authentication has expired")]
    Expired,
    #[error("connection is being closed")]
    Closing,
}

/// An exchange that is going on.
#[derive(Debug)]
struct Ongoing {
    mechanism: SaslMechanism,
    exchange: Exchange,
    /// Tokens come as frames without headers (version 0 of `SaslHandshake`).
    raw: bool,
}

/// Name and version of the client software, as the client states them (KIP-511).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Software {
    pub name: Arc<str>,
    pub version: Arc<str>,
}

/// Letters, digits, dots and hyphens, the last two not at the ends. Source: KIP-511.
fn is_software_word(word: &str) -> bool {
    let is_inner = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    word.starts_with(|c: char| c.is_ascii_alphanumeric())
        && word.ends_with(|c: char| c.is_ascii_alphanumeric())
        && word.chars().all(is_inner)
}

/// Software of clients that do not state it.
const UNKNOWN_SOFTWARE: &str = "unknown";
/// Characters kept of a name or a version.
const SOFTWARE_CHARS_MAX: usize = 100;

#[derive(Debug)]
struct State {
    principal: Arc<str>,
    /// `None` until SASL has proven the principal.
    mechanism: Option<SaslMechanism>,
    expires_at: Option<Instant>,
    ongoing: Option<Ongoing>,
    closing: bool,
    muted_until: Option<Instant>,
    software: Option<Software>,
}

/// One connection.
#[derive(Debug)]
pub struct Session {
    /// Unique within the process; 0 for in-process callers.
    pub connection_id: u64,
    /// `None` for in-process callers.
    pub peer: Option<SocketAddr>,
    endpoint: Option<Arc<Endpoint>>,
    state: Mutex<State>,
}

impl Session {
    fn with(
        connection_id: u64,
        peer: Option<SocketAddr>,
        endpoint: Option<Arc<Endpoint>>,
        principal: &str,
    ) -> Self {
        let state = State {
            principal: Arc::from(principal),
            mechanism: None,
            expires_at: None,
            ongoing: None,
            closing: false,
            muted_until: None,
            software: None,
        };
        Self { connection_id, peer, endpoint, state: Mutex::new(state) }
    }

    /// A caller in this process, whom nothing restricts.
    pub fn internal() -> Self {
        Self::with(0, None, None, INTERNAL)
    }

    /// A connection. `certified` is whom its TLS certificate names.
    pub fn remote(
        connection_id: u64,
        peer: SocketAddr,
        endpoint: Arc<Endpoint>,
        certified: Option<String>,
    ) -> Self {
        let principal = certified.unwrap_or_else(|| ANONYMOUS.to_owned());
        Self::with(connection_id, Some(peer), Some(endpoint), &principal)
    }

    /// Is the caller in this process?
    pub fn is_internal(&self) -> bool {
        self.endpoint.is_none()
    }

    /// The listener; `None` for in-process callers.
    pub fn endpoint(&self) -> Option<&Endpoint> {
        self.endpoint.as_deref()
    }

    fn sasl(&self) -> Option<&SaslConfig> {
        self.endpoint.as_ref()?.sasl.as_ref()
    }

    /// Principal of the connection, as `User:name`.
    pub fn principal(&self) -> Arc<str> {
        self.state.lock().principal.clone()
    }

    /// The address to show for the peer, as Kafka's `client_host` fields want it.
    pub fn client_host(&self) -> String {
        self.peer.map_or_else(|| "/local".to_owned(), |peer| format!("/{}", peer.ip()))
    }

    /// Client software name and version (KIP-511).
    pub fn software(&self) -> Software {
        let unknown = || Software { name: UNKNOWN_SOFTWARE.into(), version: UNKNOWN_SOFTWARE.into() };
        self.state.lock().software.clone().unwrap_or_else(unknown)
    }

    /// Notes the client software. `false` if name or version is malformed (KIP-511).
    pub(crate) fn name_software(&self, name: &str, version: &str) -> bool {
        if !is_software_word(name) || !is_software_word(version) {
            return false;
        }
        // One character is one byte here.
        let shortened = |text: &str| Arc::from(&text[..text.len().min(SOFTWARE_CHARS_MAX)]);
        let software = Software { name: shortened(name), version: shortened(version) };
        self.state.lock().software = Some(software);
        true
    }

    /// May a request of this API be answered now?
    pub fn admit(&self, api_key: ApiKey, now: Instant) -> Result<(), Inadmissible> {
        let state = self.state.lock();
        if state.closing {
            return Err(Inadmissible::Closing);
        }
        if self.sasl().is_none() || authenticates(api_key) || api_key == ApiKey::ApiVersions {
            return Ok(());
        }
        match (state.mechanism, state.expires_at) {
            (None, _) => Err(Inadmissible::Unauthenticated),
            (Some(_), Some(expires_at)) if expires_at <= now => Err(Inadmissible::Expired),
            (Some(_), _) => Ok(()),
        }
    }

    /// Has the client proven all it is asked to?
    pub fn is_ready(&self) -> bool {
        self.sasl().is_none() || self.state.lock().mechanism.is_some()
    }

    /// Is the next frame a token without header?
    pub(crate) fn expects_raw_token(&self) -> bool {
        // Locked only where it may be so.
        self.sasl().is_some() && self.state.lock().ongoing.as_ref().is_some_and(|ongoing| ongoing.raw)
    }

    /// Begins an exchange. `false` when the connection is past that: it is proven and needs no new proof.
    pub(crate) fn begin_exchange(&self, mechanism: SaslMechanism, raw: bool) -> bool {
        let mut state = self.state.lock();
        let renewable =
            state.expires_at.is_some() || self.sasl().is_some_and(|sasl| sasl.session_lifetime.is_some());
        if state.mechanism.is_some() && !renewable {
            return false;
        }
        state.ongoing = Some(Ongoing { mechanism, exchange: Exchange::Agreed(mechanism), raw });
        true
    }

    /// The exchange the next message belongs to. It is put back by [`Self::continue_exchange`].
    pub(crate) fn take_exchange(&self) -> Option<(SaslMechanism, bool, Exchange)> {
        let ongoing = self.state.lock().ongoing.take()?;
        Some((ongoing.mechanism, ongoing.raw, ongoing.exchange))
    }

    /// The exchange goes on.
    pub(crate) fn continue_exchange(&self, mechanism: SaslMechanism, raw: bool, exchange: Exchange) {
        self.state.lock().ongoing = Some(Ongoing { mechanism, exchange, raw });
    }

    /// Records a completed authentication; holds for requests read afterwards. `false` when a renewed proof is of
    /// another user, or by another mechanism: a connection keeps its user (KIP-368).
    pub(crate) fn authenticate(
        &self,
        principal: &str,
        mechanism: SaslMechanism,
        expires_at: Option<Instant>,
    ) -> bool {
        let mut state = self.state.lock();
        if state.mechanism.is_some_and(|before| before != mechanism || *state.principal != *principal) {
            return false;
        }
        state.principal = Arc::from(principal);
        state.mechanism = Some(mechanism);
        state.expires_at = expires_at;
        true
    }

    /// The connection ends once its present answers are sent.
    pub(crate) fn close(&self) {
        self.state.lock().closing = true;
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.state.lock().closing
    }

    /// No further requests are read until then (KIP-219).
    pub(crate) fn mute_until(&self, until: Instant) {
        let mut state = self.state.lock();
        state.muted_until = state.muted_until.max(Some(until));
    }

    pub(crate) fn muted_until(&self) -> Option<Instant> {
        self.state.lock().muted_until
    }
}

/// Is the API one that proves who a client is?
pub(crate) fn authenticates(api_key: ApiKey) -> bool {
    matches!(api_key, ApiKey::SaslHandshake | ApiKey::SaslAuthenticate)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn session(sasl: Option<SaslConfig>) -> Session {
        let endpoint = Endpoint { name: "X".to_owned(), host: "localhost".to_owned(), port: 1, sasl };
        Session::remote(1, SocketAddr::from(([127, 0, 0, 1], 9)), Arc::new(endpoint), None)
    }

    #[tokio::test]
    async fn nothing_but_authentication_is_admitted_before_it() {
        let now = Instant::now();
        let open = session(None);
        let closed = session(Some(SaslConfig::default()));
        for &api in ApiKey::ALL {
            let proves = authenticates(api) || api == ApiKey::ApiVersions;
            assert_eq!(open.admit(api, now), Ok(()));
            let expected = if proves { Ok(()) } else { Err(Inadmissible::Unauthenticated) };
            assert_eq!(closed.admit(api, now), expected, "{api}");
        }
        assert!(closed.authenticate("User:alice", SaslMechanism::Plain, None));
        for &api in ApiKey::ALL {
            assert_eq!(closed.admit(api, now), Ok(()));
        }
        assert!(!closed.begin_exchange(SaslMechanism::Plain, false), "proven for as long as it lives");
        closed.close();
        assert_eq!(closed.admit(ApiKey::ApiVersions, now), Err(Inadmissible::Closing));
        assert!(Session::internal().admit(ApiKey::Produce, now).is_ok());
    }

    #[tokio::test]
    async fn software_is_named_in_words() {
        let session = session(None);
        assert_eq!(&*session.software().name, "unknown");
        for (name, version) in
            [("", "1"), ("a", ""), ("-a", "1"), ("a", "1."), ("a b", "1"), ("a", "1\n"), ("ä", "1")]
        {
            assert!(!session.name_software(name, version), "{name:?} {version:?}");
        }
        assert!(session.name_software("apache-kafka-java", "4.3.0"));
        assert!(session.name_software("a", &"1".repeat(30_000)));
        assert_eq!(session.software().version.len(), 100);
    }

    #[tokio::test]
    async fn a_proof_expires_and_is_renewed_by_the_same_user() {
        let lifetime = Some(Duration::from_secs(60));
        let session = session(Some(SaslConfig { session_lifetime: lifetime, ..SaslConfig::default() }));
        let (now, later) = (Instant::now(), Instant::now() + Duration::from_secs(61));
        assert!(session.authenticate(
            "User:alice",
            SaslMechanism::Plain,
            Some(now + Duration::from_secs(60))
        ));
        assert_eq!(session.admit(ApiKey::Fetch, now), Ok(()));
        assert_eq!(session.admit(ApiKey::Fetch, later), Err(Inadmissible::Expired));
        assert_eq!(session.admit(ApiKey::SaslHandshake, later), Ok(()));
        assert!(session.begin_exchange(SaslMechanism::Plain, false));
        assert!(!session.authenticate("User:bob", SaslMechanism::Plain, None));
        let scram = SaslMechanism::Scram(crate::auth::scram::ScramMechanism::Sha256);
        assert!(!session.authenticate("User:alice", scram, None));
        assert!(session.authenticate("User:alice", SaslMechanism::Plain, None));
        assert_eq!(session.admit(ApiKey::Fetch, later), Ok(()));
    }
}
