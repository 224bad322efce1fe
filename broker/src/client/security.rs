//! How a client proves who it is, and makes sure of the broker.

use crate::auth::config::Secret;
use crate::auth::sasl::SaslMechanism;
use crate::net::tls::TlsClientFiles;

/// Security of a client's connections. By default there is none (`security.protocol=PLAINTEXT`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientSecurity {
    /// Encrypts, and checks the broker's certificate (`SSL`, `SASL_SSL`).
    pub tls: Option<TlsClientFiles>,
    /// A user and password (`SASL_PLAINTEXT`, `SASL_SSL`).
    pub sasl: Option<ClientSasl>,
}

/// A user as a client knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientSasl {
    /// `sasl.mechanism`
    pub mechanism: SaslMechanism,
    /// `sasl.username`
    pub user: String,
    /// `sasl.password`; with OAUTHBEARER the token (`sasl.oauthbearer.token`), and the user is not used.
    pub password: Secret,
}
