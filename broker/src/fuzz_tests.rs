//! Mutated bytes for every decoder of bytes from elsewhere: no panic, and no more memory than they deserve.
//!
//! Every allocation of the decoding thread is counted: the peak while a frame is decoded is a small multiple of its length, or,
//! where something is decompressed, bounded by the limit of that. What the C library of zstd takes is not seen by the
//! counter, but by the address space, which is looked at as well when the test runs alone.
//!
//! `make fuzz`, or `WEIR_FUZZ_FRAMES=10000000 cargo test --release -p weir-broker --lib fuzz_tests -- --nocapture`, decodes ten
//! million frames; a plain test run decodes as many as take seconds. `WEIR_SEED` repeats a run.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::auth::sasl::PlainCredential;
use crate::auth::scram::message::{ClientFinal, ClientFirst, ServerFirst, parse_server_final};
use crate::error::Error;
use crate::ids::{ProducerEpoch, ProducerId};
use crate::log::producer_state::ProducerStates;
use crate::protocol::api_key::ApiKey;
use crate::protocol::consumer_protocol::{ConsumerAssignment, ConsumerSubscription};
use crate::protocol::frame::{decode_request, decode_response};
use crate::protocol::primitive::{BUDGET_BASE, BUDGET_PER_INPUT_BYTE, Encoder};
use crate::protocol::request::Request;
use crate::protocol::response::Response;
use crate::protocol::sample::Samples;
use crate::record::batch::{BatchIter, RecordBatch};
use crate::record::builder::{BatchOptions, RecordBatchBuilder};
use crate::record::compression::{Compression, DECOMPRESSED_BYTES_MAX, DecompressBuf};
use crate::record::control::EndTxnMarker;
use crate::telemetry::series::{Pushed, SERIES_PER_CLIENT_MAX};

const FRAMES: u64 = 20_000;
/// Address space that all decoding together may add. Buffers are at most [`SCRATCH_BYTES`].
const GROWTH_MIB_MAX: u64 = 256;
const SCRATCH_BYTES: usize = 1 << 20;

/// Peak of the address space, in MiB: it grows with what is allocated, touched or not.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap_or(0) / 1024
}

/// What decoding `len` bytes may take besides them, at any moment.
fn decoded_bytes_max(len: usize) -> u64 {
    // What is not charged to a message: its header, errors, the table of an empty map.
    const UNCHARGED_BYTES: usize = 4 << 10;
    (BUDGET_PER_INPUT_BYTE * len + BUDGET_BASE + UNCHARGED_BYTES) as u64
}

/// As [`decoded_bytes_max`], where up to `limit` bytes may be decompressed: into a buffer that doubles, so the old and the new
/// one are there together, and through blocks whose size the codec's format bounds.
fn decompressed_bytes_max(codec: Compression, len: usize, limit: usize) -> u64 {
    let blocks: usize = match codec {
        Compression::None => 0,
        Compression::Gzip | Compression::Snappy | Compression::Zstd => 256 << 10,
        // A compressed and two decompressed blocks of 4 MiB, the largest that a frame may ask for.
        Compression::Lz4 => 13 << 20,
    };
    decoded_bytes_max(len) + (3 * limit + blocks) as u64
}

/// A decoder and well-formed bytes to begin with.
struct Target {
    name: String,
    seeds: Vec<Bytes>,
    decode: Box<dyn Fn(Bytes)>,
    /// What decoding so many bytes may take.
    bytes_max: Box<dyn Fn(usize) -> u64>,
}

impl Target {
    /// Decodes `bytes`, and fails the test if that panics or takes too much.
    fn check(&self, bytes: Bytes, context: &dyn Fn() -> String) {
        let len = bytes.len();
        let mut decoded = Ok(());
        let taken = allocation_counter::measure(|| {
            decoded = catch_unwind(AssertUnwindSafe(|| (self.decode)(bytes)));
        });
        assert!(decoded.is_ok(), "{} panics: {}", self.name, context());
        let bytes_max = (self.bytes_max)(len);
        assert!(
            taken.bytes_max <= bytes_max,
            "{} takes {} bytes for {len}, {bytes_max} would do: {}",
            self.name,
            taken.bytes_max,
            context()
        );
    }
}

fn flat(encoder: Encoder) -> Bytes {
    let mut bytes = BytesMut::new();
    encoder.into_chunks().iter().for_each(|chunk| bytes.extend_from_slice(chunk));
    bytes.freeze()
}

/// A request frame, without the length in front.
fn request_frame(api: ApiKey, version: i16, samples: &mut Samples) -> Bytes {
    let mut body = Encoder::default();
    Request::sample(api, version, samples).encode(version, &mut body).expect("samples are encodable");
    let mut frame = BytesMut::new();
    frame.extend_from_slice(&api.code().to_be_bytes());
    frame.extend_from_slice(&version.to_be_bytes());
    frame.extend_from_slice(&[0, 0, 0, 7, 0, 1, b'c', 0]);
    frame.extend_from_slice(&flat(body));
    frame.freeze()
}

fn protocol_targets() -> Vec<Target> {
    let mut targets = Vec::new();
    for &api in ApiKey::ALL {
        for version in api.known_versions().iter() {
            let samples = || [Samples::new(false, 1), Samples::new(true, 2)].into_iter();
            let requests = samples().map(|mut samples| request_frame(api, version, &mut samples)).collect();
            targets.push(Target {
                name: format!("{api} request {version}"),
                seeds: requests,
                decode: Box::new(|bytes| drop(decode_request(bytes))),
                bytes_max: Box::new(decoded_bytes_max),
            });
            let response = |mut samples: Samples| {
                let mut body = Encoder::default();
                let response = Response::sample(api, version, &mut samples);
                response.encode(version, &mut body).expect("samples are encodable");
                let mut frame = BytesMut::from(&[0, 0, 0, 7, 0][..]);
                frame.extend_from_slice(&flat(body));
                frame.freeze()
            };
            targets.push(Target {
                name: format!("{api} response {version}"),
                seeds: samples().map(response).collect(),
                decode: Box::new(move |bytes| drop(decode_response(api, version, bytes))),
                bytes_max: Box::new(decoded_bytes_max),
            });
        }
    }
    targets
}

fn batch(codec: Compression, transactional: bool) -> Bytes {
    let mut builder = RecordBatchBuilder::new(BatchOptions {
        compression: codec,
        transactional,
        producer_id: if transactional { ProducerId(7) } else { ProducerId(-1) },
        producer_epoch: if transactional { ProducerEpoch(1) } else { ProducerEpoch(-1) },
        base_sequence: if transactional { 0 } else { -1 },
        ..BatchOptions::default()
    });
    for number in 0..20_i64 {
        let value = format!("value {number} {}", "ab".repeat(number as usize));
        builder.append(1_000 + number, Some(b"key"), Some(value.as_bytes()), &[]);
    }
    builder.build().expect("builds")
}

/// Repairs the checksum of a batch, so that what is behind it is reached as well.
fn repaired(bytes: &Bytes) -> Bytes {
    let mut bytes = BytesMut::from(&bytes[..]);
    if let Some(checked) = bytes.get(21..) {
        let crc = crc32c::crc32c(checked);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    }
    bytes.freeze()
}

fn decode_batches(bytes: Bytes) {
    let mut scratch = DecompressBuf::with_limit(SCRATCH_BYTES);
    for bytes in [repaired(&bytes), bytes] {
        if let Ok((batch, _)) = RecordBatch::parse(bytes.clone()) {
            drop(EndTxnMarker::parse(&batch));
            if let Ok(records) = batch.records(&mut scratch) {
                records.take_while(Result::is_ok).for_each(drop);
            }
        }
        BatchIter::new(bytes).take_while(Result::is_ok).for_each(drop);
    }
}

fn record_targets() -> Vec<Target> {
    let mut targets = Vec::new();
    for codec in Compression::ALL {
        targets.push(Target {
            name: format!("batch {}", codec.name()),
            seeds: vec![batch(codec, false), batch(codec, true)],
            decode: Box::new(decode_batches),
            // A flipped bit may name another codec. The repaired copy is decoded beside the original.
            bytes_max: Box::new(|len| {
                len as u64 + decompressed_bytes_max(Compression::Lz4, len, SCRATCH_BYTES)
            }),
        });
        let mut compressed = Vec::new();
        codec.compress(&b"some text, some more text, ".repeat(40), &mut compressed).expect("compresses");
        targets.push(Target {
            name: format!("codec {}", codec.name()),
            seeds: vec![compressed.into()],
            decode: Box::new(move |bytes| {
                let mut out = Vec::new();
                drop(codec.decompress(&bytes, &mut out, SCRATCH_BYTES));
                assert!(out.len() <= SCRATCH_BYTES + 1, "{} bytes out of {}", out.len(), bytes.len());
            }),
            bytes_max: Box::new(move |len| decompressed_bytes_max(codec, len, SCRATCH_BYTES)),
        });
    }
    targets
}

fn other_targets() -> Vec<Target> {
    let text = |seeds: &[&'static str], decode: fn(&[u8])| Target {
        name: format!("text {}", seeds[0]),
        seeds: seeds.iter().map(|seed| Bytes::from_static(seed.as_bytes())).collect(),
        decode: Box::new(move |bytes| decode(&bytes)),
        bytes_max: Box::new(decoded_bytes_max),
    };
    let numbers: Bytes = (0..200_u8).collect::<Vec<u8>>().into();
    let key = |version: u8| Bytes::from(vec![0, version, 0, 1, b'g', 0, 1, b't', 0, 0, 0, 1]);
    vec![
        Target {
            name: "producer snapshot".to_owned(),
            seeds: vec![ProducerStates::default().encode().into(), numbers.clone()],
            decode: Box::new(|bytes| drop(ProducerStates::decode(&bytes, Path::new("snapshot")))),
            bytes_max: Box::new(decoded_bytes_max),
        },
        Target {
            name: "group record".to_owned(),
            seeds: vec![key(1), key(2), numbers.clone()],
            decode: Box::new(|bytes| {
                for version in [1, 2] {
                    let key = Bytes::from(vec![0, version, 0, 1, b'g', 0, 1, b't', 0, 0, 0, 1]);
                    drop(crate::group::record::decode(key, Some(bytes.clone())));
                }
                drop(crate::group::record::decode(bytes, None));
            }),
            bytes_max: Box::new(decoded_bytes_max),
        },
        Target {
            name: "telemetry".to_owned(),
            seeds: vec![numbers.clone(), crate::telemetry::tests::sample()],
            decode: Box::new(|bytes| drop(Pushed::read(&bytes, SERIES_PER_CLIENT_MAX))),
            // A point of few bytes becomes an entry of a map, with texts of its own; their number has a limit.
            bytes_max: Box::new(|len| decoded_bytes_max(4 * len)),
        },
        Target {
            name: "transaction record".to_owned(),
            seeds: vec![key(0), numbers.clone()],
            decode: Box::new(|bytes| {
                let key = Bytes::from_static(&[0, 0, 0, 1, b't']);
                drop(crate::txn::record::decode(key, Some(bytes.clone())));
                drop(crate::txn::record::decode(bytes, None));
            }),
            bytes_max: Box::new(decoded_bytes_max),
        },
        Target {
            name: "consumer protocol".to_owned(),
            seeds: vec![numbers, Bytes::from_static(&[0, 3, 0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 0])],
            decode: Box::new(|bytes| {
                drop(ConsumerSubscription::decode(bytes.clone()));
                drop(ConsumerAssignment::decode(bytes));
            }),
            bytes_max: Box::new(decoded_bytes_max),
        },
        text(
            &["n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL", "r=a,s=QSXCR+Q6sek8bf92,i=4096", "c=biws,r=a,p=dHg="],
            |b| {
                drop(ClientFirst::parse(b));
                drop(ServerFirst::parse(b));
                drop(ClientFinal::parse(b));
                drop(parse_server_final(b));
            },
        ),
        text(&["\0user\0password", "id\0user\0password"], |b| drop(PlainCredential::parse(b))),
    ]
}

/// Changes some bytes: flips, interesting numbers, cuts, repetitions, other seeds' pieces.
fn mutate(seed: &[u8], random: &mut StdRng, out: &mut Vec<u8>) {
    const NUMBERS: [&[u8]; 8] = [
        &[0x7f, 0xff, 0xff, 0xff],
        &[0xff, 0xff, 0xff, 0xff],
        &[0x80, 0, 0, 0],
        &[0xff, 0xff, 0xff, 0xff, 0x0f],
        &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        &[0x7f, 0xff],
        &[0xff, 0xff],
        &[0, 0, 0, 0],
    ];
    out.clear();
    out.extend_from_slice(seed);
    for _ in 0..random.random_range(1..=4) {
        if out.is_empty() {
            out.push(random.random());
        }
        let at = random.random_range(0..out.len());
        match random.random_range(0..6) {
            0 => out[at] ^= 1 << random.random_range(0..8),
            1 => out[at] = random.random(),
            2 => {
                let number = NUMBERS[random.random_range(0..NUMBERS.len())];
                let end = out.len().min(at + number.len());
                out[at..end].copy_from_slice(&number[..end - at]);
            }
            3 => out.truncate(at),
            4 => out.insert(at, random.random()),
            _ => {
                let end = random.random_range(at..=out.len()).min(at + 64);
                let piece = out[at..end].to_vec();
                out.extend_from_slice(&piece);
            }
        }
    }
}

#[test]
fn mutated_bytes_neither_panic_nor_take_memory() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let frames = number("WEIR_FUZZ_FRAMES");
    let seed = crate::env::rng::test_seed();
    println!(
        "seed={seed}; again: WEIR_SEED={seed} cargo test --release -p weir-broker --lib fuzz_tests -- --nocapture"
    );
    let mut random = StdRng::seed_from_u64(seed);
    let mut targets = protocol_targets();
    // The protocol has hundreds of targets; the others shall not starve.
    for _ in 0..8 {
        targets.extend(record_targets());
        targets.extend(other_targets());
    }
    let (started, peak) = (Instant::now(), peak_mib());
    let mut bytes = Vec::new();
    let total = frames.unwrap_or(FRAMES);
    for frame in 0..total {
        let target = &targets[random.random_range(0..targets.len())];
        let base = &target.seeds[random.random_range(0..target.seeds.len())];
        mutate(base, &mut random, &mut bytes);
        let context = || format!("seed {seed}, frame {frame}: {bytes:02x?}");
        target.check(Bytes::copy_from_slice(&bytes), &context);
        // Other tests run beside this one unless it was asked for alone.
        if frames.is_some() && frame % 1_000 == 0 {
            let growth = peak_mib().saturating_sub(peak);
            assert!(
                growth <= GROWTH_MIB_MAX,
                "seed {seed}, up to frame {frame}: {growth} MiB, at {}",
                target.name
            );
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{total} frames, {} decoders, {:.0} frames/s, {} MiB more address space",
        targets.len(),
        total as f64 / seconds,
        peak_mib().saturating_sub(peak)
    );
}

/// Every API and version, with numbers that announce more than there is in the place of every field.
#[test]
fn huge_numbers_in_any_place_take_no_memory() {
    const NUMBERS: [&[u8]; 4] = [
        &[0x7f, 0xff, 0xff, 0xff],
        &[0xff, 0xff, 0xff, 0xff, 0x07],
        &[0x00, 0x01, 0x00, 0x00],
        &[0x7f, 0xff],
    ];
    let mut frames = 0;
    for target in protocol_targets() {
        let seed = target.seeds.iter().min_by_key(|seed| seed.len()).expect("two samples");
        for at in 8..seed.len().min(300) {
            let number = NUMBERS[at % NUMBERS.len()];
            let mut bytes = BytesMut::from(&seed[..]);
            let end = bytes.len().min(at + number.len());
            bytes[at..end].copy_from_slice(&number[..end - at]);
            // Bytes that would do for many elements of the smallest kind.
            bytes.extend_from_slice(&[1; 2_000]);
            target.check(bytes.freeze(), &|| format!("{number:02x?} at {at}"));
            frames += 1;
        }
    }
    println!("{frames} frames");
}

#[test]
fn decompression_bombs_are_refused() {
    const PIECE_BYTES: usize = 8 << 20;
    let zeros = vec![0; PIECE_BYTES];
    for codec in Compression::ALL.into_iter().filter(|codec| *codec != Compression::None) {
        let mut bomb = Vec::new();
        codec.compress(&zeros, &mut bomb).expect("compresses");
        for limit in [1_000, 1 << 20, PIECE_BYTES - 1] {
            let mut refused = Ok(());
            let taken =
                allocation_counter::measure(|| refused = codec.decompress(&bomb, &mut Vec::new(), limit));
            assert!(matches!(refused, Err(Error::DecompressedTooLarge { .. })), "{codec}: {refused:?}");
            let bytes_max = decompressed_bytes_max(codec, bomb.len(), limit);
            assert!(taken.bytes_max <= bytes_max, "{codec}: {} for {limit}", taken.bytes_max);
        }
        let mut out = Vec::new();
        codec.decompress(&bomb, &mut out, PIECE_BYTES).expect("fits exactly");
        assert_eq!(out.len(), PIECE_BYTES);
    }
    const { assert!(DECOMPRESSED_BYTES_MAX <= 128 << 20, "what one batch may make a broker allocate") };
}
