//! An identity provider: keys, the tokens that are signed with them, and a server of the key set.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{KeyPair, PKCS_ED25519, SigningKey};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use weir_broker::net::tls::{TlsServer, TlsServerFiles};

use crate::secure_server::Certificates;

/// A private key with its name.
#[derive(Debug)]
pub struct TokenKey {
    id: String,
    key: KeyPair,
}

impl TokenKey {
    pub fn new(id: &str) -> Result<TokenKey> {
        Ok(TokenKey { id: id.to_owned(), key: KeyPair::generate_for(&PKCS_ED25519)? })
    }

    /// A token with these claims (RFC 7515, RFC 8037).
    pub fn token(&self, claims: &Value) -> Result<String> {
        let header = json!({"alg": "EdDSA", "typ": "JWT", "kid": self.id});
        let encode = |part: &[u8]| URL_SAFE_NO_PAD.encode(part);
        let signed =
            format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
        let signature = self.key.sign(signed.as_bytes())?;
        Ok(format!("{signed}.{}", encode(&signature)))
    }
}

/// The set of the public keys (RFC 7517).
pub fn key_set(keys: &[&TokenKey]) -> String {
    let public = |key: &&TokenKey| {
        let x = URL_SAFE_NO_PAD.encode(key.key.public_key_raw());
        json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": key.id, "x": x})
    };
    json!({"keys": keys.iter().map(public).collect::<Vec<Value>>()}).to_string()
}

/// Serves a key set over HTTPS until dropped.
#[derive(Debug)]
pub struct KeyServer {
    address: SocketAddr,
    document: watch::Sender<String>,
    serving: JoinHandle<()>,
}

impl KeyServer {
    /// Starts a server that shows `server.pem`.
    pub async fn start(certificates: &Certificates, document: String) -> Result<KeyServer> {
        let files = TlsServerFiles {
            certificate_chain: certificates.path("server.pem"),
            key: certificates.path("server.key"),
            ..TlsServerFiles::default()
        };
        let tls = TlsServer::load_for(files, &[b"http/1.1"]).context("no certificate")?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let document = watch::Sender::new(document);
        let shown = document.subscribe();
        let serving = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                // Clients that give up are not this server's failure.
                if let Ok((stream, _)) = tls.accept(socket).await {
                    let text = shown.borrow().clone();
                    let _ = answer(stream, &text).await;
                }
            }
        });
        Ok(KeyServer { address, document, serving })
    }

    pub fn url(&self) -> String {
        format!("https://{}/keys", self.address)
    }

    pub fn publish(&self, document: String) {
        self.document.send_replace(document);
    }
}

impl Drop for KeyServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Answers one request and ends the connection.
async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, document: &str) -> Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{document}",
        document.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    Ok(())
}
