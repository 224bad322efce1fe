//! The client's side of HTTP and HTTPS, for the shell, the tools and the keys of identity providers.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use weir_broker::net::tls::{Authorities, TlsError, client_config};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections to `http://` and `https://` addresses.
pub type HttpsClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// How a client knows servers, and shows who it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpsConfig {
    /// Authorities in PEM form; None: those that the machine trusts.
    pub authorities: Option<PathBuf>,
    /// Certificate chain and key of the client, in PEM form.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

/// A URL without what may be secret of it: user, password, query and fragment.
pub fn shown_url(url: &str) -> String {
    let path_end = url.find(['?', '#']).unwrap_or(url.len());
    let (scheme, rest) = match url[..path_end].split_once("://") {
        Some((scheme, rest)) => (Some(scheme), rest),
        None => (None, &url[..path_end]),
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let scheme = scheme.map(|scheme| format!("{scheme}://")).unwrap_or_default();
    format!("{scheme}{host}{path}")
}

/// A client for servers at `https://` addresses (`is_secure`), or at others.
///
/// Errors: a file cannot be read or used.
pub fn client(config: &HttpsConfig, is_secure: bool) -> Result<HttpsClient, TlsError> {
    let authorities = match &config.authorities {
        Some(path) => Authorities::File(path.clone()),
        // Reading those of the machine takes a while.
        None if is_secure => Authorities::Loaded(rustls_native_certs::load_native_certs().certs),
        None => Authorities::Loaded(Vec::new()),
    };
    let tls = client_config(authorities, config.certificate.as_ref())?;
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    connector.enforce_http(false);
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .enable_http2()
        .wrap_connector(connector);
    Ok(Client::builder(TokioExecutor::new()).build(connector))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_urls_are_not_shown() {
        for (url, shown) in [
            ("https://ada:p4ss@id.example:1/keys?code=t0k#f", "https://id.example:1/keys"),
            ("https://a@b@id.example", "https://id.example"),
            ("ada:p4ss@localhost:8088", "localhost:8088"),
            ("http://localhost:8088/a@b/", "http://localhost:8088/a@b/"),
            ("https://id.example?a=b/c@d", "https://id.example"),
            ("", ""),
        ] {
            assert_eq!(shown_url(url), shown);
        }
    }
}
