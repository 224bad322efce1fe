//! `weir -e`, `-f` and standard input: exit codes, forms of output, and where errors point.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::Value;
use weir_tests::server::{ServerProcess, weir_binary};
use weir_tests::tools::run;

struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

fn ran(output: Output) -> Result<Ran> {
    Ok(Ran {
        code: output.status.code(),
        out: String::from_utf8(output.stdout)?,
        err: String::from_utf8(output.stderr)?,
    })
}

fn weir(arguments: &[&str]) -> Result<Ran> {
    ran(Command::new(weir_binary()).args(arguments).stdin(Stdio::null()).output()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn output_has_the_form_that_is_asked_for() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = ServerProcess::start(folder.path())?;
    let sql = server.sql();
    sql.execute(
        "CREATE TABLE source (id INT PRIMARY KEY, name STRING) \
         WITH (KAFKA_TOPIC='t', PARTITIONS=1, VALUE_FORMAT='JSON');\
         CREATE TABLE t AS SELECT * FROM source;\
         INSERT INTO source (id, name) VALUES (1, 'a,\"b\"'); INSERT INTO source (id) VALUES (2);",
    )
    .await?;
    let started = std::time::Instant::now();
    while sql.rows("SELECT * FROM t;").await?.len() < 2 {
        assert!(started.elapsed().as_secs() < 60, "the rows do not show");
        tokio::task::yield_now().await;
    }
    let query = "SET 'auto.offset.reset' = 'earliest'; SELECT * FROM t ORDER BY id;";
    let run = |form: &str| weir(&["--server", &server.http, "--output", form, "-e", query]);
    assert_eq!(run("csv")?.out, "ID,NAME\n1,\"a,\"\"b\"\"\"\n2,\n");
    assert_eq!(run("ndjson")?.out, "{\"ID\":1,\"NAME\":\"a,\\\"b\\\"\"}\n{\"ID\":2,\"NAME\":null}\n");
    assert_eq!(run("markdown")?.out, "| ID | NAME |\n|---|---|\n| 1 | a,\"b\" |\n| 2 | NULL |\n");
    let table = run("table")?.out;
    assert!(table.contains("│ ID ┆ NAME  │") && table.contains("2 rows"), "{table}");
    assert_eq!(run("TABULAR")?.out.lines().count(), table.lines().count());
    // Without a terminal: JSON.
    let listed = weir(&["--server", &server.http, "-e", "SHOW TABLES;"])?;
    let entity: Value = serde_json::from_str(&listed.out).with_context(|| listed.out)?;
    assert_eq!(entity["tables"].as_array().map(Vec::len), Some(2));
    let listed = weir(&["--server", &server.http, "--output", "csv", "-e", "SHOW TABLES;"])?;
    assert!(listed.out.starts_with("Table Name,Kafka Topic,"), "{}", listed.out);
    let forms = |form: &str, sql: &str| weir(&["--server", &server.http, "--output", form, "-e", sql]);
    let listed = forms("ndjson", "SHOW TABLES;")?.out;
    let names = listed.lines().map(|line| Ok(serde_json::from_str::<Value>(line)?["name"].clone()));
    assert_eq!(names.collect::<Result<Vec<Value>>>()?, ["SOURCE", "T"]);
    assert_eq!(forms("csv", "DESCRIBE t;")?.out, "Field,Type\nID,INTEGER (primary key)\nNAME,STRING\n");
    let described = forms("ndjson", "DESCRIBE t;")?.out;
    assert_eq!(
        described.lines().next(),
        Some("{\"field\":\"ID\",\"type\":\"INTEGER (primary key)\"}"),
        "{described}"
    );
    assert_eq!(weir(&["--output", "xml"])?.code, Some(2));
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full")?;
    let lost = Command::new(weir_binary())
        .args(["--server", &server.http, "-e", "SHOW TABLES;"])
        .stdin(Stdio::null())
        .stdout(full)
        .output()?;
    assert_eq!(lost.status.code(), Some(1), "what could not be written is no success");
    Ok(())
}

#[test]
fn a_failing_statement_ends_a_script_and_is_pointed_at() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = ServerProcess::start(&folder.path().join("data"))?;
    let file = folder.path().join("s.sql");
    fs::write(
        &file,
        "SHOW STREAMS;\n-- it's a comment;\nSHOW TABLES;\n\n  SELECT x\n    FROM nowhere;\nSHOW QUERIES;\n",
    )?;
    let path = file.to_string_lossy().into_owned();
    let run = weir(&["-s", &server.http, "--output", "table", "-f", &path])?;
    assert_eq!(run.code, Some(1));
    assert!(run.out.contains("Table Name") && !run.out.contains("Query ID"), "{}", run.out);
    assert!(run.err.contains(&format!("Error: {path}:5: ")), "{}", run.err);
    assert!(run.err.contains("line 6:10:     FROM nowhere;"), "{}", run.err);
    let lines: Vec<&str> = run.err.lines().collect();
    let caret = lines.iter().position(|line| line.contains('^')).context("no caret")?;
    assert_eq!(lines[caret].find("^^^^^^^"), lines[caret - 1].find("nowhere"), "{}", run.err);
    // Errors are for people, whatever form the rows have.
    for form in ["json", "ndjson", "csv", "markdown"] {
        let other = weir(&["-s", &server.http, "--output", form, "-f", &path])?;
        assert_eq!(other.err, run.err, "{form}");
    }
    assert_eq!(weir(&["-s", &server.http, "-f", &path])?.err, run.err);

    let unfinished = weir(&["-s", &server.http, "--output", "table", "-e", "SHOW STREAMS"])?;
    assert_eq!((unfinished.code, unfinished.err.as_str()), (Some(0), ""));
    let both = weir(&["-s", &server.http, "-e", "SHOW STREAMS;", "-f", &path])?;
    assert_eq!(both.code, Some(2), "{}", both.err);
    Ok(())
}

#[test]
fn standard_input_is_a_script() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = ServerProcess::start(folder.path())?;
    let mut child = Command::new(weir_binary())
        .args(["-s", &server.http, "--output", "table"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().context("no standard input")?;
    stdin.write_all(b"\\ds\nSHOW TABLES;\nexit\nSHOW QUERIES;\n")?;
    drop(stdin);
    let run = ran(child.wait_with_output()?)?;
    assert_eq!(run.code, Some(0), "{}", run.err);
    assert!(run.out.contains("Stream Name") && run.out.contains("Table Name"), "{}", run.out);
    assert!(!run.out.contains("Query ID"), "{}", run.out);
    Ok(())
}

/// The statements of the README's quick start that end by themselves, as they stand there.
fn readme_statements() -> Result<String> {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md"))?;
    let section = readme.split("## Quick start").nth(1).context("no quick start")?;
    let block = section.split("weir> CREATE STREAM").nth(1).context("no example")?;
    let block = block.split("```").next().context("the example does not end")?;
    let lines = block.lines().filter(|line| !line.contains("EMIT CHANGES;                "));
    let lines: Vec<&str> = lines.map(|line| line.trim_start_matches("weir> ")).collect();
    Ok(format!("CREATE STREAM{}\n", lines.join("\n")))
}

#[test]
fn a_script_sees_the_rows_that_it_inserted() -> Result<()> {
    let statements = readme_statements()?;
    assert_eq!(statements.matches("SELECT * FROM per_user").count(), 2, "{statements}");
    for _ in 0..3 {
        let folder = tempfile::tempdir()?;
        let server = ServerProcess::start(folder.path())?;
        let mut child = Command::new(weir_binary())
            .args(["-s", &server.http, "--output", "csv"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut stdin = child.stdin.take().context("no standard input")?;
        stdin.write_all(statements.as_bytes())?;
        drop(stdin);
        let run = ran(child.wait_with_output()?)?;
        assert_eq!(run.code, Some(0), "{}", run.err);
        assert_eq!(run.out.lines().filter(|line| *line == "ada,1,120").count(), 2, "{}", run.out);
    }
    Ok(())
}

#[test]
fn print_ends_with_its_records() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = ServerProcess::start(folder.path())?;
    let run = weir(&[
        "-s",
        &server.http,
        "--output",
        "table",
        "-e",
        "CREATE STREAM s (k STRING KEY, n INT) WITH (KAFKA_TOPIC='s', PARTITIONS=1, VALUE_FORMAT='JSON');\
         INSERT INTO s VALUES ('a', 1); INSERT INTO s VALUES ('b', 2); PRINT s FROM BEGINNING LIMIT 2;",
    ])?;
    assert_eq!(run.code, Some(0), "{}", run.err);
    assert!(
        run.out.contains("Key format: KAFKA_STRING\nValue format: JSON or KAFKA_STRING\n"),
        "{}",
        run.out
    );
    assert!(run.out.trim_end().ends_with("\n2 records"), "{}", run.out);
    Ok(())
}

#[test]
fn set_refuses_wrong_values_and_warns_of_idle_settings() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = ServerProcess::start(folder.path())?;
    let set = |sql: &str| weir(&["-s", &server.http, "--output", "table", "-e", sql]);
    for refused in ["SET 'auto.offset.reset'='earlyest';", "SET 'producer.nonsense'='1';"] {
        let run = set(refused)?;
        assert_eq!(run.code, Some(1), "{refused}: {}", run.out);
    }
    let run = set("SET 'num.stream.threads'='4';")?;
    assert_eq!(run.code, Some(0), "{}", run.err);
    assert!(run.out.contains("'num.stream.threads' has no effect"), "{}", run.out);
    let run = set("SET 'auto.offset.reset'='earliest';")?;
    assert!(run.code == Some(0) && !run.out.contains("no effect"), "{}", run.out);
    Ok(())
}

#[test]
fn ctrl_c_ends_a_script_with_130() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = ServerProcess::start(folder.path())?;
    let sql = "CREATE STREAM s (x INT) WITH (KAFKA_TOPIC='s', PARTITIONS=1, VALUE_FORMAT='JSON');\
               SELECT * FROM s EMIT CHANGES; SHOW QUERIES;";
    let mut child = Command::new(weir_binary())
        .args(["-s", &server.http, "--output", "csv", "-e", sql])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut out = child.stdout.take().context("no standard output")?;
    let mut head = [0_u8; 2];
    std::io::Read::read_exact(&mut out, &mut head)?;
    assert_eq!(&head, b"X\n");
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status()?;
    assert!(killed.success());
    assert_eq!(child.wait()?.code(), Some(130));
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut out, &mut rest)?;
    assert_eq!(rest, "", "the script went on");
    Ok(())
}

#[test]
fn a_server_that_is_none_is_told_apart() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = ServerProcess::start(folder.path())?;
    let refused = weir(&["-s", "http://127.0.0.1:1", "-e", "SHOW STREAMS;"])?;
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("cannot reach the server at http://127.0.0.1:1"), "{}", refused.err);
    let scheme = weir(&["-s", "ftp://localhost:8088", "-e", "SHOW STREAMS;"])?;
    assert!(
        scheme.err.contains("is not a server address: the scheme is neither http nor https"),
        "{}",
        scheme.err
    );
    let kafka = weir(&["-s", &server.kafka, "-e", "SHOW STREAMS;"])?;
    assert_eq!(kafka.code, Some(1));
    assert!(kafka.err.contains(&server.kafka), "{}", kafka.err);
    let missing = weir(&["-s", &server.http, "-f", "/no/such/file.sql"])?;
    assert_eq!(missing.code, Some(1));
    assert!(missing.err.contains("/no/such/file.sql"), "{}", missing.err);
    Ok(())
}

#[test]
fn the_statements_of_the_recipe_run() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = ServerProcess::start(&folder.path().join("data"))?;
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/recipes/access-logs.md");
    let page = fs::read_to_string(page)?;
    let blocks: Vec<&str> =
        page.split("```sql\n").skip(1).filter_map(|rest| Some(rest.split_once("```")?.0)).collect();
    assert_eq!(blocks.len(), 3, "{page}");
    let tool = |arguments: &[&str], input: &str| -> Result<String> {
        let mut command = Command::new(weir_binary());
        let ran = run(command.args(arguments).env("WEIR_BROKERS", &server.kafka), input)?;
        assert_eq!(ran.code, Some(0), "{arguments:?}: {}{}", ran.out, ran.err);
        Ok(ran.out)
    };
    tool(&["topic", "create", "nginx", "-p", "2"], "")?;
    let row = r#"{"ts":"2026-11-30T20:54:21+00:00","ip":"127.0.0.1","method":"GET","path":"/broken","args":"",
        "status":500,"bytes":153,"duration":0.25,"agent":"curl/7.88.1","referer":""}"#;
    let sql = |text: &str| tool(&["--server", &server.http, "--query-timeout", "2000", "-e", text], "");
    let earliest = "SET 'auto.offset.reset' = 'earliest';\n";
    sql(&format!("{earliest}{}", blocks[0]))?;
    tool(&["produce", "nginx"], &row.replace('\n', ""))?;
    let started = Instant::now();
    loop {
        let rows = sql("SELECT status, requests, slowest FROM per_minute;")?;
        if rows.contains("[500,1,0.25]") {
            break;
        }
        assert!(started.elapsed().as_secs() < 120, "{rows}");
    }
    // The pull queries, and the push query until its time is up.
    let rows = sql(&format!("{earliest}{}", blocks[1]))?;
    for expected in [r#"["/broken",1,1]"#, "[500,1]", r#"["127.0.0.1","/broken",500]"#] {
        assert!(rows.contains(expected), "{expected}: {rows}");
    }
    sql(&format!("{earliest}{}", blocks[2]))?;
    Ok(())
}
