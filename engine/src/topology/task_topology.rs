//! A sub-topology at work in one task.

use weir_sql::expr::compile::batch_budget::BatchBudget;

use crate::batch::RowBatch;
use crate::error::Result;
use crate::operator::pieces::Pieces;
use crate::operator::{OperatorContext, Output};
use crate::processing_log::origin::{Narrowed, Processing};
use crate::state::backend::StateBackend;
use crate::state::task_state::TaskState;
use crate::topology::emit::Emit;
use crate::topology::records::RecordColumns;
use crate::topology::sub_topology::{Edge, SubTopology, Target, TopicName, TopicReader};

/// Operators with their state. Threads: one.
#[derive(Debug)]
pub struct TaskTopology {
    topology: SubTopology,
    /// The place of each target among those that are topics.
    places: Vec<usize>,
    state: TaskState,
    partition: i32,
}

impl TaskTopology {
    pub fn new(topology: SubTopology, partition: i32, backend: Box<dyn StateBackend>) -> TaskTopology {
        let state = TaskState::new(topology.stores.clone(), backend);
        let mut topics = 0;
        let place = |target: &Target| {
            let place = topics;
            topics += usize::from(target.topic().is_some());
            place
        };
        let places = topology.targets.iter().map(place).collect();
        TaskTopology { topology, places, state, partition }
    }

    /// Rows that one input row may become, as far as that follows from the plan.
    pub fn operator_rows_per_row(&self) -> usize {
        self.topology.nodes.iter().map(|n| n.operator.rows_per_row()).fold(1, usize::saturating_mul)
    }

    /// Bytes by which the state has grown since the last commit, roughly.
    pub fn operator_bytes(&self) -> usize {
        self.topology.nodes.iter().map(|n| n.operator.uncommitted_bytes()).sum()
    }

    pub fn topology(&self) -> &SubTopology {
        &self.topology
    }

    pub fn state(&self) -> &TaskState {
        &self.state
    }

    pub fn state_mut(&mut self) -> &mut TaskState {
        &mut self.state
    }

    /// Decodes records of a source. Rows keep the order of their records; some records may be left out.
    pub fn decode_records(&mut self, source: usize, records: &RecordColumns<'_>) -> Result<RowBatch> {
        match &mut self.topology.sources[source].reader {
            TopicReader::External(reader) => reader.read(records),
            TopicReader::Internal(reader) => reader.read(records),
        }
    }

    /// Runs rows that [`TaskTopology::decode_records`] gave through the operators.
    pub fn process_rows(&mut self, source: usize, batch: RowBatch, out: &mut dyn Emit) -> Result<()> {
        let source = &self.topology.sources[source];
        let edge = source.edge;
        let _processing = match &source.topic {
            TopicName::External(topic) => Some(Processing::rows(topic, &batch)),
            TopicName::Internal(_) => None,
        };
        self.route(edge, batch, out)
    }

    /// Ends a commit interval: operators emit what they withheld and hand their state to the stores. Afterwards
    /// [`TaskState::log_changes`] gives the changelog records, and [`TaskState::commit`] is due once they are durable.
    pub fn flush_operators(&mut self, out: &mut dyn Emit) -> Result<()> {
        for node in 0..self.topology.nodes.len() {
            self.state.check_interrupted()?;
            let mut emitted = Output::default();
            let budget = BatchBudget::for_rows(0);
            let mut context =
                OperatorContext { state: &mut self.state, partition: self.partition, budget: &budget };
            self.topology.nodes[node].operator.flush(&mut context, &mut emitted)?;
            budget.report();
            self.forward(node, emitted, out)?;
            self.resume(node, out)?;
        }
        Ok(())
    }

    fn route(&mut self, edge: Edge, batch: RowBatch, out: &mut dyn Emit) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        self.state.check_interrupted()?;
        match edge {
            Edge::Node { node, port } => {
                let mut pieces = Pieces::new(batch);
                while let Some(piece) = pieces.next()? {
                    let _narrowed = pieces.is_cut().then(|| Narrowed::to(&piece));
                    let (rows, budget) = (piece.len(), BatchBudget::for_rows(piece.len()));
                    let mut emitted = Output::default();
                    let mut context = OperatorContext {
                        state: &mut self.state,
                        partition: self.partition,
                        budget: &budget,
                    };
                    match self.topology.nodes[node].operator.process(port, piece, &mut context, &mut emitted)
                    {
                        Err(error) if error.exceeds_memory() && rows > 1 => {
                            pieces.cut();
                            continue;
                        }
                        processed => processed?,
                    }
                    pieces.taken(&budget);
                    budget.report();
                    self.forward(node, emitted, out)?;
                    self.resume(node, out)?;
                }
                Ok(())
            }
            Edge::Target(target) => {
                let records = match &mut self.topology.targets[target] {
                    Target::Sink(sink) => sink.write(batch)?,
                    Target::Internal(internal) => internal.write(batch)?,
                    Target::Result => {
                        out.rows(batch);
                        return Ok(());
                    }
                    Target::Nowhere => return Ok(()),
                };
                records.emit(self.places[target], out);
                Ok(())
            }
        }
    }

    /// Lets a node emit the rest of what it makes of its input, a part at a time.
    fn resume(&mut self, node: usize, out: &mut dyn Emit) -> Result<()> {
        loop {
            self.state.check_interrupted()?;
            let mut emitted = Output::default();
            let budget = BatchBudget::for_rows(0);
            let mut context =
                OperatorContext { state: &mut self.state, partition: self.partition, budget: &budget };
            if !self.topology.nodes[node].operator.resume(&mut context, &mut emitted)? {
                return Ok(());
            }
            budget.report();
            self.forward(node, emitted, out)?;
        }
    }

    fn forward(&mut self, node: usize, mut emitted: Output, out: &mut dyn Emit) -> Result<()> {
        for (port, batch) in emitted.take() {
            let edge = self.topology.nodes[node].outputs[port];
            self.route(edge, batch, out)?;
        }
        Ok(())
    }
}
