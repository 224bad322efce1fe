//! Requests that a web page of another site has a browser send: refused by `Origin`, `Host` and content type.
//!
//! * `Origin`: absent, this node's own, or allowed by configuration. WebSockets have no other protection.
//! * `Host`, on a loopback listener: a loopback name or address, or allowed by configuration. A foreign name that
//!   resolves to loopback (DNS rebinding) makes a foreign page look like the node's own.
//! * Content type of a POST: JSON. A browser's form cannot send that without asking first; curl's default, a form's,
//!   is taken from clients that are no browser.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, CONTENT_TYPE, HOST, HeaderMap, HeaderValue,
    ORIGIN, VARY,
};
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::error::{ApiError, ErrorCode};
use crate::http::peer::Peer;

const FORM: &str = "application/x-www-form-urlencoded";
/// Set by browsers on every request.
const SEC_FETCH_SITE: &str = "sec-fetch-site";
/// Headers that a page of an allowed origin may set.
const ALLOWED_HEADERS: &str = "Accept, Authorization, Content-Type, X-Requested-With";

/// The origins and host names that requests may carry.
#[derive(Clone, Debug)]
pub struct Guard {
    origins: Vec<String>,
    hosts: Vec<String>,
    /// True if the listener is bound to loopback.
    is_loopback: bool,
}

impl Guard {
    /// `origins`: `https://host[:port]`, or `*`. `hosts`: names without port.
    pub fn new(origins: &[String], hosts: &[String], listener: IpAddr) -> Guard {
        let lower =
            |texts: &[String]| texts.iter().map(|t| t.trim_end_matches('/').to_ascii_lowercase()).collect();
        Guard {
            origins: lower(origins),
            hosts: lower(hosts),
            is_loopback: listener.to_canonical().is_loopback(),
        }
    }

    /// Errors: the request is not one that a page of this node, or a program, sends.
    fn check(&self, request: &RequestHead<'_>) -> Result<(), ApiError> {
        let forbidden = |message: String| ApiError::new(ErrorCode::Forbidden, message);
        let host = request.host()?;
        if self.is_loopback
            && let Some(host) = host.filter(|host| !self.knows(name_of(host)))
        {
            return Err(forbidden(format!(
                "host \"{host}\" is not this node's: it listens on loopback; --http-allow-host adds a name"
            )));
        }
        if let Some(origin) = request.origin()?
            && !self.allows(origin)
            && !self.is_own(origin, host, request.is_secure)
        {
            return Err(forbidden(format!(
                "origin \"{origin}\" is not allowed; --http-allow-origin adds one"
            )));
        }
        if request.method == Method::POST { check_content_type(request.headers) } else { Ok(()) }
    }

    fn allows(&self, origin: &str) -> bool {
        self.origins.iter().any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(origin))
    }

    /// A name that leads to this node whoever resolves it.
    fn knows(&self, name: &str) -> bool {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        name == "localhost"
            || name.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
            || self.hosts.contains(&name)
    }

    /// True for a page that this node served itself. A name must be known; an address is never another site's.
    fn is_own(&self, origin: &str, host: Option<&str>, is_secure: bool) -> bool {
        let Some((scheme, authority)) = origin.split_once("://") else { return false };
        let is_same = |host: &str| {
            scheme == if is_secure { "https" } else { "http" }
                && with_port(authority, scheme).eq_ignore_ascii_case(&with_port(host, scheme))
        };
        let name = name_of(authority);
        host.is_some_and(is_same) && (self.knows(name) || name.parse::<IpAddr>().is_ok())
    }
}

/// The parts of a request that are looked at.
struct RequestHead<'r> {
    method: &'r Method,
    uri: &'r Uri,
    headers: &'r HeaderMap,
    is_secure: bool,
}

impl<'r> RequestHead<'r> {
    /// `:authority` of HTTP/2, else the Host header.
    fn host(&self) -> Result<Option<&'r str>, ApiError> {
        if let Some(authority) = self.uri.authority() {
            return Ok(Some(authority.as_str()));
        }
        single(self.headers, HOST.as_str())
    }

    fn origin(&self) -> Result<Option<&'r str>, ApiError> {
        single(self.headers, ORIGIN.as_str())
    }
}

/// Errors: the header is there twice, or no text.
fn single<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, ApiError> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(ApiError::bad_request(format!("the header {name} is there more than once")));
    }
    let text = first.map(|value| value.to_str());
    text.transpose().map_err(|_| ApiError::bad_request(format!("the header {name} is not ASCII text")))
}

/// The host of `host[:port]` or `[address]:port`.
fn name_of(authority: &str) -> &str {
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    authority.split(':').next().unwrap_or(authority)
}

fn with_port(authority: &str, scheme: &str) -> String {
    let has_port =
        authority.rsplit_once(':').is_some_and(|(host, _)| !host.starts_with('[') || host.ends_with(']'));
    let port = if scheme == "https" { 443 } else { 80 };
    if has_port { authority.to_owned() } else { format!("{authority}:{port}") }
}

/// Errors: a type that a form of a foreign page can send.
fn check_content_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(value) = single(headers, CONTENT_TYPE.as_str())? else { return Ok(()) };
    let media_type = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_json = media_type == "application/json"
        || media_type == "application/x-ndjson"
        || media_type == "application/octet-stream"
        || media_type.starts_with("application/vnd.ksql")
        || (media_type.starts_with("application/") && media_type.ends_with("+json"));
    let is_browser = headers.contains_key(ORIGIN) || headers.contains_key(SEC_FETCH_SITE);
    if is_json || media_type.is_empty() || (media_type == FORM && !is_browser) {
        return Ok(());
    }
    let message = format!("content type \"{media_type}\" is not taken here: send application/json");
    Err(ApiError::new(ErrorCode::UnsupportedMediaType, message))
}

/// Refuses what the guard does not let pass; answers the questions of browsers about allowed origins.
pub(crate) async fn guard(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let is_secure = request.extensions().get::<Peer>().is_some_and(|peer| peer.is_secure);
    let head =
        RequestHead { method: request.method(), uri: request.uri(), headers: request.headers(), is_secure };
    if let Err(error) = guard.check(&head) {
        return error.into_response();
    }
    let origin = request.headers().get(ORIGIN).cloned();
    let allowed = origin.filter(|origin| origin.to_str().is_ok_and(|origin| guard.allows(origin)));
    let Some(origin) = allowed else { return next.run(request).await };
    let is_question =
        request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let mut response =
        if is_question { StatusCode::NO_CONTENT.into_response() } else { next.run(request).await };
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.append(VARY, HeaderValue::from_static("Origin"));
    if is_question {
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(ALLOWED_HEADERS));
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
    response
}

#[cfg(test)]
mod tests {
    use axum::Extension;
    use axum::body::Body;
    use axum::middleware::from_fn_with_state;
    use tower::ServiceExt;

    use super::*;
    use crate::http::connections::Connections;

    const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const OUTSIDE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);

    /// Status of the refusal; 200 if the request passes.
    fn check(guard: &Guard, method: Method, headers: &[(&'static str, &'static str)]) -> u16 {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (name.parse().expect("a name"), HeaderValue::from_static(value)))
            .collect();
        let uri = Uri::from_static("/ksql");
        let head = RequestHead { method: &method, uri: &uri, headers: &headers, is_secure: false };
        guard.check(&head).map_or_else(|error| error.code.status().as_u16(), |()| 200)
    }

    #[test]
    fn foreign_origins_are_refused() {
        let guard = Guard::new(&["https://app.example".to_owned()], &["node.example".to_owned()], LOOPBACK);
        for (origin, host, wanted) in [
            ("http://localhost:8088", "localhost:8088", 200),
            ("http://127.0.0.1:8088", "127.0.0.1:8088", 200),
            ("http://[::1]:8088", "[::1]:8088", 200),
            ("http://node.example", "node.example", 200),
            ("https://app.example", "localhost:8088", 200),
            ("https://APP.example", "localhost:8088", 200),
            ("https://localhost:8088", "localhost:8088", 403),
            ("http://localhost:3000", "localhost:8088", 403),
            ("http://app.example", "localhost:8088", 403),
            ("https://app.example.evil", "localhost:8088", 403),
            ("http://evil.example", "localhost:8088", 403),
            ("http://evil.example", "evil.example", 403),
            ("null", "localhost:8088", 403),
            ("", "localhost:8088", 403),
        ] {
            for method in [Method::GET, Method::POST] {
                assert_eq!(
                    check(&guard, method, &[("origin", origin), ("host", host)]),
                    wanted,
                    "{origin} {host}"
                );
            }
        }
        let outside = Guard::new(&[], &[], OUTSIDE);
        let page = |origin, host| check(&outside, Method::GET, &[("origin", origin), ("host", host)]);
        assert_eq!(page("http://192.0.2.1:8088", "192.0.2.1:8088"), 200);
        assert_eq!(page("http://evil.example", "evil.example"), 403, "a name may lead anywhere");
        let open = Guard::new(&["*".to_owned()], &[], LOOPBACK);
        assert_eq!(
            check(&open, Method::GET, &[("origin", "http://evil.example"), ("host", "localhost")]),
            200
        );
    }

    #[test]
    fn foreign_hosts_are_refused_on_loopback() {
        let guard = Guard::new(&[], &["node.example".to_owned()], LOOPBACK);
        for (host, wanted) in [
            ("localhost", 200),
            ("LOCALHOST.:80", 200),
            ("127.0.0.1:1", 200),
            ("127.3.2.1", 200),
            ("[::1]:8088", 200),
            ("node.example:8088", 200),
            ("192.0.2.1", 403),
            ("evil.example:8088", 403),
            ("localhost.evil.example", 403),
            ("0.0.0.0:8088", 403),
            ("", 403),
        ] {
            assert_eq!(check(&guard, Method::GET, &[("host", host)]), wanted, "{host}");
        }
        assert_eq!(check(&guard, Method::GET, &[]), 200);
        assert_eq!(check(&guard, Method::GET, &[("host", "localhost"), ("host", "localhost")]), 400);
        let outside = Guard::new(&[], &[], OUTSIDE);
        assert_eq!(check(&outside, Method::GET, &[("host", "any.example")]), 200);
    }

    /// The authority of the request line, as of HTTP/2, goes before the Host header.
    #[test]
    fn foreign_authorities_are_refused_on_loopback() {
        let guard = Guard::new(&[], &[], LOOPBACK);
        for (uri, wanted) in [("http://localhost:8088/ksql", true), ("http://evil.example/ksql", false)] {
            let headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static("localhost:8088"))]);
            let uri = Uri::from_static(uri);
            let head = RequestHead { method: &Method::GET, uri: &uri, headers: &headers, is_secure: false };
            assert_eq!(guard.check(&head).is_ok(), wanted, "{uri}");
        }
    }

    #[tokio::test]
    async fn own_pages_have_the_scheme_of_their_connection() {
        for (is_secure, origin, wanted) in [
            (true, "https://localhost:8088", 200),
            (true, "http://localhost:8088", 403),
            (false, "http://localhost:8088", 200),
            (false, "https://localhost:8088", 403),
        ] {
            let slot = Connections::new(1, 1).admit(LOOPBACK).expect("a place is free");
            let address = std::net::SocketAddr::new(LOOPBACK, 1);
            let peer = Peer { address, certified: None, is_secure, slot: Arc::new(slot) };
            let router = axum::Router::new()
                .fallback(async || StatusCode::OK)
                .layer(from_fn_with_state(Arc::new(Guard::new(&[], &[], LOOPBACK)), super::guard))
                .layer(Extension(peer));
            let request = Request::get("/info").header(HOST, "localhost:8088").header(ORIGIN, origin);
            let request = request.body(Body::empty()).expect("a request");
            let answer = router.oneshot(request).await.expect("an answer");
            assert_eq!(answer.status().as_u16(), wanted, "{origin} {is_secure}");
        }
    }

    #[test]
    fn forms_of_browsers_are_refused() {
        let guard = Guard::new(&["*".to_owned()], &[], LOOPBACK);
        let post = |headers: &[(&'static str, &'static str)]| check(&guard, Method::POST, headers);
        for taken in [
            "application/json",
            "application/json; charset=utf-8",
            "application/vnd.ksql.v1+json",
            "application/vnd.ksqlapi.delimited.v1",
            "Application/JSON",
        ] {
            assert_eq!(post(&[("content-type", taken), ("origin", "http://a.example")]), 200, "{taken}");
        }
        assert_eq!(post(&[]), 200);
        assert_eq!(post(&[("content-type", FORM)]), 200, "curl's default");
        assert_eq!(post(&[("content-type", FORM), ("origin", "http://a.example")]), 415);
        assert_eq!(post(&[("content-type", FORM), ("sec-fetch-site", "cross-site")]), 415);
        for refused in ["text/plain", "multipart/form-data; boundary=x", "text/html", "application/xml"] {
            assert_eq!(post(&[("content-type", refused)]), 415, "{refused}");
        }
    }
}
