//! What precedes every request and response.

use bytes::Bytes;
use thiserror::Error;

use crate::protocol::api_key::ApiKey;
use crate::protocol::primitive::{DecodeError, DecodeErrorKind, Decoder, EncodeError, Encoder};

/// The header of a request, versions 1 and 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHeader {
    pub api_key: ApiKey,
    pub api_version: i16,
    /// Chosen by the client and returned with the response.
    pub correlation_id: i32,
    /// What the client calls itself.
    pub client_id: Option<String>,
}

/// Why the first bytes of a request are not usable.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HeaderError {
    /// The API is not known here.
    #[error("api {api_key} is not known")]
    UnknownApi { api_key: i16 },
    /// The API is known, its version is not. The correlation id is the one to answer with.
    #[error("version {api_version} of api {api_key} is not known")]
    UnknownVersion { api_key: ApiKey, api_version: i16, correlation_id: i32 },
    /// The bytes are no header.
    #[error("request header is malformed")]
    Malformed(#[from] DecodeError),
}

impl RequestHeader {
    /// Reads the header off the front of a frame; the body is left in `input`.
    pub fn decode(input: &mut Decoder) -> Result<Self, HeaderError> {
        let api_code = input.get_i16()?;
        let api_version = input.get_i16()?;
        let correlation_id = input.get_i32()?;
        let api_key = ApiKey::from_code(api_code).ok_or(HeaderError::UnknownApi { api_key: api_code })?;
        if !api_key.known_versions().contains(api_version) {
            return Err(HeaderError::UnknownVersion { api_key, api_version, correlation_id });
        }
        // The client id is never compact, even in header version 2.
        let client_id = match input.get_string_len(false)? {
            Some(len) => Some(input.get_string(len)?),
            None => None,
        };
        if api_key.request_header_version(api_version) >= 2 {
            input.skip_tags()?;
        }
        Ok(Self { api_key, api_version, correlation_id, client_id })
    }

    /// Writes the header.
    pub fn encode(&self, out: &mut Encoder) -> Result<(), EncodeError> {
        out.put_i16(self.api_key.code());
        out.put_i16(self.api_version);
        out.put_i32(self.correlation_id);
        out.put_string_len(self.client_id.as_ref().map(String::len), false)?;
        out.put_slice(self.client_id.as_deref().unwrap_or_default().as_bytes());
        if self.api_key.request_header_version(self.api_version) >= 2 {
            out.put_unsigned_varint(0);
        }
        Ok(())
    }
}

/// The header of a response, versions 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseHeader {
    /// That of the request.
    pub correlation_id: i32,
}

impl ResponseHeader {
    /// Reads the header off the front of a frame that answers a request of `api_key` and `api_version`.
    pub fn decode(input: &mut Decoder, api_key: ApiKey, api_version: i16) -> Result<Self, DecodeError> {
        let correlation_id = input.get_i32()?;
        if api_key.response_header_version(api_version) >= 1 {
            input.skip_tags()?;
        }
        Ok(Self { correlation_id })
    }

    /// Reads only the correlation id, which is the same in all versions.
    pub fn peek_correlation_id(frame: &Bytes) -> Result<i32, DecodeError> {
        let bytes = frame.first_chunk::<4>().ok_or(DecodeError {
            position: 0,
            field: Some("ResponseHeader.correlation_id"),
            kind: DecodeErrorKind::Truncated { needed: 4, remaining: frame.len() },
        })?;
        Ok(i32::from_be_bytes(*bytes))
    }

    /// Writes the header.
    pub fn encode(self, out: &mut Encoder, api_key: ApiKey, api_version: i16) {
        out.put_i32(self.correlation_id);
        if api_key.response_header_version(api_version) >= 1 {
            out.put_unsigned_varint(0);
        }
    }
}
