//! Reading as planned: partitions by oneself, or as a member of a group.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufWriter, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use weir_broker::client::consumer::member::{GroupMember, is_fenced};
use weir_broker::client::consumer::membership::MemberEvent;
use weir_broker::client::consumer::positions::Positions;
use weir_broker::client::consumer::reader::{FetchOptions, PartitionRecords, Reader};
use weir_broker::client::error::ClientError;
use weir_broker::client::group_offsets;
use weir_broker::ids::{Offset, TopicId, TopicPartition};
use weir_broker::protocol::error_code::ErrorCode;
use weir_broker::record::compression::{DECOMPRESSED_BYTES_MAX, DecompressBuf};

use crate::input::interrupts::Interrupts;
use crate::kafka_tools::connection::Connection;
use crate::kafka_tools::connection::fetch_metadata;
use crate::kafka_tools::consume::plan::{Flush, ReadPlan};
use crate::kafka_tools::error::{Result, ToolError};
use crate::kafka_tools::format::Consumed;
use crate::kafka_tools::offsets::{bounds, partitions, resolve};
use crate::kafka_tools::progress::Progress;
use crate::render::line;

const COMMIT_EVERY: Duration = Duration::from_secs(5);
/// A member must be heard of, so its fetches are short.
const MEMBER_WAIT: Duration = Duration::from_millis(200);

/// Reads until the plan's end or a signal. Gives the number of records read.
pub async fn read(connection: Connection, plan: ReadPlan) -> Result<u64> {
    let mut chosen = Vec::new();
    for topic in &plan.topics {
        chosen.extend(partitions(&connection, topic, &plan.partitions).await?);
    }
    let broker = fetch_metadata(&connection, plan.topics.first().map(String::as_str)).await?;
    let mut consumer = Consumer {
        reader: Reader::new(connection.transport.clone()),
        broker: broker.brokers.first().map(|broker| broker.node_id),
        connection,
        options: FetchOptions { isolation: plan.isolation, ..FetchOptions::default() },
        left: plan.count,
        positions: Positions::default(),
        ends: BTreeMap::new(),
        scratch: DecompressBuf::with_limit(DECOMPRESSED_BYTES_MAX),
        read: 0,
        last_read: Instant::now(),
        progress: if plan.quiet { Progress::hidden() } else { Progress::of_output() },
        plan,
    };
    if let Some(idle) = consumer.plan.idle_max {
        consumer.options.wait_max = consumer.options.wait_max.min(idle);
    }
    consumer.ends = consumer.find_ends(&chosen).await?;
    let outcome = match consumer.plan.group.clone() {
        None => {
            let offsets =
                resolve(&consumer.connection, consumer.plan.begin, &chosen, consumer.plan.isolation).await?;
            for (partition, offset) in chosen.into_iter().zip(offsets) {
                consumer.positions.seek(partition, offset);
            }
            consumer.read_all().await
        }
        Some(group) => consumer.read_as_member(&group).await,
    };
    consumer.progress.end();
    let has_end = consumer.plan.exit_at_end || consumer.plan.count.is_some() || consumer.plan.until.is_some();
    if !consumer.plan.quiet && outcome.is_ok() && has_end {
        line::err(format_args!("{} record(s) read from {}", consumer.read, consumer.plan.topics.join(", ")));
    }
    outcome.map(|()| consumer.read)
}

struct Consumer {
    connection: Connection,
    reader: Reader,
    broker: Option<i32>,
    plan: ReadPlan,
    options: FetchOptions,
    left: Option<u64>,
    positions: Positions,
    /// Where reading ends, in partitions where it does.
    ends: BTreeMap<TopicPartition, Offset>,
    scratch: DecompressBuf,
    read: u64,
    last_read: Instant,
    progress: Progress,
}

impl Consumer {
    /// Where the partitions end now, or the place that was given stands, whichever comes first.
    async fn find_ends(&self, chosen: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, Offset>> {
        let mut ends: BTreeMap<TopicPartition, Offset> = BTreeMap::new();
        if let Some(until) = self.plan.until {
            let offsets = resolve(&self.connection, until, chosen, self.plan.isolation).await?;
            ends.extend(chosen.iter().cloned().zip(offsets));
        }
        if self.plan.exit_at_end {
            let bounds = bounds(&self.connection, chosen, self.plan.isolation).await?;
            for (partition, bounds) in chosen.iter().zip(bounds) {
                let end = ends.entry(partition.clone()).or_insert(bounds.end);
                *end = bounds.end.min(*end);
            }
        }
        Ok(ends)
    }

    /// All partitions at their ends, the count reached, or nothing come for too long.
    fn is_done(&self) -> bool {
        let at_end = |(partition, offset): (&TopicPartition, Offset)| {
            self.ends.get(partition).is_none_or(|end| offset >= *end)
        };
        self.left == Some(0) || (!self.ends.is_empty() && self.positions.iter().all(at_end)) || self.is_idle()
    }

    fn is_idle(&self) -> bool {
        self.plan.idle_max.is_some_and(|idle| self.last_read.elapsed() >= idle)
    }

    async fn read_all(&mut self) -> Result<()> {
        let mut interrupts = Interrupts::watch_with_terminate();
        while !self.is_done() {
            tokio::select! {
                more = self.fetch() => if !more? { break },
                () = interrupts.next() => break,
            }
        }
        Ok(())
    }

    /// As a member of a group: partitions come and go, offsets are committed.
    async fn read_as_member(&mut self, group: &str) -> Result<()> {
        self.options.wait_max = self.options.wait_max.min(MEMBER_WAIT);
        let mut topics: Vec<(TopicId, Arc<str>)> = Vec::new();
        for topic in &self.plan.topics {
            topics.push((self.connection.topic(topic).await?.id, Arc::from(topic.as_str())));
        }
        let transport = self.connection.transport.clone();
        let mut member = match self.connection.properties.classic_assignor()? {
            None => GroupMember::new(transport, group, topics),
            Some(assignor) => GroupMember::classic(transport, group, topics, assignor),
        };
        let outcome = self.read_with(&mut member, group).await;
        // What was printed is committed, whatever ended the reading.
        let committed = member.commit(&self.positions.uncommitted()).await;
        let left = member.leave().await;
        outcome.and(committed.map_err(ToolError::from)).and(left.map_err(ToolError::from))
    }

    async fn read_with(&mut self, member: &mut GroupMember, group: &str) -> Result<()> {
        let mut interrupts = Interrupts::watch_with_terminate();
        let mut last_commit = Instant::now();
        loop {
            if last_commit.elapsed() >= COMMIT_EVERY {
                self.commit(member).await?;
                last_commit = Instant::now();
            }
            self.rebalance(member, group).await?;
            if self.positions.is_empty() {
                if self.is_idle() {
                    return Ok(());
                }
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_millis(50)) => continue,
                    () = interrupts.next() => return Ok(()),
                }
            }
            if self.is_done() {
                return Ok(());
            }
            tokio::select! {
                more = self.fetch() => if !more? { return Ok(()) },
                () = interrupts.next() => return Ok(()),
            }
        }
    }

    /// Commits what was read. Partitions of a member that was given up are their new owner's.
    async fn commit(&mut self, member: &GroupMember) -> Result<()> {
        let offsets = self.positions.uncommitted();
        match member.commit(&offsets).await {
            Ok(()) => self.positions.note_committed(&offsets),
            Err(error) if is_fenced(&error) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Heartbeats until nothing changes: gives up partitions after committing them, and begins new ones.
    async fn rebalance(&mut self, member: &mut GroupMember, group: &str) -> Result<()> {
        loop {
            match member.heartbeat().await? {
                MemberEvent::Unchanged => return Ok(()),
                MemberEvent::Fenced { .. } => self.positions = Positions::default(),
                MemberEvent::Assigned { .. } => {
                    self.commit(member).await?;
                    member.confirm();
                    self.adopt(member.assigned(), group).await?;
                }
            }
        }
    }

    /// Begins new partitions where the group stopped, or where it was said if it has not been there.
    async fn adopt(&mut self, assigned: &BTreeSet<TopicPartition>, group: &str) -> Result<()> {
        self.positions.retain(assigned);
        let new = self.positions.missing(assigned);
        if new.is_empty() {
            return Ok(());
        }
        let committed = group_offsets::fetch(&self.connection.transport, group).await?;
        let fallback = resolve(&self.connection, self.plan.begin, &new, self.plan.isolation).await?;
        for (partition, offset) in new.into_iter().zip(fallback) {
            match committed.get(&partition) {
                Some(committed) => self.positions.resume(partition, *committed),
                None => self.positions.seek(partition, offset),
            }
        }
        Ok(())
    }

    /// Fetches once and prints the records; false if the output is closed.
    async fn fetch(&mut self) -> Result<bool> {
        let is_open = |(partition, offset): &(&TopicPartition, Offset)| {
            self.ends.get(partition).is_none_or(|end| offset < end)
        };
        let wanted: Vec<(TopicPartition, Offset)> = self
            .positions
            .iter()
            .filter(is_open)
            .map(|(partition, offset)| (partition.clone(), offset))
            .collect();
        for (partition, outcome) in self.reader.fetch(&wanted, &self.options).await? {
            match outcome {
                Ok(records) => {
                    if !self.print(&partition, &records)? {
                        return Ok(false);
                    }
                }
                Err(error) if error.code() == Some(ErrorCode::OffsetOutOfRange) => {
                    self.go_to_start(&partition).await?;
                }
                Err(error) if error.is_retriable() => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.progress.set(self.read);
        Ok(true)
    }

    async fn go_to_start(&mut self, partition: &TopicPartition) -> Result<()> {
        let found = bounds(&self.connection, std::slice::from_ref(partition), self.plan.isolation).await?;
        let start = found.first().map_or(0, |bounds| bounds.start);
        line::err(format_args!(
            "Warning: {partition} does not have its offset any more; going on at {start}"
        ));
        self.positions.seek(partition.clone(), start);
        Ok(())
    }

    /// Prints the records of a partition; false if the output is closed.
    fn print(&mut self, partition: &TopicPartition, records: &PartitionRecords) -> Result<bool> {
        let mut position = self.positions.next(partition).unwrap_or(0);
        let end = self.ends.get(partition).copied().unwrap_or(Offset::MAX);
        let unusable = |error| ToolError::Client(ClientError::Batch(error));
        let mut out = BufWriter::new(std::io::stdout().lock());
        'batches: for batch in &records.batches {
            let timestamp_type = batch.header().timestamp_type();
            for record in batch.records(&mut self.scratch).map_err(unusable)? {
                let record = record.map_err(unusable)?;
                if record.offset < position {
                    continue;
                }
                if record.offset >= end || self.left == Some(0) {
                    break 'batches;
                }
                let consumed = Consumed {
                    topic: &partition.topic,
                    partition: partition.partition,
                    broker: self.broker,
                    timestamp_type,
                    record: &record,
                };
                let written = self.plan.format.write(&mut out, &consumed, &self.plan.null);
                let flushed = match self.plan.flush {
                    Flush::EveryRecord => written.and_then(|()| out.flush()),
                    Flush::EveryFetch => written,
                };
                if flushed.is_err() {
                    return Ok(false);
                }
                position = record.offset + 1;
                self.read += 1;
                self.left = self.left.map(|left| left - 1);
                self.last_read = Instant::now();
            }
        }
        if self.left != Some(0) {
            position = position.max(records.next_offset.min(end));
        }
        self.positions.seek(partition.clone(), position);
        Ok(out.flush().is_ok())
    }
}
