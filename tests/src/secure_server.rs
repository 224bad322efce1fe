//! A server with a listener of every protocol, and the certificates it and its clients show.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use weir_broker::auth::scram::ScramMechanism;
use weir_broker::client::tcp::{TcpTransport, TcpTransportConfig};
use weir_broker::client::transport::Transport;
use weir_broker::protocol::error_code::ErrorCode;
use weir_broker::protocol::messages::alter_client_quotas::{
    AlterClientQuotasRequest, EntityData, EntryData, OpData,
};
use weir_broker::protocol::messages::alter_user_scram_credentials::{
    AlterUserScramCredentialsRequest, ScramCredentialDeletion,
};
use weir_broker::protocol::messages::create_acls::{AclCreation, CreateAclsRequest};
use weir_broker::protocol::messages::delete_acls::{DeleteAclsFilter, DeleteAclsRequest};
use weir_broker::protocol::request::Request;
use weir_broker::protocol::response::Response;

use crate::http::SqlClient;
use crate::server::ServerProcess;

/// The listeners, in the order of their addresses.
const PROTOCOLS: [&str; 4] = ["PLAINTEXT", "SASL_PLAINTEXT", "SASL_SSL", "SSL"];
/// Users of the server: one that may do everything, and two that may do so with names that begin with `open-`.
const CREDENTIALS: &str = "admin:admin-secret\nalice:alice, secret\nbob:bob-secret\n";
/// Bytes a second that bob may send.
const BOBS_BYTE_RATE: f64 = 20_000.0;
/// Whom the client certificate names.
const CERTIFIED: &str = "User:CN=app,O=Weir";

/// Two authorities, a server's certificate for 127.0.0.1, and that of `CN=app,O=Weir`, all made for one test.
#[derive(Debug)]
pub struct Certificates {
    pub folder: PathBuf,
}

impl Certificates {
    /// Makes them anew: `ca.pem`, `other-ca.pem`, and `server` and `client` with `.pem` and `.key`.
    pub fn make(folder: &Path) -> Result<Certificates> {
        let authority = |file: &str| -> Result<_> {
            let mut params = rcgen::CertificateParams::new(Vec::new())?;
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            params.distinguished_name.push(rcgen::DnType::CommonName, file);
            // OpenSSL, strict as Python 3.13 makes it, wants both.
            params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign, rcgen::KeyUsagePurpose::CrlSign];
            let authority = rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate()?)?;
            std::fs::write(folder.join(file), authority.pem())?;
            Ok(authority)
        };
        authority("other-ca.pem")?;
        let own = authority("ca.pem")?;
        for (file, name) in [("server", "weir"), ("client", "app")] {
            let mut params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()])?;
            params.distinguished_name = rcgen::DistinguishedName::new();
            params.distinguished_name.push(rcgen::DnType::OrganizationName, "Weir");
            params.distinguished_name.push(rcgen::DnType::CommonName, name);
            params.use_authority_key_identifier_extension = true;
            let key = rcgen::KeyPair::generate()?;
            std::fs::write(folder.join(format!("{file}.pem")), params.signed_by(&key, &own)?.pem())?;
            std::fs::write(folder.join(format!("{file}.key")), key.serialize_pem())?;
        }
        Ok(Certificates { folder: folder.to_owned() })
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// The server. Who comes without certificate and password, as `User:ANONYMOUS`, may do everything.
#[derive(Debug)]
pub struct SecureServer {
    pub server: ServerProcess,
    pub certificates: Certificates,
    folder: PathBuf,
    settings: Vec<String>,
}

impl SecureServer {
    /// Starts one whose data and certificates are in a folder. `settings` are further arguments.
    pub fn start(folder: &Path, settings: &[&str]) -> Result<SecureServer> {
        let certificates = Certificates::make(folder)?;
        std::fs::write(certificates.path("credentials"), CREDENTIALS)?;
        let settings: Vec<String> = settings.iter().map(|&setting| setting.to_owned()).collect();
        let server = launch(&certificates, folder, &settings, &["127.0.0.1:0"; PROTOCOLS.len()])?;
        Ok(SecureServer { server, certificates, folder: folder.to_owned(), settings })
    }

    /// Starts the server again, where it was. Fails when something else has taken one of its ports meanwhile.
    pub fn start_again(&mut self) -> Result<()> {
        let addresses: Vec<&str> = self.server.kafka.split(' ').collect();
        self.server = launch(&self.certificates, &self.folder, &self.settings, &addresses)?;
        Ok(())
    }

    /// The address of a listener.
    pub fn address(&self, protocol: &str) -> Result<&str> {
        let at = PROTOCOLS.iter().position(|&name| name == protocol).context("no such protocol")?;
        self.server.kafka.split(' ').nth(at).context("the server has told too few addresses")
    }

    /// Sends a request as the administrator.
    pub async fn ask(&self, request: impl Into<Request>) -> Result<Response> {
        let admin = TcpTransport::new(self.address("PLAINTEXT")?, TcpTransportConfig::default());
        Ok(admin.send(request.into()).await?)
    }

    /// Lets alice, bob and the owner of the client certificate do everything with names that begin with `open-`; bob
    /// slowly.
    pub async fn admit_users(&self) -> Result<()> {
        let creations = ["User:alice", "User:bob", CERTIFIED].into_iter().flat_map(open_names).collect();
        let Response::CreateAcls(answer) = self.ask(CreateAclsRequest { creations }).await? else {
            bail!("the answer is of another API")
        };
        ensure!(answer.results.iter().all(|result| result.error_code == ErrorCode::None), "{answer:?}");
        self.set_quota("bob", "producer_byte_rate", BOBS_BYTE_RATE).await
    }

    /// Sets a quota of a user.
    pub async fn set_quota(&self, user: &str, key: &str, value: f64) -> Result<()> {
        let entity = vec![EntityData { entity_type: "user".to_owned(), entity_name: Some(user.to_owned()) }];
        let ops = vec![OpData { key: key.to_owned(), value, remove: false }];
        let request =
            AlterClientQuotasRequest { entries: vec![EntryData { entity, ops }], validate_only: false };
        let Response::AlterClientQuotas(answer) = self.ask(request).await? else {
            bail!("the answer is of another API")
        };
        ensure!(answer.entries.iter().all(|entry| entry.error_code == ErrorCode::None), "{answer:?}");
        Ok(())
    }

    /// Removes all ACLs of a user.
    pub async fn remove_acls(&self, user: &str) -> Result<()> {
        const ANY: i8 = 1;
        let filter = DeleteAclsFilter {
            resource_type_filter: ANY,
            pattern_type_filter: ANY,
            principal_filter: Some(format!("User:{user}")),
            operation: ANY,
            permission_type: ANY,
            ..DeleteAclsFilter::default()
        };
        let Response::DeleteAcls(answer) = self.ask(DeleteAclsRequest { filters: vec![filter] }).await?
        else {
            bail!("the answer is of another API")
        };
        let removed: usize = answer.filter_results.iter().map(|result| result.matching_acls.len()).sum();
        ensure!(removed > 0, "{answer:?}");
        Ok(())
    }

    /// Deletes a user.
    pub async fn delete_user(&self, user: &str) -> Result<()> {
        let deletion = |mechanism: ScramMechanism| ScramCredentialDeletion {
            name: user.to_owned(),
            mechanism: mechanism.code(),
        };
        let deletions = ScramMechanism::ALL.into_iter().map(deletion).collect();
        let request = AlterUserScramCredentialsRequest { deletions, upsertions: Vec::new() };
        let Response::AlterUserScramCredentials(answer) = self.ask(request).await? else {
            bail!("the answer is of another API")
        };
        ensure!(answer.results.iter().all(|result| result.error_code == ErrorCode::None), "{answer:?}");
        Ok(())
    }

    /// A client of the SQL port with the credentials of a user.
    pub fn sql_as(&self, user: &str, password: &str) -> SqlClient {
        self.server.sql().authorized(&format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
    }

    /// Tells a client's script by variables where the listeners and certificates are.
    pub fn tell(&self, command: &mut Command) -> Result<()> {
        for protocol in &PROTOCOLS[1..] {
            command.env(format!("WEIR_{protocol}"), self.address(protocol)?);
        }
        command.env("WEIR_CERTIFICATES", &self.certificates.folder).env("WEIR_HTTP", &self.server.http);
        Ok(())
    }

    /// How many requests of each API came over connections since the server was started.
    pub async fn requests(&self) -> Result<BTreeMap<String, u64>> {
        let (_, page) = SqlClient::new(&self.server.http).get("/metrics").await?;
        let counted = |line: &str| {
            let (api, count) = line.strip_prefix("weir_kafka_requests_total{api=\"")?.split_once("\"} ")?;
            Some((api.to_owned(), count.trim().parse().ok()?))
        };
        Ok(page.lines().filter_map(counted).filter(|(_, count)| *count > 0).collect())
    }
}

/// What lets a principal do everything with topics, groups and transactional ids whose names begin with `open-`.
fn open_names(principal: &str) -> impl Iterator<Item = AclCreation> {
    const ALL: i8 = 2;
    const ALLOW: i8 = 3;
    const PREFIXED: i8 = 4;
    const TOPIC_GROUP_TRANSACTIONAL_ID: [i8; 3] = [2, 3, 5];
    TOPIC_GROUP_TRANSACTIONAL_ID.into_iter().map(move |resource_type| AclCreation {
        resource_type,
        resource_name: "open-".to_owned(),
        resource_pattern_type: PREFIXED,
        principal: principal.to_owned(),
        host: "*".to_owned(),
        operation: ALL,
        permission_type: ALLOW,
    })
}

fn launch(
    certificates: &Certificates,
    folder: &Path,
    settings: &[String],
    addresses: &[&str],
) -> Result<ServerProcess> {
    let listeners: Vec<String> = PROTOCOLS.iter().zip(addresses).map(|(p, a)| format!("{p}://{a}")).collect();
    ServerProcess::launch(&folder.join("data"), |command| {
        command.args(["--http-listen", "127.0.0.1:0", "--listeners", &listeners.join(",")]);
        command.args(["--super-user", "User:admin", "--super-user", "User:ANONYMOUS"]);
        command.arg("--tls-certificate").arg(certificates.path("server.pem"));
        command.arg("--tls-key").arg(certificates.path("server.key"));
        command.arg("--tls-client-authorities").arg(certificates.path("ca.pem"));
        command.args(["--tls-client-auth", "requested", "--http-open-path", "/metrics"]);
        command.arg("--credentials-file").arg(certificates.path("credentials")).args(settings);
    })
}
