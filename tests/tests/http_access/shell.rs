//! The shell and migrations with credentials and TLS.

use std::process::Output;

use anyhow::{Result, ensure};
use weir_tests::secure_server::Certificates;

use crate::http_access::{start, weir};

#[tokio::test(flavor = "multi_thread")]
async fn the_shell_proves_itself_over_tls() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let certificates = Certificates::make(folder.path())?;
    let path = |name: &str| certificates.path(name).display().to_string();
    let tls = [
        "--http-tls",
        "--tls-certificate",
        &path("server.pem"),
        "--tls-key",
        &path("server.key"),
        "--tls-client-auth",
        "requested",
        "--tls-client-authorities",
        &path("ca.pem"),
        "--role",
        "read:User:CN=app,O=Weir:a_",
    ];
    let server = start(folder.path(), &tls)?;
    assert!(server.http.starts_with("https://"), "{}", server.http);
    let show = ["--server", &server.http, "-e", "SHOW TOPICS;"];
    let ca = path("ca.pem");
    let run = |further: &[&str], variables: &[(&str, &str)]| weir(&[&show[..], further].concat(), variables);
    let shown = |output: &Output| {
        String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
    };
    let password = [("WEIR_PASSWORD", "admin-secret")];
    let admitted = run(&["--cacert", &ca, "-u", "admin"], &password)?;
    assert!(admitted.status.success(), "{}", shown(&admitted));
    let certified =
        run(&["--cacert", &ca, "--cert", &path("client.pem"), "--key", &path("client.key")], &[])?;
    assert!(certified.status.success(), "{}", shown(&certified));
    for (further, variables, reason) in [
        (vec!["--cacert", &ca, "-u", "admin"], vec![("WEIR_PASSWORD", "wrong")], "wrong"),
        (vec!["--cacert", &ca], vec![], "authentication is required"),
        (vec!["--cacert", &ca, "-u", "admin"], vec![], "WEIR_PASSWORD"),
        (vec!["-u", "admin"], password.to_vec(), "certificate"),
        (vec!["--cacert", &ca, "--token", "x.y.z"], vec![], "not accepted"),
    ] {
        let refused = run(&further, &variables)?;
        let text = shown(&refused);
        assert!(!refused.status.success() && text.contains(reason), "{further:?}: {text}");
        assert!(!text.contains("admin-secret"), "{text}");
    }
    let project = folder.path().join("project");
    let project = project.display().to_string();
    let made = weir(&["migrate", "new", &project, &server.http], &[])?;
    ensure!(made.status.success(), "{}", shown(&made));
    let migrate = ["migrate", "--project", &project, "-u", "admin", "--cacert", &ca, "initialize"];
    let migrated = weir(&migrate, &password)?;
    assert!(migrated.status.success(), "{}", shown(&migrated));
    Ok(())
}
