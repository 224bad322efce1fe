//! `weir cluster` against a real node, beside kcat.

use std::fs;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use weir_tests::server::ServerProcess;
use weir_tests::tools::ToolNode;

#[test]
fn a_cluster_tells_what_it_is() -> Result<()> {
    let node = ToolNode::start()?;
    node.weir(&["topic", "create", "a", "-p", "3"])?;
    node.weir(&["topic", "create", "b"])?;
    let info = node.list(&["cluster", "info"])?.pop().context("an object")?;
    let (host, port) = node.server.kafka.rsplit_once(':').context("an address")?;
    assert_eq!(info["brokers"], json!([{"id": 1, "host": host, "port": port.parse::<u16>()?, "rack": null}]));
    assert_eq!((&info["controller"], info["cluster_id"].as_str().map(str::len)), (&1.into(), Some(22)));
    assert_eq!(info["features"]["group.version"], 1);
    let all = node.list(&["topic", "list", "--internal"])?;
    assert_eq!(info["topics"], all.len());
    let partitions: u64 = all.iter().filter_map(|topic| topic["partitions"].as_u64()).sum();
    assert_eq!(info["partitions"], partitions);
    let table = node.weir(&["cluster", "info", "--output", "table", "-L"])?;
    assert!(table.contains(&format!("broker      1 at {}", node.server.kafka)), "{table}");
    assert!(table.contains("topic \"a\" with 3 partitions:\n    partition 0, leader 1"), "{table}");
    Ok(())
}

#[test]
fn metadata_is_listed_as_kcat_lists_it() -> Result<()> {
    let node = ToolNode::start()?;
    node.weir(&["topic", "create", "a", "-p", "3"])?;
    let ours = node.weir(&["cluster", "metadata", "--output", "table"])?;
    assert!(ours.contains("topic \"a\" with 3 partitions:"), "{ours}");
    let one = node.weir(&["cluster", "metadata", "--output", "table", "-t", "a"])?;
    assert!(one.contains(" 1 topics:") && one.starts_with("Metadata for a (from broker 1: "), "{one}");
    let nowhere = node.weir(&["cluster", "metadata", "-t", "nope", "--output", "table"])?;
    assert!(nowhere.contains("UNKNOWN_TOPIC_OR_PARTITION"), "{nowhere}");
    let Some(theirs) = node.kcat(&["-L"], "")? else { return Ok(()) };
    // Which of its connections librdkafka asks is its own affair.
    let body = |text: &str| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(body(&ours), body(&theirs));
    let object = |text: &str| -> Result<Value> {
        let mut object: Value = serde_json::from_str(text)?;
        object["originating_broker"] = Value::Null;
        Ok(object)
    };
    let theirs = node.kcat(&["-L", "-J", "-t", "a"], "")?.context("kcat is there")?;
    assert_eq!(object(&node.weir(&["cluster", "metadata", "-J", "-t", "a"])?)?, object(&theirs)?);
    Ok(())
}

#[test]
fn a_cluster_that_is_not_well_is_told_by_name_and_exit_code() -> Result<()> {
    let mut node = ToolNode::start()?;
    node.weir(&["topic", "create", "t"])?;
    for value in ["1\n", "2\n"] {
        node.weir_with(&["produce", "t"], value)?;
    }
    node.weir(&["consume", "t", "-G", "slow", "-c", "1", "-q"])?;
    let well = node.list(&["cluster", "health"])?;
    assert_eq!(well.len(), 4);
    assert!(well.iter().all(|check| check["status"] == "ok"), "{well:?}");
    let failed = |node: &ToolNode, arguments: &[&str]| -> Result<Vec<(String, String)>> {
        let ran = node.run(&[&["cluster", "health"], arguments].concat(), "")?;
        assert_eq!(ran.code, Some(1), "{}{}", ran.out, ran.err);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let rows: Vec<Value> = ran.out.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        let rows = rows.iter().filter(|row| row["status"] == "failed");
        Ok(rows.map(|row| (text(&row["subject"]), text(&row["detail"]))).collect())
    };
    let lagging = failed(&node, &["--max-lag", "0"])?;
    assert_eq!(lagging, [("slow".to_owned(), "1 records wait (Empty, 0 members)".to_owned())]);

    // A bit of the first batch of two: no torn end, so the partition stays offline.
    node.server.stop()?;
    let folder = node.log_folder().join("t-0");
    let log = folder.join("00000000000000000000.log");
    let mut bytes = fs::read(&log)?;
    let at = bytes.len() / 2 - 2;
    bytes[at] ^= 1;
    fs::write(&log, bytes)?;
    // What a clean stop left would spare the check of the log.
    for entry in fs::read_dir(node.log_folder())? {
        let path = entry?.path();
        if path.is_file() && path.to_string_lossy().contains("clean") {
            fs::remove_file(path)?;
        }
    }
    node.server = ServerProcess::start(&node.folder.path().join("data"))?;
    let damaged = failed(&node, &[])?;
    let folder = folder.to_string_lossy().into_owned();
    assert!(damaged.contains(&("t-0".to_owned(), "LEADER_NOT_AVAILABLE".to_owned())), "{damaged:?}");
    assert!(damaged.contains(&(folder, "KAFKA_STORAGE_ERROR".to_owned())), "{damaged:?}");
    // What there is to be known of it is shown all the same.
    let shown = node.list(&["topic", "describe", "t"])?;
    assert_eq!((&shown[0]["leader"], &shown[0]["end_offset"]), (&(-1).into(), &Value::Null));
    assert_eq!(node.list(&["group", "describe", "slow"])?[0]["lag"], Value::Null);
    Ok(())
}
