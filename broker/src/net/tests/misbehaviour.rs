//! Peers that do not speak the protocol.

use std::time::Duration;

use super::{Peer, Scripted, config, eventually, fetch, frame, listen, metadata};
use crate::net::config::ListenerConfig;
use crate::protocol::api_key::ApiKey;
use crate::protocol::error_code::ErrorCode;
use crate::protocol::response::Response;

#[tokio::test]
async fn frames_that_are_too_long_are_refused_before_they_arrive() {
    let (handler, _seen) = Scripted::new();
    let (listener, metrics) = listen(config(), handler).await;
    let lengths = [i32::MAX, -1, i32::MIN, 100 * 1024 * 1024 + 1];
    for length in lengths {
        let mut peer = Peer::connect(listener.local_addr()).await;
        peer.write(&length.to_be_bytes()).await;
        assert!(peer.is_closed().await, "{length}");
    }
    eventually(|| metrics.connections_oversize.get() == lengths.len() as u64).await;
}

#[tokio::test]
async fn half_a_frame_times_out() {
    let (handler, _seen) = Scripted::new();
    let limits = ListenerConfig { stall_timeout: Duration::from_millis(20), ..config() };
    let (listener, metrics) = listen(limits, handler).await;
    let whole = frame(1, 12, &metadata());
    for len in [2, 4, whole.len() - 1] {
        let mut peer = Peer::connect(listener.local_addr()).await;
        peer.write(&whole[..len]).await;
        assert!(peer.is_closed().await);
    }
    eventually(|| metrics.connections_timed_out.get() == 3).await;
}

#[tokio::test]
async fn who_hangs_up_does_not_keep_its_connection_until_the_answer() {
    let (handler, mut seen) = Scripted::new();
    let limits = ListenerConfig { shutdown_grace: Duration::from_millis(20), ..config() };
    let (listener, metrics) = listen(limits, handler).await;
    let mut peer = Peer::connect(listener.local_addr()).await;
    peer.send(1, 12, &fetch(1)).await;
    seen.recv().await.expect("it waits in the handler");
    drop(peer);
    eventually(|| metrics.connections.get() == 0).await;
}

#[tokio::test]
async fn who_sends_nothing_more_is_answered() {
    let (handler, _seen) = Scripted::new();
    let (listener, _) = listen(config(), handler).await;
    let mut peer = Peer::connect(listener.local_addr()).await;
    peer.send(1, 12, &metadata()).await;
    tokio::io::AsyncWriteExt::shutdown(&mut peer.stream).await.expect("half of it is closed");
    assert_eq!(peer.response(ApiKey::Metadata, 12).await.0, 1);
    assert!(peer.is_closed().await);
}

#[tokio::test]
async fn a_frame_may_arrive_byte_by_byte() {
    let (handler, _seen) = Scripted::new();
    let (listener, _) = listen(config(), handler).await;
    let mut peer = Peer::connect(listener.local_addr()).await;
    for byte in frame(5, 12, &metadata()) {
        peer.write(&[byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(peer.response(ApiKey::Metadata, 12).await.0, 5);
}

#[tokio::test]
async fn garbage_ends_only_its_own_connection() {
    let (handler, _seen) = Scripted::new();
    let (listener, metrics) = listen(config(), handler).await;
    let mut good = Peer::connect(listener.local_addr()).await;
    let mut garbage: Vec<Vec<u8>> = vec![
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        // A TLS client hello.
        vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3],
        // Too short for a header.
        vec![0, 0, 0, 2, 0, 3],
        vec![0, 0, 0, 0],
        // An API nobody knows.
        vec![0, 0, 0, 10, 0x7f, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff],
        // Metadata with a count that is a lie.
        vec![0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff],
    ];
    // Metadata in a version that does not exist.
    let mut future = frame(1, 12, &metadata()).to_vec();
    future[7] = 99;
    garbage.push(future);
    // An API the broker knows and does not serve.
    garbage.push(vec![0, 0, 0, 12, 0, 17, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0, 0]);

    for (id, bytes) in (0..).zip(&garbage) {
        let mut bad = Peer::connect(listener.local_addr()).await;
        bad.write(bytes).await;
        assert!(bad.is_closed().await, "garbage {id}");
        good.send(id, 12, &metadata()).await;
        assert_eq!(good.response(ApiKey::Metadata, 12).await.0, id);
    }
    eventually(|| metrics.connections.get() == 1).await;
    assert!(metrics.connections_malformed.get() >= 5);
}

#[tokio::test]
async fn versions_of_the_future_are_answered_with_those_served() {
    let (handler, mut seen) = Scripted::new();
    let (listener, _) = listen(config(), handler).await;
    let mut peer = Peer::connect(listener.local_addr()).await;
    // ApiVersions 99 with a body nobody here can read.
    peer.write(&[0, 0, 0, 13, 0, 18, 0, 99, 0, 0, 0, 7, 0xff, 0xff, 0, 9, 9]).await;
    let (correlation_id, response) = peer.response(ApiKey::ApiVersions, 0).await;
    let Response::ApiVersions(response) = response else { panic!("an ApiVersions response is due") };
    assert_eq!(correlation_id, 7);
    assert_eq!(response.error_code, ErrorCode::UnsupportedVersion);
    let own = response.api_keys.iter().find(|entry| entry.api_key == 18).expect("ApiVersions is listed");
    assert_eq!((own.min_version, own.max_version), (0, 4));
    assert!(seen.try_recv().is_err());
    // The connection goes on.
    peer.send(8, 4, &super::api_versions()).await;
    assert_eq!(peer.response(ApiKey::ApiVersions, 4).await.0, 8);
}
