//! `weir topic`, `produce`, `consume`, `group` and `log dump` against a real node, beside kcat and confluent-kafka.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde_json::Value;
use weir_tests::server::weir_binary;
use weir_tests::tools::{ToolNode, run};

#[test]
fn topics_are_made_shown_changed_and_deleted() -> Result<()> {
    let node = ToolNode::start()?;
    node.weir(&["topic", "create", "a", "b", "-p", "2", "-c", "retention.ms=86400000"])?;
    let again = node.fails(&["topic", "create", "a"], "", 1)?;
    assert!(again.contains("TOPIC_ALREADY_EXISTS"), "{again}");
    node.weir(&["topic", "create", "a", "--if-not-exists"])?;
    let topics = node.list(&["topic", "list"])?;
    assert_eq!(topics[0], serde_json::json!({"name": "a", "partitions": 2, "replicas": 1}));
    let is_own = |topic: &Value| topic["name"].as_str().is_some_and(|name| name.starts_with('_'));
    assert!(!topics.iter().any(is_own), "the broker's own are left out");
    assert!(node.list(&["topic", "list", "--internal"])?.iter().any(is_own));
    let table = node.weir(&["topic", "list", "--output", "table"])?;
    assert!(table.contains("│ NAME ") && table.contains(" ┆ PARTITIONS ┆ REPLICAS │"), "{table}");

    node.weir(&["topic", "alter", "a", "--partitions", "5", "--set", "retention.ms=1000"])?;
    let described = node.list(&["topic", "describe", "a"])?;
    assert_eq!(described.len(), 5);
    assert_eq!((&described[4]["partition"], &described[4]["end_offset"]), (&4.into(), &0.into()));
    let setting = |node: &ToolNode, name: &str| -> Result<Value> {
        let all = node.list(&["topic", "describe", "a", "--configs"])?;
        all.into_iter().find(|s| s["setting"] == name).with_context(|| name.to_owned())
    };
    let retention = setting(&node, "retention.ms")?;
    assert_eq!((&retention["value"], &retention["source"]), (&"1000".into(), &"topic".into()));
    node.weir(&["topic", "alter", "a", "--unset", "retention.ms"])?;
    assert_eq!(setting(&node, "retention.ms")?["source"], "default");

    assert!(node.fails(&["topic", "alter", "a", "-p", "3"], "", 2)?.contains("can only become more"));
    assert!(node.fails(&["topic", "alter", "a"], "", 2)?.contains("nothing to alter"));
    assert!(node.fails(&["topic", "alter", "a", "--set", "no.such=1"], "", 1)?.contains("INVALID_CONFIG"));
    assert!(node.fails(&["topic", "create", "c", "-p", "0"], "", 2)?.contains("at least one partition"));
    assert!(node.fails(&["topic", "create", "c", "-r", "3"], "", 2)?.contains("one replica"));
    assert!(node.fails(&["topic", "create", "bad name"], "", 1)?.contains("INVALID_TOPIC"));
    assert!(node.fails(&["topic", "describe", "nope"], "", 1)?.contains("\"nope\" does not exist"));

    // As Kafka's own script is called.
    let script = [
        "topic",
        "create",
        "--bootstrap-server",
        &node.server.kafka,
        "--topic",
        "d",
        "--partitions",
        "1",
        "--replication-factor",
        "1",
        "--config",
        "cleanup.policy=compact",
    ];
    node.weir(&script)?;
    node.weir(&["topic", "delete", "a", "b", "d"])?;
    let left = node.list(&["topic", "list"])?;
    assert!(!left.iter().any(|t| ["a", "b", "d"].iter().any(|name| t["name"] == *name)), "{left:?}");
    assert!(node.fails(&["topic", "delete", "a"], "", 1)?.contains("does not exist"));
    node.weir(&["topic", "delete", "a", "--if-exists"])?;
    Ok(())
}

#[test]
fn deleting_a_topic_names_the_streams_and_tables_over_it() -> Result<()> {
    let node = ToolNode::start()?;
    let sql = "CREATE STREAM dropped (a INT) WITH (KAFKA_TOPIC='emoji', PARTITIONS=1, VALUE_FORMAT='JSON');
        CREATE STREAM emoji (a INT) WITH (KAFKA_TOPIC='emoji', VALUE_FORMAT='JSON');
        CREATE TABLE faces (a INT PRIMARY KEY) WITH (KAFKA_TOPIC='emoji', VALUE_FORMAT='JSON');
        DROP STREAM dropped;";
    node.weir(&["--server", &node.server.http, "-e", sql])?;
    node.weir(&["topic", "create", "free", "-p", "1"])?;
    let deleted = node.run(&["topic", "delete", "free", "emoji"], "")?;
    assert_eq!(deleted.code, Some(0), "{}", deleted.err);
    let warnings: Vec<&str> = deleted.err.lines().filter(|line| line.starts_with("Warning: ")).collect();
    let expected =
        "Warning: topic emoji was that of stream EMOJI and table FACES: DROP it, or create the topic again";
    assert_eq!(warnings, [expected]);
    Ok(())
}

#[test]
fn bash_completes_the_names_of_topics_and_groups() -> Result<()> {
    const SCRIPT: &str = r#"
        source <("$1" completions bash)
        COMP_LINE=$2 COMP_POINT=${#2}
        read -ra COMP_WORDS <<< "$COMP_LINE"
        [[ $COMP_LINE == *" " ]] && COMP_WORDS+=("")
        COMP_WORDS[0]=$1 COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        _weir_with_names "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        echo "${COMPREPLY[*]}""#;
    let node = ToolNode::start()?;
    node.weir(&["topic", "create", "clicks", "clients", "orders", "-p", "1"])?;
    node.weir_with(&["produce", "clicks"], "x\n")?;
    node.weir(&["consume", "clicks", "-e", "-G", "reports"])?;
    let complete = |line: &str, brokers: &str| -> Result<String> {
        let binary = weir_binary();
        let mut bash = Command::new("bash");
        bash.args(["-c", SCRIPT, "bash"]).arg(&binary).arg(line).env("WEIR_BROKERS", brokers);
        let ran = run(&mut bash, "")?;
        assert_eq!(ran.code, Some(0), "{line}: {}", ran.err);
        Ok(ran.out.trim().to_owned())
    };
    let kafka = node.server.kafka.as_str();
    assert_eq!(complete("weir topic describe cl", kafka)?, "clicks clients");
    assert_eq!(complete("weir consume -e clicks ord", kafka)?, "orders");
    assert_eq!(complete("weir group describe ", kafka)?, "reports");
    assert_eq!(complete("weir consume clicks --group=rep", kafka)?, "reports");
    let nobody = "127.0.0.1:1";
    assert_eq!(complete(&format!("weir topic -b {kafka} alter orders clie"), nobody)?, "clients");
    // What the node does not know, or does not answer, is completed from the command line.
    assert_eq!(complete("weir topic describe --configs", kafka)?, "--configs");
    assert!(!complete("weir topic describe cl", nobody)?.contains("clicks"));
    Ok(())
}

#[test]
fn records_travel_with_keys_headers_codecs_and_tombstones() -> Result<()> {
    let node = ToolNode::start()?;
    node.weir(&["topic", "create", "t", "-p", "3"])?;
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let input = format!("{codec}:1\n{codec}:2\n{codec}-gone:\n");
        node.weir_with(
            &["produce", "t", "-K", ":", "-Z", "-H", "from=weir", "-H", "empty", "-z", codec],
            &input,
        )?;
    }
    let letters = ["consume", "t", "-e", "-q", "-f", "%t %p %k %s %S %h\\n", "-Z"];
    let read = node.weir(&letters)?;
    assert_eq!(read.lines().count(), 15);
    assert!(read.lines().any(|l| l.ends_with("zstd-gone NULL -1 from=weir,empty=NULL")), "{read}");
    if let Some(by_kcat) = node.kcat(&["-C", "-t", "t", "-e", "-q", "-f", "%t %p %k %s %S %h\n", "-Z"], "")? {
        let sorted = |text: &str| {
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(sorted(&by_kcat), sorted(&read), "kcat reads what weir reads");
        node.kcat(&["-P", "-t", "t", "-p", "1", "-K", ":", "-H", "by=kcat"], "kk:from kcat\n")?;
        let last = node.weir(&["consume", "t", "-p", "1", "-o", "-1", "-e", "-q", "-f", "%k=%s %h\n"])?;
        assert_eq!(last, "kk=from kcat by=kcat\n");
    }
    // A partition and a key for all; values as they are.
    node.weir(&["topic", "create", "one"])?;
    node.weir_with(&["produce", "one", "-p", "0", "-k", "same"], "a:b\n\nc\n")?;
    assert_eq!(node.weir(&["consume", "one", "-e", "-q", "-f", "%k|%s;"])?, "same|a:b;same|;same|c;");
    // As Kafka's console producer is called.
    let script =
        ["produce", "--topic", "one", "--property", "parse.key=true", "--property", "key.separator=,"];
    node.weir_with(&script, "x,y\n")?;
    assert_eq!(node.weir(&["consume", "--topic", "one", "-o", "3", "-e", "-q", "-f", "%k %s"])?, "x y");
    let file = node.folder.path().join("lines.txt");
    fs::write(&file, "from a file")?;
    node.weir(&["produce", "one", &file.to_string_lossy()])?;
    assert_eq!(node.weir(&["consume", "one", "-o", "-1", "-e", "-q"])?, "from a file\n");
    Ok(())
}

#[test]
fn json_lines_go_in_as_they_came_out() -> Result<()> {
    let node = ToolNode::start()?;
    node.weir(&["topic", "create", "t", "copy", "-p", "2"])?;
    let lines = "{\"key\": \"k\", \"value\": {\"n\": 1}, \"headers\": {\"h\": \"1\"}, \"partition\": 1, \"timestamp\": 1000}\n\
                 {\"key\": null, \"value\": null, \"partition\": 0, \"timestamp\": 2000}\n\
                 {\"value\": {\"hex\": \"ff00\"}, \"partition\": 1, \"timestamp\": 3000}\n";
    node.weir_with(&["produce", "t", "--json"], lines)?;
    let out = node.weir(&["consume", "t", "-e", "-J", "-q"])?;
    assert!(
        out.contains(
            "\"ts\":1000,\"broker\":1,\"headers\":[\"h\",\"1\"],\"key\":\"k\",\"payload\":\"{\\\"n\\\":1}\""
        ),
        "{out}"
    );
    assert!(out.contains("\"payload\":{\"hex\":\"ff00\"}"), "{out}");
    node.weir_with(&["produce", "copy", "--json"], &out)?;
    let copied = node.weir(&["consume", "copy", "-e", "-J", "-q"])?;
    assert_eq!(copied.replace("\"copy\"", "\"t\""), out);
    let wrong = node.fails(&["produce", "t", "--json"], "{\"value\": 1}\nnonsense\n", 1)?;
    assert!(wrong.contains("standard input:2: "), "{wrong}");
    assert!(node.fails(&["produce", "t", "--json"], "{\"key\": 1}", 1)?.contains("\"value\" is missing"));
    Ok(())
}

#[test]
fn reading_begins_and_ends_where_told() -> Result<()> {
    let node = ToolNode::start()?;
    node.weir(&["topic", "create", "t"])?;
    let lines: String =
        (0..10).map(|n| format!("{{\"value\": \"{n}\", \"timestamp\": {}}}\n", 1_000 * n)).collect();
    node.weir_with(&["produce", "t", "--json"], &lines)?;
    let read = |place: &[&str]| -> Result<String> {
        let mut arguments = vec!["consume", "t", "-e", "-q", "-f", "%s"];
        arguments.extend_from_slice(place);
        node.weir(&arguments)
    };
    for (place, expected) in [
        (&[][..], "0123456789"),
        (&["--from-beginning"], "0123456789"),
        (&["-o", "end"], ""),
        (&["-o", "-3"], "789"),
        (&["-o", "7"], "789"),
        (&["-o", "@7500"], "89"),
        (&["-o", "@1970-01-01T00:00:09Z"], "9"),
        (&["-o", "@99999999"], ""),
        (&["-o", "99"], ""),
        (&["-c", "4"], "0123"),
        (&["-o", "-5", "--max-messages", "2"], "56"),
    ] {
        assert_eq!(read(place)?, expected, "{place:?}");
    }
    assert!(node.fails(&["consume", "t", "-o", "somewhere"], "", 2)?.contains("is none of beginning"));
    assert!(node.fails(&["consume", "t", "-f", "%q"], "", 2)?.contains("%q"));
    assert!(node.fails(&["consume", "t", "-p", "4"], "", 1)?.contains("partitions 0 to 0, not 4"));
    assert!(node.fails(&["produce", "t", "-p", "4"], "x\n", 1)?.contains("partitions 0 to 0, not 4"));
    assert!(node.fails(&["produce", "t", "-z", "rar"], "x\n", 2)?.contains("codec \"rar\""));
    assert!(node.fails(&["produce", "nope"], "x\n", 1)?.contains("\"nope\" does not exist"));
    assert!(node.fails(&["consume", "nope"], "", 1)?.contains("\"nope\" does not exist"));
    assert!(node.fails(&["consume", "t", "-o", "stored"], "", 2)?.contains("needs a group"));
    Ok(())
}

#[test]
fn groups_keep_their_place_and_can_be_moved() -> Result<()> {
    let node = ToolNode::start()?;
    node.weir(&["topic", "create", "t", "-p", "2"])?;
    let lines: String =
        (0..10).map(|n| format!("{{\"value\": \"{n}\", \"partition\": {}}}\n", n % 2)).collect();
    node.weir_with(&["produce", "t", "--json"], &lines)?;
    let read = || -> Result<Vec<String>> {
        let out = node.weir(&["consume", "t", "-G", "g", "-e", "-q"])?;
        let mut values: Vec<String> = out.lines().map(str::to_owned).collect();
        values.sort();
        Ok(values)
    };
    assert_eq!(node.weir(&["consume", "t", "-G", "g", "-c", "3", "-q"])?.lines().count(), 3);
    assert_eq!(read()?.len(), 7, "what was read is not read again");
    assert!(read()?.is_empty());
    node.weir_with(&["produce", "t", "-p", "1"], "10\n11\n")?;
    let lag = |partition: usize| -> Result<Value> {
        Ok(node.list(&["group", "describe", "g"])?[partition]["lag"].clone())
    };
    assert_eq!((lag(0)?, lag(1)?), (0.into(), 2.into()));
    let listed = node.list(&["group", "list"])?;
    assert_eq!((&listed[0]["group"], &listed[0]["state"]), (&"g".into(), &"Empty".into()));

    let dry = node.list(&["group", "seek", "g", "--to", "earliest", "--dry-run"])?;
    assert_eq!((&dry[0]["before"], &dry[0]["after"]), (&5.into(), &0.into()));
    assert_eq!(lag(0)?, 0, "a dry run changes nothing");
    node.weir(&["group", "seek", "g", "--shift-by", "-1"])?;
    assert_eq!((lag(0)?, lag(1)?), (1.into(), 3.into()));
    node.weir(&["group", "seek", "g", "--shift-by", "-100", "--topics", "t:0"])?;
    assert_eq!((lag(0)?, lag(1)?), (5.into(), 3.into()));
    node.weir(&["group", "seek", "g", "--to", "2", "--topics", "t:1"])?;
    assert_eq!(lag(1)?, 5);
    node.weir(&["group", "seek", "g", "--to-latest", "--execute"])?;
    assert!(read()?.is_empty());
    // A group that never was can be given a place.
    node.weir(&["group", "seek", "new", "--to", "-2", "--topics", "t"])?;
    assert_eq!(node.weir(&["consume", "t", "-G", "new", "-e", "-q"])?.lines().count(), 4);

    assert!(node.fails(&["group", "describe", "nope"], "", 1)?.contains("\"nope\" does not exist"));
    assert!(node.fails(&["group", "seek", "nope", "--to", "earliest"], "", 1)?.contains("does not exist"));
    assert_eq!(node.run(&["group", "seek", "g"], "")?.code, Some(2));
    assert_eq!(node.run(&["group", "seek", "g", "--to", "1", "--shift-by", "1"], "")?.code, Some(2));
    node.weir(&["group", "delete", "g"])?;
    assert!(node.fails(&["group", "delete", "g"], "", 1)?.contains("does not exist"));
    node.weir(&["group", "delete", "g", "--if-exists"])?;
    assert_eq!(read()?.len(), 12, "a deleted group begins anew");
    Ok(())
}

#[test]
fn a_group_with_members_is_not_moved_and_shares_its_partitions() -> Result<()> {
    let node = ToolNode::start()?;
    node.weir(&["topic", "create", "t", "-p", "4"])?;
    node.weir_with(&["produce", "t", "-p", "3"], "x\n")?;
    let mut member = Command::new(weir_binary())
        .args(["consume", "t", "-G", "g"])
        .env("WEIR_BROKERS", &node.server.kafka)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut first = [0_u8; 2];
    std::io::Read::read_exact(member.stdout.as_mut().context("no output")?, &mut first)?;
    assert_eq!(&first, b"x\n");
    let described = node.list(&["group", "describe", "g"])?;
    assert_eq!(described.len(), 4);
    assert!(described.iter().all(|p| p["client"] == "weir" && p["member"] != ""), "{described:?}");
    let refused = node.fails(&["group", "seek", "g", "--to", "earliest", "--topics", "t"], "", 1)?;
    assert!(refused.contains("has members; stop them first"), "{refused}");
    let refused = node.fails(&["group", "delete", "g"], "", 1)?;
    assert!(refused.contains("has members; stop them first"), "{refused}");
    assert!(Command::new("kill").args(["-INT", &member.id().to_string()]).status()?.success());
    assert_eq!(member.wait()?.code(), Some(0), "Ctrl-C is how reading ends");
    let described = node.list(&["group", "describe", "g"])?;
    assert!(
        described.iter().all(|p| p["member"] == "" && p["lag"] == 0),
        "left and committed: {described:?}"
    );
    Ok(())
}

#[test]
fn confluent_kafka_reads_what_was_produced_and_the_other_way_round() -> Result<()> {
    let Some(python) = std::env::var_os("WEIR_PYTHON") else {
        println!("0 of 1 run: WEIR_PYTHON does not name a Python with confluent-kafka");
        return Ok(());
    };
    let node = ToolNode::start()?;
    node.weir(&["topic", "create", "t"])?;
    node.weir_with(&["produce", "t", "-K", ":", "-H", "h=1", "-z", "lz4"], "a:1\nb:2\n")?;
    let script = "
import sys
from confluent_kafka import Consumer, Producer
c = Consumer({'bootstrap.servers': sys.argv[1], 'group.id': 'py', 'auto.offset.reset': 'earliest'})
c.subscribe(['t'])
for _ in range(2):
    m = c.poll(30)
    print(m.key().decode(), m.value().decode(), m.headers())
c.commit(asynchronous=False)
c.close()
p = Producer({'bootstrap.servers': sys.argv[1], 'enable.idempotence': True})
p.produce('t', key='c', value='from python', headers={'by': 'py'})
p.flush()
";
    let ran = run(Command::new(python).args(["-c", script, &node.server.kafka]), "")?;
    assert_eq!(ran.out, "a 1 [('h', b'1')]\nb 2 [('h', b'1')]\n", "{}", ran.err);
    let read = node.weir(&["consume", "t", "-o", "2", "-e", "-q", "-f", "%k %s %h"])?;
    assert_eq!(read, "c from python by=py");
    // The classic protocol's groups are described as well.
    let described = node.list(&["group", "describe", "py"])?;
    assert_eq!((&described[0]["current_offset"], &described[0]["lag"]), (&2.into(), &1.into()));
    Ok(())
}

#[test]
fn a_broker_that_is_none_is_told() -> Result<()> {
    let weir = |arguments: &[&str]| run(Command::new(weir_binary()).args(arguments), "");
    let refused = weir(&["topic", "list", "-b", "127.0.0.1:1"])?;
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("cannot reach a broker at 127.0.0.1:1"), "{}", refused.err);
    let node = ToolNode::start()?;
    let second = format!("127.0.0.1:1,{}", node.server.kafka);
    assert_eq!(weir(&["topic", "list", "-b", &second])?.code, Some(0), "the next one is asked");
    let http = node.server.http.trim_start_matches("http://").to_owned();
    assert_eq!(weir(&["topic", "list", "-b", &http])?.code, Some(1), "an HTTP server is no broker");
    for wrong in [
        &["topic", "list", "-b", "host:port"][..],
        &["topic", "list", "-X", "retires=1"],
        &["topic"],
        &["consume"],
    ] {
        let ran = weir(wrong)?;
        assert_eq!(ran.code, Some(2), "{wrong:?}: {}", ran.err);
    }
    for tool in ["topic", "produce", "consume", "group", "cluster", "acl", "user", "log"] {
        let help = weir(&[tool, "--help"])?;
        assert!(help.code == Some(0) && help.out.contains("Examples:"), "{tool}: {}", help.out);
    }
    Ok(())
}

/// Flips a bit of a file.
fn flip(path: &Path, at: usize) -> Result<()> {
    let mut bytes = fs::read(path)?;
    bytes[at] ^= 1;
    Ok(fs::write(path, bytes)?)
}

#[test]
fn logs_are_shown_and_every_damage_is_found() -> Result<()> {
    let node = ToolNode::start()?;
    node.weir(&["topic", "create", "t", "-c", "index.interval.bytes=1"])?;
    for n in 0..5 {
        let line = format!("{{\"key\": \"k{n}\", \"value\": \"v{n}\", \"timestamp\": {}}}\n", 1_000 + n);
        node.weir_with(&["produce", "t", "--json"], &line)?;
    }
    let folder = node.log_folder().join("t-0");
    let shown = node.weir(&["log", "dump", &folder.to_string_lossy(), "--records", "--output", "table"])?;
    assert!(shown.contains("offsets 4-4  records 1") && shown.contains("\"payload\":\"v4\""), "{shown}");
    // Stopped cleanly, so that the indexes are on disk.
    node.server.stop()?;
    let all = node.log_folder().to_string_lossy().into_owned();
    let checked = node.weir(&["log", "dump", &all, "--verify"])?;
    assert!(checked.contains("batch(es)"), "{checked}");
    let log = folder.join("00000000000000000000.log");
    let index = folder.join("00000000000000000000.index");
    let times = folder.join("00000000000000000000.timeindex");
    for file in [&index, &times] {
        let entries = node.weir(&["log", "dump", &file.to_string_lossy()])?;
        assert!(entries.lines().count() > 2, "{entries}");
    }
    let whole = fs::read(&log)?;
    // Every byte but those of the leader epoch, which no checksum covers.
    for at in (0..whole.len()).filter(|at| !(12..16).contains(&(at % (whole.len() / 5)))).step_by(7) {
        flip(&log, at)?;
        let error = node.fails(&["log", "dump", &all, "--verify"], "", 1)?;
        // An offset that is wrong but possible shows in the indexes only.
        assert!(error.contains("Damage: ") && error.contains(": at byte "), "byte {at}: {error}");
        fs::write(&log, &whole)?;
    }
    fs::write(&log, &whole[..whole.len() - 3])?;
    let torn = node.fails(&["log", "dump", &all, "--verify"], "", 1)?;
    assert!(torn.contains("the end is torn"), "{torn}");
    fs::write(&log, &whole)?;
    for file in [&index, &times] {
        let bytes = fs::read(file)?;
        for at in 0..bytes.len() {
            flip(file, at)?;
            let error = node.fails(&["log", "dump", &all, "--verify"], "", 1)?;
            assert!(error.contains(&format!("{}: at byte ", file.display())), "byte {at}: {error}");
            fs::write(file, &bytes)?;
        }
        fs::write(file, &bytes[..bytes.len() - 1])?;
        assert!(node.fails(&["log", "dump", &all, "--verify"], "", 1)?.contains("is not whole"));
        fs::write(file, &bytes)?;
    }
    node.weir(&["log", "dump", &all, "--verify"])?;
    assert!(node.fails(&["log", "dump", "/no/such/folder"], "", 1)?.contains("/no/such/folder"));
    assert!(
        node.fails(&["log", "dump", &node.folder.path().join("data/broker/meta").to_string_lossy()], "", 1)?
            .contains("no segments")
    );
    Ok(())
}
