//! SQL over HTTP, as a client that knows nothing of Weir's crates.

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

#[derive(Clone, Debug)]
pub struct SqlClient {
    base: String,
    /// Value of the Authorization header.
    authorization: Option<String>,
    http: Client<HttpConnector, Full<Bytes>>,
}

impl SqlClient {
    /// `base`: `http://host:port`.
    pub fn new(base: &str) -> SqlClient {
        let http = Client::builder(TokioExecutor::new()).build_http();
        SqlClient { base: base.to_owned(), authorization: None, http }
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
        let request = self
            .authorize(Request::post(format!("{}{path}", self.base)))
            .header("content-type", "application/vnd.ksql.v1+json")
            .body(Full::from(body.to_string()))?;
        let response = self.http.request(request).await?;
        let status = response.status();
        let text = response.into_body().collect().await?.to_bytes();
        Ok((status, String::from_utf8(text.to_vec())?))
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
