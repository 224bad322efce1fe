//! The addresses that a broker advertises to its clients.

use weir_broker::broker::{Broker, StartError};
use weir_broker::client::tcp::{TcpTransport, TcpTransportConfig};
use weir_broker::client::transport::Transport;
use weir_broker::config::BrokerConfig;
use weir_broker::net::config::ListenerConfig;
use weir_broker::protocol::messages::describe_cluster::DescribeClusterRequest;
use weir_broker::protocol::messages::find_coordinator::FindCoordinatorRequest;
use weir_broker::protocol::messages::metadata::MetadataRequest;
use weir_broker::protocol::request::Request;
use weir_broker::protocol::response::Response;

async fn start(
    dir: &std::path::Path,
    address: &str,
    advertised: Option<(&str, u16)>,
) -> Result<Broker, StartError> {
    let mut config = BrokerConfig::new(dir);
    config.listeners = vec![ListenerConfig {
        address: address.to_owned(),
        advertised: advertised.map(|(host, port)| (host.to_owned(), port)),
        ..ListenerConfig::default()
    }];
    Broker::start(config).await
}

/// The addresses in the answers to Metadata, DescribeCluster and FindCoordinator.
async fn advertised(address: String) -> Vec<(String, i32)> {
    let transport = TcpTransport::new(address, TcpTransportConfig::default());
    let group = FindCoordinatorRequest { coordinator_keys: vec!["g".to_owned()], ..Default::default() };
    let cluster = DescribeClusterRequest { endpoint_type: 1, ..DescribeClusterRequest::default() };
    let mut addresses = Vec::new();
    for request in [
        Request::Metadata(MetadataRequest::default()),
        Request::DescribeCluster(cluster),
        Request::FindCoordinator(group),
    ] {
        match transport.send(request).await.expect("answered") {
            Response::Metadata(answer) => {
                addresses.extend(answer.brokers.into_iter().map(|broker| (broker.host, broker.port)));
            }
            Response::DescribeCluster(answer) => {
                addresses.extend(answer.brokers.into_iter().map(|broker| (broker.host, broker.port)));
            }
            Response::FindCoordinator(answer) => {
                addresses.extend(answer.coordinators.into_iter().map(|broker| (broker.host, broker.port)));
            }
            other => panic!("{other:?}"),
        }
    }
    addresses
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_a_wildcard_listener_is_given_the_address_it_connected_to() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = start(dir.path(), "0.0.0.0:0", None).await.expect("starts");
    let port = broker.local_addr().expect("bound").port();
    for host in ["127.0.0.1", "127.0.0.2"] {
        assert_eq!(advertised(format!("{host}:{port}")).await, vec![(host.to_owned(), i32::from(port)); 3]);
    }
    broker.shutdown().await.expect("stops");

    let broker = start(dir.path(), "0.0.0.0:0", Some(("broker.example", 0))).await.expect("starts");
    let port = broker.local_addr().expect("bound").port();
    let expected = vec![("broker.example".to_owned(), i32::from(port)); 3];
    assert_eq!(advertised(format!("127.0.0.2:{port}")).await, expected);
    broker.shutdown().await.expect("stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_cannot_be_connected_to_is_not_advertised() {
    let dir = tempfile::tempdir().expect("a directory");
    for host in ["0.0.0.0", "[::]", "::", ""] {
        let refused = start(dir.path(), "127.0.0.1:0", Some((host, 9_092))).await;
        assert!(matches!(refused, Err(StartError::Listen(_))), "{host:?}");
    }
}
