//! Any request.

use bytes::Bytes;

use crate::protocol::api_key::{ApiKey, api_table};
use crate::protocol::message::{Wire, WireContext};
use crate::protocol::primitive::{DecodeError, DecodeErrorKind, Decoder, EncodeError, Encoder};

macro_rules! requests {
    ($(
        $api:ident = $key:literal, $module:ident, $request:ident, $response:ident,
        $min:literal ..= $max:literal, [$($served:tt)*];
    )*) => {
        /// A request of any API.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Request {
            $(
                #[doc = concat!("See [`", stringify!($request), "`](crate::protocol::messages::", stringify!($module),
                    "::", stringify!($request), ").")]
                $api(crate::protocol::messages::$module::$request),
            )*
        }

        impl Request {
            /// The API the request belongs to.
            pub const fn api_key(&self) -> ApiKey {
                match self {
                    $(Self::$api(_) => ApiKey::$api,)*
                }
            }

            /// Reads the body of a request; the header was taken off before.
            pub(crate) fn decode_body(
                api_key: ApiKey,
                version: i16,
                input: &mut Decoder,
            ) -> Result<Self, DecodeError> {
                if !api_key.known_versions().contains(version) {
                    return Err(input.error(DecodeErrorKind::Version { version }));
                }
                let cx = WireContext::new(version, api_key.flexible_first());
                let request = match api_key {
                    $(ApiKey::$api => Self::$api(Wire::decode(input, cx)?),)*
                };
                // Bytes may follow: Kafka ignores them, and librdkafka sends some after asking for all topics.
                Ok(request)
            }

            /// Writes the body of the request.
            ///
            /// Errors: when the version is not known, or has no place for a field that is set and matters.
            pub fn encode(&self, version: i16, out: &mut Encoder) -> Result<(), EncodeError> {
                let api_key = self.api_key();
                if !api_key.known_versions().contains(version) {
                    return Err(EncodeError::Version { version });
                }
                let cx = WireContext::new(version, api_key.flexible_first());
                match self {
                    $(Self::$api(request) => request.encode(out, cx),)*
                }
            }

            /// A request with every field the version has set to something.
            #[cfg(test)]
            pub(crate) fn sample(
                api_key: ApiKey,
                version: i16,
                samples: &mut crate::protocol::sample::Samples,
            ) -> Self {
                let cx = WireContext::new(version, api_key.flexible_first());
                match api_key {
                    $(ApiKey::$api => Self::$api(crate::protocol::sample::Sample::sample(samples, cx)),)*
                }
            }
        }

        $(
            impl From<crate::protocol::messages::$module::$request> for Request {
                fn from(request: crate::protocol::messages::$module::$request) -> Self {
                    Self::$api(request)
                }
            }
        )*
    };
}

api_table!(requests);

impl Request {
    /// Reads the body of a request. All of `body` must belong to it.
    pub fn decode(api_key: ApiKey, version: i16, body: Bytes) -> Result<Self, DecodeError> {
        Self::decode_body(api_key, version, &mut Decoder::new(body))
    }

    /// Highest version that can carry what this request says: topics named but without an id cannot be sent where only
    /// ids are (KIP-516), and clients add partitions for one transaction, not in batches (KIP-890).
    pub fn version_max(&self) -> i16 {
        let ids_missing = match self {
            Self::Produce(request) => request.topic_data.iter().any(|topic| topic.topic_id.is_nil()),
            Self::Fetch(request) => {
                request.topics.iter().any(|topic| topic.topic_id.is_nil())
                    || request.forgotten_topics_data.iter().any(|topic| topic.topic_id.is_nil())
            }
            Self::OffsetCommit(request) => request.topics.iter().any(|topic| topic.topic_id.is_nil()),
            // Who asks for all topics knows no ids either, and wants to be told names.
            Self::OffsetFetch(request) => request.groups.iter().any(|group| match &group.topics {
                None => true,
                Some(topics) => topics.iter().any(|topic| topic.topic_id.is_nil()),
            }),
            _ => false,
        };
        let known = self.api_key().known_versions();
        match self {
            Self::Produce(_) | Self::Fetch(_) if ids_missing => 12,
            Self::OffsetCommit(_) | Self::OffsetFetch(_) if ids_missing => 9,
            Self::AddPartitionsToTxn(request) if request.transactions.is_empty() => 3,
            _ => known.max,
        }
    }

    /// Whether the broker answers: a produce request with `acks = 0` gets no response.
    pub const fn expects_response(&self) -> bool {
        !matches!(self, Self::Produce(request) if request.acks == 0)
    }
}
