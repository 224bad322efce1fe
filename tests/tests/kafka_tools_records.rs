//! `weir produce` and `weir consume` beyond lines: delimiters, whole files, ranges, several topics, transactions, limits.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use weir_tests::server::weir_binary;
use weir_tests::tools::ToolNode;

/// Standard output of a tool as bytes.
fn bytes(node: &ToolNode, arguments: &[&str]) -> Result<Vec<u8>> {
    let output =
        Command::new(weir_binary()).args(arguments).env("WEIR_BROKERS", &node.server.kafka).output()?;
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}

#[test]
fn any_bytes_go_in_and_come_out() -> Result<()> {
    let node = ToolNode::start()?;
    node.weir(&["topic", "create", "t", "whole"])?;
    let file = node.folder.path().join("bytes");
    let all: Vec<u8> = (0..=255).collect();
    fs::write(&file, &all)?;
    let path = file.to_string_lossy().into_owned();
    node.weir(&["produce", "whole", "-k", "file", "--whole", &path])?;
    assert_eq!(bytes(&node, &["consume", "whole", "-e", "-q", "-f", "%s"])?, all);
    assert_eq!(bytes(&node, &["consume", "whole", "-e", "-q", "-D", r"\x00\xff", "-K", r"\t"])?, {
        [&b"file\t"[..], &all, &[0, 0xff]].concat()
    });
    // Cut at a delimiter that is no text, and printed with another.
    node.weir_with(&["produce", "t", "-D", r"\x00", "-K", "=", "-c", "3"], "a=1\0b=\0c\0d=4")?;
    let read = bytes(&node, &["consume", "t", "-e", "-q", "-K", ":", "-D", ";", "-Z"])?;
    assert_eq!(String::from_utf8(read)?, "a:1;b:;NULL:c;");
    assert_eq!(
        node.weir(&["consume", "t", "-e", "-q", "-O", "-K", "/", "--null", "-"])?,
        "0/a/1\n1/b/\n2/-/c\n"
    );
    assert_eq!(bytes(&node, &["consume", "t", "-o", "1:2", "-q", "-f", "%R%s"])?, [0; 4]);
    let teed = node.weir_with(&["produce", "t", "-T", "-q", "-p", "-1"], "x\ny\n")?;
    assert_eq!(teed, "x\ny\n");
    assert!(node.fails(&["produce", "t", "-D", ""], "", 2)?.contains("the delimiter is empty"));
    Ok(())
}

#[test]
fn ranges_end_where_they_are_told() -> Result<()> {
    let node = ToolNode::start()?;
    node.weir(&["topic", "create", "t"])?;
    let lines: String =
        (0..10).map(|n| format!("{{\"value\": \"{n}\", \"timestamp\": {}}}\n", 1_000 * n)).collect();
    node.weir_with(&["produce", "t", "--json"], &lines)?;
    for (place, expected) in [
        (&["-o", "2:5"][..], "234"),
        (&["-o", ":3"], "012"),
        (&["-o", ":end"], "0123456789"),
        (&["-o", "+7", "-e"], "789"),
        (&["-o", "-3:end"], "789"),
        (&["-o", "@2000:5000"], "234"),
        (&["-o", "@1970-01-01T00:00:08Z:end"], "89"),
        (&["-o", "s@7000", "-o", "e@9000"], "78"),
        (&["-o", "e@2000"], "01"),
        (&["-o", "@-1h", "-e"], ""),
        (&["-o", "5:5"], ""),
        (&["-o", "8:99"], "89"),
        (&["-n", "2"], "01"),
        (&["--timeout-ms", "200"], "0123456789"),
    ] {
        let arguments = [&["consume", "t", "-q", "-f", "%s"], place].concat();
        assert_eq!(node.weir(&arguments)?, expected, "{place:?}");
    }
    assert!(node.fails(&["consume", "t", "-o", "1", "-o", "2"], "", 2)?.contains("contradicts"));
    assert!(node.fails(&["consume", "t", "-o", "5:x"], "", 2)?.contains("5:x"));
    Ok(())
}

#[test]
fn several_topics_are_read_alone_and_in_a_group() -> Result<()> {
    let node = ToolNode::start()?;
    node.weir(&["topic", "create", "a", "b", "c", "-p", "2"])?;
    for topic in ["a", "b", "c"] {
        node.weir_with(&["produce", topic, "-p", "1"], &format!("{topic}1\n{topic}2\n"))?;
    }
    let sorted = |text: String| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines.join(" ")
    };
    let read = |arguments: &[&str]| -> Result<String> {
        Ok(sorted(node.weir(&[&["consume", "-e", "-q", "-f", "%t:%s\\n"], arguments].concat())?))
    };
    assert_eq!(read(&["a", "b"])?, "a:a1 a:a2 b:b1 b:b2");
    assert_eq!(read(&["-t", "a", "-t", "c", "-p", "1", "-o", "-1"])?, "a:a2 c:c2");
    assert_eq!(read(&["a", "b", "-G", "g"])?, "a:a1 a:a2 b:b1 b:b2");
    node.weir_with(&["produce", "b", "-p", "0"], "b3\n")?;
    assert_eq!(read(&["a", "b", "c", "-G", "g"])?, "b:b3 c:c1 c:c2");
    assert_eq!(read(&["-X", "group.id=g", "a", "b", "c"])?, "");
    assert_eq!(read(&["-X", "auto.offset.reset=latest", "-G", "late", "a"])?, "");
    let described = node.list(&["group", "describe", "g"])?;
    assert_eq!(described.len(), 6);
    assert!(described.iter().all(|row| row["lag"] == 0), "{described:?}");
    assert!(node.fails(&["consume", "a", "nope", "-e"], "", 1)?.contains("\"nope\" does not exist"));
    Ok(())
}

#[test]
fn a_transaction_is_all_or_nothing() -> Result<()> {
    let node = ToolNode::start()?;
    node.weir(&["topic", "create", "t"])?;
    let in_transaction = ["produce", "t", "-X", "transactional.id=import", "--json"];
    node.weir_with(&in_transaction, "{\"value\": \"1\"}\n{\"value\": \"2\"}\n")?;
    let failed = node.fails(&in_transaction, "{\"value\": \"3\"}\nnonsense\n", 1)?;
    assert!(failed.contains("standard input:2"), "{failed}");
    assert_eq!(node.weir(&["consume", "t", "-e", "-q", "-f", "%s"])?, "12");
    // Ctrl-C after something was sent.
    let mut child = Command::new(weir_binary())
        .args(["produce", "t", "-X", "transactional.id=import"])
        .env("WEIR_BROKERS", &node.server.kafka)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut input = child.stdin.take().context("no standard input")?;
    input.write_all(b"4\n")?;
    let uncommitted = ["consume", "t", "-q", "-f", "%s", "-c", "1", "-o", "5", "--isolation", "uncommitted"];
    let sent = node.weir(&uncommitted)?;
    assert_eq!(sent, "4");
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status()?.success());
    let ended = child.wait_with_output()?;
    assert_eq!(ended.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("the transaction was aborted"));
    assert_eq!(node.weir(&["consume", "t", "-e", "-q", "-f", "%s"])?, "12");
    assert_eq!(
        node.weir(&["consume", "t", "-e", "-q", "-f", "%s", "-X", "isolation.level=read_uncommitted"])?,
        "1234"
    );
    Ok(())
}

#[test]
fn records_must_fit_their_topic() -> Result<()> {
    let node = ToolNode::start()?;
    node.weir(&["topic", "create", "small", "-c", "max.message.bytes=1000"])?;
    // Each of them fits, all together do not.
    let lines: String = (0..200).map(|n| format!("{n:0>60}\n")).collect();
    node.weir_with(&["produce", "small"], &lines)?;
    assert_eq!(node.weir(&["consume", "small", "-e", "-q"])?, lines);
    let long = format!("short\n{}\n", "x".repeat(2_000));
    let refused = node.fails(&["produce", "small", "-K", ":"], &long, 1)?;
    assert!(refused.contains("standard input:2: the record makes a batch of"), "{refused}");
    assert!(
        refused.contains("topic \"small\" takes 1000") && refused.contains("max.message.bytes"),
        "{refused}"
    );
    // What came before it was written, and compression makes it fit.
    assert_eq!(node.weir(&["consume", "small", "-o", "200", "-e", "-q"])?, "short\n");
    node.weir_with(&["produce", "small", "-z", "zstd"], &long)?;
    assert_eq!(node.weir(&["consume", "small", "-o", "201", "-e", "-q"])?, long);
    Ok(())
}

#[test]
fn a_reader_that_goes_ends_the_reading() -> Result<()> {
    let node = ToolNode::start()?;
    node.weir(&["topic", "create", "t"])?;
    let lines = "a line that is long enough to fill what a pipe holds\n".repeat(5_000);
    node.weir_with(&["produce", "t"], &lines)?;
    let mut child = Command::new(weir_binary())
        .args(["consume", "t", "-G", "g"])
        .env("WEIR_BROKERS", &node.server.kafka)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut out = BufReader::new(child.stdout.take().context("no output")?);
    let mut first = String::new();
    out.read_line(&mut first)?;
    drop(out);
    let status = child.wait()?;
    let mut error = String::new();
    child.stderr.take().context("no errors")?.read_to_string(&mut error)?;
    assert_eq!((status.code(), error.as_str()), (Some(0), ""), "as if nothing had happened");
    assert!(node.list(&["group", "describe", "g"])?[0]["member"] == "", "it has left its group");
    Ok(())
}

#[test]
fn terminate_ends_reading_as_ctrl_c_does_and_lines_read_are_written() -> Result<()> {
    let node = ToolNode::start()?;
    node.weir(&["topic", "create", "t"])?;
    let mut producer = Command::new(weir_binary())
        .args(["produce", "t"])
        .env("WEIR_BROKERS", &node.server.kafka)
        .stdin(Stdio::piped())
        .spawn()?;
    let mut input = producer.stdin.take().context("no standard input")?;
    input.write_all(b"one\n")?;
    let mut reader = Command::new(weir_binary())
        .args(["consume", "t", "-u", "-G", "g"])
        .env("WEIR_BROKERS", &node.server.kafka)
        .stdout(Stdio::piped())
        .spawn()?;
    let mut first = [0; 4];
    reader.stdout.as_mut().context("no output")?.read_exact(&mut first)?;
    assert_eq!(&first, b"one\n");
    for child in [&mut producer, &mut reader] {
        assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status()?.success());
        assert_eq!(child.wait()?.code(), Some(0));
    }
    let group = node.list(&["group", "describe", "g"])?;
    assert_eq!((&group[0]["lag"], &group[0]["member"]), (&0.into(), &"".into()));
    Ok(())
}

#[test]
fn client_properties_are_known_ignored_or_refused() -> Result<()> {
    let node = ToolNode::start()?;
    let file = node.folder.path().join("client.properties");
    fs::write(
        &file,
        format!("# of a Java client\nbootstrap.servers={}\nlinger.ms=5\nacks=all\n", node.server.kafka),
    )?;
    let output = Command::new(weir_binary())
        .args(["topic", "list", "--command-config"])
        .arg(&file)
        .env_remove("WEIR_BROKERS")
        .output()?;
    assert!(output.status.success());
    let error = String::from_utf8(output.stderr)?;
    assert_eq!(error, "Warning: client property linger.ms changes nothing here\n");
    let wrong = node.fails(&["topic", "list", "-X", "security.protocl=SSL"], "", 2)?;
    assert!(wrong.contains("did you mean \"security.protocol\"?"), "{wrong}");
    Ok(())
}
