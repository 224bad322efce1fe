//! `weir migrate` through the real binary: what is applied, what is refused, and what a failure leaves behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use tempfile::TempDir;
use weir_tests::server::{ServerProcess, weir_binary};

struct Project {
    folder: TempDir,
    server: ServerProcess,
}

struct Ran {
    ok: bool,
    out: String,
    err: String,
}

impl Project {
    fn new() -> Result<Project> {
        let folder = tempfile::tempdir()?;
        let server = ServerProcess::start(&folder.path().join("data"))?;
        let project = Project { folder, server };
        let path = project.path().to_string_lossy().into_owned();
        let made =
            Command::new(weir_binary()).args(["migrate", "new", &path, &project.server.http]).output()?;
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Ok(project)
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("shop")
    }

    fn write(&self, version: u32, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.path().join(format!("migrations/V{version:06}__{name}.sql"));
        fs::write(&path, text)?;
        Ok(path)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(weir_binary());
        command.arg("migrate").args(arguments).arg("--project").arg(self.path());
        command
    }

    fn run(&self, arguments: &[&str]) -> Result<Ran> {
        let output = self.command(arguments).output()?;
        Ok(Ran {
            ok: output.status.success(),
            out: String::from_utf8(output.stdout)?,
            err: String::from_utf8(output.stderr)?,
        })
    }

    fn succeed(&self, arguments: &[&str]) -> Result<String> {
        let ran = self.run(arguments)?;
        assert!(ran.ok, "{arguments:?}: {}{}", ran.out, ran.err);
        Ok(ran.out)
    }

    /// Standard error of a command that must fail.
    fn fail(&self, arguments: &[&str]) -> Result<String> {
        let ran = self.run(arguments)?;
        assert!(!ran.ok, "{arguments:?} must fail: {}", ran.out);
        Ok(ran.err)
    }

    /// The cells of a version's line of `info`.
    fn info(&self, version: u32) -> Result<Vec<String>> {
        let out = self.succeed(&["info"])?;
        let lines = out.lines().map(|line| line.split(['│', '┆']).map(|c| c.trim().to_owned()));
        let mut rows = lines.map(|cells| cells.filter(|c| !c.is_empty()).collect::<Vec<String>>());
        rows.find(|cells| cells.first() == Some(&version.to_string())).with_context(|| out.clone())
    }
}

const STREAM: &str = "CREATE STREAM a (x INT) WITH (KAFKA_TOPIC='a', PARTITIONS=1, VALUE_FORMAT='JSON');\n";

#[test]
fn versions_are_made_applied_and_shown() -> Result<()> {
    let project = Project::new()?;
    let created = project.succeed(&["create", "add users"])?;
    assert!(created.contains("V000001__add_users.sql"), "{created}");
    assert!(project.succeed(&["create", "-v", "7", "later"])?.contains("V000007__later.sql"));
    assert!(project.fail(&["create", "-v", "7", "again"])?.contains("version 7 exists already"));
    assert!(project.fail(&["create", "-v", "1000000", "x"])?.contains("not between 1 and 999999"));
    assert!(project.fail(&["create", "-v", "0", "x"])?.contains("not between 1 and 999999"));
    fs::remove_file(project.path().join("migrations/V000007__later.sql"))?;

    project.write(1, "add_users", STREAM)?;
    project.write(2, "b", "CREATE STREAM b AS SELECT * FROM a;")?;
    project.write(3, "c", "CREATE STREAM c AS SELECT * FROM a;")?;
    fs::write(project.path().join("migrations/notes.txt"), "not a migration")?;
    let pending = project.info(1)?;
    assert_eq!(pending[..3], ["1", "add users", "PENDING"]);
    let next = project.run(&["apply", "--next"])?;
    assert!(next.ok && next.err.contains("\"notes.txt\" is not named"), "{}", next.err);
    assert_eq!(project.info(1)?[2..4], ["MIGRATED", "<none>"]);
    assert_eq!(project.info(2)?[2], "PENDING");
    project.succeed(&["apply", "--until", "2"])?;
    assert_eq!(project.info(2)?[2..4], ["MIGRATED", "1"]);
    assert!(project.fail(&["apply", "--until", "2"])?.contains("is not after version 2"));
    assert!(project.fail(&["apply", "--version", "9"])?.contains("there is no file for version 9"));
    project.succeed(&["apply", "--all"])?;
    assert!(project.succeed(&["apply", "--all"])?.contains("Nothing to apply: the server is at version 3"));
    assert!(project.succeed(&["validate"])?.contains("3 applied migration(s) unchanged"));
    // Which versions: exactly one way of saying so.
    assert!(!project.run(&["apply"])?.ok && !project.run(&["apply", "--all", "--next"])?.ok);
    // The names that ksql-migrations has.
    project.succeed(&["initialize-metadata"])?;
    project.succeed(&["destroy-metadata"])?;
    assert_eq!(project.info(3)?[2], "PENDING");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_shows_the_files_and_leaves_no_trace() -> Result<()> {
    let project = Project::new()?;
    project.write(1, "one", STREAM)?;
    let out = project.succeed(&["apply", "--all", "--dry-run"])?;
    assert!(out.contains("Applying version 1 - one") && out.contains("CREATE STREAM a"), "{out}");
    project.succeed(&["info"])?;
    project.succeed(&["validate"])?;
    // What would fail is found, and what an earlier file makes is known.
    project.server.sql().execute("CREATE STREAM other (x INT) WITH (KAFKA_TOPIC='there', PARTITIONS=3, VALUE_FORMAT='JSON'); DROP STREAM other;").await?;
    project.write(2, "two", "CREATE STREAM b AS SELECT x FROM a;\nCREATE STREAM t (x INT) WITH (KAFKA_TOPIC='there', VALUE_FORMAT='JSON');")?;
    project.succeed(&["apply", "--all", "--dry-run"])?;
    let bad = project.write(3, "three", "CREATE STREAM c AS\n  SELECT nope FROM b;")?;
    let error = project.fail(&["apply", "--all", "--dry-run"])?;
    assert!(error.contains("V000003__three.sql:1: ") && error.contains("^^^^"), "{error}");
    fs::remove_file(bad)?;
    let listed = project.server.sql().execute("SHOW STREAMS; SHOW TABLES;").await?;
    assert!(!listed.to_string().contains("MIGRATION") && !listed.to_string().contains("\"A\""), "{listed}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_statement_is_recorded_and_the_version_can_be_applied_again() -> Result<()> {
    let project = Project::new()?;
    project.write(1, "one", STREAM)?;
    let broken = project.write(2, "two", "CREATE STREAM b AS SELECT * FROM a;\n\nCREATE STREAM c AS\n  SELECT * FROM nowhere;\nCREATE STREAM d AS SELECT * FROM a;")?;
    project.write(3, "three", "CREATE STREAM e AS SELECT * FROM a;")?;
    let error = project.fail(&["apply", "--all"])?;
    assert!(error.contains("V000002__two.sql:3: "), "{error}");
    assert!(error.contains("line 4:17:") && error.contains("^^^^^^^"), "the place is the file's: {error}");
    let streams = project.server.sql().execute("SHOW STREAMS;").await?.to_string();
    assert!(
        streams.contains("\"B\"") && !streams.contains("\"D\"") && !streams.contains("\"E\""),
        "{streams}"
    );
    let info = project.info(2)?;
    assert_eq!(info[2], "ERROR");
    assert!(info.last().is_some_and(|reason| reason.contains("V000002")), "{info:?}");
    assert_eq!(project.info(3)?[2], "PENDING");
    // What is applied is still checked; what failed may change.
    let validated = project.run(&["validate"])?;
    assert!(!validated.ok && validated.out.contains("1 applied migration(s) unchanged"), "{}", validated.out);
    assert!(validated.err.contains("version 2 is in ERROR"), "{}", validated.err);
    let checked = project.fail(&["info", "--check"])?;
    assert!(
        checked.contains("not everything is applied: version 2 is ERROR, version 3 is PENDING"),
        "{checked}"
    );
    fs::write(&broken, "CREATE STREAM c AS SELECT * FROM a;")?;
    let again = project.run(&["apply", "--all"])?;
    assert!(again.ok && again.err.contains("have changed: the file runs from its start"), "{}", again.err);
    assert_eq!(project.info(2)?[2..4], ["MIGRATED", "1"]);
    assert_eq!(project.info(3)?[2..4], ["MIGRATED", "2"]);
    project.succeed(&["info", "--check"])?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrected_file_goes_on_at_the_statement_that_failed() -> Result<()> {
    let project = Project::new()?;
    let text = |column: &str| {
        format!(
            "DEFINE topic = 'a';\nCREATE STREAM a (x INT) WITH (KAFKA_TOPIC='${{topic}}', PARTITIONS=1, VALUE_FORMAT='JSON');\n\
             -- a comment\nCREATE STREAM b AS SELECT {column} FROM a;\nCREATE STREAM c AS SELECT * FROM b;"
        )
    };
    let path = project.write(1, "one", &text("nope"))?;
    let error = project.fail(&["apply", "--all"])?;
    assert!(error.contains("V000001__one.sql:4: "), "{error}");
    assert!(error.contains("Hint: the 2 statement(s) before it stay applied"), "{error}");
    let info = project.info(1)?;
    assert!(info.last().is_some_and(|reason| !reason.contains("statements applied")), "{info:?}");
    fs::write(&path, text("x"))?;
    let applied = project.succeed(&["apply", "--all"])?;
    assert!(applied.contains("Its first 2 statement(s) are applied already"), "{applied}");
    project.succeed(&["info", "--check"])?;
    let streams = project.server.sql().execute("SHOW STREAMS;").await?.to_string();
    assert!(["\"A\"", "\"B\"", "\"C\""].iter().all(|name| streams.contains(name)), "{streams}");
    Ok(())
}

#[test]
fn changed_missing_and_doubled_files_are_refused() -> Result<()> {
    let project = Project::new()?;
    let one = project.write(1, "one", STREAM)?;
    project.write(2, "two", "CREATE STREAM b AS SELECT * FROM a;")?;
    project.succeed(&["apply", "--all"])?;
    fs::write(&one, format!("{STREAM}-- changed\n"))?;
    for command in [&["validate"][..], &["apply", "--all"]] {
        let error = project.fail(command)?;
        assert!(error.contains("has changed since version 1 was applied"), "{error}");
    }
    assert!(project.fail(&["info", "--check"])?.contains("version 1 is MIGRATED, FILE CHANGED"));
    fs::remove_file(&one)?;
    assert_eq!(project.info(1)?[1..3], ["one", "MIGRATED, FILE MISSING"]);
    for command in [&["validate"][..], &["apply", "--all"]] {
        assert!(project.fail(command)?.contains("the file of applied version 1 is missing"));
    }
    project.write(1, "one", STREAM)?;
    project.succeed(&["validate"])?;
    project.write(2, "again", STREAM)?;
    for command in [&["validate"][..], &["apply", "--all"], &["info"], &["create", "x"]] {
        assert!(project.fail(command)?.contains("version 2 has two files"));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_belong_in_a_migration_is_found_before_anything_runs() -> Result<()> {
    let project = Project::new()?;
    let path = project.write(1, "one", &format!("{STREAM}SELECT * FROM a;"))?;
    let error = project.fail(&["apply", "--all"])?;
    assert!(error.contains("one.sql:2: SELECT statements do not belong in migrations"), "{error}");
    fs::write(&path, STREAM.trim_end().trim_end_matches(';'))?;
    assert!(project.fail(&["apply", "--all"])?.contains("does not end with \";\""));
    let streams = project.server.sql().execute("SHOW STREAMS;").await?.to_string();
    assert!(!streams.contains("\"A\""), "{streams}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_hold_for_one_file() -> Result<()> {
    let project = Project::new()?;
    project.write(
        1,
        "one",
        "DEFINE topic = 'inner';\nSET 'auto.offset.reset' = 'earliest';\n\
         CREATE STREAM ${name} (x INT) WITH (KAFKA_TOPIC='${topic}', PARTITIONS=1, VALUE_FORMAT='JSON');\n\
         UNDEFINE topic;\nUNSET 'auto.offset.reset';\n",
    )?;
    project.write(
        2,
        "two",
        "CREATE STREAM two (x INT) WITH (KAFKA_TOPIC='${topic}', PARTITIONS=1, VALUE_FORMAT='JSON');",
    )?;
    assert!(project.fail(&["apply", "--all", "-d", "noequals"])?.contains("is not NAME=VALUE"));
    assert_eq!(project.info(1)?[2], "PENDING");
    project.succeed(&["apply", "--next", "-d", "name=made"])?;
    let shown = project.server.sql().execute("SHOW STREAMS;").await?.to_string();
    assert!(shown.contains("\"MADE\"") && shown.contains("\"inner\""), "{shown}");
    assert!(!project.run(&["apply", "--next"])?.ok, "topic is defined in the first file only");
    project.succeed(&["apply", "--next", "-d", "topic=outer"])?;
    Ok(())
}

#[test]
fn of_two_that_apply_at_once_one_wins() -> Result<()> {
    let project = Project::new()?;
    project.write(1, "one", STREAM)?;
    project.write(2, "two", "CREATE STREAM b AS SELECT * FROM a;")?;
    project.succeed(&["initialize-metadata"])?;
    let children: Vec<Child> = (0..3)
        .map(|_| {
            let mut command = project.command(&["apply", "--all"]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
        })
        .collect::<std::io::Result<_>>()?;
    let mut winners = 0;
    for child in children {
        let output = child.wait_with_output()?;
        let text = String::from_utf8(output.stdout)?;
        let error = String::from_utf8(output.stderr)?;
        if output.status.success() {
            winners += usize::from(text.contains("Applying version 1"));
        } else {
            let known = ["another process", "is RUNNING on the server"].iter().any(|k| error.contains(k));
            assert!(known, "{error}");
        }
    }
    assert_eq!(winners, 1, "each file is applied once");
    assert_eq!(project.info(1)?[2], "MIGRATED");
    assert_eq!(project.info(2)?[2], "MIGRATED");
    assert!(project.succeed(&["validate"])?.contains("2 applied"));
    Ok(())
}

#[test]
fn the_configuration_file_says_where_things_are() -> Result<()> {
    let project = Project::new()?;
    let folder = project.folder.path().join("elsewhere");
    fs::create_dir_all(folder.join("sql"))?;
    fs::write(folder.join("sql/V000001__one.sql"), STREAM)?;
    let config = folder.join("my.properties");
    let text = format!(
        "# comment\nksql.server.url={}\nksql.migrations.dir.override=sql\nksql.migrations.stream.name=EV\n\
         ksql.migrations.table.name=VERS\n",
        project.server.http
    );
    fs::write(&config, text)?;
    let run = |arguments: &[&str]| {
        Command::new(weir_binary()).args(["migrate", "-c"]).arg(&config).args(arguments).output()
    };
    let applied = run(&["apply", "-a"])?;
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    let listed = Command::new(weir_binary())
        .args(["-s", &project.server.http, "--output", "csv", "-e", "SHOW STREAMS; SHOW TABLES;"])
        .output()?;
    let listed = String::from_utf8(listed.stdout)?;
    assert!(listed.contains("\nEV,ksql_EV,") && listed.contains("\nVERS,ksql_VERS,"), "{listed}");
    let no_project = Command::new(weir_binary())
        .args(["migrate", "info", "--project", "/tmp/no/such/project"])
        .output()?;
    assert_eq!(no_project.status.code(), Some(1));
    assert!(Path::new(&config).exists());
    Ok(())
}
