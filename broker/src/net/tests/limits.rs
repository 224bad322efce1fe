//! What a listener takes on at a time.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::timeout;

use super::{PATIENCE, Peer, Scripted, config, eventually, fetch, frame, listen, metadata};
use crate::net::config::ListenerConfig;
use crate::protocol::api_key::ApiKey;
use crate::protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic};
use crate::protocol::request::Request;

#[tokio::test]
async fn requests_of_a_connection_in_flight_are_bounded() {
    let (handler, _seen) = Scripted::new();
    let (listener, _) =
        listen(ListenerConfig { in_flight_requests_max: 2, ..config() }, handler.clone()).await;
    let mut peer = Peer::connect(listener.local_addr()).await;
    for id in 0..10 {
        peer.send(id, 12, &fetch(id)).await;
    }
    for id in 0..10 {
        handler.gate.add_permits(1);
        assert_eq!(peer.response(ApiKey::Fetch, 12).await.0, id);
    }
    assert_eq!(handler.fetching_peak.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn bytes_of_all_connections_in_flight_are_bounded() {
    let request = fetch(1);
    let len = frame(1, 12, &request).len() - 4;
    let (handler, mut seen) = Scripted::new();
    // Room for two requests of the size, and not for a third.
    let limits = ListenerConfig { in_flight_bytes_max_total: 3 * len - 1, ..config() };
    let (listener, _) = listen(limits, handler.clone()).await;
    let mut peers = Vec::new();
    for _ in 0..3 {
        let mut peer = Peer::connect(listener.local_addr()).await;
        peer.send(1, 12, &request).await;
        peers.push(peer);
    }
    for _ in 0..3 {
        timeout(PATIENCE, seen.recv()).await.expect("requests are handled one after the other");
        handler.gate.add_permits(1);
    }
    for peer in &mut peers {
        assert_eq!(peer.response(ApiKey::Fetch, 12).await.0, 1);
    }
    assert!(handler.fetching_peak.load(Ordering::SeqCst) <= 2);
}

#[tokio::test]
async fn a_frame_that_comes_slowly_gives_way_to_those_that_wait_for_room() {
    let (handler, _seen) = Scripted::new();
    let limits = ListenerConfig { in_flight_bytes_max_total: 1_000, ..config() };
    let (listener, metrics) = listen(limits, handler).await;
    let mut slow = Peer::connect(listener.local_addr()).await;
    slow.write(&990_i32.to_be_bytes()).await;
    slow.write(&[0; 10]).await;
    let closed = tokio::spawn(async move { slow.is_closed().await });
    let mut other = Peer::connect(listener.local_addr()).await;
    let mut answered = 0;
    while !closed.is_finished() {
        answered += 1;
        other.send(answered, 12, &metadata()).await;
        assert_eq!(other.response(ApiKey::Metadata, 12).await.0, answered);
    }
    assert!(closed.await.expect("no panic"));
    assert_eq!(metrics.connections_timed_out.get(), 1);
}

#[tokio::test]
async fn a_peer_that_reads_nothing_gives_way_and_the_bytes_kept_for_it_are_bounded() {
    const ROOM: usize = 1 << 20;
    let (handler, _seen) = Scripted::new();
    handler.gate.add_permits(1_000);
    let limits = ListenerConfig { unsent_bytes_max: ROOM, unsent_bytes_max_total: ROOM, ..config() };
    let (listener, metrics) = listen(limits, handler).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        let mut peer = Peer::connect(listener.local_addr()).await;
        for id in 0..200 {
            peer.send(id, 12, &fetch(id)).await;
        }
        silent.push(peer);
    }
    // One alone may keep as much as all together, and each one answer more: some have to go until what is left fits.
    eventually(|| metrics.connections_timed_out.get() >= 5).await;
    let mut other = Peer::connect(listener.local_addr()).await;
    other.send(1, 12, &metadata()).await;
    assert_eq!(other.response(ApiKey::Metadata, 12).await.0, 1);
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed() {
    let (handler, _seen) = Scripted::new();
    let (listener, metrics) = listen(ListenerConfig { connections_max: 1, ..config() }, handler).await;
    let mut first = Peer::connect(listener.local_addr()).await;
    first.send(1, 12, &metadata()).await;
    first.response(ApiKey::Metadata, 12).await;
    let mut second = Peer::connect(listener.local_addr()).await;
    assert!(second.is_closed().await);
    first.send(2, 12, &metadata()).await;
    assert_eq!(first.response(ApiKey::Metadata, 12).await.0, 2);
    assert_eq!(metrics.connections_refused.get(), 1);
    drop(first);
    eventually(|| metrics.connections.get() == 0).await;
    let mut third = Peer::connect(listener.local_addr()).await;
    third.send(3, 12, &metadata()).await;
    assert_eq!(third.response(ApiKey::Metadata, 12).await.0, 3);
}

#[tokio::test]
async fn silent_connections_are_closed() {
    let (handler, _seen) = Scripted::new();
    let limits = ListenerConfig { idle_timeout: Duration::from_millis(20), ..config() };
    let (listener, metrics) = listen(limits, handler).await;
    let mut peer = Peer::connect(listener.local_addr()).await;
    assert!(peer.is_closed().await);
    assert_eq!(metrics.connections_timed_out.get(), 1);
}

#[tokio::test]
async fn the_first_request_must_be_short() {
    let topic = MetadataRequestTopic { name: Some("x".repeat(5_000)), ..MetadataRequestTopic::default() };
    let long = Request::from(MetadataRequest { topics: Some(vec![topic]), ..MetadataRequest::default() });
    let limits = ListenerConfig { first_request_bytes_max: 1_000, request_bytes_max: 10_000, ..config() };
    let (handler, _seen) = Scripted::new();
    let (listener, metrics) = listen(limits, handler).await;
    let mut stranger = Peer::connect(listener.local_addr()).await;
    stranger.send(1, 12, &long).await;
    assert!(stranger.is_closed().await);
    eventually(|| metrics.connections_oversize.get() == 1).await;

    let mut known = Peer::connect(listener.local_addr()).await;
    known.send(1, 12, &metadata()).await;
    known.response(ApiKey::Metadata, 12).await;
    known.send(2, 12, &long).await;
    assert_eq!(known.response(ApiKey::Metadata, 12).await.0, 2);
}
