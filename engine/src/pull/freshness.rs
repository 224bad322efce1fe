//! Waits until the state that a pull query reads includes records that are already acknowledged.
//!
//! A record reaches a table through stages: sub-topologies that read topics and write topics. Each stage is waited for in
//! turn, upstream first; the end of its output becomes the offset that the next stage must have committed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use weir_broker::ids::{Offset, TopicPartition};
use weir_broker::log::access::OffsetSpec;
use weir_sql::plan::physical::ResultKind;

use crate::engine::Engine;
use crate::pull::executor::materializing_query;
use crate::query::handle::QueryHandle;
use crate::query::status::QueryState;
use crate::runtime::prepare;
use crate::task::processor::SubTopologySpec;

/// How often the state of a query is checked while it commits nothing.
const STATE_CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// Passes over stages that read each other's output: to the other side and back.
const CYCLE_PASSES: usize = 3;

/// Offsets that must have been processed: the end of the records to wait for, by partition.
pub type WrittenOffsets = BTreeMap<TopicPartition, Offset>;

/// A source of a pull query.
#[derive(Clone, Copy, Debug)]
pub struct ReadSource<'a> {
    pub name: &'a str,
    pub topic: &'a str,
    pub kind: ResultKind,
}

/// Whether the state includes the records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Freshness {
    Current,
    /// This query had not committed them in time, or does not run.
    Behind {
        query_id: String,
    },
}

/// A sub-topology of a running query.
#[derive(Clone)]
struct Stage {
    query: Arc<QueryHandle>,
    sub_topology: usize,
}

impl Stage {
    fn spec(&self) -> &SubTopologySpec {
        &self.query.factory.sub_topologies()[self.sub_topology]
    }

    fn writes(&self, topic: &str) -> bool {
        self.spec().targets.iter().any(|t| *t.topic == *topic)
    }
}

/// Waits, at most for `within`, until every query between the written partitions and the sources has committed the records.
pub async fn wait_until_read(
    engine: &Engine,
    sources: &[ReadSource<'_>],
    written: &WrittenOffsets,
    within: Duration,
) -> Freshness {
    if written.is_empty() {
        return Freshness::Current;
    }
    let deadline = Instant::now() + within;
    let mut required = written.clone();
    let upstream = Upstream::of(engine, sources);
    for _ in 0..upstream.passes {
        for stage in &upstream.stages {
            if !settle(engine, stage, &mut required, deadline).await {
                return Freshness::Behind { query_id: stage.query.query_id.clone() };
            }
        }
    }
    Freshness::Current
}

/// Waits for a stage and requires the end of its output of those after it. False if it is behind.
async fn settle(engine: &Engine, stage: &Stage, required: &mut WrittenOffsets, deadline: Instant) -> bool {
    let awaited = requirements(stage, required);
    if awaited.is_empty() {
        return true;
    }
    // Topics are looked at only if there is something to wait for.
    if !has_read(stage, &awaited) && !wait_for_stage(stage, &readable(engine, awaited).await, deadline).await
    {
        return false;
    }
    for target in &stage.spec().targets {
        for (partition, end) in stage.query.progress.written(&target.topic) {
            let required = required.entry(partition).or_insert(end);
            *required = end.max(*required);
        }
    }
    true
}

/// The offsets that a stage must have committed.
fn requirements(stage: &Stage, required: &WrittenOffsets) -> WrittenOffsets {
    let reads = |topic: &str| stage.spec().sources.iter().any(|s| *s.topic == *topic);
    let awaited = required.iter().filter(|(partition, _)| reads(&partition.topic));
    awaited.map(|(partition, end)| (partition.clone(), *end)).collect()
}

/// The offsets without those that no reader can reach: their topic was deleted, perhaps made anew, or a transaction is open
/// before them.
async fn readable(engine: &Engine, awaited: WrittenOffsets) -> WrittenOffsets {
    let mut readable = WrittenOffsets::new();
    for (partition, end) in awaited {
        let listed = prepare::list(engine.transport(), vec![(partition, OffsetSpec::Latest)]).await;
        for (partition, last) in listed.into_iter().flatten() {
            readable.insert(partition, end.min(last));
        }
    }
    readable
}

fn has_read(stage: &Stage, awaited: &WrittenOffsets) -> bool {
    let sub_topology = stage.sub_topology as u32;
    awaited.iter().all(|(partition, end)| stage.query.progress.has_read(sub_topology, partition, *end))
}

/// False if the query does not run, or the deadline has passed.
async fn wait_for_stage(stage: &Stage, awaited: &WrittenOffsets, deadline: Instant) -> bool {
    let query = &stage.query;
    let mut commits = query.progress.subscribe();
    loop {
        commits.mark_unchanged();
        if has_read(stage, awaited) {
            return true;
        }
        let now = Instant::now();
        if now >= deadline || matches!(query.state(), QueryState::Paused | QueryState::Error) {
            return false;
        }
        let until = deadline.min(now + STATE_CHECK_INTERVAL);
        // A change and the end of the interval are both reasons to look again.
        let _ = tokio::time::timeout_at(until, commits.changed()).await;
    }
}

/// Every stage that the sources depend on.
struct Upstream {
    /// Each after those whose output it reads.
    stages: Vec<Stage>,
    /// More than one if stages read each other's output, as those of a foreign-key join do.
    passes: usize,
}

impl Upstream {
    fn of(engine: &Engine, sources: &[ReadSource<'_>]) -> Upstream {
        let all = all_stages(engine);
        let tables = sources.iter().filter(|source| source.kind == ResultKind::Table);
        let materializing: Vec<Arc<QueryHandle>> =
            tables.filter_map(|table| materializing_query(engine, table.name)).collect();
        let is_last = |stage: &Stage| {
            sources.iter().any(|source| stage.writes(source.topic))
                || materializing.iter().any(|query| Arc::ptr_eq(query, &stage.query))
        };
        let mut upstream = Upstream { stages: Vec::new(), passes: 1 };
        let (mut seen, mut done) = (BTreeSet::new(), BTreeSet::new());
        // A walk without recursion, as chains of queries may be long. True: the inputs of the stage are done.
        let mut open: Vec<(usize, bool)> =
            (0..all.len()).filter(|at| is_last(&all[*at])).map(|at| (at, false)).collect();
        while let Some((at, inputs_done)) = open.pop() {
            if inputs_done {
                done.insert(at);
                upstream.stages.push(all[at].clone());
                continue;
            }
            if !seen.insert(at) {
                continue;
            }
            open.push((at, true));
            for source in &all[at].spec().sources {
                for up in (0..all.len()).filter(|up| all[*up].writes(&source.topic)) {
                    if seen.contains(&up) && !done.contains(&up) {
                        upstream.passes = CYCLE_PASSES;
                    }
                    open.push((up, false));
                }
            }
        }
        upstream
    }
}

fn all_stages(engine: &Engine) -> Vec<Stage> {
    let stages = |query: Arc<QueryHandle>| {
        let count = query.factory.sub_topologies().len();
        (0..count).map(move |sub_topology| Stage { query: Arc::clone(&query), sub_topology })
    };
    engine.handles().into_iter().flat_map(stages).collect()
}
