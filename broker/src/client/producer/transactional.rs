//! A producer whose batches, over many partitions, and offsets of a group appear together or not at all.
//!
//! ```text
//!  init --> idle --produce--> open --commit--> idle
//!                              | ^              ^
//!                       error  | +--produce     |
//!                              v                |
//!                            failed ---abort----+      fenced: make a new producer, or stop
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use super::careful::{Refusal, RefusedRecord, one_by_one};
use super::pipeline::{PartitionBatches, Pipeline, ProducedBatch};
use super::progress::{ProducerProgress, ProducerStage};
use crate::client::call::{Backoff, call, check};
use crate::client::error::{ClientError, Result, may_retry};
use crate::client::transport::{Transport, TransportError};
use crate::env::failpoint;
use crate::ids::ProducerIdentity;
use crate::ids::{Offset, TopicId, TopicPartition};
use crate::protocol::api_key::ApiKey;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::add_offsets_to_txn::AddOffsetsToTxnRequest;
use crate::protocol::messages::add_partitions_to_txn::{AddPartitionsToTxnRequest, AddPartitionsToTxnTopic};
use crate::protocol::messages::api_versions::ApiVersionsRequest;
use crate::protocol::messages::end_txn::EndTxnRequest;
use crate::protocol::messages::init_producer_id::InitProducerIdRequest;
use crate::protocol::messages::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use crate::protocol::response::Response;
use crate::txn::coordinator::TxnVersion;

/// From this version on EndTxn raises the epoch and writing adds partitions (KIP-890).
const END_TXN_V2: i16 = 5;
const CLIENT_NAME: &str = "weir";

/// Offsets to commit with a transaction: for each partition the next offset to read.
#[derive(Debug, Clone, Default)]
pub struct GroupPosition {
    pub group_id: String,
    pub offsets: Vec<(TopicPartition, Offset)>,
    /// By topic: kept with the offsets of its partitions. A topic that is not named has none.
    pub metadata: Arc<BTreeMap<Arc<str>, String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Idle,
    Open,
    Failed,
}

/// A transactional producer. Its transactions follow one another.
pub struct TransactionalProducer {
    transport: Arc<dyn Transport>,
    transactional_id: String,
    version: TxnVersion,
    identity: ProducerIdentity,
    pipeline: Pipeline,
    phase: Phase,
    /// Partitions added so far; of use with version 1 only.
    added: Vec<TopicPartition>,
    progress: Arc<ProducerProgress>,
}

impl std::fmt::Debug for TransactionalProducer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TransactionalProducer")
            .field("transactional_id", &self.transactional_id)
            .field("identity", &self.identity)
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}

impl TransactionalProducer {
    /// Takes the transactional id over: earlier producers with it are fenced, what they left open is aborted.
    ///
    /// Units: `timeout_ms` is how long a transaction may stay open before the broker aborts it.
    pub async fn init(
        transport: Arc<dyn Transport>,
        transactional_id: &str,
        timeout_ms: i32,
    ) -> Result<Self> {
        Self::init_observed(transport, transactional_id, timeout_ms, Arc::default()).await
    }

    /// As [`TransactionalProducer::init`]; `progress` shows what the producer waits for from now
    /// on.
    pub async fn init_observed(
        transport: Arc<dyn Transport>,
        transactional_id: &str,
        timeout_ms: i32,
        progress: Arc<ProducerProgress>,
    ) -> Result<Self> {
        progress.enter(ProducerStage::Initializing);
        failpoint::pass_async("producer.init.before").await?;
        let version = txn_version(transport.as_ref()).await?;
        let mut backoff = Backoff::default();
        let identity = loop {
            match init_once(transport.as_ref(), transactional_id, timeout_ms).await {
                Err(error) if error.is_retriable() => {
                    progress.refused(&error);
                    if !backoff.pause().await {
                        return Err(error);
                    }
                }
                outcome => break outcome?,
            }
        };
        progress.enter(ProducerStage::Idle);
        let pipeline = Pipeline::new(transport.clone(), Some(transactional_id.to_owned()));
        Ok(Self {
            pipeline: pipeline.with_progress(Arc::clone(&progress)),
            transport,
            transactional_id: transactional_id.to_owned(),
            version,
            identity,
            phase: Phase::Idle,
            added: Vec::new(),
            progress,
        })
    }

    /// Topics are written by these ids: records never go to another topic of the same name, which is refused with
    /// `UnknownTopicId`.
    #[must_use]
    pub fn with_topic_ids(mut self, ids: impl IntoIterator<Item = (Arc<str>, TopicId)>) -> Self {
        self.pipeline.set_topic_ids(ids);
        self
    }

    /// Hands encoded batches over as part of the transaction, without waiting for the answers.
    ///
    /// After an error the transaction can only be aborted.
    pub async fn produce(&mut self, batches: PartitionBatches) -> Result<()> {
        self.require_healthy()?;
        self.phase = Phase::Open;
        if self.version == TxnVersion::V1 {
            let added = self.add_partitions(&batches).await;
            self.note(added)?;
        }
        let pushed = self.pipeline.push(self.identity, batches).await;
        self.note(pushed)
    }

    /// As [`TransactionalProducer::produce`], batch by batch: waits for each answer. Records that the broker refuses for good
    /// are left out and returned, if `may_leave_out` says so of their topic.
    pub async fn produce_carefully(
        &mut self,
        batches: PartitionBatches,
        may_leave_out: impl Fn(&str) -> bool,
    ) -> Result<Vec<RefusedRecord>> {
        self.require_healthy()?;
        self.phase = Phase::Open;
        if self.version == TxnVersion::V1 {
            let added = self.add_partitions(&batches).await;
            self.note(added)?;
        }
        let mut refused = Vec::new();
        for (partition, mut remaining) in one_by_one(batches) {
            while let Some(batch) = remaining.next() {
                let pushed = self.pipeline.push_alone(self.identity, &partition, batch.clone()).await;
                let Some(refusal) = self.note(pushed)? else { continue };
                if !may_leave_out(&partition.topic) {
                    let Refusal { code, message } = refusal;
                    let resource = format!("records for partition \"{partition}\"");
                    let error = ClientError::Refused { api: ApiKey::Produce, resource, code, message };
                    return self.note(Err(error));
                }
                let split = remaining.split(&partition, batch, refusal);
                refused.extend(self.note(split)?);
            }
        }
        Ok(refused)
    }

    /// Commits what was produced since the last end, together with offsets. Durable when this returns.
    ///
    /// Gives where the batches are; the markers of the transaction follow them.
    pub async fn commit(&mut self, offsets: Option<&GroupPosition>) -> Result<Vec<ProducedBatch>> {
        self.require_healthy()?;
        let offsets = offsets.filter(|position| !position.offsets.is_empty());
        if self.phase == Phase::Idle && offsets.is_none() {
            return Ok(Vec::new());
        }
        self.phase = Phase::Open;
        self.progress.enter(ProducerStage::Writing);
        let produced = match offsets {
            None => self.pipeline.settle().await,
            Some(position) => {
                let pipeline = &mut self.pipeline;
                let sender = OffsetSender {
                    transport: &*self.transport,
                    id: &self.transactional_id,
                    by: self.identity,
                    progress: &self.progress,
                };
                let version = self.version;
                // Both wait for the disk; they wait together.
                let (produced, sent) = futures::join!(pipeline.settle(), sender.send(version, position));
                sent.and(produced)
            }
        };
        let produced = self.note(produced)?;
        let ended = self.end(true).await;
        self.note(ended)?;
        Ok(produced)
    }

    /// Settles the oldest request under way, whose answer this is; see [`Pipeline::next_answer`].
    pub(crate) async fn settle_with(&mut self, answer: Result<Response, TransportError>) -> Result<()> {
        let settled = self.pipeline.settle_with(answer).await;
        self.note(settled)
    }

    /// For looking at requests under way. Failures must go through [`TransactionalProducer::settle_with`].
    pub(crate) fn pipeline(&mut self) -> &mut Pipeline {
        &mut self.pipeline
    }

    /// Takes back everything since the last end.
    pub async fn abort(&mut self) -> Result<()> {
        if self.phase == Phase::Idle {
            return Ok(());
        }
        self.pipeline.discard().await;
        self.end(false).await
    }

    fn require_healthy(&self) -> Result<()> {
        match self.phase {
            Phase::Idle | Phase::Open => Ok(()),
            Phase::Failed => Err(ClientError::MustAbort { transactional_id: self.transactional_id.clone() }),
        }
    }

    fn note<T>(&mut self, outcome: Result<T>) -> Result<T> {
        if outcome.is_err() {
            self.phase = Phase::Failed;
        }
        outcome
    }

    async fn end(&mut self, committed: bool) -> Result<()> {
        self.progress.enter(ProducerStage::Committing);
        let mut backoff = Backoff::default();
        loop {
            match self.end_once(committed).await {
                Err(error) if error.is_retriable() => {
                    self.progress.refused(&error);
                    if !backoff.pause().await {
                        return Err(error);
                    }
                }
                // Version 1: nothing had reached the coordinator, so there is nothing to take back.
                Err(error) if !committed && error.code() == Some(ErrorCode::InvalidTxnState) => break,
                outcome => {
                    outcome?;
                    break;
                }
            }
        }
        self.progress.enter(ProducerStage::Idle);
        self.phase = Phase::Idle;
        self.added.clear();
        Ok(())
    }

    async fn end_once(&mut self, committed: bool) -> Result<()> {
        let request = EndTxnRequest {
            transactional_id: self.transactional_id.clone(),
            producer_id: self.identity.producer_id,
            producer_epoch: self.identity.producer_epoch,
            committed,
        };
        let response = call!(self.transport.as_ref(), EndTxn, request)?;
        check(ApiKey::EndTxn, &named(&self.transactional_id), response.error_code, None)?;
        let next =
            ProducerIdentity { producer_id: response.producer_id, producer_epoch: response.producer_epoch };
        if self.version == TxnVersion::V2 && next != self.identity {
            self.identity = next;
            self.pipeline.reset_sequences();
        }
        Ok(())
    }

    async fn add_partitions(&mut self, batches: &PartitionBatches) -> Result<()> {
        let new: Vec<TopicPartition> =
            batches.iter().map(|(name, _)| name).filter(|name| !self.added.contains(name)).cloned().collect();
        if new.is_empty() {
            return Ok(());
        }
        let topic = |name: &TopicPartition| AddPartitionsToTxnTopic {
            name: name.topic.to_string(),
            partitions: vec![name.partition],
        };
        let mut backoff = Backoff::default();
        loop {
            let request = AddPartitionsToTxnRequest {
                v3_and_below_transactional_id: self.transactional_id.clone(),
                v3_and_below_producer_id: self.identity.producer_id,
                v3_and_below_producer_epoch: self.identity.producer_epoch,
                v3_and_below_topics: new.iter().map(topic).collect(),
                ..AddPartitionsToTxnRequest::default()
            };
            let response = call!(self.transport.as_ref(), AddPartitionsToTxn, request)?;
            let results = response.results_by_topic_v3_and_below.into_iter();
            let mut codes =
                results.flat_map(|topic| topic.results_by_partition).map(|one| one.partition_error_code);
            match codes.find(|code| *code != ErrorCode::None) {
                None => break,
                Some(code) if may_retry(code) && backoff.pause().await => {}
                Some(code) => {
                    let resource = named(&self.transactional_id);
                    return Err(ClientError::refused(ApiKey::AddPartitionsToTxn, resource, code));
                }
            }
        }
        self.added.extend(new);
        Ok(())
    }
}

async fn txn_version(transport: &dyn Transport) -> Result<TxnVersion> {
    let request = ApiVersionsRequest {
        client_software_name: CLIENT_NAME.to_owned(),
        client_software_version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let response = call!(transport, ApiVersions, request)?;
    let raises = |api: &crate::protocol::messages::api_versions::ApiVersion| {
        api.api_key == ApiKey::EndTxn.code() && api.max_version >= END_TXN_V2
    };
    Ok(if response.api_keys.iter().any(raises) { TxnVersion::V2 } else { TxnVersion::V1 })
}

async fn init_once(
    transport: &dyn Transport,
    transactional_id: &str,
    timeout_ms: i32,
) -> Result<ProducerIdentity> {
    let request = InitProducerIdRequest {
        transactional_id: Some(transactional_id.to_owned()),
        transaction_timeout_ms: timeout_ms,
        ..InitProducerIdRequest::default()
    };
    let response = call!(transport, InitProducerId, request)?;
    check(ApiKey::InitProducerId, &named(transactional_id), response.error_code, None)?;
    Ok(ProducerIdentity { producer_id: response.producer_id, producer_epoch: response.producer_epoch })
}

/// Sends the offsets of a transaction.
struct OffsetSender<'a> {
    transport: &'a dyn Transport,
    id: &'a str,
    by: ProducerIdentity,
    progress: &'a ProducerProgress,
}

impl OffsetSender<'_> {
    async fn send(&self, version: TxnVersion, position: &GroupPosition) -> Result<()> {
        if version == TxnVersion::V1 {
            self.retry(|| self.add_offsets(position)).await?;
        }
        self.retry(|| self.commit_offsets(position)).await
    }

    async fn retry<F: Future<Output = Result<()>>>(&self, attempt: impl Fn() -> F) -> Result<()> {
        let mut backoff = Backoff::default();
        loop {
            match attempt().await {
                Err(error) if error.is_retriable() => {
                    self.progress.refused(&error);
                    if !backoff.pause().await {
                        return Err(error);
                    }
                }
                outcome => return outcome,
            }
        }
    }

    async fn add_offsets(&self, position: &GroupPosition) -> Result<()> {
        let request = AddOffsetsToTxnRequest {
            transactional_id: self.id.to_owned(),
            producer_id: self.by.producer_id,
            producer_epoch: self.by.producer_epoch,
            group_id: position.group_id.clone(),
        };
        let response = call!(self.transport, AddOffsetsToTxn, request)?;
        check(ApiKey::AddOffsetsToTxn, &named(self.id), response.error_code, None)
    }

    async fn commit_offsets(&self, position: &GroupPosition) -> Result<()> {
        let topic = |(name, offset): &(TopicPartition, Offset)| TxnOffsetCommitRequestTopic {
            name: name.topic.to_string(),
            partitions: vec![TxnOffsetCommitRequestPartition {
                partition_index: name.partition,
                committed_offset: *offset,
                committed_leader_epoch: -1,
                committed_metadata: Some(position.metadata.get(&name.topic).cloned().unwrap_or_default()),
            }],
        };
        let request = TxnOffsetCommitRequest {
            transactional_id: self.id.to_owned(),
            group_id: position.group_id.clone(),
            producer_id: self.by.producer_id,
            producer_epoch: self.by.producer_epoch,
            topics: position.offsets.iter().map(topic).collect(),
            ..TxnOffsetCommitRequest::default()
        };
        let response = call!(self.transport, TxnOffsetCommit, request)?;
        for partition in response.topics.into_iter().flat_map(|topic| topic.partitions) {
            check(ApiKey::TxnOffsetCommit, &named(self.id), partition.error_code, None)?;
        }
        Ok(())
    }
}

fn named(transactional_id: &str) -> String {
    format!("transactional id \"{transactional_id}\"")
}
