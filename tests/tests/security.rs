//! Who may come in at the real binary. What real clients make of it is in `clients.rs`.

use std::process::Command;
use std::sync::Arc;

use anyhow::Result;
use weir_broker::auth::config::Secret;
use weir_broker::auth::sasl::SaslMechanism;
use weir_broker::auth::scram::ScramMechanism;
use weir_broker::client::security::{ClientSasl, ClientSecurity};
use weir_broker::client::tcp::{TcpTransport, TcpTransportConfig};
use weir_broker::client::transport::{Transport, TransportError};
use weir_broker::net::tls::TlsClientFiles;
use weir_broker::protocol::messages::metadata::MetadataRequest;
use weir_broker::protocol::response::Response;
use weir_tests::secure_server::{Certificates, SecureServer};
use weir_tests::server::weir_binary;

/// The broker's own client, as the administrator.
fn admin(secure: &SecureServer) -> Result<Arc<dyn Transport>> {
    let tls = TlsClientFiles { authorities: secure.certificates.path("ca.pem"), certificate: None };
    let sasl = ClientSasl {
        mechanism: SaslMechanism::Scram(ScramMechanism::Sha256),
        user: "admin".to_owned(),
        password: Secret::new("admin-secret"),
    };
    let security = ClientSecurity { tls: Some(tls), sasl: Some(sasl) };
    let config = TcpTransportConfig { security, ..TcpTransportConfig::default() };
    Ok(Arc::new(TcpTransport::new(secure.address("SASL_SSL")?, config)))
}

async fn ask(transport: &Arc<dyn Transport>) -> Result<Response, TransportError> {
    transport.send(MetadataRequest::default().into()).await
}

#[test]
fn a_node_that_everybody_can_reach_is_refused_unless_it_knows_its_clients() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let refused = |arguments: &[&str]| -> Result<String> {
        let output = Command::new(weir_binary())
            .args(["server", "--data-dir"])
            .arg(folder.path().join("data"))
            .args(arguments)
            .output()?;
        assert!(!output.status.success(), "{arguments:?} started");
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let open = refused(&["--listeners", "PLAINTEXT://0.0.0.0:0"])?;
    assert!(open.contains("there is no authentication") && open.contains("--insecure"), "{open}");
    assert!(refused(&["--listeners", "SSL://127.0.0.1:0"])?.contains("--tls-certificate"));
    assert!(refused(&["--super-user", "admin"])?.contains("User:NAME"));
    let missing = refused(&["--credentials-file", "/nonexistent/file"])?;
    assert!(missing.contains("cannot read"), "{missing}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_loaded_anew_on_sighup() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let secure = SecureServer::start(folder.path(), &[])?;
    let before = admin(&secure)?;
    ask(&before).await?;
    // Another authority issues everything anew, so who knows only that one is refused until the server does too.
    Certificates::make(&secure.certificates.folder)?;
    assert!(ask(&admin(&secure)?).await.is_err());
    let signalled = Command::new("kill").args(["-HUP", &secure.server.id().to_string()]).status()?;
    assert!(signalled.success());
    let started = std::time::Instant::now();
    while ask(&admin(&secure)?).await.is_err() {
        assert!(started.elapsed() < std::time::Duration::from_secs(120), "the certificates are not used");
    }
    // Connections that were there before go on.
    ask(&before).await?;
    Ok(())
}
