//! What is found out from the broker before tasks can run, beside the worker's thread.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crossbeam_channel::Sender;
use tokio::sync::Semaphore;
use weir_broker::client::admin::{Admin, ListedOffset};
use weir_broker::client::group_offsets::{self, CommittedOffset};
use weir_broker::client::producer::progress::ProducerProgress;
use weir_broker::client::transport::Transport;
use weir_broker::ids::{Offset, TopicPartition};
use weir_broker::log::access::{Isolation, OffsetSpec};

use crate::error::query::{Result, RuntimeError, TopicChange};
use crate::query::handle::{Predecessors, QueryHandle};
use crate::query::naming::transactional_id;
use crate::runtime::messages::{AttemptId, Prepared, WorkerMessage};
use crate::runtime::storage::StateStorage;
use crate::runtime::topic_limits;
use crate::runtime::transaction::{self, Refusals};
use crate::settings::OffsetReset;
use crate::task::processor::SourceTopic;
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
    pub(crate) refusals: Refusals,
    /// Shows what the transactions wait for.
    pub(crate) progress: Arc<ProducerProgress>,
    pub(crate) storage: Arc<dyn StateStorage>,
}

/// Databases that are opened at the same time, beside the workers.
static OPENINGS: Semaphore = Semaphore::const_new(OPENINGS_AT_ONCE);
const OPENINGS_AT_ONCE: usize = 16;

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
    let ids = query.topics.ids.clone();
    let progress = preparation.progress.clone();
    let init = async move {
        let producer = transaction::init(io, &id, timeout_ms, progress).await?;
        Ok(producer.with_topic_ids(ids))
    };
    let opened = open_stores(query.clone(), preparation.tasks.clone(), preparation.storage);
    let refusals = preparation.refusals;
    let transaction = match preparation.predecessors {
        Predecessors::None => transaction::start(init, refusals, attempt, inbox),
        Predecessors::Possible => {
            let producer = init.await.map_err(RuntimeError::client("start transactions"))?;
            transaction::start(std::future::ready(Ok(producer)), refusals, attempt, inbox)
        }
    };
    let admin = Admin::new(transport.clone());
    let looked_up = async {
        futures::try_join!(
            first_offsets(query, &preparation.tasks, &transport),
            changelog_ends(query, &preparation.tasks, &transport),
            topic_limits::look_up(&admin, query),
        )
    };
    let (looked_up, ()) = futures::join!(looked_up, opened);
    let (from, changelogs, limits) = looked_up?;
    Ok(Prepared { from, changelogs, limits, transaction: Some(transaction) })
}

/// Opens the databases of tasks, so that the worker finds them open. A failure is the worker's to
/// report, which then opens them itself.
async fn open_stores(query: Arc<QueryHandle>, tasks: Vec<TaskId>, storage: Arc<dyn StateStorage>) {
    // The semaphore is never closed.
    let Ok(_permit) = OPENINGS.acquire().await else { return };
    let open = move || {
        for task in tasks {
            if query.cancellation().is_cancelled() {
                return;
            }
            let spec = &query.factory.sub_topologies()[task.sub_topology as usize];
            drop(storage.open(&query.application_id, task, &spec.stores));
        }
    };
    // A panic in it would be one of the worker, too.
    let _ = tokio::task::spawn_blocking(open).await;
}

async fn first_offsets(
    query: &QueryHandle,
    tasks: &[TaskId],
    transport: &Arc<dyn Transport>,
) -> Result<Vec<(TopicPartition, Offset)>> {
    let committed = group_offsets::fetch_committed(transport, &query.application_id)
        .await
        .map_err(RuntimeError::client("read committed offsets"))?;
    note_changes(query, &committed)?;
    let mut known = Vec::new();
    let mut wanted = Vec::new();
    for task in tasks {
        for source in &query.factory.sub_topologies()[task.sub_topology as usize].sources {
            let partition = TopicPartition::new(source.topic.clone(), task.partition);
            let of_this_topic =
                committed.get(&partition).filter(|c| !is_of_another_topic(query, &source.topic, c));
            let first = query.first_offsets.get(&partition);
            match (of_this_topic.and_then(|committed| committed.offset), first) {
                (Some(offset), _) => known.push((partition, offset)),
                (None, _) if query.is_newer(&partition) => wanted.push((partition, OffsetSpec::Earliest)),
                (None, Some(offset)) => known.push((partition, *offset)),
                (None, None) => wanted.push((partition, first_of(query, source))),
            }
        }
    }
    known.extend(list(transport, wanted).await?);
    Ok(known)
}

fn first_of(query: &QueryHandle, source: &SourceTopic) -> OffsetSpec {
    let latest = !source.table && !source.internal && query.settings.auto_offset_reset == OffsetReset::Latest;
    if latest { OffsetSpec::Latest } else { OffsetSpec::Earliest }
}

fn is_of_another_topic(query: &QueryHandle, topic: &str, committed: &CommittedOffset) -> bool {
    let changes = query.topics.changes_since(&committed.metadata);
    changes.iter().any(|(changed, change)| **changed == *topic && *change == TopicChange::Recreated)
}

/// Notes in the handle which partitions are newer than what the query has committed. All workers of the query need that, and the
/// first of them that commits replaces the notes it can be seen from.
///
/// Errors: a topic has changed since the query has committed. It keeps state, which does not belong to the topic any more; or
/// the topic is another one, and the query was not resumed.
fn note_changes(query: &QueryHandle, committed: &BTreeMap<TopicPartition, CommittedOffset>) -> Result<()> {
    let notes: BTreeSet<&str> = committed.values().map(|c| c.metadata.as_str()).collect();
    for (topic, change) in notes.into_iter().flat_map(|note| query.topics.changes_since(note)) {
        let first_new = match change {
            TopicChange::PartitionsAdded { before, .. } if !query.is_stateful() => before,
            TopicChange::Recreated if query.accepts_changes() => 0,
            _ => return Err(query.topic_changed(&topic, change)),
        };
        tracing::warn!(query_id = %query.query_id, %topic, %change, "topic has changed, going on with it");
        query.note_newer(topic, first_new);
    }
    Ok(())
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
    let offset = |((partition, _), listed): ((TopicPartition, _), ListedOffset)| match listed.offset {
        Some(offset) => Ok((partition, offset)),
        None => Err(RuntimeError::OffsetUnknown { partition: partition.to_string() }),
    };
    wanted.into_iter().zip(listed).map(offset).collect()
}
