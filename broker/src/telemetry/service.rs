//! What clients are told to push, and what they pushed, for all of them.

use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::env::rng::Rng;
use crate::metadata::image::MetadataImage;
use crate::protocol::error_code::ErrorCode;
use crate::record::compression::Compression;
use crate::telemetry::client::{Client, Wanted};
use crate::telemetry::instance::{Instance, Push, PushLimits};
use crate::telemetry::instances::Instances;
use crate::telemetry::series::{Pushed, SERIES_PER_CLIENT_MAX};

/// Bytes of one push, as it comes (`telemetry.max.bytes`).
pub const PUSH_BYTES_MAX: usize = 1 << 20;
/// Bytes of one push when it is decompressed.
const DECOMPRESSED_BYTES_MAX: usize = 8 << 20;
/// Client instances that are remembered.
pub const INSTANCES_MAX: usize = 16_384;
/// Series of all clients together.
pub const SERIES_MAX: usize = 20_000;
/// Pushes being read at a time; more would take the processor from everything else.
const READS_MAX: usize = 2;

/// Codecs for pushes, the ones to be preferred first.
pub const CODECS: [Compression; 4] =
    [Compression::Zstd, Compression::Lz4, Compression::Gzip, Compression::Snappy];

/// What became of requests.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct TelemetryCounts {
    /// Pushes that were read.
    pub accepted: u64,
    /// Requests that came too early.
    pub throttled: u64,
    /// Pushes that were refused for another reason.
    pub refused: u64,
    /// Pushes that are no metrics.
    pub malformed: u64,
    /// Values for which there was no room.
    pub dropped: u64,
}

#[derive(Debug)]
struct State {
    instances: Instances,
    counts: TelemetryCounts,
}

/// Telemetry of a broker.
#[derive(Debug)]
pub struct Telemetry {
    state: Mutex<State>,
    reads: Semaphore,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self::with_limit(INSTANCES_MAX)
    }
}

impl Telemetry {
    pub(crate) fn with_limit(instances_max: usize) -> Self {
        let state = State { instances: Instances::new(instances_max), counts: TelemetryCounts::default() };
        Self { state: Mutex::new(state), reads: Semaphore::new(READS_MAX) }
    }

    /// What a client is to push. `id` is nil for a client that has none yet.
    ///
    /// Errors: `ThrottlingQuotaExceeded`.
    pub(crate) fn subscribe(
        &self,
        client: &Client,
        id: Uuid,
        image: &MetadataImage,
        now: Duration,
        rng: &dyn Rng,
    ) -> Result<(Uuid, Wanted), ErrorCode> {
        let mut state = self.state.lock();
        let id = if is_reserved(id) { unused_id(&state.instances, rng) } else { id };
        let wanted = client.wanted(id, image);
        let instance = state.instances.touch(id, client, now);
        instance.refresh(client, &wanted, now);
        let outcome = instance.get(now);
        state.counts.throttled += u64::from(outcome.is_err());
        outcome.map(|()| (id, wanted))
    }

    /// Takes a push.
    ///
    /// Errors: the code the client is told.
    pub(crate) async fn push(
        &self,
        client: &Client,
        id: Uuid,
        push: ClientPush,
        image: &MetadataImage,
        now: Duration,
    ) -> Result<(), ErrorCode> {
        let codec = self.admit(client, id, &push, image, now)?;
        if push.metrics.is_empty() {
            self.state.lock().counts.accepted += 1;
            return Ok(());
        }
        // Never closed: there is always a permit in the end.
        let _permit = self.reads.acquire().await;
        let work = tokio::task::spawn_blocking(move || read(codec, &push.metrics));
        let outcome = work.await.unwrap_or(Err(ErrorCode::UnknownServerError));
        let mut state = self.state.lock();
        match outcome {
            Ok(pushed) => {
                state.keep(id, pushed);
                Ok(())
            }
            Err(code) => {
                state.counts.malformed += 1;
                if let Some(instance) = state.instances.get_mut(id) {
                    instance.refused(code);
                }
                Err(code)
            }
        }
    }

    fn admit(
        &self,
        client: &Client,
        id: Uuid,
        push: &ClientPush,
        image: &MetadataImage,
        now: Duration,
    ) -> Result<Compression, ErrorCode> {
        let mut state = self.state.lock();
        if is_reserved(id) {
            state.counts.refused += 1;
            return Err(ErrorCode::InvalidRequest);
        }
        let wanted = client.wanted(id, image);
        let instance = state.instances.touch(id, client, now);
        instance.refresh(client, &wanted, now);
        let codec = u8::try_from(push.codec).ok().and_then(|id| Compression::from_id(id).ok());
        let head = Push {
            subscription_id: push.subscription_id,
            terminating: push.terminating,
            known_codec: codec.is_some(),
            bytes: push.metrics.len(),
        };
        let outcome = instance.push(&head, &wanted, PushLimits { bytes_max: PUSH_BYTES_MAX }, now);
        match outcome {
            Err(ErrorCode::ThrottlingQuotaExceeded) => state.counts.throttled += 1,
            Err(_) => state.counts.refused += 1,
            Ok(()) => {}
        }
        outcome?;
        codec.ok_or(ErrorCode::UnsupportedCompressionType)
    }

    /// Visits every instance with its latest values, those that have gone left out.
    pub fn visit(&self, now: Duration, mut visit: impl FnMut(Uuid, &Instance)) {
        let mut state = self.state.lock();
        state.instances.expire(now);
        state.instances.iter().for_each(|(id, instance)| visit(id, instance));
    }

    /// Forgets who has gone.
    pub(crate) fn expire(&self, now: Duration) {
        self.state.lock().instances.expire(now);
    }

    /// What became of requests.
    #[must_use]
    pub fn counts(&self) -> TelemetryCounts {
        self.state.lock().counts
    }
}

impl State {
    fn keep(&mut self, id: Uuid, pushed: Pushed) {
        self.counts.accepted += 1;
        self.counts.dropped += pushed.dropped;
        let dropped = &mut self.counts.dropped;
        self.instances.change_series(id, SERIES_MAX, |instance, room| {
            *dropped += pushed.len().saturating_sub(room) as u64;
            instance.resource.clone_from(&pushed.resource);
            instance.series = pushed.after(&instance.series, room);
        });
    }
}

/// A push, as the client sent it.
#[derive(Debug, Clone)]
pub struct ClientPush {
    pub subscription_id: i32,
    pub terminating: bool,
    pub codec: i8,
    pub metrics: Bytes,
}

/// Ids that no client has. Source: `Uuid.RESERVED` of Kafka.
fn is_reserved(id: Uuid) -> bool {
    id.as_u128() <= 1
}

fn unused_id(instances: &Instances, rng: &dyn Rng) -> Uuid {
    loop {
        let id = rng.uuid();
        if !is_reserved(id) && !instances.contains(id) {
            return id;
        }
    }
}

fn read(codec: Compression, metrics: &[u8]) -> Result<Pushed, ErrorCode> {
    let mut message = Vec::new();
    match codec.decompress(metrics, &mut message, DECOMPRESSED_BYTES_MAX) {
        Ok(()) => {}
        Err(crate::error::Error::DecompressedTooLarge { .. }) => return Err(ErrorCode::TelemetryTooLarge),
        Err(_) => return Err(ErrorCode::InvalidRecord),
    }
    Pushed::read(&message, SERIES_PER_CLIENT_MAX).map_err(|_| ErrorCode::InvalidRecord)
}
