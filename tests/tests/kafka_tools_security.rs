//! `weir user` and `weir acl` against a broker that asks who one is and what one may.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use weir_broker::auth::config::{AuthorizerConfig, BootstrapUser, Secret};
use weir_broker::auth::sasl::{SaslConfig, SaslMechanism};
use weir_broker::broker::Broker;
use weir_broker::config::BrokerConfig;
use weir_broker::net::config::ListenerConfig;
use weir_tests::server::weir_binary;

struct Secured {
    _folder: tempfile::TempDir,
    _broker: Broker,
    address: String,
}

impl Secured {
    async fn start() -> Result<Secured> {
        let folder = tempfile::tempdir()?;
        let mut config = BrokerConfig::new(folder.path().join("data"));
        let sasl = SaslConfig { mechanisms: SaslMechanism::ALL.to_vec(), ..SaslConfig::default() };
        config.listeners = vec![ListenerConfig {
            address: "127.0.0.1:0".to_owned(),
            sasl: Some(sasl),
            ..ListenerConfig::default()
        }];
        config.security.users =
            vec![BootstrapUser { name: "admin".to_owned(), password: Secret::new("admin-secret") }];
        config.security.authorizer = Some(AuthorizerConfig {
            super_users: vec!["User:admin".to_owned()],
            ..AuthorizerConfig::default()
        });
        let broker = Broker::start(config).await?;
        let address = broker.local_addr().context("no listener")?.to_string();
        Ok(Secured { _folder: folder, _broker: broker, address })
    }

    /// Exit code, output and errors of a command run as a user.
    fn weir(
        &self,
        user: &str,
        password: &str,
        arguments: &[&str],
        input: &str,
    ) -> Result<(i32, String, String)> {
        let mut child = Command::new(weir_binary())
            .args(arguments)
            .args(["-b", &self.address])
            .args(["-X", &format!("sasl.username={user}"), "-X", &format!("sasl.password={password}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let _ = child.stdin.take().context("no standard input")?.write_all(input.as_bytes());
        let output = child.wait_with_output()?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok((output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr)))
    }

    fn admin(&self, arguments: &[&str], input: &str) -> Result<String> {
        let (code, out, error) = self.weir("admin", "admin-secret", arguments, input)?;
        assert_eq!(code, 0, "{arguments:?}: {error}");
        Ok(out)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_made_changed_and_deleted() -> Result<()> {
    let broker = Secured::start().await?;
    broker.admin(&["user", "create", "ada"], "lovelace\n")?;
    let listed = broker.admin(&["user", "list", "ada"], "")?;
    assert_eq!(
        listed,
        "{\"user\":\"ada\",\"mechanism\":\"SCRAM-SHA-256\",\"iterations\":4096}\n\
         {\"user\":\"ada\",\"mechanism\":\"SCRAM-SHA-512\",\"iterations\":4096}\n"
    );
    let (code, _, _) = broker.weir("ada", "lovelace", &["topic", "list"], "")?;
    assert_eq!(code, 0);
    let (code, _, error) = broker.weir("ada", "wrong", &["topic", "list"], "")?;
    assert_eq!(code, 1);
    assert!(
        error.contains("cannot reach a broker") && error.to_lowercase().contains("authentication"),
        "{error}"
    );
    let nobody = Command::new(weir_binary()).args(["topic", "list", "-b", &broker.address]).output()?;
    let error = String::from_utf8_lossy(&nobody.stderr).into_owned();
    assert!(
        nobody.status.code() == Some(1) && error.contains("Hint: a listener with TLS or SASL"),
        "{error}"
    );
    broker.admin(&["user", "create", "ada", "--password", "byron", "--mechanism", "sha-256"], "")?;
    assert_eq!(broker.weir("ada", "byron", &["topic", "list"], "")?.0, 0, "SCRAM-SHA-256 is the default");
    broker.admin(&["user", "delete", "ada"], "")?;
    assert_eq!(broker.admin(&["user", "list", "ada"], "")?, "");
    let (code, _, error) = broker.weir("admin", "admin-secret", &["user", "delete", "ada"], "")?;
    assert!(code == 1 && error.contains("user \"ada\": there is no such credential"), "{error}");
    let (code, _, _) = broker.weir("admin", "admin-secret", &["user", "create", "eve"], "\n")?;
    assert_eq!(code, 2, "an empty password is none");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_permit_and_forbid() -> Result<()> {
    let broker = Secured::start().await?;
    broker.admin(&["topic", "create", "clicks"], "")?;
    broker.admin(&["user", "create", "ada"], "pw\n")?;
    let produce = || broker.weir("ada", "pw", &["produce", "clicks"], "x\n");
    let (code, _, error) = produce()?;
    assert_eq!(code, 1, "{error}");
    broker.admin(
        &[
            "acl",
            "create",
            "--allow-principal",
            "ada",
            "--operation",
            "read,write,describe",
            "--topic",
            "clicks",
        ],
        "",
    )?;
    broker.admin(
        &["acl", "create", "--allow-principal", "ada", "--operation", "IdempotentWrite", "--cluster"],
        "",
    )?;
    let (code, _, error) = produce()?;
    assert_eq!(code, 0, "{error}");
    let listed = broker.admin(&["acl", "list", "--topic", "clicks"], "")?;
    assert_eq!(listed.lines().count(), 3, "{listed}");
    assert!(
        listed.contains(
            "{\"principal\":\"User:ada\",\"permission\":\"allow\",\"operation\":\"read\",\"resource\":\"topic\",\
             \"name\":\"clicks\",\"pattern\":\"literal\",\"host\":\"*\"}"
        ),
        "{listed}"
    );
    broker.admin(
        &["acl", "create", "--deny-principal", "ada", "--operation", "write", "--topic", "cli", "--prefixed"],
        "",
    )?;
    let (code, _, error) = produce()?;
    assert!(code == 1 && error.contains("TOPIC_AUTHORIZATION_FAILED"), "{error}");
    let dry = broker.admin(&["acl", "delete", "--deny-principal", "ada", "--dry-run"], "")?;
    assert_eq!(dry.lines().count(), 1, "{dry}");
    assert_eq!(broker.admin(&["acl", "list"], "")?.lines().count(), 5);
    assert_eq!(broker.admin(&["acl", "delete", "--deny-principal", "ada"], "")?, dry);
    assert_eq!(produce()?.0, 0);
    for wrong in [
        &["acl", "create", "--allow-principal", "ada", "--topic", "clicks"][..],
        &["acl", "create", "--allow-principal", "ada", "--operation", "fly", "--topic", "clicks"],
        &["acl", "delete"],
    ] {
        assert_eq!(broker.weir("admin", "admin-secret", wrong, "")?.0, 2, "{wrong:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_acls_adds_lists_and_removes_rules() -> Result<()> {
    let broker = Secured::start().await?;
    let folder = tempfile::tempdir()?;
    let script = folder.path().join("kafka-acls.sh");
    std::os::unix::fs::symlink(weir_binary(), &script)?;
    // As a Java client is told who it is.
    let properties = folder.path().join("admin.properties");
    let login = "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"admin\" password=\"admin-secret\";";
    let text =
        format!("security.protocol=SASL_PLAINTEXT\nsasl.mechanism=SCRAM-SHA-256\nsasl.jaas.config={login}\n");
    std::fs::write(&properties, text)?;
    let acls = |arguments: &[&str]| -> Result<(Option<i32>, String)> {
        let output = Command::new(&script)
            .args(["--bootstrap-server", &broker.address, "--command-config"])
            .arg(&properties)
            .args(arguments)
            .output()?;
        let out = String::from_utf8(output.stdout)?;
        assert!(!out.contains("secret"));
        Ok((output.status.code(), out))
    };
    let title = "Adding ACLs for resource `ResourcePattern(resourceType=TOPIC, name=clicks, patternType=LITERAL)`: \n";
    let (code, added) =
        acls(&["--add", "--allow-principal", "User:ada", "--operation", "Read", "--topic", "clicks"])?;
    let rule = " \t(principal=User:ada, host=*, operation=READ, permissionType=ALLOW)\n\n";
    let current = title.replace("Adding", "Current");
    assert_eq!((code, added), (Some(0), format!("{title}{rule}{current}{rule}")));
    let (code, _) =
        acls(&["--add", "--allow-principal", "User:bob", "--consumer", "--topic", "clicks", "--group", "g"])?;
    assert_eq!(code, Some(0));
    let (_, listed) = acls(&["--list", "--principal", "User:bob"])?;
    for operation in ["operation=READ", "operation=DESCRIBE"] {
        assert!(
            listed.contains(&format!("(principal=User:bob, host=*, {operation}, permissionType=ALLOW)")),
            "{listed}"
        );
    }
    assert!(listed.contains("resourceType=GROUP, name=g,") && !listed.contains("User:ada"), "{listed}");
    let (code, left) = acls(&["--remove", "--allow-principal", "User:bob", "--topic", "clicks", "--force"])?;
    assert_eq!((code, left), (Some(0), format!("{current}{rule}")));
    let (_, every) = acls(&[
        "--add",
        "--deny-principal",
        "User:eve",
        "--topic",
        "pay",
        "--resource-pattern-type",
        "prefixed",
    ])?;
    assert!(
        every.contains("name=pay, patternType=PREFIXED)")
            && every.contains("operation=ALL, permissionType=DENY"),
        "{every}"
    );
    for wrong in [
        &["--add", "--topic", "clicks"][..],
        &["--add", "--allow-principal", "User:ada", "--consumer", "--topic", "clicks"],
        &["--list", "--add"],
        &["--remove"],
    ] {
        assert_eq!(acls(wrong)?.0, Some(2), "{wrong:?}");
    }
    Ok(())
}
