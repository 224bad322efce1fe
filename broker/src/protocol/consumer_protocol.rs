//! What the members of a consumer group tell each other through the coordinator, inside the byte fields of `JoinGroup`
//! and `SyncGroup`.
//!
//! Each value begins with its version (INT16). A reader takes of a newer version what it knows and ignores what
//! follows.

use bytes::{Bytes, BytesMut};

use crate::protocol::message::{NEVER, Wire, WireContext, message};
use crate::protocol::primitive::{DecodeError, DecodeErrorKind, Decoder, EncodeError, Encoder};

/// Newest version of both values.
const VERSION_MAX: i16 = 3;

message! {
    flexible NEVER;

    /// What a member wants to consume: the `metadata` of its protocols in `JoinGroup`, versions 0 to 3.
    pub struct ConsumerSubscription {
        topics: Vec<String>,
        /// Belongs to the assignor.
        user_data: Option<Bytes>,
        /// What the member has from the generation before (KIP-429).
        owned_partitions: Vec<ConsumerTopicPartitions> [since(1)],
        /// Generation the owned partitions come from (KIP-792).
        generation_id: i32 [since(2)] = -1,
        /// Where the member runs (KIP-881).
        rack_id: Option<String> [since(3)],
    }

    /// What a member is to consume: its `assignment` in `SyncGroup`, versions 0 to 3.
    pub struct ConsumerAssignment {
        assigned_partitions: Vec<ConsumerTopicPartitions>,
        /// Belongs to the assignor.
        user_data: Option<Bytes>,
    }

    /// Partitions of one topic.
    pub struct ConsumerTopicPartitions {
        topic: String,
        partitions: Vec<i32>,
    }
}

impl ConsumerSubscription {
    /// Writes the subscription in `version`, with the version in front.
    pub fn encode(&self, version: i16) -> Result<Bytes, EncodeError> {
        encode(self, version)
    }

    /// Reads a subscription of any version.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        decode(bytes)
    }
}

impl ConsumerAssignment {
    /// Writes the assignment in `version`, with the version in front.
    pub fn encode(&self, version: i16) -> Result<Bytes, EncodeError> {
        encode(self, version)
    }

    /// Reads an assignment of any version. No bytes at all are an assignment of nothing.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        if bytes.is_empty() { Ok(Self::default()) } else { decode(bytes) }
    }
}

fn encode(value: &impl Wire, version: i16) -> Result<Bytes, EncodeError> {
    if !(0..=VERSION_MAX).contains(&version) {
        return Err(EncodeError::Version { version });
    }
    let mut out = Encoder::default();
    out.put_i16(version);
    value.encode(&mut out, WireContext::new(version, FLEXIBLE_FIRST))?;
    let mut bytes = BytesMut::with_capacity(out.len());
    out.into_chunks().iter().for_each(|chunk| bytes.extend_from_slice(chunk));
    Ok(bytes.freeze())
}

fn decode<T: Wire>(bytes: Bytes) -> Result<T, DecodeError> {
    let mut input = Decoder::new(bytes);
    let version = input.get_i16()?;
    if version < 0 {
        return Err(input.error(DecodeErrorKind::Version { version }));
    }
    T::decode(&mut input, WireContext::new(version.min(VERSION_MAX), FLEXIBLE_FIRST))
}

#[cfg(test)]
mod tests {
    use bytes::{BufMut, Bytes, BytesMut};
    use kafka_protocol::messages::{ConsumerProtocolAssignment, ConsumerProtocolSubscription};
    use kafka_protocol::protocol::{Decodable, Encodable};

    use super::{ConsumerAssignment, ConsumerSubscription, FLEXIBLE_FIRST, VERSION_MAX};
    use crate::protocol::message::WireContext;
    use crate::protocol::sample::{Sample, Samples};

    fn check<Reference: Decodable + Encodable>(version: i16, bytes: &Bytes) {
        let mut rest = bytes.slice(2..);
        let reference = Reference::decode(&mut rest, version).expect("the reference reads it");
        assert!(rest.is_empty());
        let mut written = BytesMut::new();
        written.put_i16(version);
        reference.encode(&mut written, version).expect("the reference writes it");
        assert_eq!(written, *bytes);
    }

    #[test]
    fn every_version_is_what_the_reference_writes_and_reads() {
        for version in 0..=VERSION_MAX {
            for nulls in [false, true] {
                let samples = &mut Samples::new(nulls, 2);
                let cx = WireContext::new(version, FLEXIBLE_FIRST);
                let subscription = ConsumerSubscription::sample(samples, cx);
                let bytes = subscription.encode(version).expect("encodable");
                check::<ConsumerProtocolSubscription>(version, &bytes);
                assert_eq!(ConsumerSubscription::decode(bytes), Ok(subscription));
                let assignment = ConsumerAssignment::sample(samples, cx);
                let bytes = assignment.encode(version).expect("encodable");
                check::<ConsumerProtocolAssignment>(version, &bytes);
                assert_eq!(ConsumerAssignment::decode(bytes), Ok(assignment));
            }
        }
    }

    #[test]
    fn newer_versions_are_read_as_far_as_they_are_known() {
        let subscription =
            ConsumerSubscription { topics: vec!["t".to_owned()], ..ConsumerSubscription::default() };
        let mut bytes = BytesMut::from(subscription.encode(3).expect("encodable"));
        bytes[1] = 9;
        bytes.put_i64(0);
        assert_eq!(ConsumerSubscription::decode(bytes.freeze()), Ok(subscription));
        assert!(ConsumerSubscription::decode(Bytes::from_static(&[0xff, 0xff])).is_err());
        assert_eq!(ConsumerAssignment::decode(Bytes::new()), Ok(ConsumerAssignment::default()));
    }
}
