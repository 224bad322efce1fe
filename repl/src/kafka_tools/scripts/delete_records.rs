//! `kafka-delete-records`.

use std::path::PathBuf;

use clap::Parser;
use serde::Deserialize;
use weir_broker::ids::TopicPartition;

use crate::kafka_tools::error::{Result, ToolError};
use crate::kafka_tools::output::line;
use crate::kafka_tools::scripts::arguments::{Bootstrap, Ignored};

/// Delete the records before offsets, as kafka-delete-records.sh does
#[derive(Debug, Parser)]
#[command(name = "kafka-delete-records", version, infer_long_args = true)]
pub struct DeleteRecordsArgs {
    #[command(flatten)]
    bootstrap: Bootstrap,
    /// {"partitions": [{"topic": "t", "partition": 0, "offset": 5}], "version": 1}; offset -1 deletes all
    #[arg(long, value_name = "FILE")]
    offset_json_file: PathBuf,
}

impl Ignored for DeleteRecordsArgs {}

#[derive(Debug, Deserialize)]
struct OffsetFile {
    partitions: Vec<OffsetEntry>,
    #[serde(default = "first_version")]
    version: u32,
}

fn first_version() -> u32 {
    1
}

#[derive(Debug, Deserialize)]
struct OffsetEntry {
    topic: String,
    partition: i32,
    offset: i64,
}

pub async fn run(args: DeleteRecordsArgs) -> Result<()> {
    let path = args.offset_json_file.display().to_string();
    let text = std::fs::read_to_string(&args.offset_json_file).map_err(|source| ToolError::Io {
        action: "read",
        path: path.clone(),
        source,
    })?;
    let wrong = |message: String| ToolError::Input { place: path.clone(), message };
    let file: OffsetFile = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    if file.version != 1 {
        return Err(wrong(format!("version {} is not known", file.version)));
    }
    let connection = args.bootstrap.open(&[]).await?;
    line("Executing records delete operation");
    let mut failed = 0;
    let mut lines = Vec::new();
    for entry in &file.partitions {
        let partition = TopicPartition::new(entry.topic.as_str(), entry.partition);
        match connection.admin.delete_records(&partition, entry.offset).await {
            Ok(start) => lines.push(format!("partition: {partition}\tlow_watermark: {start}")),
            Err(error) => {
                failed += 1;
                lines.push(format!("partition: {partition}\terror: {}", ToolError::Client(error)));
            }
        }
    }
    line("Records delete operation completed:");
    lines.iter().for_each(|text| line(text));
    if failed > 0 { Err(ToolError::Some { failed, of: file.partitions.len() }) } else { Ok(()) }
}
