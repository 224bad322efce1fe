//! HTTP/1.1 by hand, for requests and answers that a client library would hide.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::server::ServerProcess;

/// Time for anything that must happen.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// `host:port` of a server.
pub fn authority(server: &ServerProcess) -> &str {
    server.http.split_once("://").map_or(&server.http, |(_, authority)| authority)
}

/// An answer read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Lower-case names.
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// Sends a request with the lines of `headers` (each ends with CRLF) and reads the answer to its end.
pub async fn send(server: &ServerProcess, request_line: &str, headers: &str, body: &str) -> Result<Answer> {
    let mut socket = TcpStream::connect(authority(server)).await?;
    let host = if headers.contains("Host:") { String::new() } else { "Host: localhost\r\n".to_owned() };
    let request = format!(
        "{request_line} HTTP/1.1\r\n{host}Connection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}",
        body.len()
    );
    socket.write_all(request.as_bytes()).await?;
    read_answer(&mut socket).await
}

/// Reads an answer up to the end of the connection.
pub async fn read_answer(socket: &mut TcpStream) -> Result<Answer> {
    let mut bytes = Vec::new();
    tokio::time::timeout(PATIENCE, socket.read_to_end(&mut bytes)).await??;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").with_context(|| format!("no answer: {text}"))?;
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).context("no status")?;
    Ok(Answer { status, head: head.to_owned(), body: body.to_owned() })
}

/// Reads one answer with a Content-Length; the connection stays open.
pub async fn next_answer(socket: &mut TcpStream) -> Result<Answer> {
    let reading = async {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(socket.read_u8().await?);
        }
        let head = String::from_utf8_lossy(&head).trim_end().to_owned();
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).context("no status")?;
        let mut answer = Answer { status, head, body: String::new() };
        let length: usize = answer.header("content-length").context("no length")?.parse()?;
        let mut body = vec![0; length];
        socket.read_exact(&mut body).await?;
        answer.body = String::from_utf8(body)?;
        Ok(answer)
    };
    tokio::time::timeout(PATIENCE, reading).await?
}

/// The chunks of an answer in chunked encoding.
pub fn chunks(mut body: &str) -> Result<Vec<String>> {
    let mut chunks = Vec::new();
    while let Some((length, rest)) = body.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).with_context(|| format!("no length: {length}"))?;
        if length == 0 {
            return Ok(chunks);
        }
        ensure!(rest.len() >= length + 2, "the body is cut");
        chunks.push(rest[..length].to_owned());
        body = &rest[length + 2..];
    }
    anyhow::bail!("the body has no end: {body}")
}
