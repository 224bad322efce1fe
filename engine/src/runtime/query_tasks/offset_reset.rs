//! Inputs whose records are gone: retention or DeleteRecords was faster than the query, or the log has become shorter.

use weir_broker::ids::{Offset, TopicPartition};
use weir_broker::log::access::OffsetSpec;

use crate::error::query::{Result, RuntimeError};
use crate::runtime::context::WorkerContext;
use crate::runtime::messages::WorkerMessage;
use crate::runtime::prepare;
use crate::runtime::query_tasks::QueryTasks;
use crate::runtime::supervise::{Waiting, supervised};
use crate::settings::OffsetReset;

impl QueryTasks {
    /// Asks where to go on instead of at `offset`: as `auto.offset.reset` says; tables go on with what there is. The answer is
    /// [`WorkerMessage::Found`].
    pub(crate) fn look_up(
        &self,
        partition: &TopicPartition,
        table: bool,
        offset: Offset,
        context: &WorkerContext,
    ) {
        let specs = self.query.factory.sub_topologies();
        let internal =
            specs.iter().flat_map(|s| &s.sources).any(|s| s.internal && s.topic == partition.topic);
        let latest = !table && !internal && self.query.settings.auto_offset_reset == OffsetReset::Latest;
        let spec = if latest { OffsetSpec::Latest } else { OffsetSpec::Earliest };
        let query_id = &self.query.query_id;
        tracing::warn!(%query_id, %partition, offset, ?spec, "records are gone, going on elsewhere");
        let (transport, inbox) = (context.transport.clone(), context.inbox.clone());
        let (attempt, partition) = (self.attempt, partition.clone());
        let worker = context.inbox.clone();
        let work = async move {
            let listed = prepare::list(&transport, vec![(partition.clone(), spec)]).await;
            let outcome = listed.and_then(|found| {
                let first = found.first().map(|(_, offset)| *offset);
                first.ok_or(RuntimeError::OffsetUnknown { partition: partition.to_string() })
            });
            let _ = inbox.send(WorkerMessage::Found { attempt, partition, outcome });
        };
        context.runtime.spawn(supervised("offset look-up", Waiting::Attempt(attempt), worker, work));
    }

    pub(crate) fn found(
        &mut self,
        partition: &TopicPartition,
        outcome: Result<Offset>,
        context: &WorkerContext,
    ) {
        match outcome {
            Ok(offset) => {
                let inputs = self.inputs_mut().iter_mut().flat_map(|t| t.inputs_mut());
                inputs.filter(|i| i.partition() == partition && i.is_lost()).for_each(|i| i.go_on_at(offset));
            }
            Err(error) => self.fail(error, context),
        }
    }
}
