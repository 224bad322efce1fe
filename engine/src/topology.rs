//! Plans as running topologies: sub-topologies cut at internal topics, each a small graph of operators.

pub mod builder;
pub mod describe;
pub mod emit;
pub mod internal_topic;
pub mod materialization;
pub mod records;
pub mod sink;
pub mod source;
pub mod stateful;
pub mod sub_topology;
pub mod task_topology;
pub mod timestamp;

use weir_sql::plan::physical::ResultKind;
use weir_sql::schema::LogicalSchema;

use crate::operator::aggregate::ExpiredFinals;
use crate::operator::pieces::PieceLimit;
use crate::state::table_store::RESIDENT_ROWS_MAX;
use crate::topology::materialization::Materialization;
use crate::topology::sub_topology::SubTopology;

/// When tables emit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputCaching {
    /// Every update is emitted.
    Off,
    /// Aggregations emit one row per changed group at each commit.
    On,
}

/// How a topology behaves where the plan is silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopologyConfig {
    pub caching: OutputCaching,
    pub expired_finals: ExpiredFinals,
    /// Rows or groups that a store keeps decoded in memory after a commit; the others are read back when needed.
    pub resident_rows_max: usize,
    /// Joined rows that are emitted at a time.
    pub piece: PieceLimit,
}

impl Default for TopologyConfig {
    fn default() -> TopologyConfig {
        TopologyConfig {
            caching: OutputCaching::Off,
            expired_finals: ExpiredFinals::Emit,
            resident_rows_max: RESIDENT_ROWS_MAX,
            piece: PieceLimit::default(),
        }
    }
}

/// A query ready to run: one [`SubTopology`] becomes one task per partition.
#[derive(Debug)]
pub struct Topology {
    pub query_id: String,
    pub sub_topologies: Vec<SubTopology>,
    /// What rows leave the query.
    pub kind: ResultKind,
    pub schema: LogicalSchema,
    /// Where pull queries find the result. None for streams and transient queries.
    pub materialization: Option<Materialization>,
    /// True if a record must run through all sub-topologies before the next for the outcome to be independent of batches:
    /// rows come back to a sub-topology they left, or a topic is read twice.
    pub record_at_a_time: bool,
}
