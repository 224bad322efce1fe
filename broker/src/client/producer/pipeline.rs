//! Produce requests under way: sent one after the other without waiting, settled in the same order.
//!
//! Invariant: a partition's batches carry consecutive sequences in the order of the requests, so that sending a
//! request again after a lost answer changes nothing (KIP-98).

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use super::careful::{Refusal, is_about_records};
use super::config::Acks;
use super::progress::ProducerProgress;
use super::stamp::{Membership, count_records, stamp_producer};
use crate::client::call::Backoff;
use crate::client::error::{ClientError, Result, may_retry};
use crate::client::transport::{Answer, Transport, TransportError};
use crate::ids::ProducerIdentity;
use crate::ids::{Offset, TopicId, TopicPartition};
use crate::protocol::api_key::ApiKey;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::messages::produce::{
    PartitionProduceData, PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceData,
};
use crate::protocol::request::Request;
use crate::protocol::response::Response;

/// Encoded record batches by partition.
pub type PartitionBatches = Vec<(TopicPartition, Vec<Bytes>)>;

/// Base offset of batches whose place the broker does not say.
const NO_OFFSET: Offset = -1;
const TIMEOUT_MS: i32 = 30_000;
/// Requests under way at a time; the next waits for the oldest.
const IN_FLIGHT_MAX: usize = 64;

/// Where a batch ended up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducedBatch {
    pub partition: TopicPartition,
    /// -1 if the broker does not say it: with `acks=0`, or for a batch that was stored before.
    pub base_offset: Offset,
    /// The offset after the batch.
    pub next_offset: Offset,
}

/// A batch on its way.
#[derive(Debug, Clone)]
struct Sent {
    partition: TopicPartition,
    bytes: Bytes,
    /// Offsets the batch takes.
    offsets: i64,
}

struct InFlight {
    batches: Vec<Sent>,
    answer: Answer,
}

/// The requests of one producer.
pub(crate) struct Pipeline {
    transport: Arc<dyn Transport>,
    transactional_id: Option<String>,
    /// Batches carry sequences with `All` only.
    acks: Acks,
    /// Ids of the topics that are written, so that records never go to another topic of the same name.
    topic_ids: HashMap<Arc<str>, TopicId>,
    sequences: HashMap<TopicPartition, i32>,
    in_flight: VecDeque<InFlight>,
    settled: Vec<ProducedBatch>,
    /// A request is being sent again, so later ones may have arrived before it and been refused for that.
    disturbed: bool,
    progress: Arc<ProducerProgress>,
}

impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline")
            .field("transactional_id", &self.transactional_id)
            .field("in_flight", &self.in_flight.len())
            .finish_non_exhaustive()
    }
}

impl Pipeline {
    pub(crate) fn new(transport: Arc<dyn Transport>, transactional_id: Option<String>) -> Self {
        Self {
            transport,
            transactional_id,
            acks: Acks::All,
            topic_ids: HashMap::new(),
            sequences: HashMap::new(),
            in_flight: VecDeque::new(),
            settled: Vec::new(),
            disturbed: false,
            progress: Arc::default(),
        }
    }

    /// Refusals of batches that are sent again are noted here.
    #[must_use]
    pub(crate) fn with_progress(self, progress: Arc<ProducerProgress>) -> Self {
        Self { progress, ..self }
    }

    /// Without `Acks::All` batches carry no sequences, so that one that is sent again may be stored twice.
    #[must_use]
    pub(crate) fn with_acks(self, acks: Acks) -> Self {
        Self { acks, ..self }
    }

    /// Topics are written by these ids, if every topic of a request has one: a topic that was deleted is refused with
    /// `UnknownTopicId`, also when there is one of the same name again.
    pub(crate) fn set_topic_ids(&mut self, ids: impl IntoIterator<Item = (Arc<str>, TopicId)>) {
        self.topic_ids = ids.into_iter().filter(|(_, id)| !id.0.is_nil()).collect();
    }

    /// A new epoch counts its sequences from 0.
    pub(crate) fn reset_sequences(&mut self) {
        self.sequences.clear();
    }

    /// Hands batches over. Returns when they are sent, not when they are answered.
    pub(crate) async fn push(&mut self, by: ProducerIdentity, batches: PartitionBatches) -> Result<()> {
        let membership =
            if self.transactional_id.is_some() { Membership::Transaction } else { Membership::Alone };
        // A request holds one batch of a partition at most, so further ones go into further requests.
        let mut requests: Vec<Vec<Sent>> = Vec::new();
        for (partition, encoded) in batches {
            let sequence = self.sequences.entry(partition.clone()).or_default();
            for (at, batch) in encoded.into_iter().enumerate() {
                let (bytes, next) = match self.acks {
                    Acks::All => stamp_producer(batch, by, *sequence, membership)?,
                    Acks::Leader | Acks::None => count_records(batch, *sequence)?,
                };
                let offsets = i64::from(next.wrapping_sub(*sequence) & i32::MAX);
                *sequence = next;
                if at == requests.len() {
                    requests.push(Vec::new());
                }
                requests[at].push(Sent { partition: partition.clone(), bytes, offsets });
            }
        }
        for batches in requests {
            if self.in_flight.len() >= IN_FLIGHT_MAX {
                self.settle_one().await?;
            }
            let answer = self.start(&batches).await;
            self.in_flight.push_back(InFlight { batches, answer });
        }
        Ok(())
    }

    /// Sends one batch and waits for its answer. A batch that is refused for what is in it has no effect.
    ///
    /// Precondition: nothing is under way.
    pub(crate) async fn push_alone(
        &mut self,
        by: ProducerIdentity,
        partition: &TopicPartition,
        batch: Bytes,
    ) -> Result<Option<Refusal>> {
        let sequence = self.sequences.get(partition).copied().unwrap_or(0);
        self.push(by, vec![(partition.clone(), vec![batch])]).await?;
        while !self.in_flight.is_empty() {
            match self.settle_one().await {
                Err(ClientError::Refused { code, message, .. }) if is_about_records(code) => {
                    self.sequences.insert(partition.clone(), sequence);
                    return Ok(Some(Refusal { code, message }));
                }
                outcome => outcome?,
            }
        }
        Ok(None)
    }

    /// Waits for everything under way and gives where the batches since the last call ended up.
    pub(crate) async fn settle(&mut self) -> Result<Vec<ProducedBatch>> {
        while !self.in_flight.is_empty() {
            self.settle_one().await?;
        }
        Ok(self.take_settled())
    }

    /// Waits for everything under way and forgets the outcome.
    pub(crate) async fn discard(&mut self) {
        while let Some(request) = self.in_flight.pop_front() {
            drop(request.answer.await);
        }
        self.settled.clear();
    }

    /// Whether requests are under way.
    pub(crate) fn has_in_flight(&self) -> bool {
        !self.in_flight.is_empty()
    }

    /// The answer to the oldest request under way, which [`Pipeline::settle_with`] must get; never resolves if there is
    /// none. Dropping the future before loses nothing.
    pub(crate) async fn next_answer(&mut self) -> Result<Response, TransportError> {
        match self.in_flight.front_mut() {
            Some(request) => request.answer.as_mut().await,
            None => std::future::pending().await,
        }
    }

    /// Settles the oldest request under way, whose answer this is.
    pub(crate) async fn settle_with(&mut self, answer: Result<Response, TransportError>) -> Result<()> {
        let Some(request) = self.in_flight.pop_front() else { return Ok(()) };
        let outcome = self.settle_request(request.batches, answer).await;
        self.disturbed &= !self.in_flight.is_empty();
        outcome
    }

    /// Where the batches settled since the last call ended up.
    pub(crate) fn take_settled(&mut self) -> Vec<ProducedBatch> {
        std::mem::take(&mut self.settled)
    }

    async fn settle_one(&mut self) -> Result<()> {
        if self.in_flight.is_empty() {
            return Ok(());
        }
        let answer = self.next_answer().await;
        self.settle_with(answer).await
    }

    async fn settle_request(
        &mut self,
        batches: Vec<Sent>,
        mut answer: Result<Response, TransportError>,
    ) -> Result<()> {
        let mut left = batches;
        let mut backoff = Backoff::default();
        loop {
            left = match self.take_answer(left, answer)? {
                retry if retry.is_empty() => return Ok(()),
                retry => retry,
            };
            self.disturbed = true;
            if !backoff.pause().await {
                let partition = left[0].partition.to_string();
                return Err(ClientError::refused(ApiKey::Produce, partition, ErrorCode::RequestTimedOut));
            }
            answer = self.start(&left).await.await;
        }
    }

    /// Notes the batches that succeeded and returns those to send again.
    fn take_answer(
        &mut self,
        batches: Vec<Sent>,
        answer: Result<Response, TransportError>,
    ) -> Result<Vec<Sent>> {
        let response = match answer {
            Ok(Response::Produce(_)) if self.acks == Acks::None => {
                let unknown = |batch: Sent| ProducedBatch {
                    partition: batch.partition,
                    base_offset: NO_OFFSET,
                    next_offset: NO_OFFSET,
                };
                self.settled.extend(batches.into_iter().map(unknown));
                return Ok(Vec::new());
            }
            Ok(Response::Produce(response)) => response,
            Ok(_) => {
                let missing = "an answer of the same API".to_owned();
                return Err(ClientError::Incomplete { api: ApiKey::Produce, missing });
            }
            Err(error) if error.is_retriable() => {
                self.progress.refused(&error);
                return Ok(batches);
            }
            Err(error) => return Err(error.into()),
        };
        let mut answers = self.by_partition(response);
        let mut again = Vec::new();
        for batch in batches {
            let key = (batch.partition.topic.to_string(), batch.partition.partition);
            let Some(answer) = answers.remove(&key) else {
                let missing = batch.partition.to_string();
                return Err(ClientError::Incomplete { api: ApiKey::Produce, missing });
            };
            match answer.error_code {
                // A duplicate is in the log already, where exactly the broker has forgotten.
                ErrorCode::None | ErrorCode::DuplicateSequenceNumber => self.settled.push(ProducedBatch {
                    partition: batch.partition,
                    base_offset: answer.base_offset,
                    next_offset: answer.base_offset + batch.offsets,
                }),
                // The id came from the broker, and a topic that was deleted does not come back.
                code if may_retry(code) && code != ErrorCode::UnknownTopicId => {
                    let resource = format!("records for partition \"{}\"", batch.partition);
                    let message = answer.error_message;
                    self.progress.refused(&ClientError::Refused {
                        api: ApiKey::Produce,
                        resource,
                        code,
                        message,
                    });
                    again.push(batch);
                }
                ErrorCode::OutOfOrderSequenceNumber if self.disturbed => again.push(batch),
                code => {
                    return Err(ClientError::Refused {
                        api: ApiKey::Produce,
                        resource: format!("records for partition \"{}\"", batch.partition),
                        code,
                        message: answer.error_message,
                    });
                }
            }
        }
        Ok(again)
    }

    /// Sends a request: when this resolves the transport has it, in order.
    #[expect(clippy::async_yields_async, reason = "handing over and being answered are two steps")]
    fn start(&self, batches: &[Sent]) -> impl Future<Output = Answer> + Send + use<> {
        let request = request_of(self.transactional_id.clone(), self.acks, &self.topic_ids, batches);
        let transport = Arc::clone(&self.transport);
        async move {
            match transport.hand_over(Request::Produce(request)).await {
                Ok(answer) => answer,
                Err(error) => Box::pin(std::future::ready(Err(error))) as Answer,
            }
        }
    }

    fn by_partition(&self, response: ProduceResponse) -> HashMap<(String, i32), PartitionProduceResponse> {
        let mut answers = HashMap::new();
        for topic in response.responses {
            // Versions with ids have no names.
            let named = self.topic_ids.iter().find(|(_, id)| id.0 == topic.topic_id);
            let name = match named {
                Some((name, _)) if topic.name.is_empty() => name.to_string(),
                Some(_) | None => topic.name,
            };
            for answer in topic.partition_responses {
                answers.insert((name.clone(), answer.index), answer);
            }
        }
        answers
    }
}

fn request_of(
    transactional_id: Option<String>,
    acks: Acks,
    topic_ids: &HashMap<Arc<str>, TopicId>,
    batches: &[Sent],
) -> ProduceRequest {
    let by_id = batches.iter().all(|batch| topic_ids.contains_key(&batch.partition.topic));
    let mut topics: Vec<TopicProduceData> = Vec::new();
    for batch in batches {
        let data =
            PartitionProduceData { index: batch.partition.partition, records: Some(batch.bytes.clone()) };
        match topics.iter_mut().find(|topic| *topic.name == *batch.partition.topic) {
            Some(topic) => topic.partition_data.push(data),
            None => topics.push(TopicProduceData {
                name: batch.partition.topic.to_string(),
                topic_id: match topic_ids.get(&batch.partition.topic) {
                    Some(id) if by_id => id.0,
                    Some(_) | None => Uuid::nil(),
                },
                partition_data: vec![data],
            }),
        }
    }
    ProduceRequest { transactional_id, acks: acks.code(), timeout_ms: TIMEOUT_MS, topic_data: topics }
}
