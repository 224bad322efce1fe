//! Length-prefixed frames: `length: INT32, header, body`.

use bytes::{Bytes, BytesMut};
use thiserror::Error;

use crate::protocol::api_key::ApiKey;
use crate::protocol::header::{HeaderError, RequestHeader, ResponseHeader};
use crate::protocol::primitive::{DecodeError, Decoder, EncodeError, Encoder};
use crate::protocol::request::Request;
use crate::protocol::response::Response;

/// Bytes of the length prefix.
pub const LENGTH_LEN: usize = 4;
/// Longest frame that can be written, in bytes without the prefix.
const FRAME_LEN_MAX: usize = i32::MAX as usize;
/// First guess at the length of a frame without its record bytes.
const CAPACITY: usize = 256;

/// A frame ready to be written, as chunks in order; the first one begins with the length prefix.
#[derive(Debug, Clone)]
pub struct EncodedFrame {
    chunks: Vec<Bytes>,
    len: usize,
}

impl EncodedFrame {
    /// Bytes of the frame, prefix included.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Never true: a frame has at least its prefix.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What to write, in order.
    pub fn into_chunks(self) -> Vec<Bytes> {
        self.chunks
    }

    /// The frame in one piece. Copies; for tests and for frames without records.
    pub fn to_bytes(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(self.len);
        self.chunks.iter().for_each(|chunk| bytes.extend_from_slice(chunk));
        bytes.freeze()
    }

    /// A frame that is nothing but `body`, as SASL tokens were before they had an API of their own.
    pub(crate) fn bare(body: Bytes) -> Self {
        let length = i32::try_from(body.len()).expect("tokens are short").to_be_bytes();
        let len = LENGTH_LEN + body.len();
        Self { chunks: vec![Bytes::copy_from_slice(&length), body], len }
    }

    fn seal(mut out: Encoder) -> Result<Self, EncodeError> {
        let len = out.len();
        let length = len - LENGTH_LEN;
        if length > FRAME_LEN_MAX {
            return Err(EncodeError::TooLong { length, max: FRAME_LEN_MAX });
        }
        out.patch_i32(0, length as i32);
        Ok(Self { chunks: out.into_chunks(), len })
    }
}

/// Why a frame is not a request.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RequestError {
    /// The header is not usable.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The header is fine, the body is not.
    #[error("{} request version {} is malformed", header.api_key, header.api_version)]
    Body { header: Box<RequestHeader>, source: DecodeError },
}

/// Writes a request as a frame. The version and API of the header are those of the request.
pub fn encode_request(header: &RequestHeader, request: &Request) -> Result<EncodedFrame, EncodeError> {
    debug_assert_eq!(header.api_key, request.api_key());
    let mut out = Encoder::with_capacity(CAPACITY);
    out.put_i32(0);
    header.encode(&mut out)?;
    request.encode(header.api_version, &mut out)?;
    EncodedFrame::seal(out)
}

/// Reads a request from a frame without its length prefix. Record fields are slices of `frame`.
pub fn decode_request(frame: Bytes) -> Result<(RequestHeader, Request), RequestError> {
    let mut input = Decoder::new(frame);
    let header = RequestHeader::decode(&mut input)?;
    match Request::decode_body(header.api_key, header.api_version, &mut input) {
        Ok(request) => Ok((header, request)),
        Err(source) => Err(RequestError::Body { header: Box::new(header), source }),
    }
}

/// Writes a response of `version` as a frame.
pub fn encode_response(
    correlation_id: i32,
    version: i16,
    response: &Response,
) -> Result<EncodedFrame, EncodeError> {
    let mut out = Encoder::with_capacity(CAPACITY);
    out.put_i32(0);
    ResponseHeader { correlation_id }.encode(&mut out, response.api_key(), version);
    response.encode(version, &mut out)?;
    EncodedFrame::seal(out)
}

/// Reads the response to a request of `api_key` and `version` from a frame without its length prefix.
pub fn decode_response(api_key: ApiKey, version: i16, frame: Bytes) -> Result<(i32, Response), DecodeError> {
    let mut input = Decoder::new(frame);
    let header = ResponseHeader::decode(&mut input, api_key, version)?;
    Ok((header.correlation_id, Response::decode_body(api_key, version, &mut input)?))
}
