//! Many connections: idle ones, ones that come all at once, and ones for which there are no files.

use std::time::{Duration, Instant};

use weir_broker::env::open_files::OpenFiles;

use crate::scale::child::{Child, Options};
use crate::scale::crowd::{Peer, many};
use crate::scale::number;
use crate::scale::traffic::Traffic;

/// Resident memory of a connection that has been greeted and is idle.
const IDLE_BYTES_MAX: usize = 25 * 1000;
/// Rounds after which buffers and caches have the size they keep.
const WARM_ROUNDS: u64 = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_are_cheap_and_all_are_served() {
    let count = number("WEIR_SCALE_CONNECTIONS", 2_000);
    let files = OpenFiles::raise().limit();
    assert!(files > count as u64 + 200, "{count} connections need more open files than {files}: ulimit -Hn");
    let dir = tempfile::tempdir().expect("a directory");
    let mut child = Child::start(dir.path(), &Options::default()).await;
    let traffic = Traffic::start(&child).await;
    traffic.more(WARM_ROUNDS).await;
    let (before, busy) = (child.rss(), child.figures().await["connections"]);
    traffic.longest();

    let address = child.address.clone();
    let opening = Instant::now();
    let mut peers = many(count, |_| async {
        let mut peer = Peer::connect(&address).await;
        assert!(peer.greet().await, "every connection is greeted");
        peer
    })
    .await;
    let opened = opening.elapsed();
    traffic.more(20).await;
    let each = child.rss().saturating_sub(before) / count;
    let longest = traffic.longest();
    println!(
        "{count} connections in {opened:.1?}: {each} bytes of resident memory each; the longest round of another \
         client took {longest:.1?}"
    );
    let figures = child.figures().await;
    assert_eq!(figures["connections"], busy + count as u64);
    assert_eq!((figures["refused"], figures["accepts_failed"]), (0, 0));
    assert!(each <= IDLE_BYTES_MAX, "{each} bytes for each connection");

    for some in peers.chunks_mut(100) {
        let answered = futures::future::join_all(some.iter_mut().map(|peer| peer.ask())).await;
        assert!(answered.into_iter().all(|answered| answered), "idle connections are served");
    }
    drop(peers);
    child.until("connections", |open| open <= busy).await;
    traffic.end().await;
    child.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_connections_does_not_starve_others() {
    let count = number("WEIR_SCALE_STORM", 3_000);
    let _ = OpenFiles::raise();
    let dir = tempfile::tempdir().expect("a directory");
    let mut child = Child::start(dir.path(), &Options::default()).await;
    let traffic = Traffic::start(&child).await;
    traffic.more(WARM_ROUNDS).await;
    traffic.longest();

    let (address, rounds, storming) = (child.address.clone(), traffic.rounds(), Instant::now());
    let address = &address;
    let answered = many(count, |index| async move {
        let mut peer = Peer::connect(address).await;
        // Half of them leave without a word.
        index % 2 == 0 || peer.greet().await
    })
    .await;
    let (stormed, rounds) = (storming.elapsed(), traffic.rounds() - rounds);
    assert!(answered.into_iter().all(|answered| answered), "who asks is answered");
    let longest = traffic.longest();
    println!(
        "{count} connections came in {stormed:.1?}; meanwhile {rounds} rounds of others, the longest {longest:.1?}"
    );
    assert!(rounds >= count as u64 / 100, "{rounds} rounds of others during {count} connections");
    let figures = child.figures().await;
    assert_eq!((figures["refused"], figures["accepts_failed"]), (0, 0));
    traffic.end().await;
    child.until("connections", |open| open == 0).await;
    child.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_beyond_what_files_allow_are_refused_and_the_rest_works() {
    const LIMIT: u64 = 256;
    let dir = tempfile::tempdir().expect("a directory");
    let mut child = Child::start(dir.path(), &Options { open_files: LIMIT, ..Options::default() }).await;
    let traffic = Traffic::start(&child).await;
    traffic.more(1).await;
    let busy = child.figures().await["connections"];
    let address = child.address.clone();
    let peers = many(300, |_| async {
        let mut peer = Peer::connect(&address).await;
        peer.greet().await.then_some(peer)
    })
    .await;
    let served = peers.iter().flatten().count() as u64;
    // Five eighths of the files are for connections.
    assert_eq!(served, LIMIT * 5 / 8 - busy);
    let figures = child.figures().await;
    assert_eq!((figures["refused"], figures["accepts_failed"]), (300 - served, 0));
    traffic.more(20).await;
    drop(peers);
    child.until("connections", |open| open <= busy).await;
    assert!(Peer::connect(&address).await.greet().await, "there is room again");
    traffic.end().await;
    child.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_wait_while_there_are_no_files() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut child = Child::start(dir.path(), &Options { open_files: 256, ..Options::default() }).await;
    let mut known = Peer::connect(&child.address).await;
    assert!(known.greet().await);
    assert!(child.order("hoard").await.parse::<usize>().expect("a number") > 0);
    let mut stranger = Peer::connect(&child.address).await;
    let waiting = tokio::spawn(async move { stranger.greet().await });
    let (before, began) = (child.figures().await["accepts_failed"], Instant::now());
    child.until("accepts_failed", |failed| failed >= before + 3).await;
    // It tries again every 50 ms, and not all the time.
    let tries_max = 3 + began.elapsed().as_millis() as u64 / 50;
    assert!(child.figures().await["accepts_failed"] - before <= tries_max + 3);
    assert!(known.ask().await, "who is connected is served");
    assert!(!waiting.is_finished());
    child.order("release").await;
    let served = tokio::time::timeout(Duration::from_secs(60), waiting).await;
    assert!(served.expect("in time").expect("no panic"), "who waited is served");
    child.stop().await;
}
