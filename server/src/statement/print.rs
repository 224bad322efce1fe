//! PRINT: the records of a topic as text, with a guess at their formats.

mod formats;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use weir_broker::client::consumer::reader::{FetchOptions, PartitionRecords, Reader};
use weir_broker::env::spawn;
use weir_broker::ids::{Offset, TopicPartition};
use weir_broker::log::access::{Isolation, OffsetSpec};
use weir_broker::record::compression::DecompressBuf;
use weir_sql::ast::statement::Print;
use weir_sql::value::time::format_timestamp;

use crate::auth::access_watch::AccessWatch;
use crate::context::Context;
use crate::error::{ApiError, ErrorCode};
use crate::http::api::{QueryEndpoint, QueryEvents, QueryKind, RunningQuery};
use crate::statement::print::formats::{Formats, Side};
use crate::statement::render::AbortOnDrop;
use crate::wire::rows::{RowEvent, RowsHeader};

const LINE_BATCHES_MAX: usize = 16;
const DECOMPRESSED_BYTES_MAX: usize = 64 << 20;

pub async fn start(
    context: &Context,
    what: &Print,
    endpoint: QueryEndpoint,
    access: AccessWatch,
) -> Result<RunningQuery, ApiError> {
    let admin = context.admin();
    let described = admin.describe_topic(&what.topic).await;
    let topic = described.map_err(|e| ApiError::server(e.to_string()))?.ok_or_else(|| {
        let message = format!(
            "Could not find topic '{}', or the KSQL user does not have permissions to list the topic. \
             Topic names are case-sensitive.",
            what.topic
        );
        ApiError::new(ErrorCode::BadStatement, message)
    })?;
    let partitions: Vec<TopicPartition> =
        (0..topic.partitions).map(|p| TopicPartition::new(topic.name.as_str(), p)).collect();
    let spec = if what.from_beginning { OffsetSpec::Earliest } else { OffsetSpec::Latest };
    let wanted: Vec<(TopicPartition, OffsetSpec)> = partitions.iter().map(|p| (p.clone(), spec)).collect();
    let listed = admin
        .list_offsets(&wanted, Isolation::ReadUncommitted)
        .await
        .map_err(|e| ApiError::server(e.to_string()))?;
    let positions: Vec<(TopicPartition, i64)> =
        partitions.into_iter().zip(listed).map(|(p, o)| (p, o.offset.unwrap_or(0))).collect();
    let (sender, events) = mpsc::channel(LINE_BATCHES_MAX);
    let printing = Printing {
        reader: Reader::new(context.transport()),
        positions,
        interval: what.interval.unwrap_or(1).max(1),
        limit: what.limit.unwrap_or(u64::MAX),
        seen: 0,
        printed: 0,
        keys: Formats::new(Side::Key),
        values: Formats::new(Side::Value),
        announces: endpoint == QueryEndpoint::Query,
        announced: (None, None),
    };
    let task = spawn::task("print", printing.run(sender));
    let header = RowsHeader { query_id: None, columns: Vec::new() };
    Ok(RunningQuery {
        kind: QueryKind::Print,
        header,
        events: QueryEvents::new(events, Arc::default(), access),
        guard: Box::new(AbortOnDrop(task)),
    })
}

struct Printing {
    reader: Reader,
    positions: Vec<(TopicPartition, Offset)>,
    interval: u64,
    limit: u64,
    seen: u64,
    printed: u64,
    keys: Formats,
    values: Formats,
    /// Whether the formats are shown on lines of their own.
    announces: bool,
    /// Those that were shown last.
    announced: (Option<String>, Option<String>),
}

/// A record to print.
struct Printed {
    partition: i32,
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
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
            let mut failure = None;
            for ((_, position), (partition, outcome)) in self.positions.clone().into_iter().zip(fetched) {
                match outcome {
                    Ok(records) => {
                        lines.extend(self.print(&partition, &records, position));
                        self.advance(&partition, records.next_offset);
                    }
                    Err(error) => failure = Some(ApiError::server(error.to_string())),
                }
            }
            let failed = failure.is_some();
            lines.extend(failure.map(RowEvent::Failed));
            let closed = sender.is_closed() || (!lines.is_empty() && sender.send(lines).await.is_err());
            if closed || failed {
                return;
            }
        }
    }

    fn advance(&mut self, partition: &TopicPartition, next: Offset) {
        if let Some((_, position)) = self.positions.iter_mut().find(|(p, _)| p == partition) {
            *position = next.max(*position);
        }
    }

    /// The lines of a fetch: the formats if they changed, then the records.
    fn print(
        &mut self,
        partition: &TopicPartition,
        records: &PartitionRecords,
        from: Offset,
    ) -> Vec<RowEvent> {
        let mut notes = Vec::new();
        let chosen = self.choose(partition, records, from, &mut notes);
        for record in &chosen {
            self.keys.narrow(record.key.as_deref());
            self.values.narrow(record.value.as_deref());
        }
        let mut lines = Vec::new();
        if self.announces && !chosen.is_empty() {
            let (key, value) = (self.keys.announcement(), self.values.announcement());
            if self.announced.0.as_ref() != Some(&key) {
                lines.push(line(format!("Key format: {key}")));
            }
            if self.announced.1.as_ref() != Some(&value) {
                lines.push(line(format!("Value format: {value}")));
            }
            self.announced = (Some(key), Some(value));
        }
        for record in chosen {
            let time = format_timestamp(record.timestamp).replace('-', "/").replace('T', " ");
            let key = self.keys.render(record.key.as_deref());
            let value = self.values.render(record.value.as_deref());
            let partition = record.partition;
            lines
                .push(line(format!("rowtime: {time} Z, key: {key}, value: {value}, partition: {partition}")));
        }
        lines.extend(notes);
        lines
    }

    /// The records to print, by INTERVAL and LIMIT. `notes`: lines on batches that cannot be read.
    fn choose(
        &mut self,
        partition: &TopicPartition,
        records: &PartitionRecords,
        from: Offset,
        notes: &mut Vec<RowEvent>,
    ) -> Vec<Printed> {
        let mut chosen = Vec::new();
        for batch in &records.batches {
            let mut scratch = DecompressBuf::with_limit(DECOMPRESSED_BYTES_MAX);
            let unreadable = |cause: String| {
                let header = batch.header();
                let (first, last) = (header.base_offset, header.last_offset());
                line(format!(
                    "offsets {first} to {last} of partition {} cannot be read: {cause}",
                    partition.partition
                ))
            };
            let read = match batch.records(&mut scratch) {
                Ok(read) => read,
                Err(error) => {
                    notes.push(unreadable(error.to_string()));
                    continue;
                }
            };
            for record in read {
                let record = match record {
                    Ok(record) => record,
                    Err(error) => {
                        notes.push(unreadable(error.to_string()));
                        break;
                    }
                };
                if record.offset < from {
                    continue;
                }
                self.seen += 1;
                if (self.seen - 1).is_multiple_of(self.interval) && self.printed < self.limit {
                    self.printed += 1;
                    chosen.push(Printed {
                        partition: partition.partition,
                        timestamp: record.timestamp,
                        key: record.key.map(<[u8]>::to_vec),
                        value: record.value.map(<[u8]>::to_vec),
                    });
                }
            }
        }
        chosen
    }
}

fn line(text: String) -> RowEvent {
    RowEvent::Row { columns: text, tombstone: false }
}
