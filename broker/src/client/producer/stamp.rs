//! Writes a producer's identity into finished batches.

use bytes::{Bytes, BytesMut};

use crate::error::Result;
use crate::ids::ProducerIdentity;
use crate::record::batch::{
    ATTRIBUTES_AT, BASE_SEQUENCE_AT, BatchHeader, PRODUCER_EPOCH_AT, PRODUCER_ID_AT, put_i16, put_i32,
    put_i64, seal,
};

const TRANSACTIONAL_BIT: i16 = 1 << 4;

/// Whether a batch belongs to a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Membership {
    Alone,
    Transaction,
}

/// The batch with identity, sequence and, in a transaction, the bit that says so; and the sequence after it.
pub(crate) fn stamp_producer(
    batch: Bytes,
    by: ProducerIdentity,
    base_sequence: i32,
    membership: Membership,
) -> Result<(Bytes, i32)> {
    let header = BatchHeader::parse(&batch)?;
    // Without a copy if nobody else holds the bytes.
    let mut bytes = BytesMut::from(batch);
    let attributes = i16::from_be_bytes([bytes[ATTRIBUTES_AT], bytes[ATTRIBUTES_AT + 1]]);
    if membership == Membership::Transaction {
        put_i16(&mut bytes, ATTRIBUTES_AT, attributes | TRANSACTIONAL_BIT);
    }
    put_i64(&mut bytes, PRODUCER_ID_AT, by.producer_id);
    put_i16(&mut bytes, PRODUCER_EPOCH_AT, by.producer_epoch);
    put_i32(&mut bytes, BASE_SEQUENCE_AT, base_sequence);
    seal(&mut bytes);
    Ok((bytes.freeze(), sequence_after(base_sequence, &header)))
}

/// The batch as it is, of a producer without an identity; and the sequence after it.
pub(crate) fn count_records(batch: Bytes, base_sequence: i32) -> Result<(Bytes, i32)> {
    let header = BatchHeader::parse(&batch)?;
    Ok((batch, sequence_after(base_sequence, &header)))
}

fn sequence_after(base_sequence: i32, header: &BatchHeader) -> i32 {
    // Sequences go around at 2^31.
    let next = (i64::from(base_sequence) + i64::from(header.last_offset_delta) + 1) & i64::from(i32::MAX);
    i32::try_from(next).expect("masked to 31 bits")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::batch::RecordBatch;
    use crate::record::builder::{BatchOptions, RecordBatchBuilder};
    use crate::record::compression::Compression;

    #[test]
    fn a_stamped_batch_is_whole_and_keeps_its_records() {
        let by = ProducerIdentity { producer_id: 77, producer_epoch: 3 };
        for compression in Compression::ALL {
            let mut builder =
                RecordBatchBuilder::new(BatchOptions { compression, ..BatchOptions::default() });
            for value in [b"a", b"b", b"c"] {
                builder.append(5, None, Some(value), &[]);
            }
            let batch = builder.build().expect("builds");
            let (stamped, next) =
                stamp_producer(batch, by, i32::MAX - 1, Membership::Transaction).expect("stamps");
            assert_eq!(next, 1);
            let (parsed, rest) = RecordBatch::parse(stamped).expect("the checksum is right");
            assert!(rest.is_empty());
            assert!(parsed.header().is_transactional());
            assert_eq!(parsed.header().producer_id.0, 77);
            assert_eq!(parsed.header().base_sequence, i32::MAX - 1);
            assert_eq!(parsed.header().last_sequence(), 0);
        }
    }
}
