//! Flags about the HTTP listener's protection, tokens, roles and the audit, and what they become.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use weir_broker::auth::acl_set::AclSet;
use weir_broker::auth::role::RoleBinding;
use weir_broker::auth::token::TokenVerifier;
use weir_broker::net::tls::TlsServer;
use weir_server::auth::jwks::{KeySet, KeySource};
use weir_server::auth::jwt::{JwtVerifier, TokenRules};
use weir_server::config::HttpConfig;
use weir_server::http::endpoint::Endpoint;
use weir_server::https::HttpsConfig;

use crate::cli::security::SecurityArgs;
use crate::render::error::chain;

/// Application protocols of the HTTP listener, the best first.
static HTTP_PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

#[derive(Clone, Debug, Args)]
pub struct AccessArgs {
    /// Serve HTTPS, with --tls-certificate and --tls-key; --tls-client-auth applies to it as well
    #[arg(long, env = "WEIR_HTTP_TLS")]
    pub http_tls: bool,
    /// Origin whose web pages may use the SQL API, as https://HOST[:PORT]; * for all
    #[arg(long, value_name = "ORIGIN", value_delimiter = ',', env = "WEIR_HTTP_ALLOW_ORIGIN")]
    pub http_allow_origin: Vec<String>,
    /// Host name, beside those of loopback, that requests to a loopback address may carry
    #[arg(long, value_name = "NAME", value_delimiter = ',', env = "WEIR_HTTP_ALLOW_HOST")]
    pub http_allow_host: Vec<String>,
    /// Path that needs no authentication: /healthz,/metrics
    #[arg(long, value_name = "PATH", value_delimiter = ',', env = "WEIR_HTTP_OPEN_PATH")]
    pub http_open_path: Vec<String>,
    /// Limit of open HTTP connections, beside a reserve for /healthcheck and /metrics
    #[arg(long, value_name = "N", default_value_t = 4_096, env = "WEIR_HTTP_MAX_CONNECTIONS")]
    pub http_max_connections: usize,
    /// Time in which the head of an HTTP request, and then its body, must arrive
    #[arg(long, value_name = "MS", default_value_t = 60_000, env = "WEIR_HTTP_REQUEST_TIMEOUT_MS")]
    pub http_request_timeout_ms: u64,
    /// File or URL of the key set (JWKS) that verifies bearer tokens, for HTTP and SASL/OAUTHBEARER
    #[arg(long, value_name = "FILE|URL", env = "WEIR_OAUTH_JWKS")]
    pub oauth_jwks: Option<String>,
    /// Issuer that tokens must have
    #[arg(long, value_name = "TEXT", env = "WEIR_OAUTH_ISSUER", requires = "oauth_jwks")]
    pub oauth_issuer: Option<String>,
    /// Audience that tokens must have
    #[arg(long, value_name = "TEXT", env = "WEIR_OAUTH_AUDIENCE", requires = "oauth_jwks")]
    pub oauth_audience: Option<String>,
    /// Scope that tokens must grant
    #[arg(long, value_name = "TEXT", env = "WEIR_OAUTH_SCOPE", requires = "oauth_jwks")]
    pub oauth_scope: Option<String>,
    /// Claim of tokens that names the user; default: sub
    #[arg(long, value_name = "NAME", env = "WEIR_OAUTH_PRINCIPAL_CLAIM", requires = "oauth_jwks")]
    pub oauth_principal_claim: Option<String>,
    /// CA certificates for the key set's URL, in PEM form; default: those of this machine
    #[arg(long, value_name = "FILE", env = "WEIR_OAUTH_AUTHORITIES", requires = "oauth_jwks")]
    pub oauth_authorities: Option<PathBuf>,
    /// Role of a user for names with a prefix: read, write or admin, as write:User:ada:orders_; in the variable separated by ;
    #[arg(long, value_name = "ROLE:PRINCIPAL:PREFIX", value_delimiter = ';', env = "WEIR_ROLES")]
    pub role: Vec<RoleBinding>,
    /// Topic for access decisions; equal decisions about frequent Kafka requests are written once a minute
    #[arg(long, value_name = "TOPIC", env = "WEIR_AUDIT_TOPIC")]
    pub audit_topic: Option<String>,
}

impl AccessArgs {
    pub fn http_config(&self, security: &SecurityArgs) -> Result<HttpConfig, String> {
        let tls = match self.http_tls {
            false => None,
            true => {
                let tls = TlsServer::load_for(security.tls_files()?, &HTTP_PROTOCOLS);
                Some(Arc::new(tls.map_err(|error| chain(&error))?))
            }
        };
        let malformed =
            self.http_allow_origin.iter().find(|origin| *origin != "*" && !origin.contains("://"));
        if let Some(origin) = malformed {
            return Err(format!("origin \"{origin}\" does not have the form https://HOST[:PORT]"));
        }
        let may_be_open = |path: &str| Endpoint::of(path).is_some_and(Endpoint::may_be_open);
        if let Some(path) = self.http_open_path.iter().find(|path| !may_be_open(path)) {
            let paths = Endpoint::ALL.into_iter().filter(|e| e.may_be_open()).map(Endpoint::path);
            let paths = paths.collect::<Vec<_>>().join(", ");
            return Err(format!("path \"{path}\" cannot be open: expected one of {paths}"));
        }
        Ok(HttpConfig {
            tls,
            allowed_origins: self.http_allow_origin.clone(),
            allowed_hosts: self.http_allow_host.clone(),
            open_paths: self.http_open_path.clone(),
            connections_max: self.http_max_connections,
            connections_per_ip_max: security.max_connections_per_ip.unwrap_or(usize::MAX),
            request_timeout: Duration::from_millis(self.http_request_timeout_ms.max(1)),
        })
    }

    /// The check of bearer tokens, if there is a key set.
    pub fn token_verifier(&self) -> Result<Option<Arc<dyn TokenVerifier>>, String> {
        let Some(source) = &self.oauth_jwks else { return Ok(None) };
        if self.oauth_issuer.is_none() && self.oauth_audience.is_none() {
            tracing::warn!(
                "without --oauth-issuer and --oauth-audience every token signed with a key of the set is accepted"
            );
        }
        let rules = TokenRules {
            issuer: self.oauth_issuer.clone(),
            audience: self.oauth_audience.clone(),
            principal_claim: self.oauth_principal_claim.clone(),
            scope: self.oauth_scope.clone(),
        };
        let https = HttpsConfig { authorities: self.oauth_authorities.clone(), certificate: None };
        Ok(Some(Arc::new(JwtVerifier::new(rules, KeySet::new(KeySource::parse(source)?, https)))))
    }

    /// The rules that the roles stand for.
    pub fn rules(&self) -> AclSet {
        let mut rules = AclSet::default();
        self.role.iter().flat_map(RoleBinding::rules).for_each(|rule| rules.insert(rule));
        rules
    }
}
