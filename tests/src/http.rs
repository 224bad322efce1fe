//! SQL over HTTP, as a client that knows nothing of Weir's crates.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use weir_broker::net::tls::{Authorities, TlsError, client_config};

use crate::raw_http::PATIENCE;

type Http = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

#[derive(Clone, Debug)]
pub struct SqlClient {
    base: String,
    /// Value of the Authorization header.
    authorization: Option<String>,
    http: Http,
}

/// A client that speaks HTTP/2 where the server chooses it.
fn client(
    authorities: Authorities,
    certificate: Option<&(PathBuf, PathBuf)>,
) -> std::result::Result<Http, TlsError> {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(client_config(authorities, certificate)?)
        .https_or_http()
        .enable_http1()
        .enable_http2()
        .wrap_connector(connector);
    Ok(Client::builder(TokioExecutor::new()).build(connector))
}

impl SqlClient {
    /// `base`: `http://host:port`.
    pub fn new(base: &str) -> SqlClient {
        let http = client(Authorities::Loaded(Vec::new()), None).expect("no file is read");
        SqlClient { base: base.to_owned(), authorization: None, http }
    }

    /// A client of `https://host:port`, with the server's authority, and the chain and key of the client.
    pub fn over_tls(
        base: &str,
        authority: &Path,
        certificate: Option<(PathBuf, PathBuf)>,
    ) -> Result<SqlClient> {
        let http = client(Authorities::File(authority.to_owned()), certificate.as_ref())?;
        Ok(SqlClient { base: base.to_owned(), authorization: None, http })
    }

    /// The same with credentials, as the Authorization header has them.
    #[must_use]
    pub fn authorized(&self, authorization: &str) -> SqlClient {
        SqlClient { authorization: Some(authorization.to_owned()), ..self.clone() }
    }

    fn authorize(&self, request: hyper::http::request::Builder) -> hyper::http::request::Builder {
        match &self.authorization {
            Some(value) => request.header("authorization", value),
            None => request,
        }
    }

    /// Posts a body; gives status and answer.
    pub async fn post(&self, path: &str, body: &Value) -> Result<(StatusCode, String)> {
        let response = self.open(path, body).await?;
        let status = response.status();
        let text = response.into_body().collect().await?.to_bytes();
        Ok((status, String::from_utf8(text.to_vec())?))
    }

    /// Posts a body; gives the answer while it comes.
    pub async fn open(&self, path: &str, body: &Value) -> Result<Response<Incoming>> {
        let request = self
            .authorize(Request::post(format!("{}{path}", self.base)))
            .header("content-type", "application/vnd.ksql.v1+json")
            .body(Full::from(body.to_string()))?;
        Ok(self.http.request(request).await?)
    }

    /// Posts a query; gives its answer while it comes. It has begun when this returns.
    pub async fn stream(&self, path: &str, body: &Value) -> Result<Streamed> {
        let response = self.open(path, body).await?;
        let status = response.status();
        let mut streamed = Streamed { body: response.into_body(), text: String::new() };
        if !status.is_success() {
            bail!("{status} for {body}: {}", streamed.rest().await?);
        }
        Ok(streamed)
    }

    /// As [`SqlClient::post`], for an answer of some content type.
    pub async fn post_accepting(
        &self,
        path: &str,
        body: &Value,
        accept: &str,
    ) -> Result<(StatusCode, String)> {
        let request = Request::post(format!("{}{path}", self.base))
            .header("content-type", "application/vnd.ksql.v1+json")
            .header("accept", accept)
            .body(Full::from(body.to_string()))?;
        self.send(request).await
    }

    /// Posts a body that is no JSON document of its own.
    pub async fn post_text(&self, path: &str, body: &str) -> Result<(StatusCode, String)> {
        let request = Request::post(format!("{}{path}", self.base))
            .header("content-type", "application/vnd.ksqlapi.delimited.v1")
            .body(Full::from(body.to_owned()))?;
        self.send(request).await
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, String)> {
        let response = self.http.request(request).await?;
        let status = response.status();
        let text = response.into_body().collect().await?.to_bytes();
        Ok((status, String::from_utf8(text.to_vec())?))
    }

    pub async fn get(&self, path: &str) -> Result<(StatusCode, String)> {
        let request = self.authorize(Request::get(format!("{}{path}", self.base))).body(Full::default())?;
        let response = self.http.request(request).await?;
        let status = response.status();
        let text = response.into_body().collect().await?.to_bytes();
        Ok((status, String::from_utf8(text.to_vec())?))
    }

    /// Runs statements that must succeed, reading streams from their beginning.
    pub async fn execute(&self, sql: &str) -> Result<Value> {
        let body = json!({"ksql": sql, "streamsProperties": {"auto.offset.reset": "earliest"}});
        let (status, text) = self.post("/ksql", &body).await?;
        if !status.is_success() {
            bail!("{status} for {sql}: {text}");
        }
        serde_json::from_str(&text).with_context(|| text)
    }

    /// The rows of a query that ends by itself.
    pub async fn rows(&self, sql: &str) -> Result<Vec<Vec<Value>>> {
        let (status, text) = self.post("/query", &json!({"ksql": sql})).await?;
        if !status.is_success() {
            bail!("{status} for {sql}: {text}");
        }
        let items: Vec<Value> = serde_json::from_str(&text).with_context(|| text.clone())?;
        let mut rows = Vec::new();
        for item in items {
            if let Some(error) = item.get("errorMessage") {
                bail!("{sql}: {error}");
            }
            if let Some(columns) = item["row"]["columns"].as_array() {
                rows.push(columns.clone());
            }
        }
        Ok(rows)
    }
}

/// An answer while it comes.
#[derive(Debug)]
pub struct Streamed {
    body: Incoming,
    /// What has come so far.
    text: String,
}

impl Streamed {
    /// False at the end of the answer.
    async fn read(&mut self) -> Result<bool> {
        let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await;
        let Some(frame) = frame.with_context(|| format!("nothing more comes: {}", self.text))? else {
            return Ok(false);
        };
        if let Ok(data) = frame?.into_data() {
            self.text.push_str(std::str::from_utf8(&data)?);
        }
        Ok(true)
    }

    /// Waits for a text in the answer.
    pub async fn until(&mut self, wanted: &str) -> Result<()> {
        while !self.text.contains(wanted) {
            if !self.read().await? {
                bail!("the answer has ended without \"{wanted}\": {}", self.text);
            }
        }
        Ok(())
    }

    /// The whole answer, once it has ended.
    pub async fn rest(&mut self) -> Result<String> {
        while self.read().await? {}
        Ok(self.text.clone())
    }
}
