//! TLS for listeners and clients: certificates and keys from PEM files, and the name in a client's certificate.

pub mod name;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::env::storage::Storage;
use crate::env::storage::system::SystemStorage;

/// Error of certificates or keys.
#[derive(Debug, Error)]
pub enum TlsError {
    #[error("reading \"{}\" failed", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("\"{}\" holds no {what} in PEM form", path.display())]
    Missing { path: PathBuf, what: &'static str },
    #[error("\"{}\" holds a malformed {what}: {reason}", path.display())]
    Malformed { path: PathBuf, what: &'static str, reason: String },
    #[error("certificate and key cannot be used together")]
    Rejected(#[from] rustls::Error),
    #[error("certificate authorities of clients cannot be used: {reason}")]
    ClientAuthorities { reason: String },
    #[error("a file with the certificate authorities of clients is needed to ask clients for certificates")]
    ClientAuthoritiesMissing,
}

/// Client certificates: none, requested or required (`ssl.client.auth`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ClientAuth {
    #[default]
    None,
    /// Clients may show one; if they do, it must be valid.
    Requested,
    Required,
}

/// Files of a listener's certificates.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsServerFiles {
    /// The listener's certificate and those between it and its authority, in PEM form.
    pub certificate_chain: PathBuf,
    /// The private key, in PEM form, not encrypted.
    pub key: PathBuf,
    /// Authorities that vouch for clients.
    pub client_authorities: Option<PathBuf>,
    pub client_auth: ClientAuth,
}

/// TLS of listeners. New connections use the certificates that were loaded last.
pub struct TlsServer {
    files: TlsServerFiles,
    /// Application protocols that are offered (ALPN), the best first.
    protocols: &'static [&'static [u8]],
    current: ArcSwap<ServerConfig>,
}

impl fmt::Debug for TlsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsServer").field("files", &self.files).finish_non_exhaustive()
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    SystemStorage.read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let what = "certificate";
    let malformed = |error: rustls::pki_types::pem::Error| TlsError::Malformed {
        path: path.to_owned(),
        what,
        reason: error.to_string(),
    };
    let bytes = read(path)?;
    let all: Vec<_> = CertificateDer::pem_slice_iter(&bytes).collect::<Result<_, _>>().map_err(malformed)?;
    if all.is_empty() { Err(TlsError::Missing { path: path.to_owned(), what }) } else { Ok(all) }
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|error| match error {
        rustls::pki_types::pem::Error::NoItemsFound => {
            TlsError::Missing { path: path.to_owned(), what: "private key" }
        }
        other => {
            TlsError::Malformed { path: path.to_owned(), what: "private key", reason: other.to_string() }
        }
    })
}

fn authorities(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| TlsError::Malformed {
            path: path.to_owned(),
            what: "certificate",
            reason: error.to_string(),
        })?;
    }
    Ok(roots)
}

fn server_config(files: &TlsServerFiles, protocols: &[&[u8]]) -> Result<ServerConfig, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let builder = match (files.client_auth, &files.client_authorities) {
        (ClientAuth::None, _) => builder.with_no_client_auth(),
        (ClientAuth::Requested | ClientAuth::Required, None) => {
            return Err(TlsError::ClientAuthoritiesMissing);
        }
        (auth, Some(path)) => {
            let roots = Arc::new(authorities(path)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
            let verifier =
                if auth == ClientAuth::Requested { verifier.allow_unauthenticated() } else { verifier };
            let verifier = verifier
                .build()
                .map_err(|error| TlsError::ClientAuthorities { reason: error.to_string() })?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(certificates(&files.certificate_chain)?, key(&files.key)?)?;
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(config)
}

/// The principal that a client's certificate names: its subject, as `User:CN=app,O=Weir`.
pub(crate) fn principal(certificate: &CertificateDer<'_>) -> Option<String> {
    name::subject(certificate).map(|subject| format!("User:{subject}"))
}

impl TlsServer {
    /// Loads the files, for a Kafka listener.
    pub fn load(files: TlsServerFiles) -> Result<Self, TlsError> {
        Self::load_for(files, &[])
    }

    /// Loads the files, for a listener that offers application protocols (ALPN), the best first.
    pub fn load_for(files: TlsServerFiles, protocols: &'static [&'static [u8]]) -> Result<Self, TlsError> {
        let current = ArcSwap::from_pointee(server_config(&files, protocols)?);
        Ok(Self { files, protocols, current })
    }

    /// Agrees on TLS with a client. Returns the stream, and the principal that the client's certificate names.
    ///
    /// Errors: the handshake fails, or the certificate has no name that can be read.
    pub async fn accept<S>(&self, stream: S) -> io::Result<(TlsStream<S>, Option<String>)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let stream = self.acceptor().accept(stream).await?;
        let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let unnamed =
            || io::Error::new(io::ErrorKind::InvalidData, "the client's certificate has no subject");
        let principal =
            certificate.map(|certificate| principal(certificate).ok_or_else(unnamed)).transpose()?;
        Ok((stream, principal))
    }

    /// Loads the files again, for connections accepted from now on. When that fails, what was loaded before stays.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.current.store(Arc::new(server_config(&self.files, self.protocols)?));
        Ok(())
    }

    /// Do all connections show a certificate?
    pub fn authenticates(&self) -> bool {
        self.files.client_auth == ClientAuth::Required
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current.load_full())
    }
}

/// TLS settings of a client: trusted authorities, and its own certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsClientFiles {
    /// CA certificates for brokers, in PEM form (`ssl.ca.location`).
    pub authorities: PathBuf,
    /// Certificate chain and key of the client, if brokers ask for them.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

/// Authorities that vouch for servers.
#[derive(Debug, Clone)]
pub enum Authorities {
    /// In PEM form.
    File(PathBuf),
    /// Those that cannot be used are left out.
    Loaded(Vec<CertificateDer<'static>>),
}

/// TLS of clients. `certificate`: chain and key that show who the client is.
pub fn client_config(
    authorities: Authorities,
    certificate: Option<&(PathBuf, PathBuf)>,
) -> Result<ClientConfig, TlsError> {
    let roots = match authorities {
        Authorities::File(path) => self::authorities(&path)?,
        Authorities::Loaded(certificates) => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(certificates);
            roots
        }
    };
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let builder = builder.with_root_certificates(roots);
    Ok(match certificate {
        None => builder.with_no_client_auth(),
        Some((chain, path)) => builder.with_client_auth_cert(certificates(chain)?, key(path)?)?,
    })
}

/// TLS of clients, ready to connect.
pub(crate) fn connector(files: &TlsClientFiles) -> Result<TlsConnector, TlsError> {
    let config = client_config(Authorities::File(files.authorities.clone()), files.certificate.as_ref())?;
    Ok(TlsConnector::from(Arc::new(config)))
}
