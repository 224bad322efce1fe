//! Real Kafka clients against the real binary, over TLS and SASL: who may come in, and what they may do.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use weir_broker::auth::config::Secret;
use weir_broker::auth::sasl::SaslMechanism;
use weir_broker::auth::scram::ScramMechanism;
use weir_broker::client::security::{ClientSasl, ClientSecurity};
use weir_broker::client::tcp::{TcpTransport, TcpTransportConfig};
use weir_broker::client::transport::Transport;
use weir_broker::net::tls::TlsClientFiles;
use weir_broker::protocol::error_code::ErrorCode;
use weir_broker::protocol::messages::alter_client_quotas::{
    AlterClientQuotasRequest, EntityData, EntryData, OpData,
};
use weir_broker::protocol::messages::create_acls::{AclCreation, CreateAclsRequest};
use weir_broker::protocol::request::Request;
use weir_broker::protocol::response::Response;
use weir_tests::server::{ServerProcess, weir_binary};

/// True where the clients must be there; elsewhere a missing client is told and passed over.
fn clients_required() -> bool {
    std::env::var_os("CI").is_some() || std::env::var_os("WEIR_PYTHON").is_some()
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("paths of tests are text")
}

/// An authority, a server's certificate and that of `CN=app,O=Weir`, all made for one test.
struct Certificates {
    folder: PathBuf,
}

impl Certificates {
    fn make(folder: &Path) -> Result<Certificates> {
        let mut params = rcgen::CertificateParams::new(Vec::new())?;
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority = rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate()?)?;
        std::fs::write(folder.join("ca.pem"), authority.pem())?;
        for (file, name) in [("server", "localhost"), ("client", "app")] {
            let mut params =
                rcgen::CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
            params.distinguished_name = rcgen::DistinguishedName::new();
            params.distinguished_name.push(rcgen::DnType::OrganizationName, "Weir");
            params.distinguished_name.push(rcgen::DnType::CommonName, name);
            let key = rcgen::KeyPair::generate()?;
            std::fs::write(folder.join(format!("{file}.pem")), params.signed_by(&key, &authority)?.pem())?;
            std::fs::write(folder.join(format!("{file}.key")), key.serialize_pem())?;
        }
        Ok(Certificates { folder: folder.to_owned() })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// A server with a listener of every protocol but PLAINTEXT.
struct SecureServer {
    server: ServerProcess,
    certificates: Certificates,
    _folder: tempfile::TempDir,
}

impl SecureServer {
    fn start() -> Result<SecureServer> {
        let folder = tempfile::tempdir()?;
        let certificates = Certificates::make(folder.path())?;
        let credentials = folder.path().join("credentials");
        std::fs::write(&credentials, "# who may do everything\nadmin:admin-secret\n")?;
        let (chain, key) = (certificates.path("server.pem"), certificates.path("server.key"));
        let authorities = certificates.path("ca.pem");
        let listeners = "SASL_SSL://127.0.0.1:0,SSL://127.0.0.1:0,SASL_PLAINTEXT://127.0.0.1:0";
        let arguments = [
            "--http-listen",
            "127.0.0.1:0",
            "--listeners",
            listeners,
            "--super-user",
            "User:admin",
            "--tls-certificate",
            text(&chain)?,
            "--tls-key",
            text(&key)?,
            "--tls-client-authorities",
            text(&authorities)?,
            "--tls-client-auth",
            "requested",
            "--credentials-file",
            text(&credentials)?,
        ];
        let server = ServerProcess::start_with(&folder.path().join("data"), &arguments)?;
        Ok(SecureServer { server, certificates, _folder: folder })
    }

    /// SASL_SSL, SSL and SASL_PLAINTEXT.
    fn addresses(&self) -> Vec<&str> {
        self.server.kafka.split(' ').collect()
    }

    fn python(&self, script: &str, further: &[&str]) -> Result<Output> {
        let python = std::env::var_os("WEIR_PYTHON").context("WEIR_PYTHON is not set")?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(script);
        let mut command = Command::new(python);
        command.arg(script).arg(&self.certificates.folder).args(self.addresses()).args(further);
        Ok(command.output()?)
    }

    /// The broker's own client, as the administrator.
    fn admin(&self) -> Arc<dyn Transport> {
        let tls = TlsClientFiles { authorities: self.certificates.path("ca.pem"), certificate: None };
        let sasl = ClientSasl {
            mechanism: SaslMechanism::Scram(ScramMechanism::Sha256),
            user: "admin".to_owned(),
            password: Secret::new("admin-secret"),
        };
        let security = ClientSecurity { tls: Some(tls), sasl: Some(sasl) };
        let config = TcpTransportConfig { security, ..TcpTransportConfig::default() };
        Arc::new(TcpTransport::new(self.addresses()[0], config))
    }
}

async fn ask(transport: &Arc<dyn Transport>, request: impl Into<Request>) -> Result<Response> {
    Ok(transport.send(request.into()).await?)
}

fn check_output(output: &Output, expected: &str) {
    let text = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains(expected), "{text}\n{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn confluent_kafka_is_authenticated_authorised_and_throttled() -> Result<()> {
    if std::env::var_os("WEIR_PYTHON").is_none() {
        assert!(!clients_required(), "WEIR_PYTHON must name a Python with confluent-kafka");
        println!("0 of 1 run: WEIR_PYTHON does not name a Python with confluent-kafka");
        return Ok(());
    }
    let secure = SecureServer::start()?;
    check_output(&secure.python("security.py", &[])?, "all ok");

    let admin = secure.admin();
    let creation = AclCreation {
        resource_type: 2,
        resource_name: "orders".to_owned(),
        principal: "User:alice".to_owned(),
        host: "*".to_owned(),
        operation: 4,
        permission_type: 3,
        ..AclCreation::default()
    };
    let Response::CreateAcls(answer) = ask(&admin, CreateAclsRequest { creations: vec![creation] }).await?
    else {
        bail!("the answer is of another API")
    };
    assert_eq!(answer.results[0].error_code, ErrorCode::None);
    let entity = EntityData { entity_type: "user".to_owned(), entity_name: Some("alice".to_owned()) };
    let op = OpData { key: "producer_byte_rate".to_owned(), value: 20_000.0, remove: false };
    let entries = vec![EntryData { entity: vec![entity], ops: vec![op] }];
    let quotas = AlterClientQuotasRequest { entries, validate_only: false };
    let Response::AlterClientQuotas(answer) = ask(&admin, quotas).await? else {
        bail!("the answer is of another API")
    };
    assert_eq!(answer.entries[0].error_code, ErrorCode::None);
    check_output(&secure.python("security.py", &["throttled"])?, "throttled ok");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn kcat_lists_over_every_protocol() -> Result<()> {
    if !Command::new("kcat").arg("-V").output().is_ok_and(|output| output.status.success()) {
        assert!(!clients_required(), "kcat is not installed");
        println!("0 of 1 run: kcat is not installed");
        return Ok(());
    }
    let secure = SecureServer::start()?;
    let ca = format!("ssl.ca.location={}", text(&secure.certificates.path("ca.pem"))?);
    let chain = format!("ssl.certificate.location={}", text(&secure.certificates.path("client.pem"))?);
    let key = format!("ssl.key.location={}", text(&secure.certificates.path("client.key"))?);
    let user = ["sasl.username=admin", "sasl.password=admin-secret"];
    let addresses = secure.addresses();
    let list = |address: &str, settings: &[&str]| -> Result<(bool, String)> {
        let mut command = Command::new("kcat");
        command.args(["-b", address, "-L", "-J", "-m", "10"]);
        for setting in settings {
            command.args(["-X", *setting]);
        }
        let output = command.output()?;
        let all = [output.stdout, output.stderr].concat();
        Ok((output.status.success(), String::from_utf8_lossy(&all).into_owned()))
    };
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let mechanism = format!("sasl.mechanism={mechanism}");
        let over_tls = ["security.protocol=SASL_SSL", &ca, &mechanism, user[0], user[1]];
        let (listed, output) = list(addresses[0], &over_tls)?;
        assert!(listed && output.contains("\"brokers\""), "{mechanism}: {output}");
        let plain = ["security.protocol=SASL_PLAINTEXT", &mechanism, user[0], user[1]];
        assert!(list(addresses[2], &plain)?.0);
        let wrong = ["security.protocol=SASL_SSL", &ca, &mechanism, user[0], "sasl.password=wrong"];
        let (listed, output) = list(addresses[0], &wrong)?;
        assert!(!listed && output.contains("user name or password is wrong"), "{mechanism}: {output}");
    }
    assert!(list(addresses[1], &["security.protocol=SSL", &ca, &chain, &key])?.0);
    Ok(())
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
    use weir_broker::protocol::messages::metadata::MetadataRequest;

    let secure = SecureServer::start()?;
    let admin = secure.admin();
    ask(&admin, MetadataRequest::default()).await?;
    // Another authority issues everything anew, so who knows only that one is refused until the server does too.
    Certificates::make(&secure.certificates.folder)?;
    assert!(ask(&secure.admin(), MetadataRequest::default()).await.is_err());
    let signalled = Command::new("kill").args(["-HUP", &secure.server.id().to_string()]).status()?;
    assert!(signalled.success());
    let started = std::time::Instant::now();
    while ask(&secure.admin(), MetadataRequest::default()).await.is_err() {
        assert!(started.elapsed() < std::time::Duration::from_secs(30), "the certificates are not used");
    }
    // Connections that were there before go on.
    ask(&admin, MetadataRequest::default()).await?;
    Ok(())
}
