//! Requests and responses keep their order.

use tokio::time::timeout;

use super::{PATIENCE, Peer, Scripted, api_versions, config, fetch, frame, listen, metadata, produce};
use crate::protocol::api_key::ApiKey;
use crate::protocol::response::Response;

#[tokio::test]
async fn responses_wait_for_those_of_earlier_requests() {
    let (handler, mut seen) = Scripted::new();
    let (listener, _) = listen(config(), handler.clone()).await;
    let mut peer = Peer::connect(listener.local_addr()).await;
    peer.send(1, 12, &fetch(100)).await;
    peer.send(2, 12, &metadata()).await;
    peer.send(3, 3, &api_versions()).await;
    // All three are in the handler's hands although the first is not answered.
    for api in [ApiKey::Fetch, ApiKey::Metadata, ApiKey::ApiVersions] {
        let request = timeout(PATIENCE, seen.recv()).await.expect("requests are handled");
        assert_eq!(request.map(|(api, _)| api), Some(api));
    }
    handler.gate.add_permits(1);
    let (first, fetched) = peer.response(ApiKey::Fetch, 12).await;
    let Response::Fetch(fetched) = fetched else { panic!("a fetch response is due") };
    assert_eq!(fetched.responses[0].partitions[0].records.as_ref(), Some(&handler.records));
    let (second, _) = peer.response(ApiKey::Metadata, 12).await;
    let (third, _) = peer.response(ApiKey::ApiVersions, 3).await;
    assert_eq!((first, second, third), (1, 2, 3));
}

#[tokio::test]
async fn many_requests_in_one_write_are_answered_in_order() {
    let (handler, _seen) = Scripted::new();
    let (listener, metrics) = listen(config(), handler.clone()).await;
    let mut peer = Peer::connect(listener.local_addr()).await;
    let request = metadata();
    let version = |id: i32| 1 + (id % 13) as i16;
    let bytes: Vec<u8> = (0..500).flat_map(|id| frame(id, version(id), &request)).collect();
    peer.write(&bytes).await;
    for id in 0..500 {
        let (correlation_id, _) = peer.response(ApiKey::Metadata, version(id)).await;
        assert_eq!(correlation_id, id);
    }
    assert_eq!(metrics.api(ApiKey::Metadata).requests.get(), 500);
    assert_eq!(metrics.api(ApiKey::Metadata).latency.buckets().iter().sum::<u64>(), 500);
    assert_eq!(metrics.bytes_received.get(), bytes.len() as u64);
    assert!(metrics.bytes_sent.get() > 500 * 10);
}

#[tokio::test]
async fn work_begins_in_the_order_of_the_requests() {
    let (handler, _seen) = Scripted::new();
    let (listener, _) = listen(config(), handler.clone()).await;
    let mut peer = Peer::connect(listener.local_addr()).await;
    // Some wait and some do not, so that there are always several to be polled.
    handler.gate.add_permits(20);
    let bytes: Vec<u8> = (0..100).flat_map(|id| frame(id, 12, &fetch(id))).collect();
    peer.write(&bytes).await;
    for id in 0..100 {
        handler.gate.add_permits(1);
        assert_eq!(peer.response(ApiKey::Fetch, 12).await.0, id);
    }
    assert_eq!(*handler.polled.lock(), (0..100).collect::<Vec<_>>());
}

#[tokio::test]
async fn requests_without_acknowledgement_get_no_response() {
    let (handler, _seen) = Scripted::new();
    let (listener, _) = listen(config(), handler).await;
    let mut peer = Peer::connect(listener.local_addr()).await;
    peer.send(1, 9, &produce(0)).await;
    peer.send(2, 9, &produce(1)).await;
    let (correlation_id, response) = peer.response(ApiKey::Produce, 9).await;
    assert_eq!(correlation_id, 2);
    assert_eq!(response.api_key(), ApiKey::Produce);
}

#[tokio::test]
async fn requests_read_before_a_shutdown_are_answered() {
    let (handler, mut seen) = Scripted::new();
    let (listener, metrics) = listen(config(), handler.clone()).await;
    let mut peer = Peer::connect(listener.local_addr()).await;
    peer.send(1, 12, &fetch(1)).await;
    timeout(PATIENCE, seen.recv()).await.expect("the request is handled");
    let shutdown = tokio::spawn(async move { listener.shutdown().await });
    handler.gate.add_permits(1);
    assert_eq!(peer.response(ApiKey::Fetch, 12).await.0, 1);
    assert!(peer.is_closed().await);
    timeout(PATIENCE, shutdown).await.expect("shutdown ends").expect("shutdown does not panic");
    assert_eq!(metrics.connections.get(), 0);
}
