//! A part of a query that runs in one task: between the topics it reads and the topics it writes.

use arrow::array::{Array, AsArray, Int32Array};
use arrow::datatypes::Int32Type;
use weir_sql::format::FormatInfo;

use crate::batch::RowBatch;
use crate::error::{EngineError, Result};
use crate::operator::Operator;
use crate::state::backend::StoreSpec;
use crate::topology::emit::EncodedRecords;
use crate::topology::internal_topic::{InternalReader, InternalWriter};
use crate::topology::sink::SinkWriter;
use crate::topology::source::SourceReader;

/// A topic of a topology.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TopicName {
    External(String),
    /// `Aggregate-GroupBy-repartition`; the topic is called `<application id>-<name>`.
    Internal(String),
}

/// A graph of operators. Nodes stand in topological order: a node's outputs lead to later nodes or to targets.
///
/// All topics read must have the same number of partitions; internal ones are created to fit.
#[derive(Debug, Default)]
pub struct SubTopology {
    pub sources: Vec<SourceNode>,
    pub nodes: Vec<Node>,
    pub targets: Vec<Target>,
    /// Changelogs are called `<application id>-<name>-changelog`.
    pub stores: Vec<StoreSpec>,
}

/// Where rows go from a source or from an output of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// An input of a node.
    Node { node: usize, port: usize },
    /// A target.
    Target(usize),
}

#[derive(Debug)]
pub struct SourceNode {
    pub topic: TopicName,
    pub reader: TopicReader,
    pub edge: Edge,
}

/// Record bytes to rows.
#[derive(Debug)]
pub enum TopicReader {
    External(SourceReader),
    Internal(InternalReader),
}

#[derive(Debug)]
pub struct Node {
    /// `Filter`, `Aggregate`, …, for descriptions.
    pub name: String,
    pub operator: Box<dyn Operator>,
    /// Where each output leads.
    pub outputs: Vec<Edge>,
}

/// Where rows leave the sub-topology.
#[derive(Debug)]
pub enum Target {
    Sink(SinkWriter),
    Internal(InternalTarget),
    /// Rows of a transient query, for its client.
    Result,
    /// Rows end in the state of the query.
    Nowhere,
}

#[derive(Debug)]
pub struct InternalTarget {
    pub topic: TopicName,
    pub writer: InternalWriter,
    pub key_format: FormatInfo,
    pub partitioning: Partitioning,
}

/// Which partition of an internal topic a row goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Partitioning {
    /// That of its key.
    Key,
    /// The one that this value column, an INTEGER, names.
    Column(usize),
}

impl InternalTarget {
    pub fn write(&mut self, batch: RowBatch) -> Result<EncodedRecords> {
        let (keys, values) = self.writer.write(&batch)?;
        let partitions = self.partitions(&batch)?;
        Ok(EncodedRecords { keys, values, window_bytes: 0, partitions, batch })
    }

    /// The partition of each row, if the key does not decide.
    ///
    /// Errors: a row names none, since the row that it answers is of an older version.
    fn partitions(&self, batch: &RowBatch) -> Result<Option<Int32Array>> {
        let Partitioning::Column(column) = self.partitioning else { return Ok(None) };
        let partitions = batch.value[column].as_primitive::<Int32Type>();
        if partitions.null_count() > 0 {
            return Err(EngineError::CorruptRow {
                store: format!("{:?}", self.topic),
                reason: "it names no partition to answer to".to_owned(),
            });
        }
        Ok(Some(partitions.clone()))
    }
}

impl Target {
    /// The topic written, if it is one.
    pub fn topic(&self) -> Option<TopicName> {
        match self {
            Target::Sink(sink) => Some(TopicName::External(sink.topic().to_owned())),
            Target::Internal(target) => Some(target.topic.clone()),
            Target::Result | Target::Nowhere => None,
        }
    }
}
