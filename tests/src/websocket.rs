//! The client's side of a WebSocket, as far as queries need it. Source: RFC 6455.

use anyhow::{Result, ensure};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::raw_http::{PATIENCE, authority};
use crate::server::ServerProcess;

/// Opens `/ws/query` with the lines of `headers` (each ends with CRLF); gives the socket after the handshake.
pub async fn open_ws(server: &ServerProcess, request: &str, headers: &str) -> Result<TcpStream> {
    let address = authority(server);
    let mut socket = TcpStream::connect(address).await?;
    let encoded: String = request.bytes().map(|b| format!("%{b:02X}")).collect();
    let head = format!(
        "GET /ws/query?request={encoded}&version=1 HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    );
    socket.write_all(head.as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(tokio::time::timeout(PATIENCE, socket.read_u8()).await??);
    }
    let answer = String::from_utf8(answer)?;
    ensure!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    Ok(socket)
}

/// The next text frame; None is the closing one.
pub async fn frame(socket: &mut TcpStream) -> Result<Option<Value>> {
    let read = async {
        let opcode = socket.read_u8().await? & 0x0F;
        let length = match socket.read_u8().await? {
            126 => usize::from(socket.read_u16().await?),
            short => usize::from(short),
        };
        let mut payload = vec![0; length];
        socket.read_exact(&mut payload).await?;
        Ok::<_, anyhow::Error>((opcode, payload))
    };
    let (opcode, payload) = tokio::time::timeout(PATIENCE, read).await??;
    if opcode == 8 {
        return Ok(None);
    }
    Ok(Some(serde_json::from_slice(&payload)?))
}
