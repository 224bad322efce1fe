//! The public keys of an identity provider, from a file or a URL. Source: RFC 7517.
//!
//! | event | the set is loaded again |
//! |---|---|
//! | it is older than [`REFRESH_MS`] | yes; while that fails, the old one is used |
//! | no key fits a token | yes, but not within [`RETRY_MS`] of the last attempt |

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::Uri;
use jsonwebtoken::jwk::Jwk;
use parking_lot::RwLock;
use serde_json::Value;
use tokio::sync::Mutex;
use weir_broker::auth::token::TokenError;
use weir_broker::env::storage::Storage;
use weir_broker::env::storage::system::SystemStorage;

use crate::https::{HttpsClient, HttpsConfig, client, shown_url};

/// Units: ms.
const REFRESH_MS: i64 = 5 * 60 * 1_000;
/// Units: ms.
const RETRY_MS: i64 = 10_000;
const LOAD_TIMEOUT: Duration = Duration::from_secs(10);
const SET_BYTES_MAX: usize = 1 << 20;
/// Keys of a set that are looked at.
const KEYS_MAX: usize = 100;

/// Where the keys are.
#[derive(Clone, PartialEq, Eq)]
pub enum KeySource {
    File(PathBuf),
    Url(Uri),
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeySource::File(path) => write!(f, "{}", path.display()),
            // The query may hold the key of an API.
            KeySource::Url(url) => f.write_str(&shown_url(&url.to_string())),
        }
    }
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl KeySource {
    /// `http://…` and `https://…` are URLs; anything else is a file, also as `file://…`.
    ///
    /// Errors: a URL that is none, or has a user and password, which are not sent.
    pub fn parse(text: &str) -> Result<KeySource, String> {
        if let Some(path) = text.strip_prefix("file://") {
            return Ok(KeySource::File(PathBuf::from(path)));
        }
        if !text.starts_with("http://") && !text.starts_with("https://") {
            return Ok(KeySource::File(PathBuf::from(text)));
        }
        let shown = shown_url(text);
        let url: Uri = text.parse().map_err(|error| format!("\"{shown}\" is not a URL: {error}"))?;
        if url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(format!(
                "the URL of the key set has a user or password, which are not sent: use \"{shown}\""
            ));
        }
        Ok(KeySource::Url(url))
    }
}

/// Keys that are loaded when they are needed.
#[derive(Debug)]
pub struct KeySet {
    source: KeySource,
    https: HttpsConfig,
    loaded: RwLock<Loaded>,
    /// Held while the set is loaded. Clients whose keys are known do not wait for it.
    loading: Mutex<Option<HttpsClient>>,
}

#[derive(Debug, Default)]
struct Loaded {
    keys: Vec<Jwk>,
    /// None: never. Units: ms since epoch.
    loaded_ms: Option<i64>,
    attempted_ms: Option<i64>,
    failure: Option<String>,
}

impl Loaded {
    fn is_due(&self, now_ms: i64, has_found: bool) -> bool {
        let since = |at: Option<i64>| at.map_or(i64::MAX, |at| now_ms.saturating_sub(at).max(0));
        since(self.attempted_ms) >= RETRY_MS && (!has_found || since(self.loaded_ms) >= REFRESH_MS)
    }
}

impl KeySet {
    /// `https`: how the provider is known.
    pub fn new(source: KeySource, https: HttpsConfig) -> KeySet {
        KeySet { source, https, loaded: RwLock::default(), loading: Mutex::default() }
    }

    /// The keys for which `fits` holds.
    ///
    /// Errors: none fits, or the set cannot be loaded.
    pub(crate) async fn matching(
        &self,
        fits: impl Fn(&Jwk) -> bool,
        now_ms: i64,
    ) -> Result<Vec<Jwk>, TokenError> {
        let find =
            || -> Vec<Jwk> { self.loaded.read().keys.iter().filter(|key| fits(key)).cloned().collect() };
        let found = find();
        if self.loaded.read().is_due(now_ms, !found.is_empty()) {
            let loading =
                if found.is_empty() { Some(self.loading.lock().await) } else { self.loading.try_lock().ok() };
            if let Some(mut http) = loading
                && self.loaded.read().is_due(now_ms, !find().is_empty())
            {
                self.load(&mut http, now_ms).await;
            }
        }
        let found = find();
        match (&self.loaded.read().failure, found.is_empty()) {
            (_, false) => Ok(found),
            (Some(reason), true) => Err(TokenError::Unavailable(reason.clone())),
            (None, true) => Err(TokenError::UnknownKey),
        }
    }

    async fn load(&self, http: &mut Option<HttpsClient>, now_ms: i64) {
        self.loaded.write().attempted_ms = Some(now_ms);
        let text = tokio::time::timeout(LOAD_TIMEOUT, self.read(http)).await;
        let text = text.unwrap_or_else(|_| Err("it does not answer".to_owned()));
        let parsed = text.and_then(|text| parse(&text));
        let mut loaded = self.loaded.write();
        match parsed {
            Ok(keys) => {
                loaded.keys = keys;
                loaded.loaded_ms = Some(now_ms);
                loaded.failure = None;
            }
            Err(reason) => {
                tracing::warn!(source = %self.source, reason, "the keys of bearer tokens cannot be loaded");
                loaded.failure = Some(reason);
            }
        }
    }

    async fn read(&self, http: &mut Option<HttpsClient>) -> Result<Bytes, String> {
        let url = match &self.source {
            KeySource::File(path) => {
                let path = path.clone();
                let reading = tokio::task::spawn_blocking(move || SystemStorage.read(&path));
                let read = reading.await.map_err(|error| error.to_string())?;
                return read.map(Bytes::from).map_err(|error| error.to_string());
            }
            KeySource::Url(url) => url.clone(),
        };
        let client = match http {
            Some(client) => client,
            None => {
                let is_secure = url.scheme_str() == Some("https");
                http.insert(client(&self.https, is_secure).map_err(|error| error.to_string())?)
            }
        };
        let request = hyper::Request::get(url).body(Full::default()).map_err(|error| error.to_string())?;
        let answer = client.request(request).await.map_err(|error| error.to_string())?;
        if !answer.status().is_success() {
            return Err(format!("it answers {}", answer.status()));
        }
        let body = Limited::new(answer.into_body(), SET_BYTES_MAX).collect().await;
        body.map(|body| body.to_bytes()).map_err(|error| error.to_string())
    }
}

/// The keys of a set; those of kinds that are not known are left out.
fn parse(text: &[u8]) -> Result<Vec<Jwk>, String> {
    let set: Value = serde_json::from_slice(text).map_err(|error| format!("it is no key set: {error}"))?;
    let keys = set["keys"].as_array().ok_or("it is no key set: the member \"keys\" is missing")?;
    let keys = keys.iter().take(KEYS_MAX).filter_map(|key| serde_json::from_value(key.clone()).ok());
    Ok(keys.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_files_or_urls_and_show_no_secrets() {
        let parse = |text: &str| KeySource::parse(text).map(|source| source.to_string());
        assert_eq!(parse("/etc/keys.json"), Ok("/etc/keys.json".to_owned()));
        assert_eq!(parse("file:///etc/keys.json"), Ok("/etc/keys.json".to_owned()));
        assert_eq!(parse("https://id/keys?code=s3cret"), Ok("https://id/keys".to_owned()));
        for text in ["https://ada:s3cret@id/keys", "https://ada:s3cret@i d/keys", "http://:s3cret@"] {
            let error = parse(text).expect_err("refused");
            assert!(!error.contains("s3cret"), "{error}");
        }
        let source = KeySource::parse("https://id/keys?code=s3cret");
        assert!(!format!("{source:?}").contains("s3cret"));
    }
}
