//! Settings of a node: flags before variables, before files, before defaults; and who is told what.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;
use weir_tests::server::{ServerProcess, weir_binary};
use weir_tests::tools::{Ran, run};

/// A process in a folder, with a home of its own.
fn weir(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Result<Ran> {
    let mut command = Command::new(weir_binary());
    command
        .current_dir(folder)
        .args(arguments)
        .env_remove("XDG_CONFIG_HOME")
        .env("HOME", folder.join("home"));
    run(command.envs(variables.iter().copied()), "")
}

/// Value and origin of a setting.
fn setting(shown: &Ran, name: &str) -> Result<(String, String)> {
    assert_eq!(shown.code, Some(0), "{}{}", shown.out, shown.err);
    let rows: Vec<Value> = shown.out.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let row = rows.into_iter().find(|row| row["setting"] == name).with_context(|| name.to_owned())?;
    let text = |value: &Value| value.as_str().unwrap_or("null").to_owned();
    Ok((text(&row["value"]), text(&row["origin"])))
}

#[test]
fn nearer_sources_go_before_farther_ones() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let of_user = folder.path().join("home/.config/weir");
    fs::create_dir_all(&of_user)?;
    let user_file = of_user.join("weir.toml");
    fs::write(
        &user_file,
        "[node]\ncommit-interval-ms = 1\nworker-threads = 3\n[kafka]\nmax-connections = 4\n",
    )?;
    fs::write(
        folder.path().join("weir.toml"),
        "num.partitions = 6\n[node]\ncommit-interval-ms = 2\n[kafka]\nauto-create-topics = true\n",
    )?;
    let show = |arguments: &[&str], variables: &[(&str, &str)]| {
        weir(folder.path(), &[&["config", "show", "--origin"], arguments].concat(), variables)
    };
    let shown = show(&[], &[])?;
    let pair = |value: &str, origin: &str| (value.to_owned(), origin.to_owned());
    assert_eq!(setting(&shown, "node.commit-interval-ms")?, pair("2", "weir.toml"));
    assert_eq!(setting(&shown, "node.worker-threads")?, pair("3", &user_file.to_string_lossy()));
    assert_eq!(setting(&shown, "kafka.auto-create-topics")?, pair("true", "weir.toml"));
    assert_eq!(setting(&shown, "num.partitions")?, pair("6", "weir.toml"));
    assert_eq!(setting(&shown, "node.durability")?, pair("fsync", "default"));
    assert_eq!(setting(&shown, "node.task-step-max-ms")?, pair("30000", "default"));
    assert_eq!(setting(&shown, "tls.key")?, pair("null", "default"));
    assert_eq!(setting(&shown, "http.listen")?, pair("127.0.0.1:8088", "default"));
    assert_eq!(setting(&shown, "kafka.listen")?, pair("127.0.0.1:9092", "default"));
    assert_eq!(setting(&shown, "node.log-format")?, pair("text", "default"));

    let variables = [
        ("WEIR_NODE__COMMIT_INTERVAL_MS", "7"),
        ("WEIR_WORKER_THREADS", "8"),
        ("WEIR_TASK_STEP_MAX_MS", "5000"),
        ("WEIR_NUM__PARTITIONS", "9"),
        ("WEIR_CREDENTIALS", "ada:secret"),
    ];
    let shown = show(&["--max-connections", "10", "--override", "log.retention.ms=11"], &variables)?;
    assert_eq!(setting(&shown, "node.commit-interval-ms")?, pair("7", "WEIR_NODE__COMMIT_INTERVAL_MS"));
    assert_eq!(setting(&shown, "node.worker-threads")?, pair("8", "WEIR_WORKER_THREADS"));
    assert_eq!(setting(&shown, "node.task-step-max-ms")?, pair("5000", "WEIR_TASK_STEP_MAX_MS"));
    assert_eq!(setting(&shown, "num.partitions")?, pair("9", "WEIR_NUM__PARTITIONS"));
    assert_eq!(setting(&shown, "kafka.max-connections")?, pair("10", "--max-connections"));
    assert_eq!(setting(&shown, "log.retention.ms")?, pair("11", "--override"));
    assert_eq!(setting(&shown, "sasl.credentials")?, pair("********", "WEIR_CREDENTIALS"));
    assert!(!shown.out.contains("secret"), "{}", shown.out);

    // A file that is named is the only one.
    fs::write(folder.path().join("server.properties"), "log.retention.hours=1\nzookeeper.connect=x\n")?;
    let shown = show(&["--config", "server.properties"], &[])?;
    assert_eq!(setting(&shown, "log.retention.ms")?, pair("3600000", "server.properties"));
    assert_eq!(setting(&shown, "node.commit-interval-ms")?, pair("100", "default"));
    assert_eq!(shown.err, "Warning: server.properties: zookeeper.connect changes nothing here\n");
    Ok(())
}

#[test]
fn what_is_wrong_is_named_with_its_place() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for (text, expected) in [
        ("listners = \"x\"", "weir.toml: setting \"listners\" is not known; did you mean \"listeners\"?"),
        ("[node]\ndurability = \"never\"", "in the configuration (weir.toml): error: invalid value 'never'"),
        ("num.partitions = 0", "num.partitions"),
        ("[node]\ntask-step-max-ms = 0", "0 is not in 1.."),
        ("num.partitons = 3", "setting \"num.partitons\" is not known; did you mean \"num.partitions\"?"),
        ("[kafka]\nlisten = \"127.0.0.1\"", "no port: expected HOST:PORT"),
        ("[node]\nlog-level = \"loud\"", "unknown level \"loud\""),
        ("num.partitions =", "weir.toml: "),
    ] {
        fs::write(folder.path().join("weir.toml"), text)?;
        for command in [&["config", "show"][..], &["server"]] {
            let ran = weir(folder.path(), command, &[])?;
            assert_eq!(ran.code, Some(2), "{text}: {}{}", ran.out, ran.err);
            assert!(ran.err.contains(expected), "{text}: {}", ran.err);
        }
    }
    fs::remove_file(folder.path().join("weir.toml"))?;
    let ran = weir(folder.path(), &["config", "show"], &[("WEIR_KAFKA__LISTN", "x")])?;
    assert!(ran.code == Some(2) && ran.err.contains("WEIR_KAFKA__LISTN: "), "{}", ran.err);
    for (setting, expected) in [
        ("foo=bar", "setting \"foo\" is not known"),
        ("num.partitons=3", "did you mean \"num.partitions\"?"),
        ("listeners=x", "is set by its flag, --listeners"),
    ] {
        let ran = weir(folder.path(), &["config", "show", "--override", setting], &[])?;
        assert!(ran.code == Some(2) && ran.err.contains(expected), "{setting}: {}", ran.err);
    }
    let ran =
        weir(folder.path(), &["config", "show"], &[("WEIR_KAFKA_LISTN", "x"), ("WEIR_HTTP_PORT", "1")])?;
    let mut warnings: Vec<&str> = ran.err.lines().collect();
    warnings.sort_unstable();
    assert_eq!(
        warnings,
        [
            "Warning: WEIR_HTTP_PORT is no setting",
            "Warning: WEIR_KAFKA_LISTN is no setting; did you mean \"WEIR_KAFKA_LISTEN\"?"
        ]
    );
    let advertised = ["server", "--kafka-advertised", "0.0.0.0:9092"];
    let ran = weir(folder.path(), &advertised, &[])?;
    assert!(ran.code == Some(2) && ran.err.contains("cannot be advertised"), "{}", ran.err);
    // Longer than a label may be, so that no name server is asked.
    let nowhere = format!("{}:1", "x".repeat(70));
    let ran = weir(folder.path(), &["server", "--http-listen", &nowhere], &[])?;
    assert!(ran.code == Some(2) && ran.err.contains("cannot resolve the host name"), "{}", ran.err);
    let ran = weir(folder.path(), &["server", "--config", "nowhere.toml"], &[])?;
    assert!(ran.code == Some(2) && ran.err.contains("cannot read nowhere.toml"), "{}", ran.err);
    // Tools need no settings of a node.
    fs::write(folder.path().join("weir.toml"), "nonsense")?;
    assert_eq!(weir(folder.path(), &["aliases", "list"], &[])?.code, Some(0));
    Ok(())
}

#[test]
fn a_node_runs_by_its_file() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("weir.toml");
    fs::write(
        &file,
        "num.partitions = 3\nlog.retention.ms = 123456\nmax.message.bytes = 1\n[kafka]\nauto-create-topics = true\n",
    )?;
    let wrong = weir(folder.path(), &["server"], &[])?;
    assert!(
        wrong.code == Some(2) && wrong.err.contains("max.message.bytes"),
        "a topic's name is no broker's"
    );
    fs::write(
        &file,
        "num.partitions = 3\nlog.retention.ms = 123456\nmessage.max.bytes = 900000\n[kafka]\nauto-create-topics = true\n",
    )?;
    let data = folder.path().join("data");
    let start = || {
        ServerProcess::start_adjusted(&data, |command| {
            command.arg("--config").arg(&file);
        })
    };
    let mut server = start()?;
    let tool = |server: &ServerProcess, arguments: &[&str]| -> Result<String> {
        let ran = weir(folder.path(), arguments, &[("WEIR_BROKERS", &server.kafka)])?;
        assert_eq!(ran.code, Some(0), "{arguments:?}: {}{}", ran.out, ran.err);
        Ok(ran.out)
    };
    tool(&server, &["topic", "create", "t"])?;
    assert_eq!(tool(&server, &["topic", "describe", "t"])?.lines().count(), 3);
    let retention = |server: &ServerProcess| -> Result<Value> {
        let settings = tool(server, &["topic", "describe", "t", "--configs"])?;
        let line = settings.lines().find(|line| line.contains("\"retention.ms\"")).context("retention.ms")?;
        Ok(serde_json::from_str::<Value>(line)?["value"].clone())
    };
    assert_eq!(retention(&server)?, "123456");
    // What a file no longer says holds no longer.
    server.terminate(std::time::Duration::from_secs(30))?;
    fs::write(&file, "log.retention.ms = 99\n")?;
    let server = start()?;
    assert_eq!(retention(&server)?, "99");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn listeners_are_given_by_host_names() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = ServerProcess::start_at(folder.path(), "localhost:0", "localhost:0")?;
    server.sql().execute("SHOW STREAMS;").await?;
    let ran = weir(folder.path(), &["cluster", "metadata"], &[("WEIR_BROKERS", &server.kafka)])?;
    let port = server.kafka.rsplit_once(':').context("an address")?.1;
    assert!(ran.out.contains(&format!("localhost:{port}")), "advertised by its name: {}{}", ran.out, ran.err);
    Ok(())
}
