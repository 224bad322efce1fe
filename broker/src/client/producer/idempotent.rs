//! A producer whose batches are stored exactly once and in order, also when answers are lost.

use std::sync::Arc;

use super::pipeline::{PartitionBatches, Pipeline, ProducedBatch};
use crate::client::call::{call, check};
use crate::client::error::Result;
use crate::client::transport::Transport;
use crate::ids::ProducerIdentity;
use crate::protocol::api_key::ApiKey;
use crate::protocol::messages::init_producer_id::InitProducerIdRequest;

/// An idempotent producer.
#[derive(Debug)]
pub struct IdempotentProducer {
    identity: ProducerIdentity,
    pipeline: Pipeline,
}

impl IdempotentProducer {
    /// Asks the broker for a producer id.
    pub async fn init(transport: Arc<dyn Transport>) -> Result<Self> {
        let request = InitProducerIdRequest {
            transactional_id: None,
            transaction_timeout_ms: i32::MAX,
            ..InitProducerIdRequest::default()
        };
        let response = call!(transport.as_ref(), InitProducerId, request)?;
        check(ApiKey::InitProducerId, "an idempotent producer", response.error_code, None)?;
        let identity =
            ProducerIdentity { producer_id: response.producer_id, producer_epoch: response.producer_epoch };
        Ok(Self { identity, pipeline: Pipeline::new(transport, None) })
    }

    /// Hands encoded batches over without waiting for the answers.
    ///
    /// Errors: `Batch` if the bytes are no batches; failures of earlier batches.
    pub async fn produce(&mut self, batches: PartitionBatches) -> Result<()> {
        self.pipeline.push(self.identity, batches).await
    }

    /// Waits until everything handed over is durable, and tells where it is. After an error the order can no
    /// longer be kept: make a new producer.
    pub async fn flush(&mut self) -> Result<Vec<ProducedBatch>> {
        self.pipeline.settle().await
    }

    pub(crate) fn pipeline(&mut self) -> &mut Pipeline {
        &mut self.pipeline
    }

    /// [`IdempotentProducer::produce`] and [`IdempotentProducer::flush`].
    pub async fn send(&mut self, batches: PartitionBatches) -> Result<Vec<ProducedBatch>> {
        self.produce(batches).await?;
        self.flush().await
    }
}
