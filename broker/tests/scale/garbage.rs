//! Peers that mean harm, while others go on working.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use weir_broker::client::admin::Admin;
use weir_broker::env::open_files::OpenFiles;
use weir_broker::protocol::api_key::ApiKey;
use weir_broker::protocol::messages::api_versions::ApiVersionsRequest;
use weir_broker::protocol::messages::fetch::FetchRequest;
use weir_broker::protocol::messages::metadata::MetadataRequest;
use weir_broker::protocol::messages::produce::ProduceRequest;
use weir_broker::protocol::request::Request;

use crate::scale::child::{Child, Options, PATIENCE};
use crate::scale::crowd::{Peer, frame, many};
use crate::scale::number;
use crate::scale::traffic::Traffic;

const CONNECTIONS: usize = 200;
/// How much the broker may grow through garbage.
const GROWTH_MAX: usize = 64 << 20;
const WARM_ROUNDS: u64 = 200;
/// How long the brokers of these tests wait for the rest of a frame.
const STALL_MS: u64 = 1_000;

fn seed() -> u64 {
    let seed = weir_broker::env::rng::test_seed();
    println!("WEIR_SEED={seed}");
    seed
}

fn harmless(random: &mut StdRng) -> (Request, i16) {
    match random.random_range(0..4) {
        0 => (ApiVersionsRequest::default().into(), 3),
        1 => (MetadataRequest { topics: Some(Vec::new()), ..MetadataRequest::default() }.into(), 12),
        2 => (ProduceRequest { acks: 1, ..ProduceRequest::default() }.into(), 9),
        _ => (FetchRequest { max_wait_ms: 10, ..FetchRequest::default() }.into(), 12),
    }
}

/// A prefix that announces `body`, right or wrong.
fn announced(length: i32, body: &[u8]) -> Vec<u8> {
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend_from_slice(body);
    bytes
}

fn noise(random: &mut StdRng, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    random.fill(&mut bytes[..]);
    bytes
}

/// The header of some API in some version, and noise for a body.
fn noise_of_an_api(random: &mut StdRng) -> Vec<u8> {
    let api = ApiKey::ALL[random.random_range(0..ApiKey::ALL.len())];
    let mut body = api.code().to_be_bytes().to_vec();
    body.extend_from_slice(&random.random_range(0..18_i16).to_be_bytes());
    body.extend_from_slice(&[0, 0, 0, 1, 0xff, 0xff]);
    let len = random.random_range(0..300);
    body.extend(noise(random, len));
    announced(body.len() as i32, &body)
}

/// Bytes that are no request, or not quite.
fn malformed(random: &mut StdRng) -> Vec<u8> {
    let (request, version) = harmless(random);
    let good = frame(&request, version).to_vec();
    match random.random_range(0..10) {
        0 => {
            let len = random.random_range(1..200);
            noise(random, len)
        }
        1 | 2 => noise_of_an_api(random),
        3 => {
            let mut flipped = good;
            let at = random.random_range(4..flipped.len());
            flipped[at] ^= 1 << random.random_range(0..8);
            flipped
        }
        4 => good[..random.random_range(1..good.len())].to_vec(),
        5 => b"GET /topics HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n".to_vec(),
        // A TLS client hello.
        6 => [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &noise(random, 500)[..]].concat(),
        7 => {
            let length = [i32::MAX, i32::MIN, -1, 0, 1 << 30][random.random_range(0..5)];
            announced(length, &noise(random, 20))
        }
        8 => [&good[..], &noise(random, 50)[..]].concat(),
        // Counts that are lies.
        _ => announced(14, &[0, 3, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]),
    }
}

/// Sends something malformed, nothing more, and waits for the end of the connection.
async fn harm(child: (&str, &str), random: &mut StdRng) {
    let (plain, tls) = child;
    let address = if random.random_range(0..10) == 0 { tls } else { plain };
    let mut stream =
        timeout(PATIENCE, TcpStream::connect(address)).await.expect("in time").expect("accepted");
    if random.random_range(0..20) == 0 {
        return;
    }
    let bytes = malformed(random);
    // The broker may have had enough before the last byte.
    let _ = stream.write_all(&bytes).await;
    if random.random_range(0..4) == 0 {
        return;
    }
    let _ = stream.shutdown().await;
    let mut rest = Vec::new();
    let end = timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
    assert!(end.is_ok(), "the broker keeps a connection that sends nothing more: {bytes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_harms_nobody_else() {
    let (seed, frames) = (seed(), number("WEIR_SCALE_FRAMES", 10_000));
    let _ = OpenFiles::raise();
    let dir = tempfile::tempdir().expect("a directory");
    let options = Options { stall_ms: STALL_MS, tls: true, ..Options::default() };
    let mut child = Child::start(dir.path(), &options).await;
    let traffic = Traffic::start(&child).await;
    traffic.more(WARM_ROUNDS).await;
    let busy = child.figures().await["connections"];
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(Peer::connect(&child.address).await);
    }
    let (before, rounds) = (child.rss(), traffic.rounds());

    let (sent, addresses) =
        (Arc::new(AtomicUsize::new(0)), (child.address.clone(), child.tls_address.clone()));
    let attackers = (0..CONNECTIONS).map(|attacker| {
        let (sent, (plain, tls)) = (sent.clone(), addresses.clone());
        tokio::spawn(async move {
            let mut random = StdRng::seed_from_u64(seed ^ attacker as u64);
            while sent.fetch_add(1, Ordering::Relaxed) < frames {
                harm((&plain, &tls), &mut random).await;
            }
        })
    });
    futures::future::join_all(attackers).await.into_iter().for_each(|done| done.expect("it went on"));
    traffic.more(20).await;
    let grown = child.rss().saturating_sub(before);
    child.until("connections", |open| open <= busy + silent.len() as u64).await;
    let figures = child.figures().await;
    println!(
        "{frames} malformed frames; the broker grew by {} KiB; {} rounds of others, the longest {:.1?}; {figures:?}",
        grown >> 10,
        traffic.rounds() - rounds,
        traffic.longest()
    );
    assert!(grown < GROWTH_MAX, "{grown} bytes");
    for counted in ["malformed", "oversize", "tls_failed"] {
        assert!(figures[counted] > 0, "{counted}");
    }
    assert!(silent[0].greet().await, "who was silent may speak");
    traffic.end().await;
    child.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_come_a_byte_at_a_time_are_given_up() {
    let count = number("WEIR_SCALE_SLOW", 60);
    let _ = OpenFiles::raise();
    let dir = tempfile::tempdir().expect("a directory");
    let options = Options { stall_ms: STALL_MS, tls: true, ..Options::default() };
    let mut child = Child::start(dir.path(), &options).await;
    let traffic = Traffic::start(&child).await;
    traffic.more(1).await;
    let (before, addresses) = (child.rss(), [child.address.clone(), child.tls_address.clone()]);
    let closed = tokio::spawn(async move {
        let addresses = &addresses;
        let drip = |index: usize| async move {
            let mut peer = Peer::connect(&addresses[index % 2]).await;
            let whole = announced(1_000_000, &[0; 2_000]);
            drip_bytes(&mut peer.stream, &whole).await
        };
        futures::future::join_all((0..count).map(drip)).await
    });
    let closed = closed.await.expect("no panic");
    assert!(closed.into_iter().all(|closed| closed), "a frame that never ends is given up");
    traffic.more(20).await;
    let grown = child.rss().saturating_sub(before);
    let figures = child.figures().await;
    println!("{count} frames a byte at a time; the broker grew by {} KiB; {figures:?}", grown >> 10);
    assert!(figures["timed_out"] + figures["tls_failed"] >= count as u64);
    assert!(grown < GROWTH_MAX, "{grown} bytes");
    traffic.end().await;
    child.stop().await;
}

/// Sends a byte every 10 ms until the other side has had enough. Returns whether it had before the bytes were over.
async fn drip_bytes(stream: &mut TcpStream, bytes: &[u8]) -> bool {
    let mut answer = [0; 16];
    for byte in bytes {
        if stream.write_all(std::slice::from_ref(byte)).await.is_err() {
            return true;
        }
        match timeout(Duration::from_millis(10), stream.read(&mut answer)).await {
            // TLS says why it ends.
            Ok(Ok(count)) if count > 0 => {}
            Ok(_) => return true,
            Err(_) => {}
        }
    }
    false
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_frames_that_come_slowly_give_way_to_others() {
    let dir = tempfile::tempdir().expect("a directory");
    let options = Options { room_bytes: 32 << 20, ..Options::default() };
    let mut child = Child::start(dir.path(), &options).await;
    let traffic = Traffic::start(&child).await;
    traffic.more(1).await;
    let address = child.address.clone();
    // Together they announce four times the room there is, and fill none of it.
    let slow = tokio::spawn(async move {
        many(8, |_| async {
            let mut peer = Peer::connect(&address).await;
            assert!(peer.greet().await);
            drip_bytes(&mut peer.stream, &announced(16 << 20, &[0; 20_000])).await
        })
        .await
    });
    child.until("timed_out", |count| count >= 6).await;
    traffic.more(50).await;
    let longest = traffic.longest();
    println!("large frames that come slowly: the longest round of another client took {longest:.1?}");
    traffic.end().await;
    // Two of them fit, and keep nobody waiting any more.
    slow.abort();
    child.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_that_ask_and_never_read_give_way_to_others() {
    const ROOM: usize = 8 << 20;
    let dir = tempfile::tempdir().expect("a directory");
    let mut child = Child::start(dir.path(), &Options { room_bytes: ROOM, ..Options::default() }).await;
    let admin = Admin::new(child.transport());
    admin.create_topic("wide", 2_000, &BTreeMap::new()).await.expect("created");
    let traffic = Traffic::start(&child).await;
    traffic.more(WARM_ROUNDS).await;
    let (before, address) = (child.rss(), child.address.clone());
    let asking = tokio::spawn(async move { many(20, |_| ask_without_reading(&address)).await });
    let (mut peak, deadline) = (0, Instant::now() + PATIENCE);
    while child.figures().await["timed_out"] < 10 {
        peak = child.rss().max(peak);
        assert!(Instant::now() < deadline, "{:?}", child.figures().await);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    traffic.more(50).await;
    let grown = peak.saturating_sub(before);
    println!(
        "peers that never read: the broker grew by {} KiB, the longest round of another client took {:.1?}",
        grown >> 10,
        traffic.longest()
    );
    assert!(grown < GROWTH_MAX, "{grown} bytes");
    traffic.end().await;
    // What is left of them fits.
    asking.abort();
    child.stop().await;
}

/// Sends requests whose answers are long until the other side has had enough.
async fn ask_without_reading(address: &str) {
    let mut peer = Peer::connect_narrow(address).await;
    let request: Request = MetadataRequest { topics: None, ..MetadataRequest::default() }.into();
    loop {
        // Whoever does not read is not read from: what is sent waits in the sockets.
        match timeout(Duration::from_millis(100), peer.send(&request, 12)).await {
            Ok(Ok(())) | Err(_) => {}
            Ok(Err(_)) => return,
        }
    }
}
