//! HTTP client of a Weir (or ksqlDB) server, as the REPL, migrations and tools use it.

pub mod connect;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Uri};
use indexmap::IndexMap;
use serde_json::{Value, json};
use weir_broker::error::chain;
use weir_server::https::{HttpsClient, client, shown_url};
use weir_sql::ast::kind::StatementKind;
use weir_sql::parser::kind::statement_kind;

use crate::client::connect::ConnectOptions;

const KSQL_JSON: &str = "application/vnd.ksql.v1+json";
/// Bytes of an answer that is read whole.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Why a request did not give what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("\"{address}\" is not a server address: {reason}")]
    Address { address: String, reason: String },
    #[error("cannot reach the server at {address}: {reason}")]
    Unreachable { address: String, reason: String },
    #[error("certificates for {address} cannot be used: {reason}")]
    Certificates { address: String, reason: String },
    #[error("{address} answers {status} without a message: it is no Weir or ksqlDB server")]
    NoServer { address: String, status: u16 },
    /// The server refused; `statement` is what it refused, where it says so.
    #[error("{message}")]
    Refused { code: u64, message: String, statement: Option<String>, entities: Vec<Value> },
    #[error("the server's answer is not understood: {reason}")]
    Answer { reason: String },
}

/// Properties and variables of a request.
#[derive(Clone, Debug, Default)]
pub struct RequestContext {
    pub properties: IndexMap<String, String>,
    pub variables: IndexMap<String, String>,
}

/// A server and the connections to it.
#[derive(Clone, Debug)]
pub struct ServerClient {
    base: String,
    host: String,
    options: ConnectOptions,
    /// Marked as sensitive, so that it is not shown.
    authorization: Option<HeaderValue>,
    http: HttpsClient,
}

impl ServerClient {
    /// A client without credentials. `address`: `http://host:port` or `https://host:port`; without a scheme it is `http`.
    pub fn new(address: &str) -> Result<ServerClient, ClientError> {
        ServerClient::with(address, &ConnectOptions::default())
    }

    /// As [`ServerClient::new`], with credentials and certificates.
    pub fn with(address: &str, options: &ConnectOptions) -> Result<ServerClient, ClientError> {
        let shown = shown_url(address);
        let error = |reason: &str| ClientError::Address { address: shown.clone(), reason: reason.to_owned() };
        let base = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
        let base = base.trim_end_matches('/').to_owned();
        let uri: Uri = base.parse().map_err(|_| error("expected http://host:port or https://host:port"))?;
        let is_secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(error("the scheme is neither http nor https")),
        };
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(error("it has a user or password: use --user and WEIR_PASSWORD"));
        }
        let host = uri.host().ok_or_else(|| error("the host is missing"))?.to_owned();
        let authorization = options.authorization();
        let http = client(&options.https, is_secure).map_err(|failure| ClientError::Certificates {
            address: address.to_owned(),
            reason: chain(&failure),
        })?;
        Ok(ServerClient { base, host, options: options.clone(), authorization, http })
    }

    /// A client of another server. Credentials are for one host, and not sent to others.
    pub fn at(&self, address: &str) -> Result<ServerClient, ClientError> {
        let bare = ConnectOptions { credentials: None, ..self.options.clone() };
        let other = ServerClient::with(address, &bare)?;
        if other.host == self.host { ServerClient::with(address, &self.options) } else { Ok(other) }
    }

    pub fn address(&self) -> &str {
        &self.base
    }

    /// `GET` of a JSON document.
    pub async fn get(&self, path: &str) -> Result<Value, ClientError> {
        let response = self.send(Method::GET, path, Bytes::new(), KSQL_JSON).await?;
        let (status, body) = read_whole(response).await?;
        let value = self.parse_answer(status, &body)?;
        if status.is_success() { Ok(value) } else { Err(refused(&value, status)) }
    }

    /// `POST /ksql`: the entities of the statements, in order.
    pub async fn execute(&self, sql: &str, context: &RequestContext) -> Result<Vec<Value>, ClientError> {
        let body = json!({
            "ksql": sql, "streamsProperties": context.properties, "sessionVariables": context.variables,
        });
        let response = self.send(Method::POST, "/ksql", body.to_string().into(), KSQL_JSON).await?;
        let (status, body) = read_whole(response).await?;
        let value = self.parse_answer(status, &body)?;
        match value {
            Value::Array(entities) if status.is_success() => Ok(entities),
            value => Err(refused(&value, status)),
        }
    }

    fn parse_answer(&self, status: StatusCode, body: &[u8]) -> Result<Value, ClientError> {
        serde_json::from_slice(body).map_err(|error| {
            let address = self.base.clone();
            if status.is_success() {
                ClientError::Answer { reason: format!("{address} sent no JSON: {error}") }
            } else {
                ClientError::NoServer { address, status: status.as_u16() }
            }
        })
    }

    /// `POST /query`: starts a query whose answer is read item by item.
    pub async fn query(&self, sql: &str, context: &RequestContext) -> Result<QueryAnswer, ClientError> {
        let body = json!({
            "ksql": sql, "streamsProperties": context.properties, "sessionVariables": context.variables,
        });
        let response = self.send(Method::POST, "/query", body.to_string().into(), KSQL_JSON).await?;
        let status = response.status();
        if !status.is_success() {
            let (status, body) = read_whole(response).await?;
            return Err(refused(&serde_json::from_slice(&body).unwrap_or(Value::Null), status));
        }
        // The answer of PRINT is text, although ksqlDB and Weir call it JSON.
        let is_text = statement_kind(sql) == StatementKind::Print;
        Ok(QueryAnswer { body: response.into_body(), buffer: BytesMut::new(), is_text, ended: false })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        accept: &str,
    ) -> Result<Response<Incoming>, ClientError> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(ACCEPT, accept)
            .header(CONTENT_TYPE, KSQL_JSON);
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        let request = request
            .body(Full::new(body))
            .map_err(|e| ClientError::Address { address: self.base.clone(), reason: e.to_string() })?;
        let sent = self.http.request(request).await;
        sent.map_err(|e| ClientError::Unreachable { address: self.base.clone(), reason: root_cause(&e) })
    }
}

/// One item of a query's answer.
#[derive(Clone, Debug, PartialEq)]
pub enum QueryItem {
    Header {
        query_id: String,
        schema: String,
    },
    Row {
        columns: Vec<Value>,
        tombstone: bool,
    },
    /// A line of PRINT.
    Line(String),
    Final(String),
}

/// A query's answer as it comes. Dropping it ends the query.
#[derive(Debug)]
pub struct QueryAnswer {
    body: Incoming,
    buffer: BytesMut,
    is_text: bool,
    ended: bool,
}

impl QueryAnswer {
    /// The next item; None at the end. Cancel safe.
    pub async fn next(&mut self) -> Result<Option<QueryItem>, ClientError> {
        loop {
            if let Some(line) = self.take_line() {
                if let Some(item) = self.parse(&line)? {
                    return Ok(Some(item));
                }
                continue;
            }
            if self.ended {
                return Ok(None);
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
                Some(Err(e)) => {
                    return Err(ClientError::Answer { reason: format!("the connection was closed: {e}") });
                }
                None => self.ended = true,
            }
        }
    }

    /// Items stand on lines of their own; a line is complete at its end, or when its JSON object closes the buffer.
    fn take_line(&mut self) -> Option<Bytes> {
        if let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
            let line = self.buffer.split_to(end + 1).freeze();
            return Some(line);
        }
        let complete = self.ended || (!self.is_text && is_complete_item(&self.buffer));
        (complete && !self.buffer.is_empty()).then(|| self.buffer.split().freeze())
    }

    fn parse(&self, line: &[u8]) -> Result<Option<QueryItem>, ClientError> {
        let text = String::from_utf8_lossy(line);
        if self.is_text {
            return Ok(Some(QueryItem::Line(text.trim_end_matches('\n').to_owned())));
        }
        let text = text.trim().trim_start_matches('[').trim_start_matches(',').trim();
        let text = text.trim_end_matches(',').trim_end();
        let text =
            text.strip_suffix(']').filter(|t| serde_json::from_str::<Value>(t).is_ok()).unwrap_or(text);
        if text.is_empty() || text == "]" {
            return Ok(None);
        }
        let value: Value = serde_json::from_str(text)
            .map_err(|e| ClientError::Answer { reason: format!("{e} in {text}") })?;
        if let Some(header) = value.get("header") {
            return Ok(Some(QueryItem::Header {
                query_id: header["queryId"].as_str().unwrap_or_default().to_owned(),
                schema: header["schema"].as_str().unwrap_or_default().to_owned(),
            }));
        }
        if let Some(row) = value.get("row") {
            let columns = row["columns"].as_array().cloned().unwrap_or_default();
            return Ok(Some(QueryItem::Row { columns, tombstone: row["tombstone"] == true }));
        }
        if let Some(text) = value.get("finalMessage").and_then(Value::as_str) {
            return Ok(Some(QueryItem::Final(text.to_owned())));
        }
        match value.get("errorMessage") {
            Some(error) => Err(refused(error, StatusCode::OK)),
            None => Ok(None),
        }
    }
}

/// The innermost cause.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// True if the buffer ends where an item's object ends (a row is sent without the line end, which precedes the next).
fn is_complete_item(buffer: &[u8]) -> bool {
    if buffer.last() != Some(&b'}') {
        return false;
    }
    let text = String::from_utf8_lossy(buffer);
    let text = text.trim_start().trim_start_matches('[').trim_start_matches(',');
    serde_json::from_str::<Value>(text).is_ok()
}

async fn read_whole(response: Response<Incoming>) -> Result<(StatusCode, Bytes), ClientError> {
    let status = response.status();
    let body = http_body_util::Limited::new(response.into_body(), ANSWER_BYTES_MAX)
        .collect()
        .await
        .map_err(|e| ClientError::Answer { reason: e.to_string() })?;
    Ok((status, body.to_bytes()))
}

fn refused(value: &Value, status: StatusCode) -> ClientError {
    let message = match value["message"].as_str() {
        Some(message) => message.to_owned(),
        None => format!("the server answered {status}"),
    };
    ClientError::Refused {
        code: value["error_code"].as_u64().unwrap_or(u64::from(status.as_u16()) * 100),
        message,
        statement: value["statementText"].as_str().map(str::to_owned),
        entities: value["entities"].as_array().cloned().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_with_passwords_are_refused_without_showing_them() {
        for address in ["http://ada:s3cret@localhost:1", "ada:s3cret@localhost:1", "ada:s3cret@ localhost"] {
            let error = ServerClient::new(address).expect_err("refused").to_string();
            assert!(!error.contains("s3cret") && error.contains("localhost"), "{error}");
        }
        assert!(ServerClient::new("localhost:1").is_ok());
    }
}
