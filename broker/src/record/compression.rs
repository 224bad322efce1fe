//! The codecs of record batches, and decompression that cannot be made to eat the machine.
//!
//! The records of a compressed batch are one compressed block; the header stays readable.

use std::fmt;
use std::io::{Cursor, Read, Write};
use std::str::FromStr;

use crate::error::{Error, Result};

/// What the records of one batch may expand to unless told otherwise, in bytes.
pub const DECOMPRESSED_BYTES_MAX: usize = 128 << 20;

/// First bytes of snappy data in the framing the Java client writes.
const XERIAL_MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const XERIAL_VERSION: u32 = 1;
const XERIAL_HEADER_BYTES: usize = 16;
const XERIAL_BLOCK_BYTES: usize = 32 << 10;
/// No snappy element produces more than this many bytes per input byte (64 from a 2-byte copy, rounded up).
const SNAPPY_EXPANSION_MAX: usize = 64;

/// How the records of a batch are compressed. The number is the codec's id in the attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Compression {
    #[default]
    None = 0,
    Gzip = 1,
    Snappy = 2,
    Lz4 = 3,
    Zstd = 4,
}

impl Compression {
    /// Every codec.
    pub const ALL: [Compression; 5] =
        [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

    /// The codec with this id.
    ///
    /// # Errors
    /// [`Error::UnsupportedCompression`] for ids 5 to 7.
    pub fn from_id(id: u8) -> Result<Self> {
        match id {
            0 => Ok(Compression::None),
            1 => Ok(Compression::Gzip),
            2 => Ok(Compression::Snappy),
            3 => Ok(Compression::Lz4),
            4 => Ok(Compression::Zstd),
            codec => Err(Error::UnsupportedCompression { codec }),
        }
    }

    /// The codec's id in batch attributes.
    pub fn id(self) -> u8 {
        self as u8
    }

    /// The name used by `compression.type`.
    pub fn name(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Snappy => "snappy",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        }
    }

    /// Appends `input`, compressed, to `out`.
    ///
    /// # Errors
    /// [`Error::Compression`] if the codec fails, which it does only when out of memory.
    pub fn compress(self, input: &[u8], out: &mut Vec<u8>) -> Result<()> {
        self.compress_at(None, input, out)
    }

    /// Like [`Compression::compress`], at a level where the codec has levels.
    pub fn compress_at(self, level: Option<i32>, input: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let failed = |error: std::io::Error| self.compress_failed(&error);
        match self {
            Compression::None => out.extend_from_slice(input),
            Compression::Gzip => {
                let level = level.and_then(|level| u32::try_from(level).ok()).filter(|level| *level <= 9);
                let level = level.map_or_else(flate2::Compression::default, flate2::Compression::new);
                let mut encoder = flate2::write::GzEncoder::new(out, level);
                encoder.write_all(input).map_err(failed)?;
                encoder.finish().map_err(failed)?;
            }
            Compression::Snappy => self.compress_snappy(input, out)?,
            Compression::Lz4 => {
                let mut encoder = lz4_flex::frame::FrameEncoder::new(out);
                encoder.write_all(input).map_err(failed)?;
                encoder.finish().map_err(|error| self.compress_failed(&error))?;
            }
            Compression::Zstd => {
                let level = level.unwrap_or(zstd::DEFAULT_COMPRESSION_LEVEL);
                zstd::stream::copy_encode(input, out, level).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Appends `input`, decompressed, to `out`, which grows by at most `limit` bytes.
    ///
    /// # Errors
    /// [`Error::DecompressedTooLarge`] beyond `limit`, [`Error::Decompression`] for malformed input. `out` may
    /// then hold part of the data.
    pub fn decompress(self, input: &[u8], out: &mut Vec<u8>, limit: usize) -> Result<()> {
        match self {
            Compression::None => {
                if input.len() > limit {
                    return Err(self.too_large(limit));
                }
                out.extend_from_slice(input);
                Ok(())
            }
            Compression::Gzip => self.read_bounded(flate2::read::MultiGzDecoder::new(input), out, limit),
            Compression::Snappy => self.decompress_snappy(input, out, limit),
            Compression::Lz4 => self.read_bounded(lz4_flex::frame::FrameDecoder::new(input), out, limit),
            Compression::Zstd => {
                let decoder = zstd::stream::read::Decoder::with_buffer(Cursor::new(input))
                    .map_err(|error| self.malformed(&error))?;
                self.read_bounded(decoder, out, limit)
            }
        }
    }

    fn read_bounded(self, reader: impl Read, out: &mut Vec<u8>, limit: usize) -> Result<()> {
        let before = out.len();
        let bound = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        reader.take(bound).read_to_end(out).map_err(|error| self.malformed(&error))?;
        if out.len() - before > limit {
            return Err(self.too_large(limit));
        }
        Ok(())
    }

    fn compress_snappy(self, input: &[u8], out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(&XERIAL_MAGIC);
        out.extend_from_slice(&XERIAL_VERSION.to_be_bytes());
        out.extend_from_slice(&XERIAL_VERSION.to_be_bytes());
        let mut encoder = snap::raw::Encoder::new();
        for block in input.chunks(XERIAL_BLOCK_BYTES) {
            let at = out.len();
            out.resize(at + 4 + snap::raw::max_compress_len(block.len()), 0);
            let len =
                encoder.compress(block, &mut out[at + 4..]).map_err(|error| self.compress_failed(&error))?;
            out.truncate(at + 4 + len);
            out[at..at + 4].copy_from_slice(&(len as u32).to_be_bytes());
        }
        Ok(())
    }

    fn decompress_snappy(self, input: &[u8], out: &mut Vec<u8>, limit: usize) -> Result<()> {
        if !input.starts_with(&XERIAL_MAGIC) {
            return self.decompress_snappy_block(input, out, limit, limit).map(|_| ());
        }
        let mut rest = input.get(XERIAL_HEADER_BYTES..).ok_or_else(|| self.malformed(&"header cut short"))?;
        let mut budget = limit;
        while !rest.is_empty() {
            let (len, after) =
                rest.split_first_chunk::<4>().ok_or_else(|| self.malformed(&"block length cut short"))?;
            let len = u32::from_be_bytes(*len) as usize;
            if len > after.len() {
                return Err(self.malformed(&"block cut short"));
            }
            let (block, after) = after.split_at(len);
            budget -= self.decompress_snappy_block(block, out, budget, limit)?;
            rest = after;
        }
        Ok(())
    }

    /// Appends one block if it has at most `budget` bytes, what is left of `limit`; returns its length.
    fn decompress_snappy_block(
        self,
        block: &[u8],
        out: &mut Vec<u8>,
        budget: usize,
        limit: usize,
    ) -> Result<usize> {
        let len = snap::raw::decompress_len(block).map_err(|error| self.malformed(&error))?;
        if len > budget {
            return Err(self.too_large(limit));
        }
        if len > block.len().saturating_mul(SNAPPY_EXPANSION_MAX) {
            return Err(self.malformed(&"stated length is impossible"));
        }
        let at = out.len();
        out.resize(at + len, 0);
        snap::raw::Decoder::new().decompress(block, &mut out[at..]).map_err(|error| self.malformed(&error))
    }

    fn malformed(self, reason: &dyn fmt::Display) -> Error {
        Error::Decompression { codec: self.name(), reason: reason.to_string() }
    }

    fn compress_failed(self, reason: &dyn fmt::Display) -> Error {
        Error::Compression { codec: self.name(), reason: reason.to_string() }
    }

    fn too_large(self, limit: usize) -> Error {
        Error::DecompressedTooLarge { codec: self.name(), limit }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Compression {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Compression::ALL.into_iter().find(|codec| codec.name() == name).ok_or_else(|| Error::InvalidConfig {
            key: "compression.type".to_owned(),
            value: name.to_owned(),
            expected: "one of none, gzip, snappy, lz4, zstd",
        })
    }
}

/// Scratch space for the decompressed records of one batch; reuse it from batch to batch.
#[derive(Debug)]
pub struct DecompressBuf {
    pub(crate) bytes: Vec<u8>,
    limit: usize,
}

/// Scratch space above this size is given back between batches.
const SCRATCH_BYTES_KEPT: usize = 4 << 20;

impl DecompressBuf {
    /// Scratch space that grows to at most `limit` bytes.
    pub fn with_limit(limit: usize) -> Self {
        DecompressBuf { bytes: Vec::new(), limit }
    }

    /// Decompresses `input` into the scratch space and returns it; uncompressed input is returned as it is.
    ///
    /// # Errors
    /// As [`Compression::decompress`].
    pub fn decompress<'a>(&'a mut self, codec: Compression, input: &'a [u8]) -> Result<&'a [u8]> {
        if codec == Compression::None {
            return Ok(input);
        }
        self.bytes.clear();
        self.bytes.shrink_to(SCRATCH_BYTES_KEPT);
        codec.decompress(input, &mut self.bytes, self.limit)?;
        Ok(&self.bytes)
    }
}

impl Default for DecompressBuf {
    fn default() -> Self {
        DecompressBuf::with_limit(DECOMPRESSED_BYTES_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::{Compression, DecompressBuf};
    use crate::error::Error;

    fn samples() -> Vec<Vec<u8>> {
        let noise: Vec<u8> = (0..100_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        vec![vec![], b"x".to_vec(), b"hello ".repeat(20_000), noise]
    }

    #[test]
    fn every_codec_gives_back_what_it_took() {
        for codec in Compression::ALL {
            for sample in samples() {
                let mut packed = Vec::new();
                codec.compress(&sample, &mut packed).expect("compress");
                let mut buf = DecompressBuf::default();
                assert_eq!(buf.decompress(codec, &packed).expect("decompress"), sample, "{codec}");
            }
        }
    }

    #[test]
    fn raw_snappy_is_read_as_well() {
        let packed = snap::raw::Encoder::new().compress_vec(b"hello hello hello").expect("compress");
        let mut out = Vec::new();
        Compression::Snappy.decompress(&packed, &mut out, 100).expect("decompress");
        assert_eq!(out, b"hello hello hello");
    }

    #[test]
    fn a_bomb_is_stopped_at_the_limit() {
        let zeros = vec![0; 10 << 20];
        for codec in Compression::ALL {
            let mut packed = Vec::new();
            codec.compress(&zeros, &mut packed).expect("compress");
            let mut out = Vec::new();
            let error = codec.decompress(&packed, &mut out, 1 << 20).expect_err("bomb");
            assert!(
                matches!(error, Error::DecompressedTooLarge { limit: 0x10_0000, .. }),
                "{codec}: {error}"
            );
            assert!(out.capacity() <= 4 << 20, "{codec} took {}", out.capacity());
            codec.decompress(&packed, &mut Vec::new(), 10 << 20).expect("exactly the limit");
        }
        // A snappy header which claims 4 GiB.
        let claim = [0xff, 0xff, 0xff, 0xff, 0x0f, 0x00];
        assert!(Compression::Snappy.decompress(&claim, &mut Vec::new(), usize::MAX).is_err());
    }

    #[test]
    fn truncated_input_is_an_error_or_a_prefix() {
        let sample = b"hello hello hello, how are you? ".repeat(100);
        for codec in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
            let mut packed = Vec::new();
            codec.compress(&sample, &mut packed).expect("compress");
            for cut in 0..packed.len() {
                let mut out = Vec::new();
                if codec.decompress(&packed[..cut], &mut out, 1 << 20).is_ok() {
                    assert!(sample.starts_with(&out), "{codec} cut at {cut}");
                }
            }
        }
    }
}
