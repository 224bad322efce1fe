//! Reads whole partitions, and checks while reading what holds for every log.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use weir_broker::client::consumer::reader::{FetchOptions, Reader};
use weir_broker::client::tcp::{TcpTransport, TcpTransportConfig};
use weir_broker::client::transport::Transport;
use weir_broker::ids::TopicPartition;
use weir_broker::log::access::Isolation;
use weir_broker::protocol::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
use weir_broker::protocol::request::Request;
use weir_broker::protocol::response::Response;
use weir_broker::record::batch::BatchIter;
use weir_broker::record::compression::DecompressBuf;

/// A transport to a broker on this machine.
pub fn transport(kafka: &str) -> Arc<dyn Transport> {
    Arc::new(TcpTransport::new(kafka, TcpTransportConfig::default()))
}

/// One record, as a reader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub offset: i64,
    /// Milliseconds since the epoch.
    pub timestamp: i64,
    /// The key as text; bytes that are not UTF-8 are replaced.
    pub key: String,
    /// None for a tombstone.
    pub value: Option<String>,
}

/// Whether every offset must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gaps {
    /// Batches follow each other without a gap.
    Refused,
    /// Compaction has taken records out.
    Allowed,
}

/// The ends of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    pub log_start: i64,
    pub last_stable: i64,
    pub high_watermark: i64,
}

/// Walks over every batch up to the high watermark, control batches included: checksums, offsets that rise without gaps,
/// ends that are in order. Source: the checks of Jepsen's Kafka workload.
pub async fn check_offsets(transport: &Arc<dyn Transport>, of: &TopicPartition, gaps: Gaps) -> Result<Ends> {
    let mut position = None;
    loop {
        let wanted = FetchPartition {
            partition: of.partition,
            fetch_offset: position.unwrap_or(0),
            partition_max_bytes: 4 << 20,
            ..FetchPartition::default()
        };
        let topic =
            FetchTopic { topic: of.topic.to_string(), partitions: vec![wanted], ..FetchTopic::default() };
        let request = FetchRequest { max_bytes: 8 << 20, topics: vec![topic], ..FetchRequest::default() };
        let Response::Fetch(answer) = transport.send(Request::Fetch(request)).await? else {
            bail!("no records")
        };
        let data = answer.responses.into_iter().flat_map(|topic| topic.partitions).next();
        let data = data.context("no answer for the partition")?;
        if position.is_none() && data.log_start_offset > 0 {
            position = Some(data.log_start_offset);
            continue;
        }
        ensure!(data.error_code.code() == 0, "{of} at {position:?}: {:?}", data.error_code);
        let ends = Ends {
            log_start: data.log_start_offset,
            last_stable: data.last_stable_offset,
            high_watermark: data.high_watermark,
        };
        ensure!(
            ends.log_start <= ends.last_stable && ends.last_stable <= ends.high_watermark,
            "{of}: {ends:?} are not in order"
        );
        let mut at = position.unwrap_or(0);
        for batch in BatchIter::new(data.records.unwrap_or_default()) {
            // The checksum is checked here.
            let batch = batch.with_context(|| format!("{of} at {at}"))?;
            let (base, next) = (batch.base_offset(), batch.last_offset() + 1);
            // The first batch may begin before the log start, or before what was asked for.
            let first = position.is_none_or(|p| p == at) && base <= at && next > at;
            ensure!(first || base >= at, "{of}: offset {base} comes again after {at}");
            ensure!(first || gaps == Gaps::Allowed || base == at, "{of}: offsets {at} to {base} are missing");
            ensure!(next <= ends.high_watermark, "{of}: offset {next} is beyond the high watermark");
            at = next;
        }
        if at == position.unwrap_or(0) {
            ensure!(
                gaps == Gaps::Allowed || at >= ends.high_watermark,
                "{of}: nothing at {at}, the log goes to {}",
                ends.high_watermark
            );
            return Ok(ends);
        }
        position = Some(at);
    }
}

/// Every record of a partition that a reader of committed records sees, in order.
pub async fn read_committed(transport: &Arc<dyn Transport>, of: &TopicPartition) -> Result<Vec<Seen>> {
    let reader = Reader::new(Arc::clone(transport));
    let options = FetchOptions {
        isolation: Isolation::ReadCommitted,
        wait_max: Duration::ZERO,
        partition_bytes_max: 8 << 20,
        ..FetchOptions::default()
    };
    let mut seen: Vec<Seen> = Vec::new();
    let mut position = 0;
    let mut scratch = DecompressBuf::with_limit(64 << 20);
    loop {
        let mut fetched = reader.fetch(&[(of.clone(), position)], &options).await?;
        let records = fetched.pop().context("no answer for the partition")?.1?;
        position = position.max(records.log_start_offset);
        for batch in &records.batches {
            for record in batch.records(&mut scratch)? {
                let record = record?;
                if record.offset < position {
                    continue;
                }
                if let Some(last) = seen.last() {
                    ensure!(last.offset < record.offset, "{of}: {} after {}", record.offset, last.offset);
                }
                seen.push(Seen {
                    offset: record.offset,
                    timestamp: record.timestamp,
                    key: String::from_utf8_lossy(record.key.unwrap_or_default()).into_owned(),
                    value: record.value.map(|v| String::from_utf8(v.to_vec())).transpose()?,
                });
            }
        }
        ensure!(
            seen.last().is_none_or(|last| last.offset < records.last_stable_offset),
            "{of}: a record at or after the last stable offset {} is visible",
            records.last_stable_offset
        );
        if records.next_offset <= position {
            return Ok(seen);
        }
        position = records.next_offset;
    }
}
