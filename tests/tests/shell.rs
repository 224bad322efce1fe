//! The SQL shell in a real terminal: editing, history, completion, colours, commands, Ctrl-C and Ctrl-D.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use tempfile::TempDir;
use weir_tests::server::ServerProcess;
use weir_tests::terminal::{BACKSPACE, COLUMNS, CTRL_C, CTRL_D, CTRL_R, ENTER, HOME, TAB, Terminal, UP};

const CLICKS: &str = "CREATE STREAM clicks (user STRING KEY, page STRING, ms INT) WITH (KAFKA_TOPIC='clicks', PARTITIONS=1, VALUE_FORMAT='JSON');";

const PROMPT: &str = "weir> ";

/// A server, and folders for it and for the homes of shells.
fn server() -> Result<(TempDir, ServerProcess)> {
    let folder = tempfile::tempdir()?;
    let server = ServerProcess::start(&folder.path().join("data"))?;
    Ok((folder, server))
}

fn shell(server: &ServerProcess, home: &Path) -> Result<Terminal> {
    let mut terminal = Terminal::start(&["--server", &server.http], home)?;
    terminal.expect("Type help for help.")?;
    terminal.expect(PROMPT)?;
    Ok(terminal)
}

#[test]
fn a_statement_of_many_lines_is_one_history_entry_and_outlives_the_shell() -> Result<()> {
    let (folder, server) = server()?;
    let mut terminal = shell(&server, folder.path())?;
    terminal.enter("SHOW")?;
    terminal.ask("TOPICS;", "Kafka Topic")?;
    terminal.send(UP)?;
    terminal.expect("SHOW\nTOPICS;")?;
    terminal.send(ENTER)?;
    terminal.expect("Kafka Topic")?;
    terminal.ask("SHOW \\", "")?;
    terminal.ask("STREAMS;", "Stream Name")?;
    terminal.ask("history", "    1  SHOW\n       TOPICS;")?;
    terminal.expect(PROMPT)?;
    terminal.send(CTRL_D)?;
    assert!(terminal.wait()?.success());
    let history = fs::read_to_string(folder.path().join(".weir_history"))?;
    assert!(history.contains("SHOW\\nTOPICS;\n"), "{history}");

    let mut terminal = shell(&server, folder.path())?;
    terminal.send(CTRL_R)?;
    terminal.expect("reverse-i-search")?;
    terminal.send("TOPI")?;
    terminal.expect("TOPICS;")?;
    terminal.send(ENTER)?;
    terminal.expect("Kafka Topic")?;
    terminal.enter("exit;")?;
    assert!(terminal.wait()?.success());
    Ok(())
}

#[test]
fn tab_completes_keywords_streams_and_columns() -> Result<()> {
    let (folder, server) = server()?;
    let mut terminal = shell(&server, folder.path())?;
    terminal.ask(CLICKS, "Stream created")?;
    terminal.expect(PROMPT)?;
    terminal.send(&format!("descr{TAB}"))?;
    terminal.expect("describe")?;
    terminal.send(&format!("click{TAB}"))?;
    terminal.expect("describe clicks")?;
    terminal.send(&format!(";{ENTER}"))?;
    terminal.expect("STRING (key)")?;
    terminal.send(&format!("SELECT clicks.pa{TAB}"))?;
    terminal.expect("SELECT clicks.page")?;
    // What stands before the cursor tells which source an alias means.
    terminal.send(CTRL_C)?;
    terminal.expect(&format!("\n{PROMPT}"))?;
    terminal.send(&format!("SELECT 1 FROM clicks c WHERE c.us{TAB}"))?;
    terminal.expect("WHERE c.user")?;
    terminal.send(CTRL_C)?;
    terminal.expect(&format!("\n{PROMPT}"))?;
    terminal.send(&format!("SELECT 1 FROM clicks c WHERE c.{TAB}{TAB}"))?;
    terminal.expect("\nuser  page  ms")?;
    Ok(())
}

#[test]
fn tab_offers_what_can_stand_there() -> Result<()> {
    let (folder, server) = server()?;
    let mut terminal = shell(&server, folder.path())?;
    terminal.ask(CLICKS, "Stream created")?;
    terminal.ask(
        "CREATE TABLE clients AS SELECT user, COUNT(*) AS n FROM clicks GROUP BY user;",
        "CTAS_CLIENTS",
    )?;
    terminal.expect(PROMPT)?;
    for (typed, expected) in [
        ("SELECT * FROM cli", "\nclicks   clients"),
        ("DROP STREAM cl", "DROP STREAM clicks"),
        ("DROP TABLE ", "DROP TABLE CLIENTS"),
        ("TERMINATE CTAS", "TERMINATE CTAS_CLIENTS_"),
        ("SHOW qu", "SHOW queries"),
        ("CREATE STREAM x (a INT) WITH (val", "value_"),
        ("CREATE STREAM x (a INT) WITH (VALUE_FORMAT='DEL", "VALUE_FORMAT='DELIMITED"),
        ("SET 'auto.off", "SET 'auto.offset.reset"),
        ("SET 'auto.offset.reset' = 'e", "= 'earliest"),
        ("PRINT 'clic", "PRINT 'clicks"),
    ] {
        // Several candidates are listed at the second Tab, and the line is drawn again below them.
        let listed = expected.starts_with('\n');
        terminal.send(&format!("{typed}{TAB}{}", if listed { TAB } else { "" }))?;
        terminal.expect(expected).with_context(|| typed.to_owned())?;
        if listed {
            terminal.expect(&format!("{PROMPT}{typed}"))?;
        }
        terminal.send(CTRL_C)?;
        terminal.expect(&format!("\n{PROMPT}"))?;
    }
    Ok(())
}

#[test]
fn what_is_typed_is_coloured_unless_that_is_unwanted() -> Result<()> {
    let (folder, server) = server()?;
    let mut terminal = shell(&server, folder.path())?;
    terminal.ask("SELECT 'text' FROM nowhere;", "Error:")?;
    terminal.expect("^^^")?;
    let raw = terminal.raw();
    assert!(raw.contains("\x1b[1;34mSELECT\x1b[0m"), "keywords are bold and blue: {raw:?}");
    assert!(raw.contains("\x1b[32m'text'\x1b[0m"), "strings are green: {raw:?}");
    assert!(raw.contains("\x1b[1;31mError:\x1b[0m"), "errors are red: {raw:?}");
    let mut plain = Terminal::start_with(&["--server", &server.http], folder.path(), &[("NO_COLOR", "1")])?;
    plain.expect(PROMPT)?;
    plain.ask("SELECT 'text' FROM nowhere;", "Error:")?;
    plain.expect("^^^")?;
    assert!(!plain.raw().contains("\x1b[1;3"), "{:?}", plain.raw());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_a_push_query_and_drops_a_line_but_keeps_the_shell() -> Result<()> {
    let (folder, server) = server()?;
    let mut terminal = shell(&server, folder.path())?;
    terminal.ask(CLICKS, "Stream created")?;
    terminal.ask("SELECT * FROM clicks EMIT CHANGES;", "USER   │ PAGE   │ MS")?;
    let sql = server.sql();
    sql.execute("INSERT INTO clicks (user, page, ms) VALUES ('ada', '/home', 120);").await?;
    terminal.expect("ada    │ /home  │    120")?;
    sql.execute("INSERT INTO clicks (user, page, ms) VALUES ('ada', '/a/longer/page', 7);").await?;
    terminal.expect("USER   │ PAGE           │ MS")?;
    terminal.expect("ada    │ /a/longer/page │      7")?;
    terminal.send(CTRL_C)?;
    terminal.expect("\nQuery terminated: 2 rows")?;
    terminal.expect(PROMPT)?;
    terminal.send("SELECT nonsense")?;
    terminal.expect("SELECT nonsense")?;
    terminal.send(CTRL_C)?;
    terminal.expect(&format!("\n{PROMPT}"))?;
    terminal.ask("SHOW TABLES;", "Table Name")?;
    assert!(!terminal.plain().contains("Error"), "{}", terminal.plain());
    terminal.expect(PROMPT)?;
    terminal.send(CTRL_D)?;
    assert!(terminal.wait()?.success());
    Ok(())
}

#[test]
fn the_commands_of_the_help_work() -> Result<()> {
    let (folder, server) = server()?;
    let mut terminal = shell(&server, folder.path())?;
    terminal.ask(r"\?", "SET CLI COLUMN-WIDTH")?;
    terminal.ask(r"\nope", r#"unknown command "\nope""#)?;
    terminal.ask(CLICKS, "Stream created")?;
    terminal.ask(
        "CREATE TABLE per_user AS SELECT user, COUNT(*) AS n FROM clicks GROUP BY user EMIT CHANGES;",
        "CTAS_PER_USER",
    )?;
    terminal.ask(r"\d", "CLICKS")?;
    terminal.expect("PER_USER")?;
    terminal.ask(r"\d clicks", "PAGE")?;
    terminal.ask(r"\d+ per_user", "Statement")?;
    terminal.ask(r"\dq", "CTAS_PER_USER")?;
    terminal.ask(r"\df", "ABS")?;
    terminal.ask(r"\timing", "Timing on.")?;
    terminal.ask("SHOW STREAMS;", " ms\n")?;
    terminal.ask(r"\timing off", "Timing off.")?;
    terminal.ask("version", "weir 0.")?;
    terminal.ask("server", &server.http)?;
    terminal.ask("DEFINE source = 'per_user';", PROMPT)?;
    terminal.ask("SHOW VARIABLES;", "source")?;
    terminal.ask("SELECT * FROM ${source};", "0 rows")?;
    terminal.ask("UNDEFINE source;", PROMPT)?;
    terminal.ask("UNDEFINE source;", "not defined")?;
    terminal.ask("SET 'auto.offset.reset' = 'earliest';", "Set property")?;
    terminal.ask("UNSET 'auto.offset.reset';", "was 'earliest'")?;
    terminal.ask("UNSET 'auto.offset.reset';", "was not set")?;
    terminal.ask("SET 'no.such.property' = '1';", "no.such.property")?;
    terminal.ask("SET CLI COLUMN-WIDTH 5", PROMPT)?;
    terminal.ask("SHOW STREAMS;", "Stre…")?;
    terminal.ask("SET CLI COLUMN-WIDTH 0;", PROMPT)?;
    terminal.ask("SET CLI COLOURS 1", "expected SET CLI WRAP")?;
    terminal.ask("output json", "Output format: JSON")?;
    terminal.ask("SHOW STREAMS;", r#""@type": "streams""#)?;
    terminal.ask("output tabular", "Output format: TABULAR")?;
    terminal.ask("output yaml", "none of TABULAR")?;
    terminal.enter(r"\q")?;
    assert!(terminal.wait()?.success());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_sized_to_their_data_and_to_the_terminal() -> Result<()> {
    let (folder, server) = server()?;
    let sql = server.sql();
    sql.execute(
        "CREATE TABLE wide (id INT PRIMARY KEY, a STRING, b STRING) \
         WITH (KAFKA_TOPIC='wide', PARTITIONS=1, VALUE_FORMAT='JSON');\
         CREATE TABLE seen AS SELECT * FROM wide;",
    )
    .await?;
    let long = "x".repeat(90);
    sql.execute(&format!(
        "INSERT INTO wide (id, a, b) VALUES (1, '{long}', '{long}'); INSERT INTO wide (id, a) VALUES (22, 'short');"
    ))
    .await?;
    let started = std::time::Instant::now();
    while sql.rows("SELECT * FROM seen;").await?.len() < 2 {
        assert!(started.elapsed().as_secs() < 60, "the rows do not show");
        tokio::task::yield_now().await;
    }
    let mut terminal = shell(&server, folder.path())?;
    terminal.ask("SELECT id, a FROM seen WHERE id = 22;", "│ ID ┆ A     │")?;
    terminal.expect("│ 22 ┆ short │")?;
    terminal.ask("SELECT * FROM seen ORDER BY id;", "xx… │")?;
    terminal.expect("│ 22 ┆ short")?;
    terminal.expect("┆ NULL")?;
    terminal.expect("2 rows (")?;
    let plain = terminal.plain();
    for line in plain.lines().filter(|line| line.starts_with('│')) {
        assert!(line.chars().count() <= COLUMNS, "{line}");
    }
    terminal.ask(r"\x", "Expanded display on.")?;
    terminal.ask("SELECT * FROM seen WHERE id = 22;", "-[ row 1 ]-\nID | 22\nA  | short\nB  | NULL")?;
    Ok(())
}

#[test]
fn a_spool_file_gets_commands_output_and_errors() -> Result<()> {
    let (folder, server) = server()?;
    let file = folder.path().join("session.txt");
    let mut terminal = shell(&server, folder.path())?;
    terminal.ask(&format!("SPOOL '{}';", file.display()), "Output is copied")?;
    terminal.ask("SHOW STREAMS;", "Stream Name")?;
    terminal.ask("SELECT * FROM nowhere;", "^^^")?;
    terminal.ask("spool off", "terminal only")?;
    terminal.ask("SHOW TABLES;", "Table Name")?;
    let text = fs::read_to_string(&file)?;
    for part in ["weir> SHOW STREAMS;\n", "Stream Name", "Error: ", "^^^"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains("Table Name") && !text.contains('\x1b'), "{text}");
    Ok(())
}

#[test]
fn scripts_run_from_the_shell_and_name_the_place_of_an_error() -> Result<()> {
    let (folder, server) = server()?;
    let script = folder.path().join("s.sql");
    fs::write(
        &script,
        "-- first\nSHOW STREAMS;\n\\timing on\nSHOW TABLES; SELECT * FROM nowhere;\nSHOW QUERIES;",
    )?;
    let mut terminal = shell(&server, folder.path())?;
    let run = format!("RUN SCRIPT '{}';", script.display());
    terminal.ask(&run, "Stream Name")?;
    terminal.expect("Timing on.")?;
    terminal.expect("Table Name")?;
    terminal.expect("s.sql:4: ")?;
    terminal.expect("line 4:28:")?;
    terminal.expect("^^^^^^^")?;
    terminal.expect(PROMPT)?;
    assert!(!terminal.plain().contains("Query ID"), "the script went on after its error");
    terminal.ask(&format!(r"\i {}", script.display()), "s.sql:4: ")?;
    terminal.ask("RUN SCRIPT '/no/such/file';", "No such file")?;
    fs::write(&script, format!("\\i {}\n", script.display()))?;
    terminal.ask(&run, "16th script within a script")?;
    terminal.ask("SHOW QUERIES;", "Query ID")?;
    Ok(())
}

#[test]
fn the_shell_outlives_its_server() -> Result<()> {
    let (folder, mut server) = server()?;
    let mut terminal = shell(&server, folder.path())?;
    terminal.ask(CLICKS, "Stream created")?;
    let (http, kafka) = (server.http.trim_start_matches("http://").to_owned(), server.kafka.clone());
    server.kill()?;
    terminal.ask("SHOW STREAMS;", "Error: cannot reach the server")?;
    let _server = ServerProcess::start_at(&folder.path().join("data"), &http, &kafka)?;
    terminal.ask("SHOW STREAMS;", "CLICKS")?;
    Ok(())
}

#[test]
fn what_is_typed_ahead_is_not_lost() -> Result<()> {
    let (folder, server) = server()?;
    let mut terminal = shell(&server, folder.path())?;
    terminal.send("SHOW STREAMS;\rSHOW TABLES;\rSHOW QUERIES;\r")?;
    for title in ["Stream Name", "Table Name", "Query ID"] {
        terminal.expect(title)?;
    }
    Ok(())
}

#[test]
fn lines_that_go_on_begin_with_a_mark() -> Result<()> {
    let (folder, server) = server()?;
    let mut terminal = shell(&server, folder.path())?;
    terminal.enter("SHOW")?;
    terminal.expect("\n   -> ")?;
    // Home stops behind the mark, and Backspace takes the whole mark.
    terminal.send(&format!("EAMS{HOME}STR"))?;
    terminal.expect("   -> STREAMS")?;
    terminal.send(&format!("{HOME}{BACKSPACE} "))?;
    terminal.expect("SHOW STREAMS")?;
    terminal.send(&format!("\x05;{ENTER}"))?;
    terminal.expect("Stream Name")?;
    terminal.expect(PROMPT)?;
    terminal.enter("DEFINE text = 'two")?;
    terminal.expect("\n   -> ")?;
    terminal.enter("lines';")?;
    terminal.expect("lines';")?;
    terminal.expect(PROMPT)?;
    terminal.ask("SHOW VARIABLES;", "two⏎lines")?;
    let history = fs::read_to_string(folder.path().join(".weir_history"))?;
    assert!(history.contains("SHOW STREAMS;\n") && history.contains("'two\\nlines';\n"), "{history}");
    let variables = [("NO_COLOR", "1")];
    let mut plain = Terminal::start_with(&["--server", &server.http], folder.path(), &variables)?;
    plain.expect(PROMPT)?;
    plain.enter("SHOW")?;
    plain.expect("\n   -> ")?;
    plain.enter("TABLES;")?;
    plain.expect("Table Name")?;
    Ok(())
}

#[test]
fn statements_are_edited_repeated_and_explained() -> Result<()> {
    let (folder, server) = server()?;
    let editor = "sed -i s/STREAMS/TOPICS/";
    let variables = [("VISUAL", editor), ("EDITOR", "false")];
    let mut terminal = Terminal::start_with(&["--server", &server.http], folder.path(), &variables)?;
    terminal.expect(PROMPT)?;
    terminal.ask("SHOW STREAMS;", "Stream Name")?;
    terminal.expect(PROMPT)?;
    // What the editor saves stands at the prompt.
    terminal.ask(r"\e", "SHOW TOPICS;")?;
    terminal.send(ENTER)?;
    terminal.expect("Kafka Topic")?;
    terminal.expect(PROMPT)?;
    terminal.ask(r"\watch 0.1 3", "(every 0.1 s)")?;
    for _ in 0..2 {
        terminal.expect("Kafka Topic")?;
        terminal.expect("(every 0.1 s)")?;
    }
    terminal.expect(PROMPT)?;
    terminal.ask(r"SHOW QUERIES; \watch 60", "(every 60 s)")?;
    terminal.send(CTRL_C)?;
    terminal.expect(PROMPT)?;
    terminal.ask(CLICKS, "Stream created")?;
    terminal.ask(r"\watch", "repeats the statement before it")?;
    terminal.ask(r"\watch x", "expected \\watch [SECONDS [TIMES]]")?;
    terminal.ask(r"\h create type", "CREATE TYPE [IF NOT EXISTS] name AS type;")?;
    terminal.ask(r"\h nothing", "no statement is called \"NOTHING\"")?;
    terminal.ask(r"\! echo one two", "one two")?;
    terminal.ask(r"\! exit 3", "the command ended with code 3")?;
    terminal.ask(r"\conninfo", &server.http)?;
    terminal.expect(PROMPT)?;
    terminal.send(&format!(r"\d cli{TAB};{ENTER}"))?;
    terminal.expect("STRING (key)")?;
    terminal.send(&format!(r"\h alter sy{TAB}"))?;
    terminal.expect(r"\h alter system")?;
    Ok(())
}

#[test]
fn an_editor_that_fails_changes_nothing() -> Result<()> {
    let (folder, server) = server()?;
    let variables = [("EDITOR", "false")];
    let mut terminal = Terminal::start_with(&["--server", &server.http], folder.path(), &variables)?;
    terminal.expect(PROMPT)?;
    terminal.ask("SHOW STREAMS;", "Stream Name")?;
    terminal.ask(r"\e", "the editor \"false\" ended with code 1")?;
    terminal.ask("SHOW TABLES;", "Table Name")?;
    Ok(())
}

#[test]
fn long_results_go_through_the_pager_of_the_environment() -> Result<()> {
    let (folder, server) = server()?;
    let variables = [("PAGER", "sed s/^/paged:/")];
    let mut terminal = Terminal::start_with(&["--server", &server.http], folder.path(), &variables)?;
    terminal.expect(PROMPT)?;
    terminal.ask("SHOW FUNCTIONS;", "paged:│ ABS")?;
    terminal.expect(PROMPT)?;
    terminal.ask("SHOW STREAMS;", "Stream Name")?;
    terminal.expect(PROMPT)?;
    assert!(!terminal.plain().contains("paged:│ KSQL_PROCESSING_LOG"), "a short result is printed");
    terminal.ask("SET CLI PAGER OFF;", PROMPT)?;
    terminal.ask("SHOW FUNCTIONS;", "\n│ ABS")?;
    terminal.expect(PROMPT)?;
    terminal.ask("SET CLI PAGER ON;", PROMPT)?;
    terminal.ask("SHOW FUNCTIONS;", "paged:│ ABS")?;
    Ok(())
}
