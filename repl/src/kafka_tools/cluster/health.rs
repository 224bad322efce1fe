//! `weir cluster health`: findings that need attention.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use serde_json::Value;
use weir_broker::env::clock::{Clock, SystemClock};
use weir_broker::protocol::error_code::ErrorCode;
use weir_broker::protocol::messages::describe_log_dirs::DescribeLogDirsRequest;
use weir_broker::protocol::messages::describe_producers::{DescribeProducersRequest, TopicRequest};
use weir_broker::protocol::messages::describe_transactions::{DescribeTransactionsRequest, TransactionState};
use weir_broker::protocol::messages::list_transactions::ListTransactionsRequest;
use weir_broker::protocol::messages::metadata::MetadataResponse;

use crate::kafka_tools::connection::fetch_metadata;
use crate::kafka_tools::connection::{Connection, ask};
use crate::kafka_tools::error::{Result, ToolError, check};
use crate::kafka_tools::group::view::{describe, groups, lags, total};
use crate::kafka_tools::output::OutputArgs;

/// Kafka's default of `transaction.max.timeout.ms`: no transaction that its coordinator knows is open for longer.
const TRANSACTION_MS_MAX: i64 = 900_000;
/// A coordinator looks for transactions that are too old only now and then.
const GRACE_MS: i64 = 60_000;
/// States of transactions that hold records back.
const OPEN_STATES: [&str; 3] = ["Ongoing", "PrepareCommit", "PrepareAbort"];

#[derive(Clone, Copy, Debug, Args)]
pub struct HealthArgs {
    /// Records that may wait for a group
    #[arg(long, value_name = "RECORDS", default_value_t = 1_000_000)]
    max_lag: i64,
    /// JSON lines
    #[arg(long, short = 'J')]
    json: bool,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    subject: String,
    detail: String,
}

fn finding(subject: impl Into<String>, detail: impl Into<String>) -> Finding {
    Finding { subject: subject.into(), detail: detail.into() }
}

pub async fn run(connection: &Connection, output: OutputArgs, args: &HealthArgs) -> Result<()> {
    let now_ms = SystemClock::new().now_ms();
    let metadata = fetch_metadata(connection, None).await?;
    let checks: [(&str, Vec<Finding>); 4] = [
        ("partitions", offline_partitions(&metadata)),
        ("log_dirs", failed_dirs(connection).await?),
        ("groups", lagging_groups(connection, args.max_lag).await?),
        ("transactions", hanging_transactions(connection, &metadata, now_ms).await?),
    ];
    let mut rows: Vec<Vec<Value>> = Vec::new();
    for (name, findings) in &checks {
        if findings.is_empty() {
            rows.push(vec![(*name).into(), "ok".into(), Value::Null, Value::Null]);
        }
        rows.extend(findings.iter().map(|found| {
            let (subject, detail) = (found.subject.as_str(), found.detail.as_str());
            vec![(*name).into(), "failed".into(), subject.into(), detail.into()]
        }));
    }
    let output = if args.json { OutputArgs::json() } else { output };
    output.show(&["check", "status", "subject", "detail"], &rows);
    match checks.iter().map(|(_, findings)| findings.len()).sum() {
        0 => Ok(()),
        count => Err(ToolError::Unhealthy { count }),
    }
}

fn offline_partitions(metadata: &MetadataResponse) -> Vec<Finding> {
    let mut findings = Vec::new();
    for topic in &metadata.topics {
        let name = topic.name.as_deref().unwrap_or_default();
        if topic.error_code != ErrorCode::None {
            findings.push(finding(name, topic.error_code.name()));
        }
        for partition in &topic.partitions {
            let detail = match partition.error_code {
                ErrorCode::None if partition.leader_id < 0 => "no leader",
                ErrorCode::None if !partition.offline_replicas.is_empty() => "replica offline",
                ErrorCode::None if partition.isr_nodes.len() < partition.replica_nodes.len() => {
                    "replica not in sync"
                }
                ErrorCode::None => continue,
                code => code.name(),
            };
            findings.push(finding(format!("{name}-{}", partition.partition_index), detail));
        }
    }
    findings
}

async fn failed_dirs(connection: &Connection) -> Result<Vec<Finding>> {
    let answer = ask!(connection, DescribeLogDirs, DescribeLogDirsRequest { topics: None })?;
    check(|| "describing log directories".to_owned(), answer.error_code, None)?;
    let failed = answer.results.into_iter().filter(|dir| dir.error_code != ErrorCode::None);
    Ok(failed.map(|dir| finding(dir.log_dir, dir.error_code.name())).collect())
}

async fn lagging_groups(connection: &Connection, lag_max: i64) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for listed in groups(connection).await? {
        let group = describe(connection, listed).await?;
        let lag = total(&lags(connection, &group).await?);
        if lag > lag_max {
            let members = group.members.len();
            findings
                .push(finding(group.id, format!("{lag} records wait ({}, {members} members)", group.state)));
        }
    }
    Ok(findings)
}

/// Transactions that their coordinator should have ended, and those in partitions that no coordinator knows.
async fn hanging_transactions(
    connection: &Connection,
    metadata: &MetadataResponse,
    now_ms: i64,
) -> Result<Vec<Finding>> {
    let request = ListTransactionsRequest {
        state_filters: OPEN_STATES.map(str::to_owned).to_vec(),
        duration_filter: -1,
        ..ListTransactionsRequest::default()
    };
    let listed = ask!(connection, ListTransactions, request)?;
    check(|| "listing transactions".to_owned(), listed.error_code, None)?;
    let known: BTreeSet<i64> = listed.transaction_states.iter().map(|state| state.producer_id).collect();
    let ids = listed.transaction_states.into_iter().map(|state| state.transactional_id).collect();
    let request = DescribeTransactionsRequest { transactional_ids: ids };
    let described = ask!(connection, DescribeTransactions, request)?.transaction_states;
    let mut findings: Vec<Finding> = described.iter().filter_map(|state| overdue(state, now_ms)).collect();
    findings.extend(unknown_producers(connection, metadata, &known, now_ms).await?);
    Ok(findings)
}

/// The finding for a transaction that has been open for longer than its timeout.
fn overdue(state: &TransactionState, now_ms: i64) -> Option<Finding> {
    let is_open =
        state.error_code == ErrorCode::None && OPEN_STATES.contains(&state.transaction_state.as_str());
    if !is_open || state.transaction_start_time_ms < 0 {
        return None;
    }
    let open_ms = now_ms.saturating_sub(state.transaction_start_time_ms);
    let late = open_ms > i64::from(state.transaction_timeout_ms).saturating_add(GRACE_MS);
    let detail = format!(
        "{} for {} s, its timeout is {} s",
        state.transaction_state,
        open_ms / 1_000,
        state.transaction_timeout_ms / 1_000
    );
    late.then(|| finding(state.transactional_id.as_str(), detail))
}

/// Open transactions in partitions, of producers whose transactions are not open as coordinators see it. Source: KIP-664.
async fn unknown_producers(
    connection: &Connection,
    metadata: &MetadataResponse,
    known: &BTreeSet<i64>,
    now_ms: i64,
) -> Result<Vec<Finding>> {
    let topic = |(name, partition_indexes): (String, Vec<i32>)| TopicRequest { name, partition_indexes };
    let mut online: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    for topic in &metadata.topics {
        let name = topic.name.clone().unwrap_or_default();
        let well = topic.partitions.iter().filter(|partition| partition.error_code == ErrorCode::None);
        online.entry(name).or_default().extend(well.map(|partition| partition.partition_index));
    }
    let request = DescribeProducersRequest { topics: online.into_iter().map(topic).collect() };
    let mut findings = Vec::new();
    for topic in ask!(connection, DescribeProducers, request)?.topics {
        for partition in topic.partitions {
            for producer in partition.active_producers {
                let age_ms = now_ms.saturating_sub(producer.last_timestamp);
                let is_open = producer.current_txn_start_offset >= 0;
                if is_open && !known.contains(&producer.producer_id) && age_ms > TRANSACTION_MS_MAX + GRACE_MS
                {
                    let detail = format!(
                        "transaction of producer {} from offset {} on, which no coordinator knows, for {} s",
                        producer.producer_id,
                        producer.current_txn_start_offset,
                        age_ms / 1_000
                    );
                    findings.push(finding(format!("{}-{}", topic.name, partition.partition_index), detail));
                }
            }
        }
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use weir_broker::protocol::messages::metadata::{MetadataResponsePartition, MetadataResponseTopic};

    use super::*;

    #[test]
    fn transactions_may_be_open_for_their_timeout() {
        let state = |name: &str, started: i64| TransactionState {
            transactional_id: "t".to_owned(),
            transaction_state: name.to_owned(),
            transaction_timeout_ms: 10_000,
            transaction_start_time_ms: started,
            ..TransactionState::default()
        };
        let now = 1_000_000;
        assert_eq!(overdue(&state("Ongoing", now - 10_000 - GRACE_MS), now), None);
        let late = overdue(&state("Ongoing", now - 10_001 - GRACE_MS), now).expect("too old");
        assert_eq!(late, finding("t", "Ongoing for 70 s, its timeout is 10 s"));
        assert!(overdue(&state("PrepareAbort", 0), now).is_some());
        assert_eq!(overdue(&state("CompleteCommit", 0), now), None);
        assert_eq!(overdue(&state("Ongoing", -1), now), None, "not begun");
    }

    #[test]
    fn partitions_without_leader_or_replicas_are_told() {
        let partition = |index, leader_id, error_code| MetadataResponsePartition {
            partition_index: index,
            leader_id,
            error_code,
            replica_nodes: vec![1],
            isr_nodes: vec![1],
            ..MetadataResponsePartition::default()
        };
        let topic = MetadataResponseTopic {
            name: Some("t".to_owned()),
            partitions: vec![
                partition(0, 1, ErrorCode::None),
                partition(1, -1, ErrorCode::None),
                partition(2, 1, ErrorCode::KafkaStorageError),
                MetadataResponsePartition { isr_nodes: Vec::new(), ..partition(3, 1, ErrorCode::None) },
            ],
            ..MetadataResponseTopic::default()
        };
        let metadata = MetadataResponse { topics: vec![topic], ..MetadataResponse::default() };
        let expected = [("t-1", "no leader"), ("t-2", "KAFKA_STORAGE_ERROR"), ("t-3", "replica not in sync")];
        assert_eq!(offline_partitions(&metadata), expected.map(|(s, d)| finding(s, d)));
    }
}
