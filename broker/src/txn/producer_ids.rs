//! Producer ids, handed out from blocks whose allocation is durable: no id is ever given twice.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::Result;
use crate::metadata::record::MetadataRecord;
use crate::metadata::store::MetadataStore;

/// Ids reserved by one write of metadata.
const BLOCK_IDS: i64 = 1000;

/// The source of producer ids.
#[derive(Debug)]
pub struct ProducerIds {
    metadata: Arc<MetadataStore>,
    block: Mutex<Block>,
}

#[derive(Debug)]
struct Block {
    next: i64,
    end: i64,
}

impl ProducerIds {
    #[must_use]
    pub fn new(metadata: Arc<MetadataStore>) -> Self {
        Self { metadata, block: Mutex::new(Block { next: 0, end: 0 }) }
    }

    /// An unused id. Threads: blocks on the disk once in a thousand times.
    pub fn allocate(&self) -> Result<i64> {
        let mut block = self.block.lock();
        if block.next == block.end {
            let start = self.metadata.update(|image| {
                let start = image.producer_id_next();
                Ok((vec![MetadataRecord::ProducerIds { next: start + BLOCK_IDS }], start))
            })?;
            *block = Block { next: start, end: start + BLOCK_IDS };
        }
        block.next += 1;
        Ok(block.next - 1)
    }
}
