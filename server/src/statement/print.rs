//! PRINT: the records of a topic as text, with a guess at their formats.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;
use weir_broker::client::admin::Admin;
use weir_broker::client::reader::{FetchOptions, Reader};
use weir_broker::ids::TopicPartition;
use weir_broker::log::access::{Isolation, OffsetSpec};
use weir_broker::record::compression::DecompressBuf;
use weir_sql::ast::statement::Print;
use weir_sql::value::time::format_timestamp;

use crate::error::ApiError;
use crate::http::api::{QueryKind, RunningQuery};
use crate::node::Node;
use crate::statement::query::AbortOnDrop;
use crate::wire::rows::{RowEvent, RowsHeader};

const LINE_BATCHES_MAX: usize = 16;
const DECOMPRESSED_BYTES_MAX: usize = 64 << 20;

pub async fn start(node: &Node, what: &Print, text: &str) -> Result<RunningQuery, ApiError> {
    let topic = node
        .topics()
        .await?
        .into_iter()
        .find(|t| t.name == what.topic)
        .ok_or_else(|| ApiError::statement(format!("Could not find topic '{}', or the KSQL user does not have permissions to list the topic. Topic names are case-sensitive.", what.topic), text))?;
    let partitions: Vec<TopicPartition> =
        (0..topic.partitions).map(|p| TopicPartition::new(topic.name.as_str(), p)).collect();
    let spec = if what.from_beginning { OffsetSpec::Earliest } else { OffsetSpec::Latest };
    let wanted: Vec<(TopicPartition, OffsetSpec)> = partitions.iter().map(|p| (p.clone(), spec)).collect();
    let admin = Admin::new(node.transport());
    let listed = admin
        .list_offsets(&wanted, Isolation::ReadUncommitted)
        .await
        .map_err(|e| ApiError::server(e.to_string()))?;
    let positions: Vec<(TopicPartition, i64)> =
        partitions.into_iter().zip(listed).map(|(p, o)| (p, o.offset.unwrap_or(0))).collect();
    let (sender, events) = mpsc::channel(LINE_BATCHES_MAX);
    let printing = Printing {
        reader: Reader::new(node.transport()),
        positions,
        interval: what.interval.unwrap_or(1).max(1),
        limit: what.limit.unwrap_or(u64::MAX),
        seen: 0,
        printed: 0,
        announced: (None, None),
    };
    let task = tokio::spawn(printing.run(sender));
    let header = RowsHeader { query_id: None, columns: Vec::new() };
    Ok(RunningQuery {
        kind: QueryKind::Print,
        header,
        events,
        dropped: Arc::default(),
        guard: Box::new(AbortOnDrop(task)),
    })
}

struct Printing {
    reader: Reader,
    positions: Vec<(TopicPartition, i64)>,
    interval: u64,
    limit: u64,
    seen: u64,
    printed: u64,
    /// The formats that have been told.
    announced: (Option<&'static str>, Option<&'static str>),
}

impl Printing {
    async fn run(mut self, sender: mpsc::Sender<Vec<RowEvent>>) {
        let options = FetchOptions {
            isolation: Isolation::ReadCommitted,
            wait_max: Duration::from_millis(500),
            ..FetchOptions::default()
        };
        while self.printed < self.limit {
            let fetched = match self.reader.fetch(&self.positions, &options).await {
                Ok(fetched) => fetched,
                Err(error) => {
                    let _ = sender.send(vec![RowEvent::Failed(ApiError::server(error.to_string()))]).await;
                    return;
                }
            };
            let mut lines = Vec::new();
            for ((_, position), (partition, outcome)) in self.positions.clone().into_iter().zip(fetched) {
                match outcome {
                    Ok(records) => {
                        for batch in &records.batches {
                            self.print_batch(&partition, batch, position, &mut lines);
                        }
                        self.advance(&partition, records.next_offset);
                    }
                    Err(error) => {
                        lines.push(RowEvent::Failed(ApiError::server(error.to_string())));
                        let _ = sender.send(lines).await;
                        return;
                    }
                }
            }
            if sender.is_closed() || (!lines.is_empty() && sender.send(lines).await.is_err()) {
                return;
            }
        }
    }

    fn advance(&mut self, partition: &TopicPartition, next: i64) {
        if let Some((_, position)) = self.positions.iter_mut().find(|(p, _)| p == partition) {
            *position = next.max(*position);
        }
    }

    fn print_batch(
        &mut self,
        partition: &TopicPartition,
        batch: &weir_broker::record::batch::RecordBatch,
        from: i64,
        lines: &mut Vec<RowEvent>,
    ) {
        let mut scratch = DecompressBuf::with_limit(DECOMPRESSED_BYTES_MAX);
        let Ok(records) = batch.records(&mut scratch) else { return };
        for record in records.filter_map(Result::ok).filter(|r| r.offset >= from) {
            self.seen += 1;
            if !(self.seen - 1).is_multiple_of(self.interval) || self.printed >= self.limit {
                continue;
            }
            self.printed += 1;
            let (key_format, key) = guess(record.key);
            let (value_format, value) = guess(record.value);
            if self.announced != (Some(key_format), Some(value_format)) {
                if self.announced.0 != Some(key_format) {
                    lines.push(line(format!("Key format: {key_format}")));
                }
                if self.announced.1 != Some(value_format) {
                    lines.push(line(format!("Value format: {value_format}")));
                }
                self.announced = (Some(key_format), Some(value_format));
            }
            let time = format_timestamp(record.timestamp).replace('-', "/").replace('T', " ");
            lines.push(line(format!(
                "rowtime: {time} Z, key: {key}, value: {value}, partition: {}",
                partition.partition
            )));
        }
    }
}

fn line(text: String) -> RowEvent {
    RowEvent::Row { columns: text, tombstone: false }
}

/// The likeliest format of some bytes, and the bytes as text in it.
fn guess(bytes: Option<&[u8]>) -> (&'static str, String) {
    let Some(bytes) = bytes else { return ("¯\\_(ツ)_/¯ - no data processed", "<null>".to_owned()) };
    let first = bytes.iter().find(|b| !b.is_ascii_whitespace());
    if matches!(first, Some(b'{' | b'['))
        && let Ok(value) = serde_json::from_slice::<Value>(bytes)
    {
        return ("JSON", value.to_string());
    }
    match std::str::from_utf8(bytes) {
        Ok(text) if text.chars().all(|c| !c.is_control() || c.is_whitespace()) => {
            ("KAFKA_STRING", text.to_owned())
        }
        _ => match bytes.len() {
            4 => {
                let value = i32::from_be_bytes(bytes.try_into().expect("four bytes"));
                ("KAFKA_INT", value.to_string())
            }
            8 => {
                let value = i64::from_be_bytes(bytes.try_into().expect("eight bytes"));
                ("KAFKA_BIGINT or KAFKA_DOUBLE", value.to_string())
            }
            _ => {
                let hex: String = bytes.iter().map(|b| format!("\\x{b:02X}")).collect();
                ("unrecognized bytes", hex)
            }
        },
    }
}
