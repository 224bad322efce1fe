//! Runs queries over records in memory: no broker, no threads, a clock that is set by hand. Their tasks are those of the runtime.

mod in_flight;
pub mod query;
pub mod topic_log;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use weir_sql::plan::physical::QueryPlan;

use crate::batch::RowBatch;
use crate::driver::query::DriverQuery;
use crate::driver::topic_log::{DriverRecord, TopicLog};
use crate::error::Result;
use crate::error::query::RuntimeError;
use crate::metrics::QueryMetrics;
use crate::processing_log::MemoryLog;
use crate::settings::QuerySettings;
use crate::state::backend::{StateReader, StoreSpec};
use crate::state::resident_budget::{RESIDENT_BYTES_MAX, ResidentBudget};
use crate::task::processor::CompileRequest;
use crate::task::topology_processor::{TopologyCompiler, TopologyFactory};
use crate::topology::TopologyConfig;

/// How input is cut into batches. The outcome does not depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchRows {
    /// As large as consecutive records of a partition allow.
    Whole,
    /// At most so many.
    Rows(usize),
    /// 1 to 16, drawn with this seed.
    Random(u64),
}

/// Which task a record belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskLayout {
    /// One task per sub-topology for all partitions, with one stream time.
    Single,
    /// One task per sub-topology and partition, as on a cluster.
    PerPartition,
}

/// When rows of internal topics reach their readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Before the query reads on. What is emitted is then the same for every cut into batches.
    AtOnce,
    /// At any time, in the order of their partition, drawn with this seed: as when tasks run beside each other. Only the final
    /// state of what is emitted is then the same for every seed.
    Drawn(u64),
}

/// The continuation after a commit. The outcome does not depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// The tasks go on.
    Never,
    /// New tasks go on over the same stores.
    KeepState,
    /// New tasks go on over empty stores, which are restored from the changelogs.
    DiscardState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DriverConfig {
    pub batch_rows: BatchRows,
    pub delivery: Delivery,
    pub layout: TaskLayout,
    pub topology: TopologyConfig,
    /// Bytes of state that all queries keep decoded after a commit, about.
    pub resident_bytes_max: usize,
    /// Commit after so many input records. None: when a run ends.
    pub commit_records: Option<usize>,
    pub restart: Restart,
}

impl Default for DriverConfig {
    fn default() -> DriverConfig {
        DriverConfig {
            batch_rows: BatchRows::Whole,
            delivery: Delivery::AtOnce,
            layout: TaskLayout::Single,
            topology: TopologyConfig::default(),
            resident_bytes_max: RESIDENT_BYTES_MAX,
            commit_records: None,
            restart: Restart::Never,
        }
    }
}

/// Topics, and queries that read and write them.
///
/// Queries run one after another, in the order they were added, each over all records that are there. Within a query a run of
/// records goes through all sub-topologies before the next, unless [`Delivery`] says otherwise.
#[derive(Debug)]
pub struct TopologyDriver {
    config: DriverConfig,
    log: Arc<MemoryLog>,
    topics: TopicLog,
    queries: Vec<DriverQuery>,
    now_ms: Arc<AtomicI64>,
    random: Arc<AtomicU64>,
    resident: Arc<ResidentBudget>,
}

impl TopologyDriver {
    pub fn new(config: DriverConfig) -> TopologyDriver {
        TopologyDriver {
            config,
            log: Arc::new(MemoryLog::default()),
            topics: TopicLog::default(),
            queries: Vec::new(),
            now_ms: Arc::new(AtomicI64::new(0)),
            random: Arc::new(AtomicU64::new(1)),
            resident: Arc::new(ResidentBudget::new(config.resident_bytes_max)),
        }
    }

    /// Sets the clock that functions of the current time read. Units: ms since epoch.
    pub fn set_time(&mut self, now_ms: i64) {
        self.now_ms.store(now_ms, Ordering::Relaxed);
    }

    /// Declares a topic. Topics that are not declared have one partition.
    pub fn add_topic(&mut self, name: &str, partitions: usize) {
        self.topics.add_topic(name, partitions);
    }

    /// Starts a query at the beginning of its topics.
    pub fn add_query(&mut self, plan: QueryPlan) -> Result<()> {
        self.add_query_with(plan, QuerySettings::default())
    }

    /// The same, with what the properties of its statement say.
    pub fn add_query_with(&mut self, plan: QueryPlan, settings: QuerySettings) -> Result<()> {
        let factory = self.compile(&plan, settings)?;
        self.queries.push(DriverQuery::new(&plan.query_id, factory, self.config));
        Ok(())
    }

    /// Continues a query with another plan from its position and changelogs, as CREATE OR REPLACE
    /// does. A query of an unknown id is added.
    pub fn replace_query_with(&mut self, plan: QueryPlan, settings: QuerySettings) -> Result<()> {
        let factory = self.compile(&plan, settings)?;
        match self.queries.iter_mut().find(|q| q.query_id() == plan.query_id) {
            Some(query) => query.replace(factory),
            None => self.queries.push(DriverQuery::new(&plan.query_id, factory, self.config)),
        }
        Ok(())
    }

    fn compile(&self, plan: &QueryPlan, settings: QuerySettings) -> Result<Arc<TopologyFactory>> {
        let (now, random) = (self.now_ms.clone(), self.random.clone());
        let compiler = TopologyCompiler {
            config: self.config.topology,
            resident: self.resident.clone(),
            log: self.log.clone(),
            now_ms: Arc::new(move || now.load(Ordering::Relaxed)),
            random: Arc::new(move || split_mix(random.fetch_add(1, Ordering::Relaxed))),
        };
        compiler.compile(&CompileRequest {
            plan,
            application_id: &plan.query_id,
            settings,
            metrics: Arc::new(QueryMetrics::default()),
        })
    }

    /// Forgets a query. What it wrote stays.
    pub fn remove_query(&mut self, query_id: &str) {
        self.queries.retain(|q| q.query_id() != query_id);
    }

    /// Appends a record to a topic. `partition` None: by the key, as Kafka's default partitioner does.
    pub fn produce(&mut self, record: DriverRecord, partition: Option<i32>) {
        self.topics.append(record, partition);
    }

    /// Runs every query over what it has not read yet, then commits. Queries that read what a later query wrote run again.
    pub fn run(&mut self) -> std::result::Result<(), RuntimeError> {
        for _ in 0..=self.queries.len() {
            let before = self.topics.len();
            for query in &mut self.queries {
                query.run(&mut self.topics)?;
            }
            if self.topics.len() == before {
                break;
            }
        }
        Ok(())
    }

    /// Stops all queries, drops their state, rebuilds it from the changelogs. What was committed goes on as if nothing had
    /// happened.
    pub fn restart(&mut self) -> std::result::Result<(), RuntimeError> {
        self.queries.iter_mut().try_for_each(|query| query.restart(false, &self.topics))
    }

    /// Records of a topic that queries wrote, in order.
    pub fn outputs(&self, topic: &str) -> impl Iterator<Item = &DriverRecord> {
        self.topics.records().iter().filter(move |r| r.topic == topic && r.is_output)
    }

    /// All records of a topic, in order.
    pub fn records(&self, topic: &str) -> impl Iterator<Item = &DriverRecord> {
        self.topics.records().iter().filter(move |r| r.topic == topic)
    }

    /// Rows that a transient query gave since the last call.
    pub fn take_results(&mut self, query_id: &str) -> Vec<RowBatch> {
        self.queries
            .iter_mut()
            .find(|q| q.query_id() == query_id)
            .map(DriverQuery::take_results)
            .unwrap_or_default()
    }

    /// Bytes of state that all queries keep decoded, about.
    pub fn resident_bytes(&self) -> usize {
        self.resident.used_bytes()
    }

    /// What was reported to the processing log.
    pub fn log(&self) -> &MemoryLog {
        &self.log
    }

    /// The stores of a query's tasks, as they were committed.
    pub fn stores(&self, query_id: &str) -> impl Iterator<Item = (&[StoreSpec], Arc<dyn StateReader>)> {
        self.queries.iter().filter(move |q| q.query_id() == query_id).flat_map(DriverQuery::readers)
    }
}

/// Well-mixed bits of a counter.
pub(crate) fn split_mix(counter: u64) -> u64 {
    let mut z = counter.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
