//! `weir group` against a real node: states, members, offsets that are moved, saved, loaded and forgotten.

use std::fs;
use std::io::Read;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use weir_tests::server::weir_binary;
use weir_tests::tools::ToolNode;

/// Two topics with two partitions of five records each; "g" has read all of "a" and "b", one after the other.
fn node_with_group() -> Result<ToolNode> {
    let node = ToolNode::start()?;
    node.weir(&["topic", "create", "a", "b", "-p", "2"])?;
    for topic in ["a", "b"] {
        let line = |n: usize| {
            format!("{{\"value\": \"{n}\", \"partition\": {}, \"timestamp\": {}}}\n", n % 2, 1_000 * n)
        };
        node.weir_with(&["produce", topic, "--json"], &(0..10).map(line).collect::<String>())?;
        node.weir(&["consume", topic, "-G", "g", "-e", "-q"])?;
    }
    Ok(node)
}

/// (topic, partition, offset) of everything a group has committed.
fn offsets(node: &ToolNode, group: &str) -> Result<Vec<(String, i64, i64)>> {
    let rows = node.list(&["group", "describe", group])?;
    let row = |row: &Value| {
        let number = |name: &str| row[name].as_i64().context("a number");
        Ok((
            row["topic"].as_str().context("a topic")?.to_owned(),
            number("partition")?,
            number("current_offset")?,
        ))
    };
    rows.iter().filter(|r| !r["current_offset"].is_null()).map(row).collect()
}

fn shown(offsets: &[(String, i64, i64)]) -> String {
    offsets.iter().map(|(topic, partition, offset)| format!("{topic}{partition}={offset} ")).collect()
}

/// A member that has read a record, so that it is known to have partitions.
fn member(node: &ToolNode, topic: &str, group: &str) -> Result<Child> {
    let mut member = Command::new(weir_binary())
        .args(["consume", topic, "-G", group, "-f", "%s\n"])
        .env("WEIR_BROKERS", &node.server.kafka)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut first = [0_u8; 2];
    member.stdout.as_mut().context("no output")?.read_exact(&mut first)?;
    Ok(member)
}

fn interrupt(member: &mut Child) -> Result<()> {
    assert!(Command::new("kill").args(["-INT", &member.id().to_string()]).status()?.success());
    assert_eq!(member.wait()?.code(), Some(0));
    Ok(())
}

#[test]
fn offsets_are_saved_loaded_and_moved() -> Result<()> {
    let node = node_with_group()?;
    assert_eq!(shown(&offsets(&node, "g")?), "a0=5 a1=5 b0=5 b1=5 ");
    let saved = node.weir(&["group", "seek", "g", "--to", "current", "--export"])?;
    assert_eq!(saved, "a,0,5\na,1,5\nb,0,5\nb,1,5\n");
    let file = node.folder.path().join("saved.csv");
    fs::write(&file, &saved)?;
    let file = file.to_string_lossy().into_owned();

    node.weir(&["group", "seek", "g", "--to", "earliest", "--topics", "a", "--topics", "b:1"])?;
    assert_eq!(shown(&offsets(&node, "g")?), "a0=0 a1=0 b0=5 b1=0 ");
    node.weir(&["group", "seek", "g", "--to-file", &file, "--topics", "a:0,1"])?;
    assert_eq!(shown(&offsets(&node, "g")?), "a0=5 a1=5 b0=5 b1=0 ");
    node.weir(&["group", "seek", "g", "--shift-by", "-2", "--topics", "a:0,b:0"])?;
    assert_eq!(shown(&offsets(&node, "g")?), "a0=3 a1=5 b0=3 b1=0 ");
    node.weir(&["group", "seek", "g", "--to", "@4500", "--topics", "a"])?;
    assert_eq!(shown(&offsets(&node, "g")?), "a0=3 a1=2 b0=3 b1=0 ");
    node.weir(&["group", "seek", "g", "--to-datetime", "1970-01-01T00:00:08.000", "--topics", "b"])?;
    assert_eq!(shown(&offsets(&node, "g")?), "a0=3 a1=2 b0=4 b1=4 ");
    // All records are older than an hour.
    node.weir(&["group", "seek", "g", "--by-duration", "PT1H"])?;
    assert_eq!(shown(&offsets(&node, "g")?), "a0=5 a1=5 b0=5 b1=5 ");
    node.weir(&["group", "seek", "g", "--to", "+1", "--topics", "b:0"])?;
    let before = offsets(&node, "g")?;
    assert_eq!(shown(&before), "a0=5 a1=5 b0=1 b1=5 ");

    let dry = node.run(&["group", "seek", "g", "--to-file", "-", "--dry-run"], "b 0 4\n")?;
    assert_eq!(dry.out, "{\"group\":\"g\",\"topic\":\"b\",\"partition\":0,\"before\":1,\"after\":4}\n");
    assert!(dry.err.contains("Nothing was changed"), "{}", dry.err);
    assert_eq!(offsets(&node, "g")?, before, "a dry run changes nothing");
    // Offsets beyond the records stand at their ends; a new group may be loaded.
    node.weir_with(&["group", "seek", "new", "--to-file", "-"], "other,a,0,1\nnew,a,0,99\nnew,a,1,0\n")?;
    assert_eq!(shown(&offsets(&node, "new")?), "a0=5 a1=0 ");
    let both = node.weir(&["group", "seek", "g", "new", "--to", "current", "--topics", "a:0", "--export"])?;
    assert_eq!(both, "g,a,0,5\nnew,a,0,5\n");

    let wrong = node.fails(&["group", "seek", "g", "--to-file", "-"], "a,0,1\na,0\n", 1)?;
    assert!(wrong.contains("-:2: "), "{wrong}");
    let gone = node.fails(&["group", "seek", "g", "--to-file", "-"], "nope,0,1\n", 1)?;
    assert!(gone.contains("\"nope-0\" does not exist"), "{gone}");
    assert!(node.fails(&["group", "seek", "g", "--to-file", "-"], "x,a,0,1\n", 2)?.contains("no offsets"));
    assert!(node.fails(&["group", "seek", "g", "--to", "soon"], "", 2)?.contains("\"soon\""));
    assert!(node.fails(&["group", "seek", "g", "--to", "1", "--topics", "a:x"], "", 2)?.contains("a:x"));
    assert!(
        node.fails(&["group", "seek", "g", "--to", "1", "--topics", "a:7"], "", 1)?.contains("0 to 1, not 7")
    );
    assert!(node.fails(&["group", "seek", "g", "--to-file", "/no/file"], "", 1)?.contains("/no/file"));
    Ok(())
}

#[test]
fn offsets_of_topics_are_forgotten() -> Result<()> {
    let node = node_with_group()?;
    let told = node.list(&["group", "delete-offsets", "g", "--topics", "a:1", "--topics", "b"])?;
    assert_eq!(told.len(), 3);
    assert_eq!(told[0], json!({"group": "g", "topic": "a", "partition": 1, "status": "deleted"}));
    assert_eq!(shown(&offsets(&node, "g")?), "a0=5 ");
    assert!(node.fails(&["group", "delete-offsets", "g", "--topics", "b"], "", 2)?.contains("no offsets"));
    assert!(
        node.fails(&["group", "delete-offsets", "no", "--topics", "b"], "", 1)?.contains("does not exist")
    );
    assert_eq!(node.run(&["group", "delete-offsets", "g"], "")?.code, Some(2), "of which topics?");
    Ok(())
}

#[test]
fn groups_are_shown_with_states_types_and_members() -> Result<()> {
    let node = node_with_group()?;
    node.weir_with(&["group", "seek", "offsets-only", "--to-file", "-"], "a,0,3\n")?;
    node.weir(&["topic", "create", "c", "-p", "3"])?;
    node.weir_with(&["produce", "c", "-p", "2"], "x\n")?;
    let mut reader = member(&node, "c", "busy")?;
    let names = |arguments: &[&str]| -> Result<Vec<String>> {
        let rows = node.list(&[&["group", "list"], arguments].concat())?;
        Ok(rows.iter().map(|row| row["group"].as_str().unwrap_or_default().to_owned()).collect())
    };
    assert_eq!(names(&[])?, ["busy", "g", "offsets-only"]);
    assert_eq!(names(&["--state", "EMPTY"])?, ["g", "offsets-only"]);
    assert_eq!(names(&["--state", "empty,stable", "--type", "Consumer"])?, ["busy", "g"]);
    assert_eq!(names(&["--type", "classic"])?, ["offsets-only"]);

    let members = node.list(&["group", "describe", "busy", "--members"])?;
    assert_eq!(members.len(), 1);
    let told = |name: &str| members[0][name].clone();
    assert_eq!(
        (told("client"), told("subscribed"), told("partitions")),
        ("weir".into(), "c".into(), 3.into())
    );
    assert_eq!(told("assignment"), "c:0-2");
    let states = node.list(&["group", "describe", "busy", "g", "--state"])?;
    assert_eq!((&states[0]["state"], &states[0]["members"]), (&"Stable".into(), &1.into()));
    let idle = json!({
        "group": "g", "state": "Empty", "type": "consumer", "assignor": "uniform",
        "members": 0, "partitions": 4, "total_lag": 0
    });
    assert_eq!(states[1], idle);
    let table = node.weir(&["group", "describe", "g", "--output", "table"])?;
    assert!(table.ends_with("g: Empty, 0 member(s), total lag 0\n"), "{table}");

    // What is read cannot be moved or forgotten; what would be done can be seen.
    let refused = node.fails(&["group", "seek", "busy", "--to", "earliest", "--topics", "c"], "", 1)?;
    assert!(refused.contains("group \"busy\" has members; stop them first"), "{refused}");
    let dry = node.run(&["group", "seek", "busy", "--to", "earliest", "--topics", "c", "-n"], "")?;
    assert!(dry.code == Some(0) && dry.err.contains("Warning: group \"busy\" has members"), "{}", dry.err);
    let refused = node.run(&["group", "delete-offsets", "busy", "--topics", "c:2"], "")?;
    assert_eq!(refused.code, Some(1), "{}{}", refused.out, refused.err);
    assert!(refused.out.contains("GROUP_SUBSCRIBED_TO_TOPIC"), "{}", refused.out);
    interrupt(&mut reader)?;
    node.weir(&["group", "seek", "busy", "--to", "earliest", "--topics", "c"])?;
    assert_eq!(names(&["--state", "stable"])?, Vec::<String>::new());
    Ok(())
}
