//! Access control of the SQL port: authentication, and the rights of each principal by endpoint and statement.

mod audit;
mod authentication;
mod quotas;
mod rights;
mod secrets;
mod shell;

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use weir_tests::http::SqlClient;
use weir_tests::server::{ServerProcess, weir_binary};

/// `admin` is a super user; `writer` and `reader` have roles for topics that begin with `a_`; `guest` has none.
const USERS: [&str; 4] = ["admin", "writer", "reader", "guest"];

fn credentials(folder: &Path) -> Result<String> {
    let path = folder.join("users");
    let lines: String = USERS.iter().map(|user| format!("{user}:{user}-secret\n")).collect();
    std::fs::write(&path, lines)?;
    Ok(path.display().to_string())
}

fn start(folder: &Path, further: &[&str]) -> Result<ServerProcess> {
    let users = credentials(folder)?;
    ServerProcess::start_adjusted(&folder.join("data"), |command| {
        command.args(["--credentials-file", &users, "--super-user", "User:admin"]);
        command.args(["--role", "write:User:writer:a_", "--role", "read:User:reader:a_"]).args(further);
    })
}

fn basic(user: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{user}-secret")))
}

fn as_user(server: &ServerProcess, user: &str) -> SqlClient {
    server.sql().authorized(&basic(user))
}

async fn prepare(server: &ServerProcess) -> Result<()> {
    let admin = as_user(server, "admin");
    for name in ["a_in", "b_in"] {
        let create = format!(
            "CREATE STREAM {name} (k STRING KEY, n INT) WITH (KAFKA_TOPIC='{name}', PARTITIONS=1, VALUE_FORMAT='JSON');"
        );
        admin.execute(&create).await?;
    }
    for name in ["a", "b"] {
        let create = format!(
            "CREATE TABLE {name}_t WITH (KAFKA_TOPIC='{name}_t') AS SELECT k, COUNT(*) AS c FROM {name}_in GROUP BY k;"
        );
        admin.execute(&create).await?;
    }
    admin.execute("INSERT INTO a_in VALUES ('x', 1); INSERT INTO b_in VALUES ('x', 1);").await?;
    Ok(())
}

fn weir(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Output> {
    let mut command = Command::new(weir_binary());
    command.args(arguments).envs(variables.iter().copied()).stdin(std::process::Stdio::null());
    command.output().context("the shell does not run")
}
