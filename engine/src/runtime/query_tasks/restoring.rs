//! Stores catch up with their changelogs; then processing begins.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use weir_broker::client::consumer::reader::FetchedPartitions;
use weir_broker::client::error::ClientError;
use weir_broker::ids::{Offset, TopicPartition};

use crate::error::query::{Result, RuntimeError};
use crate::metrics::QueryMetrics;
use crate::runtime::context::WorkerContext;
use crate::runtime::fetcher::fetch_changelogs;
use crate::runtime::query_tasks::offset_renewal::OffsetRenewal;
use crate::runtime::query_tasks::phase::{Phase, Running};
use crate::runtime::query_tasks::{Next, QueryTasks};
use crate::runtime::transaction::TransactionSender;
use crate::task::input::PartitionInput;

impl QueryTasks {
    pub(super) fn advance_restore(&mut self, context: &WorkerContext) -> Result<Next> {
        let Phase::Restoring { restore, prepared, fetching } = &mut self.phase else {
            return Ok(Next::Again);
        };
        if restore.is_done() {
            let (from, transaction) = (std::mem::take(&mut prepared.from), prepared.transaction.take());
            self.begin(from.into_iter().collect(), transaction, context)?;
            return Ok(Next::Again);
        }
        if !*fetching {
            *fetching = true;
            let (transport, inbox) = (context.transport.clone(), context.inbox.clone());
            let (wanted, options) = (restore.wanted(), context.fetch_options());
            fetch_changelogs(&context.runtime, transport, inbox, self.attempt, wanted, options);
        }
        Ok(Next::Wait(None))
    }

    pub(crate) fn changelog_fetched(
        &mut self,
        outcome: std::result::Result<FetchedPartitions, ClientError>,
        context: &WorkerContext,
    ) {
        let Phase::Restoring { restore, fetching, .. } = &mut self.phase else { return };
        *fetching = false;
        let before = restore.remaining();
        let applied = outcome
            .map_err(RuntimeError::client("read changelogs"))
            .and_then(|fetched| restore.apply(&mut self.tasks, fetched));
        match applied {
            Ok(records) => {
                let after = restore.remaining();
                let metrics = &self.query.metrics;
                QueryMetrics::add(&metrics.restored_records, records);
                metrics.restore_remaining.fetch_sub(before - after, Ordering::Relaxed);
            }
            Err(error) => self.fail(error, context),
        }
    }

    /// Stores are restored: processing begins at the offsets `from`.
    fn begin(
        &mut self,
        from: BTreeMap<TopicPartition, Offset>,
        transaction: Option<TransactionSender>,
        context: &WorkerContext,
    ) -> Result<()> {
        let query = self.query.clone();
        for task in &mut self.tasks {
            let id = task.id;
            let sources = &query.factory.sub_topologies()[id.sub_topology as usize].sources;
            let inputs = sources.iter().enumerate().map(|(at, source)| {
                let partition = TopicPartition::new(source.topic.clone(), id.partition);
                // A topic must not silently be read from its beginning once more.
                let unknown = || RuntimeError::OffsetUnknown { partition: partition.to_string() };
                let offset = from.get(&partition).copied().ok_or_else(unknown)?;
                let topic_id = query.topics.id(&source.topic);
                Ok(PartitionInput::new(at, source.table, partition, offset).of_topic(topic_id))
            });
            task.set_inputs(inputs.collect::<Result<_>>()?);
            query.progress.note_read(id.sub_topology, &task.source_positions());
            task.processor_mut().restored().map_err(RuntimeError::task("restore a task"))?;
        }
        let readers: Vec<_> =
            self.tasks.iter().filter_map(|t| Some((t.id, t.processor().reader()?))).collect();
        let now = context.clock.monotonic();
        let mut running = Running::new(now, self.collector.records());
        running.transaction = transaction;
        running.readers = readers.iter().map(|(_, reader)| reader.clone()).collect();
        running.renewal = match query.accepts_changes() {
            // Notes about topics that were replaced are replaced themselves, also where there is nothing to read.
            true => OffsetRenewal::at_once(),
            false => OffsetRenewal::after(now, context.offset_renewal_interval()),
        };
        query.set_readers(readers);
        self.reloading = false;
        query.progress.announce();
        self.transition(Phase::Running(Box::new(running)))?;
        tracing::debug!(query_id = %query.query_id, worker = context.worker, "processing begins");
        self.publish(context);
        Ok(())
    }
}
