//! The producer under a batching producer: with or without sequences, or with transactions.

use std::sync::Arc;

use super::config::Acks;
use super::error::ProducerError;
use super::idempotent::IdempotentProducer;
use super::pipeline::{PartitionBatches, Pipeline, ProducedBatch};
use super::transactional::{GroupPosition, TransactionalProducer};
use crate::client::error::Result;
use crate::client::transport::{Transport, TransportError};
use crate::ids::{ProducerEpoch, ProducerId, ProducerIdentity};
use crate::protocol::response::Response;

/// Takes encoded batches and says, in the order of each partition, where they are stored.
#[derive(Debug)]
pub(crate) enum Sink {
    Unsequenced(Box<Pipeline>),
    Idempotent(Box<IdempotentProducer>),
    Transactional(Box<TransactionalProducer>),
}

impl Sink {
    /// A sink without transactions.
    pub(crate) async fn open(transport: Arc<dyn Transport>, acks: Acks) -> Result<Self> {
        Ok(match acks {
            Acks::All => Self::Idempotent(Box::new(IdempotentProducer::init(transport).await?)),
            Acks::Leader | Acks::None => {
                Self::Unsequenced(Box::new(Pipeline::new(transport, None).with_acks(acks)))
            }
        })
    }

    pub(crate) async fn produce(&mut self, batches: PartitionBatches) -> Result<()> {
        match self {
            Self::Unsequenced(pipeline) => {
                let without_identity = ProducerIdentity {
                    producer_id: ProducerId::NONE.0,
                    producer_epoch: ProducerEpoch::NONE.0,
                };
                pipeline.push(without_identity, batches).await
            }
            Self::Idempotent(producer) => producer.produce(batches).await,
            Self::Transactional(producer) => producer.produce(batches).await,
        }
    }

    pub(crate) fn pipeline(&mut self) -> &mut Pipeline {
        match self {
            Self::Unsequenced(pipeline) => pipeline,
            Self::Idempotent(producer) => producer.pipeline(),
            Self::Transactional(producer) => producer.pipeline(),
        }
    }

    /// Settles the oldest request under way, whose answer this is.
    pub(crate) async fn settle_with(&mut self, answer: Result<Response, TransportError>) -> Result<()> {
        match self {
            Self::Unsequenced(pipeline) => pipeline.settle_with(answer).await,
            Self::Idempotent(producer) => producer.pipeline().settle_with(answer).await,
            Self::Transactional(producer) => producer.settle_with(answer).await,
        }
    }

    /// Commits the transaction, and offsets of a group with it.
    pub(crate) async fn commit(
        &mut self,
        position: Option<&GroupPosition>,
    ) -> Result<Vec<ProducedBatch>, ProducerError> {
        match self {
            Self::Transactional(producer) => Ok(producer.commit(position).await?),
            Self::Unsequenced(_) | Self::Idempotent(_) => Err(ProducerError::NotTransactional),
        }
    }

    pub(crate) async fn abort(&mut self) -> Result<(), ProducerError> {
        match self {
            Self::Transactional(producer) => Ok(producer.abort().await?),
            Self::Unsequenced(_) | Self::Idempotent(_) => Err(ProducerError::NotTransactional),
        }
    }

    pub(crate) fn is_transactional(&self) -> bool {
        matches!(self, Self::Transactional(_))
    }
}
