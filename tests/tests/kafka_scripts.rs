//! The binary called by the names of Kafka's own scripts and of kcat, against a real node.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use weir_tests::server::weir_binary;
use weir_tests::tools::{Ran, ToolNode, run};

struct Scripts {
    node: ToolNode,
    folder: PathBuf,
}

impl Scripts {
    fn start() -> Result<Scripts> {
        let node = ToolNode::start()?;
        let folder = node.folder.path().join("bin");
        node.weir(&["aliases", "install", &folder.to_string_lossy()])?;
        Ok(Scripts { node, folder })
    }

    fn run(&self, name: &str, arguments: &[&str], input: &str) -> Result<Ran> {
        let mut command = Command::new(self.folder.join(name));
        // kcat's own configuration file is none of ours.
        command.env_remove("KCAT_CONFIG").env("HOME", self.node.folder.path());
        match name {
            "kcat" => command.args(["-b", &self.node.server.kafka]),
            _ => command.args(["--bootstrap-server", &self.node.server.kafka]),
        };
        run(command.args(arguments), input)
    }

    /// Standard output of a script that must succeed.
    fn says(&self, name: &str, arguments: &[&str]) -> Result<String> {
        self.says_with(name, arguments, "")
    }

    fn says_with(&self, name: &str, arguments: &[&str], input: &str) -> Result<String> {
        let ran = self.run(name, arguments, input)?;
        assert_eq!(ran.code, Some(0), "{name} {arguments:?}: {}{}", ran.out, ran.err);
        Ok(ran.out)
    }

    /// Standard error of a script that must fail with this exit code.
    fn fails(&self, name: &str, arguments: &[&str], code: i32) -> Result<String> {
        let ran = self.run(name, arguments, "")?;
        assert_eq!(ran.code, Some(code), "{name} {arguments:?}: {}{}", ran.out, ran.err);
        Ok(ran.err)
    }
}

#[test]
fn topics_are_handled_as_by_kafka_topics() -> Result<()> {
    let scripts = Scripts::start()?;
    let topics = |arguments: &[&str]| scripts.says("kafka-topics.sh", arguments);
    let made = topics(&[
        "--create",
        "--topic",
        "orders",
        "--partitions",
        "2",
        "--replication-factor",
        "1",
        "--config",
        "retention.ms=1000",
    ])?;
    assert_eq!(made, "Created topic orders.\n");
    assert_eq!(topics(&["--create", "--topic", "orders", "--if-not-exists"])?, "");
    assert!(topics(&["--create", "--topic", "a_b"])?.starts_with("WARNING: Due to limitations"));
    assert_eq!(topics(&["--list", "--exclude-internal", "--topic", "orders|a_b"])?, "a_b\norders\n");
    assert!(topics(&["--list"])?.starts_with("__consumer_offsets\n"));
    let described = topics(&["--describe", "--topic", "ord.*"])?;
    let lines: Vec<&str> = described.lines().collect();
    let head: Vec<&str> = lines[0].split('\t').collect();
    assert_eq!(head[0], "Topic: orders");
    assert_eq!(head[1].strip_prefix("TopicId: ").map(str::len), Some(22));
    assert_eq!(head[2..], ["PartitionCount: 2", "ReplicationFactor: 1", "Configs: retention.ms=1000"]);
    assert_eq!(
        lines[2],
        "\tTopic: orders\tPartition: 1\tLeader: 1\tReplicas: 1\tIsr: 1\tElr: \tLastKnownElr: "
    );
    let overrides = topics(&["--describe", "--topics-with-overrides", "--topic", "orders|a_b"])?;
    assert_eq!(overrides.lines().count(), 1, "{overrides}");
    assert_eq!(topics(&["--describe", "--unavailable-partitions"])?, "");
    topics(&["--alter", "--topic", "orders", "--partitions", "4"])?;
    assert!(topics(&["--describe", "--topic", "orders"])?.contains("PartitionCount: 4"));
    topics(&["--delete", "--topic", "orders"])?;
    topics(&["--delete", "--topic", "orders", "--if-exists"])?;
    for (arguments, code) in [
        (&["--delete", "--topic", "orders"][..], 1),
        (&["--describe", "--topic", "orders"], 1),
        (&["--create", "--topic", "a_b"], 1),
        (&["--create", "--list"], 2),
        (&["--create"], 2),
        (&["--create", "--topic", "x", "--replication-factor", "3"], 2),
        (&["--list", "--no-such-flag"], 2),
        (&["--list", "--topic", "("], 2),
        (&[], 2),
    ] {
        scripts.fails("kafka-topics", arguments, code)?;
    }
    let ignored = scripts.run("kafka-topics", &["--list", "--disable-rack-aware"], "")?;
    assert_eq!(ignored.code, Some(0));
    assert_eq!(ignored.err, "Warning: --disable-rack-aware changes nothing here\n");
    Ok(())
}

#[test]
fn records_go_through_the_console_scripts() -> Result<()> {
    let scripts = Scripts::start()?;
    scripts.node.weir(&["topic", "create", "t", "other"])?;
    let produce = |arguments: &[&str], input: &str| {
        let all = [&["--topic", "t"], arguments].concat();
        scripts.says_with("kafka-console-producer.sh", &all, input)
    };
    produce(&["--property", "parse.key=true", "--property", "key.separator=:"], "k1:v1\nk2:v2\n")?;
    produce(&["--producer-property", "acks=all", "--compression-codec"], "plain\n")?;
    let with_headers = [
        "--reader-property",
        "parse.headers=true",
        "--property",
        "null.marker=NIL",
        "--property",
        "parse.key=true",
    ];
    produce(&with_headers, "a:1,b:2\tk3\tNIL\n")?;
    let consume = |arguments: &[&str]| {
        scripts.run("kafka-console-consumer.sh", &[&["--topic", "t"], arguments].concat(), "")
    };
    let all = consume(&["--from-beginning", "--max-messages", "4", "--property", "print.key=true"])?;
    assert_eq!(all.out, "k1\tv1\nk2\tv2\nnull\tplain\nk3\tnull\n");
    assert_eq!(all.err, "Processed a total of 4 messages\n");
    let everything = [
        "--partition",
        "0",
        "--offset",
        "3",
        "--max-messages",
        "1",
        "--property",
        "print.headers=true",
        "--property",
        "print.partition=true",
        "--property",
        "print.offset=true",
        "--property",
        "print.timestamp=true",
        "--property",
        "key.separator=|",
        "--property",
        "null.literal=-",
    ];
    let one = consume(&everything)?.out;
    assert!(one.starts_with("CreateTime:") && one.ends_with("|Partition:0|Offset:3|a:1,b:2|-\n"), "{one}");
    // New records only, and none come.
    let idle = consume(&["--timeout-ms", "200"])?;
    assert_eq!((idle.code, idle.out.as_str()), (Some(0), ""));
    let named = ["--include", "t|x", "--from-beginning", "--max-messages", "1", "--group", "g"];
    assert_eq!(scripts.says("kafka-console-consumer", &named)?, "v1\n");
    let wrong = scripts.run(
        "kafka-console-producer",
        &["--topic", "t", "--property", "parse.key=true", "--property", "key.separator=:"],
        "k:v\nno separator\n",
    )?;
    assert_eq!(wrong.code, Some(1));
    assert!(wrong.err.contains("standard input:2: there is no key separator"), "{}", wrong.err);
    scripts.fails("kafka-console-consumer", &["--topic", "nope", "--max-messages", "1"], 1)?;
    scripts.fails("kafka-console-consumer", &["--topic", "t", "--property", "no.such=1"], 2)?;
    scripts.fails("kafka-console-consumer", &[], 2)?;
    Ok(())
}

#[test]
fn groups_are_handled_as_by_kafka_consumer_groups() -> Result<()> {
    let scripts = Scripts::start()?;
    let node = &scripts.node;
    node.weir(&["topic", "create", "t", "-p", "2"])?;
    for partition in ["0", "1"] {
        node.weir_with(&["produce", "t", "-p", partition], "1\n2\n3\n")?;
    }
    node.weir(&["consume", "t", "-G", "g", "-e", "-q"])?;
    let groups = |arguments: &[&str]| scripts.says("kafka-consumer-groups.sh", arguments);
    assert_eq!(groups(&["--list"])?, "g\n");
    assert_eq!(groups(&["--list", "--state"])?, "GROUP           STATE\ng               Empty\n");
    assert_eq!(groups(&["--list", "--state", "stable"])?, "GROUP           STATE\n");
    let described = scripts.run("kafka-consumer-groups", &["--describe", "--group", "g"], "")?;
    assert_eq!(described.err, "\nConsumer group 'g' has no active members.\n");
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let lines: Vec<&str> = described.out.lines().collect();
    assert_eq!(lines[0], "");
    assert_eq!(
        words(lines[1]),
        [
            "GROUP",
            "TOPIC",
            "PARTITION",
            "CURRENT-OFFSET",
            "LOG-END-OFFSET",
            "LAG",
            "CONSUMER-ID",
            "HOST",
            "CLIENT-ID"
        ]
    );
    assert_eq!(words(lines[2]), ["g", "t", "0", "3", "3", "0", "-", "-", "-"]);
    let state = groups(&["--describe", "--group", "g", "--state"])?;
    assert!(state.contains("COORDINATOR (ID)") && state.contains("Empty           0"), "{state}");

    let reset = |arguments: &[&str]| groups(&[&["--reset-offsets", "--group", "g"], arguments].concat());
    let table = |rows: &[(&str, &str)]| {
        let mut text =
            format!("\n{:<30} {:<30} {:<10} {:<15}\n", "GROUP", "TOPIC", "PARTITION", "NEW-OFFSET");
        for (partition, offset) in rows {
            text.push_str(&format!("{:<30} {:<30} {partition:<10} {offset:<15}\n", "g", "t"));
        }
        text
    };
    assert_eq!(reset(&["--to-earliest", "--all-topics", "--dry-run"])?, table(&[("0", "0"), ("1", "0")]));
    assert_eq!(reset(&["--to-current", "--all-topics", "--export"])?, "t,0,3\nt,1,3\n", "a dry run");
    assert_eq!(reset(&["--to-earliest", "--topic", "t:1", "--execute"])?, table(&[("1", "0")]));
    assert_eq!(
        reset(&["--shift-by", "-1", "--topic", "t:0,1", "--execute"])?,
        table(&[("0", "2"), ("1", "0")])
    );
    assert_eq!(
        reset(&["--by-duration", "PT1H", "--all-topics", "--execute"])?,
        table(&[("0", "0"), ("1", "0")])
    );
    let tomorrow = ["--to-datetime", "2999-01-01T00:00:00.000", "--all-topics", "--execute"];
    assert_eq!(reset(&tomorrow)?, table(&[("0", "3"), ("1", "3")]));
    let file = node.folder.path().join("offsets.csv");
    fs::write(&file, "t,0,1\n")?;
    assert_eq!(reset(&["--from-file", &file.to_string_lossy(), "--execute"])?, table(&[("0", "1")]));
    let undecided = scripts.run(
        "kafka-consumer-groups",
        &["--reset-offsets", "--group", "g", "--to-latest", "--topic", "t"],
        "",
    )?;
    assert!(undecided.err.contains("--execute option is missing"), "{}", undecided.err);

    let forgotten = groups(&["--delete-offsets", "--group", "g", "--topic", "t:0"])?;
    assert!(forgotten.contains("t                              0               Successful"), "{forgotten}");
    assert_eq!(
        groups(&["--delete", "--group", "g"])?,
        "Deletion of requested consumer groups ('g') was successful.\n"
    );
    assert_eq!(groups(&["--list"])?, "");
    for (arguments, code) in [
        (&["--delete", "--group", "g"][..], 1),
        (&["--describe", "--group", "g"], 1),
        (&["--reset-offsets", "--group", "g", "--to-earliest"], 2),
        (&["--reset-offsets", "--group", "g", "--to-earliest", "--to-latest", "--all-topics"], 2),
        (&["--describe"], 2),
    ] {
        scripts.fails("kafka-consumer-groups", arguments, code)?;
    }
    Ok(())
}

#[test]
fn offsets_records_and_settings_are_handled_by_their_scripts() -> Result<()> {
    let scripts = Scripts::start()?;
    let node = &scripts.node;
    node.weir(&["topic", "create", "t", "-p", "2"])?;
    node.weir_with(&["produce", "t", "-p", "1"], "1\n2\n3\n")?;
    let offsets = |arguments: &[&str]| scripts.says("kafka-get-offsets.sh", arguments);
    assert_eq!(offsets(&["--topic", "t"])?, "t:0:0\nt:1:3\n");
    assert_eq!(offsets(&["--topic-partitions", "t:1", "--time", "-2"])?, "t:1:0\n");
    assert_eq!(offsets(&["--topic", "t", "--partitions", "0", "--time", "earliest"])?, "t:0:0\n");
    scripts.fails("kafka-get-offsets", &["--topic", "nope"], 1)?;
    let file = node.folder.path().join("delete.json");
    fs::write(&file, r#"{"partitions": [{"topic": "t", "partition": 1, "offset": 2}], "version": 1}"#)?;
    let deleted =
        scripts.says("kafka-delete-records.sh", &["--offset-json-file", &file.to_string_lossy()])?;
    assert_eq!(
        deleted,
        "Executing records delete operation\nRecords delete operation completed:\npartition: t-1\tlow_watermark: 2\n"
    );
    assert_eq!(offsets(&["--topic", "t", "--time", "-2"])?, "t:0:0\nt:1:2\n");
    fs::write(&file, "{}")?;
    scripts.fails("kafka-delete-records", &["--offset-json-file", &file.to_string_lossy()], 1)?;

    let configs = |arguments: &[&str]| scripts.says("kafka-configs.sh", arguments);
    let of_topic = ["--entity-type", "topics", "--entity-name", "t"];
    let alter =
        [&["--alter", "--add-config", "cleanup.policy=[compact,delete],retention.ms=5"], &of_topic[..]];
    assert_eq!(configs(&alter.concat())?, "Completed updating config for topic t.\n");
    assert_eq!(
        configs(&["--describe", "--topic", "t"])?,
        "Dynamic configs for topic t are:\n  cleanup.policy=compact,delete sensitive=false \
         synonyms={DYNAMIC_TOPIC_CONFIG:cleanup.policy=compact,delete, DEFAULT_CONFIG:log.cleanup.policy=delete}\n  \
         retention.ms=5 sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:retention.ms=5, \
         DEFAULT_CONFIG:log.retention.ms=604800000}\n"
    );
    configs(&["--alter", "--topic", "t", "--delete-config", "retention.ms,cleanup.policy"])?;
    assert_eq!(configs(&["--describe", "--topic", "t"])?, "Dynamic configs for topic t are:\n");
    let credential = "producer_byte_rate=1024,SCRAM-SHA-256=[iterations=8192,password=pw]";
    configs(&["--alter", "--entity-type", "users", "--entity-name", "ada", "--add-config", credential])?;
    let quotas =
        "Quota configs for user-principal 'ada' are producer_byte_rate=1024, SCRAM-SHA-256=iterations=8192\n";
    assert_eq!(configs(&["--describe", "--entity-type", "users"])?, quotas);
    configs(&["--alter", "--user", "ada", "--delete-config", "producer_byte_rate,SCRAM-SHA-256"])?;
    assert_eq!(configs(&["--describe", "--user", "ada"])?, "");
    configs(&[
        "--alter",
        "--entity-type",
        "clients",
        "--entity-default",
        "--add-config",
        "consumer_byte_rate=10",
    ])?;
    assert_eq!(
        configs(&["--describe", "--entity-type", "clients"])?,
        "Quota configs for the default client-id are consumer_byte_rate=10\n"
    );
    configs(&[
        "--alter",
        "--entity-type",
        "brokers",
        "--entity-default",
        "--add-config",
        "log.retention.ms=7",
    ])?;
    let broker = configs(&["--describe", "--entity-type", "brokers", "--entity-name", "1"])?;
    assert!(broker.contains("  log.retention.ms=7 sensitive=false"), "{broker}");
    for (arguments, code) in [
        (&["--alter", "--topic", "t", "--add-config", "no.such=1"][..], 1),
        (&["--alter", "--topic", "t"], 2),
        (&["--describe", "--entity-type", "fish"], 2),
        (&["--describe"], 2),
        (&["--alter", "--user", "ada", "--add-config", "SCRAM-SHA-256=[secret]"], 2),
    ] {
        let error = scripts.fails("kafka-configs", arguments, code)?;
        assert!(!error.contains("[secret]"), "passwords are not shown: {error}");
    }
    Ok(())
}

#[test]
fn kcat_and_the_binary_called_kcat_do_the_same() -> Result<()> {
    let scripts = Scripts::start()?;
    let node = &scripts.node;
    node.weir(&["topic", "create", "t", "u", "-p", "1"])?;
    // Empty lines are passed over; a file is a record.
    scripts.says_with(
        "kcat",
        &["-P", "-t", "t", "-K", ":", "-H", "h=1", "-z", "zstd"],
        "a:1\n\nb:\nnokey\n",
    )?;
    let file = node.folder.path().join("whole");
    fs::write(&file, b"two\nlines:\x00\xff")?;
    scripts.says("kcat", &["-P", "-t", "t", "-K", ":", "-k", "file", &file.to_string_lossy()])?;
    scripts.says("kcat", &["-P", "-t", "u", "-p", "-1", "-l", &file.to_string_lossy()])?;
    scripts.says_with("kcat", &["-P", "-t", "u", "-D", "::", "-T", "-Z", "-c", "2"], "x::::y::z")?;
    let bytes = |program: PathBuf, arguments: &[&str]| -> Result<Vec<u8>> {
        let output = Command::new(program)
            .args(["-b", &node.server.kafka])
            .args(arguments)
            .env("HOME", node.folder.path())
            .output()?;
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(output.stdout)
    };
    let ours = |arguments: &[&str]| bytes(scripts.folder.join("kcat"), arguments);
    let read = ours(&["-C", "-t", "t", "-e", "-q", "-f", "%k=%s;"])?;
    assert_eq!(read, b"a=1;b=;=nokey;file=two\nlines:\x00\xff;");
    assert_eq!(ours(&["-C", "-t", "u", "-e", "-q", "-Z", "-f", "%s|"])?, b"two|lines:\x00\xff|x|NULL|");
    if node.kcat(&["-V"], "")?.is_none() {
        return Ok(());
    }
    for arguments in [
        &["-C", "-t", "t", "-e", "-q"][..],
        // What is no text is printed as {"hex": ...} by Weir, so that it can be read again.
        &["-C", "-t", "u", "-q", "-J", "-o", "-2", "-e"],
        &["-C", "-t", "t", "-e", "-q", "-f", r"%R%T %t %p %o %k %K %s %S %h\x41\t%%\n"],
        &["-C", "-t", "u", "-e", "-q", "-K", r"\t", "-Z", "-D", ";;"],
        &["-C", "-t", "t", "-e", "-q", "-o", "-2"],
        &["-C", "-t", "t", "-q", "-c", "1", "-o", "1", "-u"],
        &["-C", "-t", "t", "-p", "0", "-e", "-q", "-o", "s@0"],
        &["-L"],
        &["-Q", "-t", "t:0:-1"],
        &["-Q", "-t", "t:0:0"],
    ] {
        let theirs = bytes("kcat".into(), arguments)?;
        let ours = ours(arguments)?;
        let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert_eq!(shown(&ours), shown(&theirs), "{arguments:?}");
    }
    scripts.fails("kcat", &["-C", "-t", "nope", "-e"], 1)?;
    scripts.fails("kcat", &["-C", "-P", "-t", "t"], 2)?;
    scripts.fails("kcat", &["-C"], 2)?;
    Ok(())
}

#[test]
fn links_are_made_and_nothing_is_overwritten() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let place = folder.path().join("bin");
    let weir = |arguments: &[&str]| run(Command::new(weir_binary()).args(arguments), "");
    let names = weir(&["aliases", "list"])?.out;
    assert!(names.lines().count() == 9 && names.contains("kafka-topics\n"), "{names}");
    let shown = place.to_string_lossy().into_owned();
    assert_eq!(weir(&["aliases", "install", &shown, "kafka-topics"])?.code, Some(0));
    let link = place.join("kafka-topics.sh");
    assert!(fs::read_link(&link)?.ends_with(weir_binary().file_name().context("a name")?));
    assert_eq!(weir(&["aliases", "install", &shown])?.code, Some(0), "again, and the others");
    fs::remove_file(&link)?;
    fs::write(&link, "somebody's own")?;
    let refused = weir(&["aliases", "install", &shown])?;
    assert!(refused.code == Some(1) && refused.err.contains("is there already"), "{}", refused.err);
    assert_eq!(fs::read_to_string(&link)?, "somebody's own");
    assert_eq!(weir(&["aliases", "install", &shown, "--force"])?.code, Some(0));
    assert!(fs::read_link(&link).is_ok());
    assert_eq!(weir(&["aliases", "install", &shown, "kafka-nothing"])?.code, Some(2));
    Ok(())
}
