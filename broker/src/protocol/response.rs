//! Any response.

use bytes::Bytes;

use crate::protocol::api_key::{ApiKey, api_table};
use crate::protocol::message::{Wire, WireContext};
use crate::protocol::primitive::{DecodeError, DecodeErrorKind, Decoder, EncodeError, Encoder};

macro_rules! responses {
    ($(
        $api:ident = $key:literal, $module:ident, $request:ident, $response:ident,
        $min:literal ..= $max:literal, [$($served:tt)*];
    )*) => {
        /// A response of any API.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Response {
            $(
                #[doc = concat!("See [`", stringify!($response), "`](crate::protocol::messages::", stringify!($module),
                    "::", stringify!($response), ").")]
                $api(crate::protocol::messages::$module::$response),
            )*
        }

        impl Response {
            /// The API the response belongs to.
            pub const fn api_key(&self) -> ApiKey {
                match self {
                    $(Self::$api(_) => ApiKey::$api,)*
                }
            }

            /// Reads the body of a response; the header was taken off before.
            pub(crate) fn decode_body(
                api_key: ApiKey,
                version: i16,
                input: &mut Decoder,
            ) -> Result<Self, DecodeError> {
                if !api_key.known_versions().contains(version) {
                    return Err(input.error(DecodeErrorKind::Version { version }));
                }
                let cx = WireContext::new(version, api_key.flexible_first());
                let response = match api_key {
                    $(ApiKey::$api => Self::$api(Wire::decode(input, cx)?),)*
                };
                input.finish()?;
                Ok(response)
            }

            /// Writes the body of the response. Record bytes are passed on, not copied.
            ///
            /// Errors: when the version is not known, or has no place for a field that is set and matters.
            pub fn encode(&self, version: i16, out: &mut Encoder) -> Result<(), EncodeError> {
                let api_key = self.api_key();
                if !api_key.known_versions().contains(version) {
                    return Err(EncodeError::Version { version });
                }
                let cx = WireContext::new(version, api_key.flexible_first());
                match self {
                    $(Self::$api(response) => response.encode(out, cx),)*
                }
            }

            /// Tells the client how long it is to pause. Not every response has a place for it.
            pub(crate) fn set_throttle_time_ms(&mut self, ms: i32) {
                match self {
                    $(Self::$api(response) => response.set_throttle_time_ms(ms),)*
                }
            }

            /// A response with every field the version has set to something.
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
            impl From<crate::protocol::messages::$module::$response> for Response {
                fn from(response: crate::protocol::messages::$module::$response) -> Self {
                    Self::$api(response)
                }
            }

            impl TryFrom<Response> for crate::protocol::messages::$module::$response {
                type Error = UnexpectedResponse;

                fn try_from(response: Response) -> Result<Self, UnexpectedResponse> {
                    match response {
                        Response::$api(response) => Ok(response),
                        other => Err(UnexpectedResponse { expected: ApiKey::$api, actual: other.api_key() }),
                    }
                }
            }
        )*
    };
}

api_table!(responses);

/// A response belongs to another API than the request it was taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{actual} response where one of {expected} was expected")]
pub struct UnexpectedResponse {
    pub expected: ApiKey,
    pub actual: ApiKey,
}

impl Response {
    /// Reads the body of a response. All of `body` must belong to it.
    pub fn decode(api_key: ApiKey, version: i16, body: Bytes) -> Result<Self, DecodeError> {
        Self::decode_body(api_key, version, &mut Decoder::new(body))
    }
}
