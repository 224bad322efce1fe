//! Settings of producers.

use std::time::Duration;

use crate::record::compression::Compression;

/// Brokers that have to store a batch before it is acknowledged (`acks`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Acks {
    /// None: batches are sent and never answered (`acks=0`). Lost ones are not noticed.
    None,
    /// The leader (`acks=1`). A batch that is sent again after a lost answer may be stored twice.
    Leader,
    /// All in-sync replicas (`acks=all`), with which producers are idempotent.
    #[default]
    All,
}

impl Acks {
    /// The number on the wire.
    #[must_use]
    pub fn code(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Leader => 1,
            Self::All => -1,
        }
    }
}

/// Settings of a [`BatchingProducer`](super::batching::BatchingProducer). The names of Kafka's settings are given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerConfig {
    /// How long a batch waits for further records (`linger.ms`).
    pub linger: Duration,
    /// Bytes of records at which a batch is closed, before compression (`batch.size`).
    pub batch_bytes: usize,
    /// Memory of records that are not acknowledged yet, before compression (`buffer.memory`). Sending waits while it is
    /// used up. A record is taken in any case when there is no other.
    pub buffer_bytes_max: usize,
    /// Transactions are written with `Acks::All`, whatever this is.
    pub acks: Acks,
    pub compression: Compression,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            linger: Duration::from_millis(5),
            batch_bytes: 256 << 10,
            buffer_bytes_max: 32 << 20,
            acks: Acks::All,
            compression: Compression::None,
        }
    }
}
