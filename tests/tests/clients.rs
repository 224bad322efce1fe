//! Real Kafka clients against the real binary. `make setup-clients` installs them.
//!
//! Every client has a script in `tests/clients` which tries the same list of behaviours. What does not work is listed
//! in `tests/clients/findings.toml`, with its cause.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde::Deserialize;
use weir_tests::clients::{self, Outcome, Report};
use weir_tests::server::ServerProcess;

/// What every script tries, in its order.
const BEHAVIOURS: &str = include_str!("../clients/behaviours.txt");

/// What is tried of all that: `WEIR_CLIENT=NAME[:BEHAVIOUR,...]` limits it, for work on a script or the broker.
#[derive(Debug, Default, Clone)]
struct Selection {
    client: Option<String>,
    behaviours: Vec<String>,
}

impl Selection {
    fn from_environment() -> Selection {
        let Ok(text) = std::env::var("WEIR_CLIENT") else { return Selection::default() };
        let (client, behaviours) = text.split_once(':').unwrap_or((&text, ""));
        let behaviours = behaviours.split(',').filter(|b| !b.is_empty()).map(str::to_owned).collect();
        Selection { client: Some(client.to_owned()), behaviours }
    }

    fn has(&self, client: Client) -> bool {
        self.client.as_ref().is_none_or(|name| name == client.name)
    }

    fn behaviours(&self) -> Vec<&str> {
        let tried = |name: &&str| self.behaviours.is_empty() || self.behaviours.iter().any(|b| b == name);
        BEHAVIOURS.split_whitespace().filter(tried).collect()
    }
}

/// True where the clients must be there; elsewhere a missing client is told and passed over.
fn clients_required() -> bool {
    std::env::var_os("CI").is_some() || std::env::var_os("WEIR_CLIENTS").is_some()
}

fn has_kcat() -> bool {
    Command::new("kcat").arg("-V").output().is_ok_and(|o| o.status.success())
}

fn kcat(server: &ServerProcess, arguments: &[&str], input: &str) -> Result<String> {
    let mut child = Command::new("kcat")
        .args(["-b", &server.kafka])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    child.stdin.take().context("no standard input")?.write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "kcat {arguments:?}: {error}");
    Ok(String::from_utf8(output.stdout)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn kcat_and_sql_share_topics() -> Result<()> {
    if !has_kcat() {
        assert!(!clients_required(), "kcat is not installed");
        println!("0 of 1 run: kcat is not installed");
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let server = ServerProcess::start(folder.path())?;
    let sql = server.sql();
    sql.execute(
        "CREATE STREAM s (k STRING KEY, n INT) WITH (KAFKA_TOPIC='s', PARTITIONS=2, VALUE_FORMAT='JSON');\
         CREATE TABLE t AS SELECT k, SUM(n) AS total FROM s GROUP BY k EMIT CHANGES;",
    )
    .await?;
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let input: String = (1..=100).map(|n| format!("{codec}:{{\"n\":{n}}}\n")).collect();
        kcat(&server, &["-P", "-t", "s", "-K", ":", "-z", codec], &input)?;
    }
    let read = kcat(&server, &["-C", "-t", "s", "-e", "-q", "-f", "%k %s\n"], "")?;
    assert_eq!(read.lines().count(), 500);
    let listing = kcat(&server, &["-L", "-J"], "")?;
    assert!(listing.contains("\"topic\":\"s\""), "{listing}");
    let started = std::time::Instant::now();
    loop {
        let rows = sql.rows("SELECT k, total FROM t;").await?;
        if rows.len() == 5 && rows.iter().all(|r| r[1] == 5_050) {
            break;
        }
        assert!(started.elapsed() < std::time::Duration::from_secs(120), "{rows:?}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let changes = kcat(&server, &["-C", "-t", "T", "-e", "-q", "-f", "%k %s\n"], "")?;
    assert!(changes.lines().any(|l| l == "zstd {\"TOTAL\":5050}"), "{changes}");
    Ok(())
}

#[test]
fn topics_are_made_on_demand_where_that_is_allowed() -> Result<()> {
    if !has_kcat() {
        assert!(!clients_required(), "kcat is not installed");
        println!("0 of 1 run: kcat is not installed");
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let server = ServerProcess::start_adjusted(folder.path(), |command| {
        command.arg("--auto-create-topics");
    })?;
    kcat(&server, &["-P", "-t", "made-on-demand"], "x\n")?;
    assert_eq!(kcat(&server, &["-C", "-t", "made-on-demand", "-e", "-q"], "")?, "x\n");
    Ok(())
}

/// Where `make setup-clients` puts the clients.
fn clients_dir() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
    std::env::var_os("WEIR_CLIENTS").map_or_else(|| home().join(".cache/weir/clients"), PathBuf::from)
}

/// How a client's script is started.
#[derive(Debug, Clone, Copy)]
enum Language {
    Python,
    Node,
    Java,
}

/// A client and its script.
#[derive(Debug, Clone, Copy)]
struct Client {
    name: &'static str,
    language: Language,
    script: &'static str,
}

const CLIENTS: &[Client] = &[
    Client { name: "kafka-clients", language: Language::Java, script: "java" },
    Client { name: "confluent-kafka", language: Language::Python, script: "confluent_client.py" },
    Client { name: "kcat", language: Language::Python, script: "kcat_client.py" },
    Client { name: "kafka-python", language: Language::Python, script: "kafka_python_client.py" },
    Client { name: "aiokafka", language: Language::Python, script: "aiokafka_client.py" },
    Client { name: "kafkajs", language: Language::Node, script: "kafkajs_client.js" },
    Client { name: "@platformatic/kafka", language: Language::Node, script: "platformatic_client.js" },
];

impl Client {
    fn is_installed(self, installed: &Path) -> bool {
        let packages = match self.language {
            Language::Python => installed.join("venv/bin/python"),
            Language::Node => installed.join("node_modules/kafkajs"),
            Language::Java => installed.join("jars"),
        };
        let program = match self.language {
            Language::Python => has_kcat(),
            Language::Node => true,
            Language::Java => Command::new("java").arg("-version").output().is_ok_and(|o| o.status.success()),
        };
        program && packages.exists()
    }

    /// `compiled` is a folder for what a compiler makes of the script.
    fn command(self, installed: &Path, compiled: &Path) -> Result<Command> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(self.script);
        let mut command = match self.language {
            Language::Python => Command::new(installed.join("venv/bin/python")),
            Language::Node => Command::new(installed.join("venv/bin/node")),
            Language::Java => Command::new("java"),
        };
        match self.language {
            Language::Python => command.arg(script),
            Language::Node => command.env("NODE_PATH", installed.join("node_modules")).arg(script),
            Language::Java => {
                let jars = installed.join("jars/*");
                compile_java(&script, compiled, &jars)?;
                command.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp"]);
                command.arg(format!("{}:{}", compiled.display(), jars.display())).arg("weir.JavaClient")
            }
        };
        Ok(command)
    }
}

fn compile_java(sources: &Path, target: &Path, jars: &Path) -> Result<()> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(sources)? {
        files.push(entry?.path());
    }
    let output = Command::new("javac").arg("-d").arg(target).arg("-cp").arg(jars).args(files).output()?;
    assert!(output.status.success(), "javac: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

#[derive(Debug, Deserialize)]
struct Findings {
    finding: Vec<Finding>,
}

#[derive(Debug, Deserialize)]
struct Finding {
    client: String,
    behaviour: String,
    cause: String,
}

fn findings() -> Result<Vec<Finding>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/findings.toml");
    let findings: Findings = toml::from_str(&std::fs::read_to_string(path)?)?;
    Ok(findings.finding)
}

/// What is wrong with a report, given the findings that are known.
fn complaints(client: Client, tried: &[&str], report: &Report, known: &[Finding]) -> Vec<String> {
    let mut complaints = Vec::new();
    let name = client.name;
    if let Some(broken) = &report.broken {
        complaints.push(format!("{name}: {broken}"));
    }
    for &behaviour in tried {
        let listed = known.iter().find(|f| f.client == name && f.behaviour == behaviour);
        match (report.outcomes.get(behaviour), listed) {
            (Some(Outcome::Pass | Outcome::None(_)), None) | (Some(Outcome::Fail(_)), Some(_)) => {}
            (Some(Outcome::Pass | Outcome::None(_)), Some(finding)) => complaints.push(format!(
                "{name} {behaviour}: works, remove it from findings.toml (\"{}\")",
                finding.cause
            )),
            (Some(Outcome::Fail(cause)), None) => complaints.push(format!("{name} {behaviour}: {cause}")),
            (None, _) => complaints.push(format!("{name} {behaviour}: not reported")),
        }
    }
    let unknown = report.outcomes.keys().filter(|b| !tried.contains(&b.as_str()));
    complaints.extend(unknown.map(|b| format!("{name} {b}: no such behaviour")));
    complaints
}

/// What kcat's script asks confluent-kafka to send: kcat makes no topics.
const NOT_BY_KCAT: [&str; 2] = ["CreateTopics", "DeleteTopics"];

/// Which APIs each client has sent, a line for each client.
fn sent(reports: &BTreeMap<&str, Report>) -> BTreeMap<String, BTreeSet<String>> {
    let by = |(&client, report): (&&str, &Report)| {
        let own = |api: &&str| client != "kcat" || !NOT_BY_KCAT.contains(api);
        let sent = report.requests.iter().filter(|(_, count)| **count > 0).map(|(api, _)| api.as_str());
        (client.to_owned(), sent.filter(own).map(str::to_owned).collect())
    };
    reports.iter().map(by).collect()
}

/// APIs that `clients/apis.txt`, which the compatibility page is made of, says a client sends, but it did not.
/// `UPDATE_GOLDEN=1` writes the file anew.
fn unsent(reports: &BTreeMap<&str, Report>) -> Result<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/apis.txt");
    let sent = sent(reports);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let line = |(client, apis): (&String, &BTreeSet<String>)| {
            format!("{client}: {}\n", apis.iter().map(String::as_str).collect::<Vec<_>>().join(" "))
        };
        std::fs::write(&path, sent.iter().map(line).collect::<String>())?;
    }
    let mut unsent = Vec::new();
    for line in std::fs::read_to_string(&path)?.lines() {
        let (client, apis) = line.split_once(':').context("a line of apis.txt is CLIENT: API...")?;
        let seen = sent.get(client).with_context(|| format!("apis.txt names {client}"))?;
        let missing = apis.split_whitespace().filter(|api| !seen.contains(*api));
        unsent
            .extend(missing.map(|api| format!("{client}: has not sent {api}, which apis.txt says it does")));
    }
    Ok(unsent)
}

fn print_table(tried: &[&str], reports: &BTreeMap<&str, Report>) {
    let names: Vec<&str> = reports.keys().copied().collect();
    println!("{:24}{}", "", names.iter().map(|n| format!("{n:>18}")).collect::<String>());
    for &behaviour in tried {
        let cell = |report: &Report| match report.outcomes.get(behaviour) {
            Some(Outcome::Pass) => "yes",
            Some(Outcome::Fail(_)) => "FAILS",
            Some(Outcome::None(_)) => "not in client",
            None => "?",
        };
        let cells: String = reports.values().map(|r| format!("{:>18}", cell(r))).collect();
        println!("{behaviour:24}{cells}");
    }
    let took: String = reports.values().map(|r| format!("{:>16.1} s", r.took.as_secs_f64())).collect();
    println!("{:24}{took}", "took");
}

/// Runs a client's script; what was too late, beside all the other clients, is tried once more.
fn run_client(client: Client, installed: &Path, compiled: &Path, only: &[String]) -> Result<Report> {
    let mut report = clients::run(&mut client.command(installed, compiled)?, only)?;
    let known = findings()?;
    let is_known = |name: &String| known.iter().any(|f| f.client == client.name && f.behaviour == *name);
    let late: Vec<String> = report.late().into_iter().filter(|name| !is_known(name)).collect();
    if !late.is_empty() {
        for name in &late {
            println!("{} {name}: tried once more after {:?}", client.name, report.outcomes.get(name));
        }
        report.replace(clients::run(&mut client.command(installed, compiled)?, &late)?);
    }
    Ok(report)
}

#[test]
fn every_client_behaves_as_with_kafka() -> Result<()> {
    let installed = clients_dir();
    let selection = Selection::from_environment();
    let tried = selection.behaviours();
    let (there, missing): (Vec<Client>, Vec<Client>) = CLIENTS
        .iter()
        .filter(|client| selection.has(**client))
        .partition(|client| client.is_installed(&installed));
    assert!(!tried.is_empty() && there.len() + missing.len() > 0, "WEIR_CLIENT selects nothing");
    if !missing.is_empty() {
        let names: Vec<&str> = missing.iter().map(|client| client.name).collect();
        let what = format!("{} of {} clients NOT RUN: {}", missing.len(), CLIENTS.len(), names.join(", "));
        assert!(!clients_required(), "{what}; `make setup-clients` installs them");
        println!("{what}; `make setup-clients` installs them");
    }
    let compiled = tempfile::tempdir()?;
    let running: Vec<_> = there
        .into_iter()
        .map(|client| {
            let (installed, compiled) = (installed.clone(), compiled.path().to_owned());
            let only = selection.behaviours.clone();
            let run = move || run_client(client, &installed, &compiled, &only);
            (client, std::thread::spawn(run))
        })
        .collect();
    let known = findings()?;
    let mut reports = BTreeMap::new();
    let mut wrong = Vec::new();
    for (client, running) in running {
        let report = running.join().expect("the thread does not panic")?;
        wrong.extend(complaints(client, &tried, &report, &known));
        reports.insert(client.name, report);
    }
    print_table(&tried, &reports);
    if missing.is_empty() && selection.client.is_none() {
        wrong.extend(unsent(&reports)?);
    }
    assert!(wrong.is_empty(), "{} surprises:\n{}", wrong.len(), wrong.join("\n"));
    Ok(())
}

/// Runs a script of `clients/` against a fresh server; it prints "all ok" at its end.
fn run_script(name: &str) -> Result<()> {
    let python = clients_dir().join("venv/bin/python");
    if !python.exists() {
        assert!(!clients_required(), "confluent-kafka is not installed");
        println!("0 of 1 run: confluent-kafka is not installed; `make setup-clients` installs it");
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let server = ServerProcess::start(folder.path())?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(name);
    let output = Command::new(python).arg(script).arg(&server.kafka).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("all ok"), "{text}");
    Ok(())
}

#[test]
fn confluent_kafka_shares_topics_by_the_newer_group_protocol() -> Result<()> {
    run_script("consumer_protocol.py")
}
