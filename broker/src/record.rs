//! Record batches, format v2: the bytes that travel from a producer to the log to a consumer unchanged.
//!
//! * [`batch::RecordBatch`]: a checked view of the bytes of one batch, without copying them.
//! * [`reader::RecordIter`]: the records inside, borrowed, without allocation per record.
//! * [`builder::RecordBatchBuilder`]: records in, bytes out.
//! * [`control`]: the markers that end transactions.
//! * [`compression`]: the five codecs, with a bound on what they may expand to.
//! * [`varint`]: the zigzag integers records are made of.

pub mod batch;
pub mod builder;
pub mod compression;
pub mod control;
pub mod reader;
pub mod varint;

#[cfg(test)]
mod tests;
