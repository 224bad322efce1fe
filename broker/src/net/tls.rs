//! TLS for listeners and clients: certificates and keys from PEM files, and the name in a client's certificate.

pub mod name;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use thiserror::Error;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::env::storage::Storage;
use crate::env::storage::system::SystemStorage;

/// Why certificates or keys cannot be used.
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

/// Whether clients are asked for certificates (`ssl.client.auth`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ClientAuth {
    #[default]
    None,
    /// Clients may show one; if they do, it must be valid.
    Requested,
    Required,
}

/// Where a listener's certificates are.
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

fn server_config(files: &TlsServerFiles) -> Result<ServerConfig, TlsError> {
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
    Ok(builder.with_single_cert(certificates(&files.certificate_chain)?, key(&files.key)?)?)
}

impl TlsServer {
    /// Loads the files.
    pub fn load(files: TlsServerFiles) -> Result<Self, TlsError> {
        let current = ArcSwap::from_pointee(server_config(&files)?);
        Ok(Self { files, current })
    }

    /// Loads the files again, for connections accepted from now on. When that fails, what was loaded before stays.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.current.store(Arc::new(server_config(&self.files)?));
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

/// How a client knows a broker, and shows who it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsClientFiles {
    /// Authorities that vouch for brokers, in PEM form (`ssl.ca.location`).
    pub authorities: PathBuf,
    /// Certificate chain and key of the client, if brokers ask for them.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

/// TLS of clients, ready to connect.
pub(crate) fn connector(files: &TlsClientFiles) -> Result<TlsConnector, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let builder = builder.with_root_certificates(authorities(&files.authorities)?);
    let config = match &files.certificate {
        None => builder.with_no_client_auth(),
        Some((chain, path)) => builder.with_client_auth_cert(certificates(chain)?, key(path)?)?,
    };
    Ok(TlsConnector::from(Arc::new(config)))
}
