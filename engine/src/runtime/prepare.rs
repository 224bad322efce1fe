//! What is found out from the broker before tasks can run, beside the worker's thread.

use std::collections::BTreeMap;
use std::sync::Arc;

use crossbeam_channel::Sender;
use weir_broker::client::admin::Admin;
use weir_broker::client::group_offsets;
use weir_broker::client::transport::Transport;
use weir_broker::ids::{Offset, TopicPartition};
use weir_broker::log::access::{Isolation, OffsetSpec};

use crate::query::handle::{Predecessors, QueryHandle};
use crate::query::naming::transactional_id;
use crate::query::options::OffsetReset;
use crate::runtime::error::{Result, RuntimeError};
use crate::runtime::messages::{AttemptId, Prepared, WorkerMessage};
use crate::runtime::transaction;
use crate::task::stream_task::TaskId;

/// A start that is being prepared.
#[derive(Debug)]
pub(crate) struct Preparation {
    pub(crate) attempt: AttemptId,
    pub(crate) query: Arc<QueryHandle>,
    pub(crate) tasks: Vec<TaskId>,
    pub(crate) worker: usize,
    pub(crate) transaction_timeout_ms: i32,
    pub(crate) predecessors: Predecessors,
}

/// Takes over the transactional id, which aborts what a predecessor left open, and then looks up where to begin; at the same
/// time if there was none. Answers with [`WorkerMessage::Prepared`].
pub(crate) async fn run(
    preparation: Preparation,
    transport: Arc<dyn Transport>,
    inbox: Sender<WorkerMessage>,
) {
    let attempt = preparation.attempt;
    let outcome = prepare(preparation, transport, &inbox).await.map(Box::new);
    let _ = inbox.send(WorkerMessage::Prepared { attempt, outcome });
}

async fn prepare(
    preparation: Preparation,
    transport: Arc<dyn Transport>,
    inbox: &Sender<WorkerMessage>,
) -> Result<Prepared> {
    let query = &preparation.query;
    let id = transactional_id(&query.application_id, preparation.worker);
    let timeout_ms = preparation.transaction_timeout_ms;
    let (io, (attempt, inbox)) = (transport.clone(), (preparation.attempt, inbox.clone()));
    let init = async move { transaction::init(io, &id, timeout_ms).await };
    let transaction = match preparation.predecessors {
        Predecessors::None => transaction::start(init, attempt, inbox),
        Predecessors::Possible => {
            let producer = init.await.map_err(RuntimeError::client("start transactions"))?;
            transaction::start(std::future::ready(Ok(producer)), attempt, inbox)
        }
    };
    let from = first_offsets(query, &preparation.tasks, &transport).await?;
    let changelogs = changelog_ends(query, &preparation.tasks, &transport).await?;
    Ok(Prepared { from, changelogs, transaction: Some(transaction) })
}

async fn first_offsets(
    query: &QueryHandle,
    tasks: &[TaskId],
    transport: &Arc<dyn Transport>,
) -> Result<Vec<(TopicPartition, Offset)>> {
    let committed = group_offsets::fetch(transport, &query.application_id)
        .await
        .map_err(RuntimeError::client("read committed offsets"))?;
    let mut known = Vec::new();
    let mut wanted = Vec::new();
    for task in tasks {
        for source in &query.factory.sub_topologies()[task.sub_topology as usize].sources {
            let partition = TopicPartition::new(source.topic.clone(), task.partition);
            let latest =
                !source.table && !source.internal && query.options.auto_offset_reset == OffsetReset::Latest;
            match committed.get(&partition).or_else(|| query.first_offsets.get(&partition)) {
                Some(offset) => known.push((partition, *offset)),
                None => {
                    wanted.push((partition, if latest { OffsetSpec::Latest } else { OffsetSpec::Earliest }))
                }
            }
        }
    }
    known.extend(list(transport, wanted).await?);
    Ok(known)
}

async fn changelog_ends(
    query: &QueryHandle,
    tasks: &[TaskId],
    transport: &Arc<dyn Transport>,
) -> Result<Vec<(TopicPartition, Offset, Offset)>> {
    let mut partitions = Vec::new();
    for task in tasks {
        for changelog in &query.factory.sub_topologies()[task.sub_topology as usize].changelogs {
            partitions.push(TopicPartition::new(changelog.topic.clone(), task.partition));
        }
    }
    let specs = |spec| partitions.iter().map(|p| (p.clone(), spec)).collect();
    let starts = list(transport, specs(OffsetSpec::Earliest)).await?;
    let ends: BTreeMap<_, _> = list(transport, specs(OffsetSpec::Latest)).await?.into_iter().collect();
    Ok(starts
        .into_iter()
        .map(|(partition, start)| {
            let end = ends.get(&partition).copied().unwrap_or(start);
            (partition, start, end)
        })
        .collect())
}

/// Looks up offsets as a read-committed reader sees them.
pub(crate) async fn list(
    transport: &Arc<dyn Transport>,
    wanted: Vec<(TopicPartition, OffsetSpec)>,
) -> Result<Vec<(TopicPartition, Offset)>> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let listed = Admin::new(transport.clone())
        .list_offsets(&wanted, Isolation::ReadCommitted)
        .await
        .map_err(RuntimeError::client("look up offsets"))?;
    Ok(wanted.into_iter().zip(listed).map(|((partition, _), l)| (partition, l.offset.unwrap_or(0))).collect())
}
